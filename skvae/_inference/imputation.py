"""Missing cells given the observed ones: self-normalised importance sampling (Mattei & Frellsen 2019, eq. 10).

    E[f(x_mis) | x_obs] = sum_s w_s E[f(x_mis) | z_s] / sum_s w_s,   w_s = p(x_obs | z_s) p(z_s) / r(z_s)

Draws z_s come from the defensive mixture r = (1 - a) q(z | x_obs) + a p(z) (Hesterberg 1995), so that
weights stay bounded where the encoder has never seen such missing values. A posterior of independent normal components
is too narrow where cells are missing: its place in r takes the joint normal that it approximates.

Where the model is linear and Gaussian p(z | x_obs) is a normal, and nothing is weighted.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, Normal

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

SHARE_OF_THE_PRIOR = 0.25


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
    mean, variance = p.mean[0, 0].double(), p.variance[0, 0].double()
    W = p.mean[1:, 0].double() - mean  # (K, D)
    precision = torch.where(variance > 0, 1 / variance, 0.0)
    seen = torch.ones_like(x) if mask is None else mask
    h = (torch.where(seen > 0, x - mean, 0.0) * precision) @ W.T
    pairs = W[:, None] * W * precision  # (K, K, D)
    P = torch.eye(K).to(h) + torch.einsum("bd,ijd->bij", seen.double(), pairs)
    upper = torch.linalg.cholesky(P.flip(-1, -2)).flip(-1, -2)  # P = U U^T, so P^-1 = U^-T U^-1
    lower = torch.linalg.solve_triangular(upper, torch.eye(K).to(P).expand_as(P), upper=True).mT
    loc = (lower @ (lower.mT @ h[..., None]))[..., 0]
    return MultivariateNormal(loc.to(x), scale_tril=lower.to(x), validate_args=False)


def weighted_draws(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor, z_prior: Tensor) -> Draws:
    """Codes of rows x (B, D): of q from noise u (S_q, 1 or B, n_noise), and of the prior z_prior (S_p, 1 or B, K)."""
    z, log_ratio = _proposed(model, x, mask, u, z_prior)
    decoded = model.decode(z, model.given(x, mask))
    log_px = observed_log_prob(decoded, x, mask).sum(-1)
    return Draws(z, floored(log_px + log_ratio), decoded)


def weighted_codes(
    model: LatentVariableModel,
    x: Tensor,
    mask: Tensor | None,
    u: Tensor,
    z_prior: Tensor,
    told: Callable[[int], object],
) -> Draws:
    """Do the same for many codes of one row x (1, D), chunk by chunk, without p; `told` hears how many are weighted."""
    z, log_ratio = _proposed(model, x, mask, u, z_prior)
    given, log_px = model.given(x, mask), []
    for part in z.split(chunk_rows(model, 1)):
        log_px.append(observed_log_prob(model.decode(part, given), x, mask).sum(-1))
        told(len(part))
    return Draws(z, floored(torch.cat(log_px) + log_ratio))


def _proposed(
    model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor, z_prior: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the codes z (S, B, K) of `weighted_draws`, and log p(z) - log r(z), (S, B)."""
    p = model.prior(model.encode)
    q, z_q = _proposal(model, x, mask, u)
    z = torch.cat([z_q, z_prior.expand(-1, len(x), -1)])
    share = len(z_prior) / len(z)
    log_pz = joint_log_prob(p, z)
    log_rz = joint_log_prob(q, z) + math.log1p(-share)
    if share:
        log_rz = torch.logaddexp(log_rz, log_pz + math.log(share))
    return z, log_pz - log_rz


def _proposal(model: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor) -> tuple[Distribution, Tensor]:
    """Give a distribution of the codes of rows, and its draws (S, B, K): q, correlated as the observed cells ask."""
    q = model.encode(x, mask)
    if mask is None or not isinstance(q, Normal):
        return q, model.posterior.push(q, u)
    joint = joint_normal(q, model.encoder.precision_given(model.encoder.times(x, mask)))
    return joint, push_joint(joint, u)


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
