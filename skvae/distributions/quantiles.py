"""Standard normal noise u -> exact draws through inverse CDFs, accurate in both tails and in float32.

Where the inverse CDF is elementary it is written with ln Phi(u) and ln Phi(-u), which lose nothing in either tail, and
is differentiable. Gamma-like ones are scipy's, evaluated in float64 at the smaller of the two tails, without gradient.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

__all__ = [
    "beta",
    "cauchy",
    "exponential",
    "fisher_snedecor",
    "gamma",
    "gumbel",
    "laplace",
    "logistic",
    "student_t",
    "tail",
]


def tail(u: Tensor) -> Tensor:
    """Phi(u); torch's own ndtr is 1 + erf, which is 0 from -6 on in float32."""
    return torch.special.log_ndtr(u).exp()


def exponential(u: Tensor) -> Tensor:
    """-ln(1 - Phi(u)), rate 1."""
    return -torch.special.log_ndtr(-u)


def gumbel(u: Tensor) -> Tensor:
    """-ln(-ln Phi(u))."""
    return -torch.log(-torch.special.log_ndtr(u))


def logistic(u: Tensor) -> Tensor:
    """The logit of Phi(u)."""
    return torch.special.log_ndtr(u) - torch.special.log_ndtr(-u)


def laplace(u: Tensor) -> Tensor:
    """-sign(u) ln(2 Phi(-abs(u))), scale 1."""
    return -u.sign() * (torch.special.log_ndtr(-u.abs()) + math.log(2))


def cauchy(u: Tensor) -> Tensor:
    """tan(pi (Phi(u) - 1/2)), as sign(u) / tan(pi Phi(-abs(u)))."""
    return u.sign() / torch.tan(math.pi * tail(-u.abs()))


def student_t(df: float, u: Tensor) -> Tensor:
    """Scale 1 and a fixed number of degrees of freedom, shape of u."""
    return _evaluate(lambda u: np.copysign(special.stdtrit(df, special.ndtr(-np.abs(u))), u), u)


def gamma(concentration: Tensor, u: Tensor) -> Tensor:
    """Rate 1: concentration (B, n), u (S, 1 or B, n) -> (S, B, n)."""
    return _evaluate(lambda u, k: _by_tail(special.gammaincinv, special.gammainccinv, u, k), u, concentration)


def beta(concentration1: Tensor, concentration0: Tensor, u: Tensor) -> Tensor:
    """Shapes as in `gamma`; kept inside (0, 1) in the precision of u."""

    def quantile(u: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        x = _beta_at_tail(u, a, b)
        return np.where(u < 0, x, 1 - x)

    info = torch.finfo(u.dtype)
    return _evaluate(quantile, u, concentration1, concentration0).clamp(info.tiny, 1 - info.eps / 2)


def fisher_snedecor(df1: Tensor, df2: Tensor, u: Tensor) -> Tensor:
    """d2 x / (d1 (1 - x)) of a beta variable x with concentrations d1/2 and d2/2; shapes as in `gamma`."""

    def quantile(u: np.ndarray, d1: np.ndarray, d2: np.ndarray) -> np.ndarray:
        x = np.maximum(_beta_at_tail(u, d1 / 2, d2 / 2), np.finfo(float).tiny)
        odds = x / (1 - x)
        return np.where(u < 0, odds, 1 / odds) * d2 / d1

    return _evaluate(quantile, u, df1, df2)


def _beta_at_tail(u: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The beta quantile of Phi(u) where u < 0, else one minus it, which is that of the mirrored variable."""
    tail = special.ndtr(-np.abs(u))
    a, b = np.where(u < 0, a, b), np.where(u < 0, b, a)
    x = special.betaincinv(a, b, tail)
    # scipy 1.17 gives NaN for some probabilities below 1e-16, where x^a / (a B(a, b)) is the whole of the CDF.
    return np.where(np.isnan(x), np.exp((np.log(tail * a) + special.betaln(a, b)) / a), x)


def _by_tail(below: Callable[..., Any], above: Callable[..., Any], u: np.ndarray, *numbers: np.ndarray) -> np.ndarray:
    """`below` of Phi(u) where u < 0, else `above` of Phi(-u): neither probability rounds to 1."""
    tail, negative = special.ndtr(-np.abs(u)), u < 0
    tail, negative, *arrays = np.broadcast_arrays(tail, negative, *numbers)
    draws = np.empty(tail.shape)
    draws[negative] = below(*(a[negative] for a in arrays), tail[negative])
    draws[~negative] = above(*(a[~negative] for a in arrays), tail[~negative])
    return draws


def _evaluate(function: Callable[..., Any], u: Tensor, *numbers: Tensor) -> Tensor:
    """A numpy function of tensors, in float64; the result has the type and device of u, and no zeros from underflow."""
    draws = torch.from_numpy(np.asarray(function(*(t.detach().cpu().double().numpy() for t in (u, *numbers)))))
    draws = draws.to(u)
    return torch.where(draws == 0, torch.finfo(u.dtype).tiny, draws)
