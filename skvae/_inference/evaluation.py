"""Numbers that evaluate a model, without gradients: bounds of each row, importance weights, KL of each component.

Base noise u is given: for bounds whitened draws that all rows share, for importance weights draws of each row's own
(`row_noise`). Both are fixed, so that a row's score does not depend on its neighbours.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from ..distributions.divergences import marginals
from ..distributions.latent import OneHots, SideBySide, joint_log_prob, kl, log_aggregate, summed
from ..model import LatentVariableModel
from ..posteriors import Head

__all__ = [
    "aggregate_kl",
    "chunk_rows",
    "effective_sample_size",
    "elbo",
    "floored",
    "importance_weighted",
    "kl_per_component",
    "memberships",
    "mutual_information",
    "reconstruction_loss_without_component",
    "signs",
    "truncated_elbo",
]

_CELLS_PER_CHUNK = 1 << 18  # of the widest layer: 2 MB as float64, larger ones leave the cache
_NOISE = torch.linspace(-6, 6, 41, dtype=torch.float64)


def elbo(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """mean_s log p(x | z_s) - KL(q(z|x) || p(z)) for u (S, 1, n_noise): nats per row in model space, (B,)."""
    q = model.encode(x, mask)
    z = model.posterior.push(q, u)
    divergence = _kl(model.posterior, q, q, model.prior(model.encode), u)
    return model.log_likelihood(x, mask, z).mean(0) - summed(divergence)


def truncated_elbo(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor, n: int) -> Tensor:
    """`elbo` of the first n of K independent components; the others are 0, the mean of the prior, and cost no KL."""
    q = model.encode(x, mask)
    z = model.posterior.push(q, u)
    is_kept = torch.arange(z.shape[-1], device=z.device) < n
    divergence = _kl(model.posterior, q, q, model.prior(model.encode), u)
    return model.log_likelihood(x, mask, z * is_kept).mean(0) - summed(divergence * is_kept)


def log_weights(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """log p(x, z_s) / q(z_s | x), nats in model space, (S, B)."""
    q = model.encode(x, mask)
    z = model.posterior.push(q, u)
    log_pz = joint_log_prob(model.prior(model.encode), z)
    return floored(model.log_likelihood(x, mask, z) + log_pz - joint_log_prob(q, z))


def floored(log_w: Tensor) -> Tensor:
    """Log-weights that are finite, so that a row which no draw explains has a number, and even weights."""
    return log_w.clamp(min=torch.finfo(log_w.dtype).min)


def importance_weighted(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """log mean_s p(x, z_s) / q(z_s | x) (Burda et al. 2016, section 3), nats per row in model space, (B,)."""
    return log_weights(model, x, mask, u).logsumexp(0) - math.log(len(u))


def effective_sample_size(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """(sum_s w_s)^2 / sum_s w_s^2 of the importance weights (Kong 1992), between 1 and S, (B,)."""
    log_w = log_weights(model, x, mask, u)
    return torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0))


def mutual_information(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """I(x; z) = E_x KL(q(z|x) || q(z)), q(z) the mean of q(z|x) over the B rows: nats, at most ln B, 0-d.

    Hoffman & Johnson (2016); He et al. (2019), section 4.
    """
    q = model.encode(x, mask)
    z = model.posterior.push(q, u)
    return (joint_log_prob(q, z) - log_aggregate(q, z)).mean()


def aggregate_kl(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """KL(q(z) || p(z)) = E_x KL(q(z|x) || p(z)) - I(x; z): nats, 0-d (Hoffman & Johnson 2016)."""
    q = model.encode(x, mask)
    z = model.posterior.push(q, u)
    return (log_aggregate(q, z) - joint_log_prob(model.prior(model.encode), z)).mean()


def kl_per_component(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """KL of each component's marginal posterior to the prior's, (B, n): the information it carries about a row.

    A prior that does not factorise is replaced by independent components: normal ones with its moments, or one-hot
    ones with its probabilities.
    """
    q, p = model.encode(x, mask), model.prior(model.encode)
    if isinstance(q, SideBySide):
        head: Any = model.posterior
        parts = zip(head.heads, head.split(q, u), p.parts, strict=True)
        return torch.cat([_kl_of_each(own, q, p, u) for own, (q, u), p in parts], -1)
    return _kl_of_each(model.posterior, q, p, u)


def _kl_of_each(head: Head, q: Distribution, p: Distribution, u: Tensor) -> Tensor:
    """KL of each component of codes of one kind, (B, n)."""
    p = marginals(p)
    if isinstance(q, OneHots):
        p = OneHots(p.mean.log().unflatten(-1, q.log_probabilities.shape[-2:]))
    elif p.event_shape:
        p = Normal(p.mean, p.stddev, validate_args=False)
    return _kl(head, q, head.marginals(q), p, u)


def _kl(head: Head, q: Distribution, factors: Distribution, p: Distribution, u: Tensor) -> Tensor:
    """KL(factors || p) for q or its marginals: the closed form, else an average over the draws from q for u.

    These are few and the same for all rows, so that their error would not average out over a table. Where components
    are independent, the trapezoid rule in the noise of each takes their place: 41 points give five digits and more.
    """
    try:
        return kl(factors, p)
    except NotImplementedError:
        if q.event_shape or p.event_shape:
            return kl(factors, p, head.push(q, u))
        z = head.push(q, _NOISE[:, None, None].to(u).expand(-1, 1, u.shape[-1]))
        return torch.einsum("s,sbk->bk", torch.softmax(-_NOISE.square() / 2, 0).to(u), q.log_prob(z) - p.log_prob(z))


def memberships(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """E_q(z|x) p(m | z) of the members of a mixture prior, or q(c | x) of the classes of one variable, (B, M).

    Bishop (2006), eq. 9.13, for p(m | z).
    """
    q = model.encode(x, mask)
    if isinstance(q, SideBySide):
        q = q.parts[0]
    if isinstance(q, OneHots):
        return q.mean
    p: Any = model.prior(model.encode)
    z = model.posterior.push(q, u)
    log_joint = p.mixture_distribution.logits + p.component_distribution.log_prob(z[..., None, :])
    return log_joint.softmax(-1).mean(0)


def reconstruction_loss_without_component(model: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
    """What log p(x | center) loses when one component is set to its mean over the rows, nats, (B, K).

    It orders the components of posteriors without a density.
    """
    z = model.center(x, mask)[None]
    without = torch.where(torch.eye(z.shape[-1], dtype=torch.bool, device=z.device)[:, None], z.mean(1, True), z)
    return (model.log_likelihood(x, mask, z) - model.log_likelihood(x, mask, without)).T


def signs(codes: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Sign of each component that makes its most covarying column rise with it, (K,) of -1 and 1.

    Parameters
    ----------
    codes : Tensor (B, K)
    x : Tensor (B, D)
    weight : Tensor (B,), summing to one
    """
    covariance = (weight[:, None] * (codes - weight @ codes)).T @ x
    closest = covariance.gather(1, covariance.abs().argmax(1, keepdim=True))[:, 0]
    return torch.where(closest < 0, -1.0, 1.0)


def chunk_rows(model: LatentVariableModel, n_samples: int, n_cells: int | None = None) -> int:
    """Number of rows of a chunk, of which S draws each go through the model at once; `n_cells` of the widest layer."""
    return max(1, (n_cells or _CELLS_PER_CHUNK) // (n_samples * model.widest))
