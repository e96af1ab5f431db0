"""Closed-form KL pairs that torch.distributions lacks, each with its source, and the marginals of joint distributions.

Torch has: beta, cauchy, dirichlet, exponential, gamma (Erlang and chi-squared among them), gumbel, laplace, normal,
pareto and uniform with themselves; log-normal and log-uniform through the transform that both sides share; and some
pairs of different families. The rest is Monte Carlo in training and a quadrature in scores.
"""

from typing import Any

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import register_kl
from torch.distributions.utils import euler_constant

from . import univariate as densities
from .smooth import soft_clamp

__all__ = ["marginals"]


def marginals(p: td.Distribution) -> td.Distribution:
    """The distributions of single codes, batch shape (..., K): p itself where it factorises or none are known."""
    if isinstance(p, td.Dirichlet):
        rest = p.concentration.sum(-1, keepdim=True) - p.concentration
        return densities.Beta(p.concentration, rest, validate_args=False)
    if isinstance(p, densities.MultivariateStudentT):
        scale = p.scale_tril.square().sum(-1).sqrt().expand(p.loc.shape)
        return td.StudentT(torch.full_like(p.loc, p.df), p.loc, scale, validate_args=False)
    return p


@register_kl(td.Normal, densities.StandardNormal)
def _kl_normal_standard_normal(q: Any, p: Any) -> Tensor:
    """(m^2 + s^2 - 1) / 2 - ln s (Kingma & Welling 2014, appendix B): torch's formula in a third of the kernels."""
    return (q.loc.square() + q.scale.square() - 1) / 2 - q.scale.log()


@register_kl(densities.Gumbel, densities.Gumbel)
def _kl_gumbel_gumbel(q: Any, p: Any) -> Tensor:
    """d - ln r + gamma (r - 1) - 1 + e^-d Gamma(1 + r), r = s / s', d = (m - m') / s': torch's formula, kept finite."""
    r, shift = q.scale / p.scale, (q.loc - p.loc) / p.scale
    power = torch.exp(soft_clamp(torch.lgamma(1 + r) - shift, high=densities.LARGEST_EXPONENT))
    return shift - r.log() + euler_constant * (r - 1) - 1 + power


@register_kl(td.Weibull, td.Weibull)
def _kl_weibull_weibull(q: Any, p: Any) -> Tensor:
    """ln k/l^k - ln k'/l'^k' + (k - k') (ln l - gamma / k) + (l / l')^k' Gamma(1 + k'/k) - 1: Bauckhage (2013)."""
    k, kp, log_l, log_lp = q.concentration, p.concentration, q.scale.log(), p.scale.log()
    logs = k.log() - k * log_l - kp.log() + kp * log_lp
    power = torch.exp(kp * (log_l - log_lp) + torch.lgamma(1 + kp / k))
    return logs + (k - kp) * (log_l - euler_constant / k) + power - 1


@register_kl(td.Weibull, td.Gamma)
def _kl_weibull_gamma(q: Any, p: Any) -> Tensor:
    """gamma a/k - a ln l + ln k + b l Gamma(1 + 1/k) - gamma - 1 - a ln b + ln Gamma(a): Zhang et al. (2018)."""
    a, b, k = p.concentration, p.rate, q.concentration
    logs = k.log() - a * q.scale.log() - a * b.log() + torch.lgamma(a)
    return euler_constant * (a / k - 1) + logs + b * q.mean - 1


@register_kl(td.Weibull, td.Exponential)
def _kl_weibull_exponential(q: Any, p: Any) -> Tensor:
    """A gamma prior with concentration 1."""
    return _kl_weibull_gamma(q, td.Gamma(torch.ones_like(p.rate), p.rate, validate_args=False))


@register_kl(td.LogNormal, td.Gamma)
def _kl_log_normal_gamma(q: Any, p: Any) -> Tensor:
    """-H(q) - a ln b + ln Gamma(a) - (a - 1) E[ln z] + b E[z]: both expectations are elementary."""
    a, b = p.concentration, p.rate
    return -q.entropy() - a * b.log() + torch.lgamma(a) - (a - 1) * q.loc + b * q.mean


@register_kl(td.LogNormal, td.Exponential)
def _kl_log_normal_exponential(q: Any, p: Any) -> Tensor:
    """-H(q) - ln b + b E[z]."""
    return -q.entropy() - p.rate.log() + p.rate * q.mean
