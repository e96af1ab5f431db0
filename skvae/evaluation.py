"""Numbers of a fitted model: per-row ELBO, importance-weighted log-likelihood, KL per component. All without gradients.

Base noise is shared by all rows and fixed, so that a row's score does not depend on its neighbours.
"""

import math
from typing import Any

import torch
from torch import Tensor

from .distributions import joint_log_prob, kl
from .divergences import marginals

__all__ = ["chunk_rows", "elbo", "importance_weighted", "kl_per_component", "signs", "whitened_pairs"]

_CELLS_PER_CHUNK = 4_000_000
_NOISE = torch.linspace(-6, 6, 41, dtype=torch.float64)


def whitened_pairs(n_samples: int, n_components: int, generator: torch.Generator) -> Tensor:
    """Draws u (S, 1, K), S >= n_samples, with mean 0 and covariance I exactly: E[f(u)] is exact for quadratic f.

    S / 2 >= K normal draws are whitened and used with both signs; float64.
    """
    half = max(math.ceil(n_samples / 2), n_components)
    draws = torch.randn(half, n_components, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(draws, full_matrices=False)
    white = left @ right * math.sqrt(half)  # the orthogonal matrix nearest to the draws
    return torch.cat([white, -white]).unsqueeze(1)


def elbo(model: Any, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """mean_s log p(x | z_s) - KL(q(z|x) || p(z)) for u (S, 1, n_noise): nats per row in the model's units, (B,)."""
    q = model.encode(x, mask)
    z = model.posterior.push(q, u)
    divergence = _kl(model.posterior, q, q, model.prior(model.encode), u)
    return model.log_likelihood(x, mask, z).mean(0) - (divergence.sum(-1) if divergence.ndim == 2 else divergence)


def importance_weighted(model: Any, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """log mean_s p(x, z_s) / q(z_s | x) (Burda et al. 2016, eq. 8), nats per row in the model's units, (B,)."""
    q = model.encode(x, mask)
    z = model.posterior.push(q, u)
    log_weight = model.log_likelihood(x, mask, z) + joint_log_prob(model.prior(model.encode), z) - joint_log_prob(q, z)
    return log_weight.logsumexp(0) - math.log(len(u))


def kl_per_component(model: Any, x: Tensor, mask: Tensor | None, u: Tensor) -> Tensor:
    """KL of each component's marginal posterior to the prior's, (B, K): the information it carries about a row.

    From the draws of u (S, 1, n_noise) where there is no closed form.
    """
    q = model.encode(x, mask)
    p = marginals(model.prior(model.encode))
    return _kl(model.posterior, q, model.posterior.marginals(q), p, u)


def _kl(head, q, factors, p, u):
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


def signs(codes, x, weight):
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


def chunk_rows(model, n_samples):
    """Rows that fit one chunk of S draws."""
    widths = [p.shape[0] for p in model.decoder.parameters() if p.ndim == 2]
    return max(1, _CELLS_PER_CHUNK // (n_samples * max(widths)))
