"""Missing cells given the observed ones: self-normalised importance sampling (Mattei & Frellsen 2019, eq. 10).

    E[f(x_mis) | x_obs] = sum_s w_s E[f(x_mis) | z_s] / sum_s w_s,   w_s = p(x_obs | z_s) p(z_s) / r(z_s)

Draws z_s come from a mixture r of q(z | x_obs) and, as a defence, p(z) (Hesterberg 1995), so that weights stay bounded
where the encoder has never seen such missing values. A posterior of independent normal components is too narrow where
cells are missing: its place in r takes the joint normal that it approximates. Beside a normal q stand two further
normals with the weighted mean and covariance of all draws so far, so that r comes nearer to p(z | x_obs) (adaptive
multiple importance sampling, Cornuet et al. 2012); all draws have the weights of the mixture of all proposals.

Where the model is linear and Gaussian p(z | x_obs) is a normal, and nothing is weighted.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, Normal

from .._utils.arrays import widened
from ..distributions.latent import joint_log_prob
from ..families.discrete import Constant
from ..families.given import Given
from ..families.likelihood import observed_log_prob
from ..model import LatentVariableModel
from ..posteriors.conditioning import joint_normal, push_joint
from .decoded import InDataSpace
from .evaluation import chunk_rows, floored

__all__ = [
    "SHARE_OF_THE_PRIOR",
    "Draws",
    "effective_size",
    "expected_values",
    "linear_codes",
    "weighted_codes",
    "weighted_draws",
]

#: Of the draws: as large as that of q and of each adapted normal.
SHARE_OF_THE_PRIOR = 0.25
N_ADAPTED = 2


class Draws:
    """Codes z (S, B, K), normalised importance weights w (S, B), and p(x given z), batch shape (S, B, D), if kept."""

    def __init__(self, z: Tensor, log_w: Tensor, p: Any = None) -> None:
        self.z = z
        self.w = log_w.softmax(0)
        self.p = p

    def resampled(self, u: Tensor) -> Tensor:
        """Draw codes of each row by their weights, (n_draws, B, K), from uniform noise u (n_draws, B)."""
        upper = self.w.cumsum(0)
        chosen = torch.searchsorted(upper.T.contiguous(), (u * upper[-1]).T.contiguous()).T.clamp(max=len(self.w) - 1)
        return self.z.gather(0, chosen[..., None].expand(-1, -1, self.z.shape[-1]))


def linear_codes(model: LatentVariableModel, x: Tensor, mask: Tensor | None) -> MultivariateNormal:
    """p(z | x_obs) under N(0, I), a linear mean and constant variances, batch shape (B,) (Bishop 2006, eq. 2.116).

    Columns without variance are constants, and say nothing.
    """
    K = model.width
    p = model.decode(torch.cat([x.new_zeros(1, 1, K), torch.eye(K).to(x)[:, None]]))
    mean, variance = widened(p.mean[0, 0]), widened(p.variance[0, 0])
    W = widened(p.mean[1:, 0]) - mean  # (K, D)
    precision = torch.where(variance > 0, 1 / variance, 0.0)
    seen = torch.ones_like(x) if mask is None else mask
    h = (torch.where(seen > 0, x - mean, 0.0) * precision) @ W.T
    pairs = W[:, None] * W * precision  # (K, K, D)
    P = torch.eye(K).to(h) + torch.einsum("bd,ijd->bij", seen.to(pairs), pairs)
    upper = torch.linalg.cholesky(P.flip(-1, -2)).flip(-1, -2)  # P = U U^T, so P^-1 = U^-T U^-1
    lower = torch.linalg.solve_triangular(upper, torch.eye(K).to(P).expand_as(P), upper=True).mT
    loc = (lower @ (lower.mT @ h[..., None]))[..., 0]
    return MultivariateNormal(loc.to(x), scale_tril=lower.to(x), validate_args=False)


def weighted_draws(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor, z_prior: Tensor) -> Draws:
    """Codes of rows x (B, D): by noise u (S_q, 1 or B, n_noise) from q, and of the prior z_prior (S_p, 1 or B, K)."""
    given, raw = model.given(x, mask), []

    def log_px(z: Tensor) -> Tensor:
        raw.append(model.raw_row(z, given))
        return observed_log_prob(model.likelihood(raw[-1], given), x, mask).sum(-1)

    z, log_w = _weighted(model, x, mask, u, z_prior, log_px)
    return Draws(z, log_w, model.likelihood([torch.cat(parts) for parts in zip(*raw, strict=True)], given))


def weighted_codes(
    model: LatentVariableModel,
    x: Tensor,
    mask: Tensor | None,
    u: Tensor,
    z_prior: Tensor,
    told: Callable[[int], object],
) -> Draws:
    """Do the same for many codes of one row x (1, D), chunk by chunk, without p; `told` hears how many are weighted."""
    given = model.given(x, mask)

    def log_px(z: Tensor) -> Tensor:
        found = []
        for part in z.split(chunk_rows(model, 1)):
            found.append(observed_log_prob(model.decode(part, given), x, mask).sum(-1))
            told(len(part))
        return torch.cat(found)

    return Draws(*_weighted(model, x, mask, u, z_prior, log_px))


def _weighted(
    model: LatentVariableModel,
    x: Tensor,
    mask: Tensor | None,
    u: Tensor,
    z_prior: Tensor,
    log_px: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Give codes z (S, B, K), and the logarithms of their weights, (S, B); `log_px` is that of the observed cells."""
    p = model.prior(model.encode)
    q, push = _proposal(model, x, mask)
    normal = q if isinstance(q, Normal | MultivariateNormal) else None
    first, *later = [part for part in u.tensor_split(1 if normal is None else 1 + N_ADAPTED) if len(part)]
    z = torch.cat([push(q, first), z_prior.expand(-1, len(x), -1)])
    mixture = [(q, len(first)), (p, len(z_prior))]
    log_likelihood, log_prior = log_px(z), joint_log_prob(p, z)

    def log_w() -> Tensor:
        proposals = [log_prior if r is p else joint_log_prob(r, z) for r, _ in mixture]
        share = torch.tensor([number for _, number in mixture]).to(z) / len(z)
        log_r = (torch.stack(proposals) + share.log()[:, None, None]).logsumexp(0)
        return floored(log_likelihood + log_prior - log_r)

    for part in later:
        adapted = _nearest_normal(Draws(z, log_w()), normal)
        new = push_joint(adapted, part)
        mixture.append((adapted, len(part)))
        log_likelihood = torch.cat([log_likelihood, log_px(new)])
        log_prior = torch.cat([log_prior, joint_log_prob(p, new)])
        z = torch.cat([z, new])
    return z, log_w()


def _nearest_normal(draws: Draws, q: Any) -> MultivariateNormal:
    """The normal with the draws' weighted moments, batch shape (B,); few draws leave its covariance a share of q's."""
    z, w = widened(draws.z), widened(draws.w)
    mean = (w[..., None] * z).sum(0)
    deviation = z - mean
    of_q = torch.diag_embed(q.variance) if isinstance(q, Normal) else q.covariance_matrix
    covariance = torch.einsum("sb,sbi,sbj->bij", w, deviation, deviation)
    covariance = covariance + widened(of_q) / effective_size(draws)[:, None, None]
    scale_tril = torch.linalg.cholesky(covariance)
    return MultivariateNormal(mean.to(draws.z), scale_tril=scale_tril.to(draws.z), validate_args=False)


def _proposal(
    model: LatentVariableModel, x: Tensor, mask: Tensor | None
) -> tuple[Distribution, Callable[[Any, Tensor], Tensor]]:
    """Give q of rows, correlated as their observed cells ask, and its map of (q, u) to draws (S, B, K)."""
    q = model.encode(x, mask)
    if mask is None or not isinstance(q, Normal):
        return q, model.posterior.push
    return joint_normal(q, model.encoder.precision_given(model.encoder.times(x, mask))), push_joint


def effective_size(draws: Draws) -> Tensor:
    """Give 1 / sum w^2, the number of unweighted draws of the same precision, (B,) (Kong 1992)."""
    return 1 / draws.w.square().sum(0)


def expected_values(p: InDataSpace, w: Tensor) -> Tensor:
    """Average over draws of weights w (S, B): the mean of numbers, the most probable class of categories and booleans.

    Parameters
    ----------
    p : InDataSpace, batch shape (S, B, D)

    Returns
    -------
    values : Tensor (B, D), data space
    """
    exact = w.cpu().double()
    exact = exact / exact.sum(0)  # an offset of 1e9 shows an error in the seventh digit of the sum
    mean = p.mean
    values = (exact[..., None] * mean).sum(0)
    part: Any  # what families with categories give has `probs`
    for family, columns, part in p.likelihood.parts(p.p):
        if isinstance(family, Constant | Given):
            values[:, columns] = mean[0][:, columns]  # to the last digit
        elif family.n_categories is not None:
            probabilities = (w[..., None, None] * part.probs).sum(0)
            values[:, columns] = probabilities.argmax(-1).cpu().double()
        elif family.support is torch.distributions.constraints.boolean:
            values[:, columns] = (values[:, columns] > 0.5).to(values)
    return values
