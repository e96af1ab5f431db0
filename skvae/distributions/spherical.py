r"""Distributions on the unit sphere of K dimensions: von Mises-Fisher, and uniform.

.. math:: q(z) = e^{\kappa \mu^T z} / (|S^{K-1}|\, h(\kappa)), \qquad
    h(\kappa) = {}_0F_1(; \tfrac K2; \tfrac{\kappa^2}4)
    = \Gamma(\tfrac K2) (\tfrac2\kappa)^{K/2 - 1} I_{K/2 - 1}(\kappa)

h is 1 at kappa = 0, where q is uniform, and :math:`A = (\ln h)' = I_{K/2}(\kappa) / I_{K/2 - 1}(\kappa)` is the mean of
:math:`\mu^T z`. Torch has Bessel functions of orders 0 and 1 alone.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor
from torch import distributions as td
from torch.distributions import constraints, register_kl
from torch.types import _size

__all__ = ["MANIFOLDS", "UniformOnSphere", "VonMisesFisher", "log_area", "log_h_and_mean", "sphere"]

_LARGE_ORDER = 32  # from which four terms of the expansion in 1 / order give ten digits
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_FURTHEST = 6.5  # standard deviations of the noise behind an angle
_MOST_STEPS = 40


class _Sphere(constraints.Constraint):
    """Vectors of length 1."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Whether each vector has length 1, to the precision of float32."""
        return (value.square().sum(-1) - 1).abs() < 1e-4


sphere = _Sphere()

#: Supports that have no volume among all codes, and what they are called: q lives on one where p does.
MANIFOLDS = {constraints.simplex: "a simplex", sphere: "a sphere"}


def log_area(K: int) -> float:
    """ln of the area of the unit sphere in K dimensions, 2 pi^(K / 2) / Gamma(K / 2)."""
    return math.log(2) + K / 2 * math.log(math.pi) - math.lgamma(K / 2)


def log_h_and_mean(K: int, kappa: Tensor) -> tuple[Tensor, Tensor]:
    r"""ln h(kappa) - kappa, and the mean A of mu'z, of the shape of kappa.

    With h_n for Gamma(n + 1) (2 / kappa)^n I_n(kappa), ratios of neighbours follow from
    :math:`h_{n+1} / h_n = 1 / (1 + \frac{\kappa^2}{4 (n + 1)(n + 2)} h_{n+2} / h_{n+1})`, which is stable downwards.
    It begins at an order of 32 or more, where h has Olver's expansion for large orders (DLMF 10.41.3).

    Examples
    --------
    In three dimensions h is sinh(kappa) / kappa and A is coth(kappa) - 1 / kappa:

    >>> import math
    >>> import torch
    >>> log_h, mean = log_h_and_mean(3, torch.tensor(2.0, dtype=torch.float64))
    >>> abs(log_h.item() + 2 - math.log(math.sinh(2) / 2)) < 1e-10, abs(mean.item() - 1 / math.tanh(2) + 0.5) < 1e-10
    (True, True)
    """
    dtype, order = kappa.dtype, K / 2 - 1
    kappa = kappa.to(torch.float32 if kappa.device.type == "mps" else torch.float64)
    n_steps = max(0, math.ceil(_LARGE_ORDER - order))
    n = order + n_steps
    log_h, square = _log_h_of_large_order(n, kappa), kappa.square()
    ratio = (_log_h_of_large_order(n + 1, kappa) - log_h).exp()
    for m in (order + i for i in reversed(range(n_steps))):
        ratio = 1 / (1 + square * ratio / (4 * (m + 1) * (m + 2)))
        log_h = log_h - ratio.log()
    return log_h.to(dtype), (kappa * ratio / K).to(dtype)


def _log_h_of_large_order(n: float, kappa: Tensor) -> Tensor:
    """ln h_n(kappa) - kappa."""
    s = (kappa.square() + n**2).sqrt()
    p = n / s
    q = p.square()
    terms = [
        p * (3 - 5 * q) / 24,
        q * (81 - q * (462 - 385 * q)) / 1152,
        p * q * (30375 - q * (369603 - q * (765765 - 425425 * q))) / 414720,
        q.square() * (4465125 - q * (94121676 - q * (349922430 - q * (446185740 - 185910725 * q)))) / 39813120,
    ]
    series = torch.stack([term / n ** (i + 1) for i, term in enumerate(terms)]).sum(0)
    constant = math.lgamma(n + 1) + n * math.log(2) - math.log(2 * math.pi) / 2
    return constant - n * (n + s).log() + n**2 / (s + kappa) - s.log() / 2 + torch.log1p(series)


class VonMisesFisher(td.Distribution):
    """Density proportional to e^(kappa mu'z) on the unit sphere.

    Parameters
    ----------
    loc : Tensor (..., K)
        The mean direction mu, of length 1.
    concentration : Tensor (...)
        kappa, positive.
    """

    arg_constraints = {}
    support = sphere
    has_rsample = True

    def __init__(self, loc: Tensor, concentration: Tensor) -> None:
        self.loc, self.concentration = loc, concentration
        self.log_h, self.mean_cosine = log_h_and_mean(loc.shape[-1], concentration)
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """A mu, inside the sphere."""
        return self.mean_cosine.unsqueeze(-1) * self.loc

    @property
    def mode(self) -> Tensor:
        """The mean direction."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """A / kappa across mu, and 1 - A^2 - (K - 1) A / kappa along it."""
        K = self.loc.shape[-1]
        across = self.mean_cosine / self.concentration
        along = 1 - self.mean_cosine.square() - (K - 1) * across
        return across.unsqueeze(-1) + (along - across).unsqueeze(-1) * self.loc.square()

    def log_prob(self, value: Tensor) -> Tensor:
        """kappa (mu'z - 1) less the logarithms of h e^-kappa and of the area."""
        cosine = (self.loc * value).sum(-1)
        return self.concentration * (cosine - 1) - self.log_h - log_area(self.loc.shape[-1])

    def push(self, u: Tensor) -> Tensor:
        """Draws from standard normal noise (..., K + 1): z = cos(t) mu + sin(t) v.

        The angle t has the quantile of the last noise variable, and v the direction of the others across mu, which is
        uniform. In place of the rejection sampler of Wood (1994), whose gradient needs a correction (Davidson et al.
        2018, appendix C), t is differentiated implicitly.
        """
        angle: Any = _Angle.apply(self.concentration, u[..., -1], self.loc.shape[-1])
        noise = u[..., :-1]
        across = noise - (noise * self.loc).sum(-1, keepdim=True) * self.loc
        direction = across / across.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(u.dtype).tiny)
        return angle.cos().unsqueeze(-1) * self.loc + angle.sin().unsqueeze(-1) * direction

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Draws from new noise."""
        shape = (*sample_shape, *self.batch_shape, self.loc.shape[-1] + 1)
        return self.push(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))


class _Angle(torch.autograd.Function):
    r"""Angles t to mu, F(t) = Phi(u), with :math:`dt / d\kappa = -\partial_\kappa F / F'`; no gradient in u."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, u: Tensor, K: int) -> Tensor:
        """Shapes (...), which broadcast: (S, B) for the angles."""
        kappa = concentration.detach().double()
        log_h, mean = (number.cpu().numpy() for number in log_h_and_mean(K, kappa))
        t, slope = _angles(kappa.cpu().numpy(), u.detach().cpu().double().numpy(), K, log_h, mean)
        ctx.save_for_backward(torch.from_numpy(slope).to(u))
        ctx.shape = concentration.shape
        return torch.from_numpy(t).to(u)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The implicit derivative, summed over draws."""
        (slope,) = ctx.saved_tensors
        return (gradient * slope).sum_to_size(ctx.shape), None, None


def _angles(
    kappa: np.ndarray, u: np.ndarray, K: int, log_h: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Angles with F(t) = Phi(u), by Newton's method between bounds, and their derivatives by kappa."""
    probability = special.ndtr(np.clip(u, -_FURTHEST, _FURTHEST))
    log_total = special.betaln(0.5, (K - 1) / 2) + log_h  # of e^(kappa (cos t - 1)) sin^(K - 2) t over (0, pi)
    probability, kappa, log_total, mean = np.broadcast_arrays(probability, kappa, log_total, mean)

    def density(t: np.ndarray, kappa: np.ndarray, log_total: np.ndarray) -> np.ndarray:
        return np.exp(-2 * kappa * np.sin(t / 2) ** 2 - log_total) * np.sin(t) ** (K - 2)

    def below(t: np.ndarray, moment: bool = False) -> np.ndarray:
        """F(t), or its derivative by kappa: Gauss-Legendre on (0, t)."""
        nodes = t[..., None] / 2 * (1 + _NODES)
        f = density(nodes, kappa[..., None], log_total[..., None])
        if moment:
            f = f * (np.cos(nodes) - mean[..., None])
        return t / 2 * (f @ _WEIGHTS)

    # 1 - cos t is at least 2 (t / pi)^2, so that the bound is further out than the furthest noise.
    high = np.minimum(np.pi, np.pi / 2 * (np.sqrt(K - 1) + _FURTHEST + 1) / np.sqrt(kappa))
    # kappa (1 - cos t) is nearly a gamma variable where kappa is large.
    share = special.gammaincinv((K - 1) / 2, probability) / (2 * kappa)
    low, t = np.zeros_like(high), np.where(share < 0.5, 2 * np.arcsin(np.sqrt(np.minimum(share, 0.5))), high / 2)
    tail = np.minimum(probability, 1 - probability)
    for _ in range(_MOST_STEPS):
        F, f = below(t), np.maximum(density(t, kappa, log_total), np.finfo(float).tiny)
        low, high = np.where(probability > F, t, low), np.where(probability > F, high, t)
        own = np.maximum(np.where(probability < 0.5, F, 1 - F), np.finfo(float).tiny)
        excess = np.log(own / tail) * own / f  # of the logarithm of the smaller tail, which is close to straight
        step = np.where(probability < 0.5, t * np.exp(np.clip(-excess / t, -2, 2)), t + excess)
        step = np.where((low <= step) & (step <= high), step, (low + high) / 2)
        done = np.abs(step - t).max(initial=0.0) < 1e-11
        t = step
        if done:
            break
    return t, -below(t, moment=True) / np.maximum(density(t, kappa, log_total), np.finfo(float).tiny)


class UniformOnSphere(td.Distribution):
    """The same density everywhere on the unit sphere, of the dimensions, type and device of `zero` (K,)."""

    arg_constraints = {}
    support = sphere

    def __init__(self, zero: Tensor) -> None:
        self.zero = zero
        super().__init__(event_shape=zero.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The centre of the ball."""
        return self.zero

    @property
    def variance(self) -> Tensor:
        """1 / K of each component."""
        return torch.full_like(self.zero, 1 / len(self.zero))

    def log_prob(self, value: Tensor) -> Tensor:
        """One over the area."""
        return torch.full_like(value[..., 0], -log_area(len(self.zero)))

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Directions of standard normal vectors."""
        normal = torch.randn((*sample_shape, len(self.zero)), dtype=self.zero.dtype, device=self.zero.device)
        return normal / normal.norm(dim=-1, keepdim=True)


@register_kl(VonMisesFisher, UniformOnSphere)
def _kl_von_mises_fisher_uniform(q: Any, p: Any) -> Tensor:
    """kappa A - ln h: Davidson et al. (2018), appendix B."""
    return q.concentration * (q.mean_cosine - 1) - q.log_h
