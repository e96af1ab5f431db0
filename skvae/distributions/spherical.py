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

from .._utils.arrays import widened

__all__ = ["MANIFOLDS", "UniformOnSphere", "VonMisesFisher", "log_area", "log_h_and_mean", "sphere"]

_LARGE_ORDER = 32  # from which four terms of the expansion in 1 / order give ten digits
_FURTHEST = 6.5  # standard deviations of the noise behind an angle
_BEFORE, _BEYOND = 8, 12  # widths of the peak of an angle's density on either side of its mode, that hold such noise
_JUMPS = (16, 8, 4, 2, 1)  # of the search among the parts of that range
_N_PARTS = 1 + sum(_JUMPS)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)  # in each part
_MOST_STEPS = 20  # of Newton's method, of which 7 are the most seen


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
    kappa = widened(kappa)
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
        """A / kappa across mu, and 1 - A^2 - (K - 1) A / kappa along it, whose terms cancel in float32."""
        K, kappa = self.loc.shape[-1], self.concentration.cpu().double()
        mean = log_h_and_mean(K, kappa)[1]
        across = mean / kappa
        along = 1 - mean.square() - (K - 1) * across
        across, along = (number.to(self.loc).unsqueeze(-1) for number in (across, along))
        share = self.loc.square()
        return ((1 - share) * across + share * along).clamp(min=0)

    def log_prob(self, value: Tensor) -> Tensor:
        """kappa (mu'z - 1) less the logarithms of h e^-kappa and of the area."""
        cosine = (self.loc * value).sum(-1)
        return self.concentration * (cosine - 1) - self.log_h - log_area(self.loc.shape[-1])

    def entropy(self) -> Tensor:
        """The mean of -log_prob, whose cosine has the mean A."""
        return self.concentration * (1 - self.mean_cosine) + self.log_h + log_area(self.loc.shape[-1])

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
        kappa, noise = (number.detach().cpu().double().numpy() for number in (concentration, u))
        t, slope = _angles(kappa, noise, K)
        ctx.save_for_backward(torch.from_numpy(slope).to(u))
        ctx.shape = concentration.shape
        return torch.from_numpy(t).to(u)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The implicit derivative, summed over draws."""
        (slope,) = ctx.saved_tensors
        return (gradient * slope).sum_to_size(ctx.shape), None, None


def _angles(kappa: np.ndarray, u: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Angles with F(t) = Phi(u), and their derivatives by kappa.

    The density peaks where :math:`\kappa \sin^2 t = (K - 2) \cos t`. For each kappa its integrals over parts of a range
    about the peak are summed from both ends, so that no tail is the difference of two numbers near 1. The sums say in
    which part an angle is, and Newton's method finds the place in it, on logarithms of the integral and of the distance
    from the edge: at t = 0 and pi one is nearly a power of the other.
    """
    row = np.broadcast_to(np.arange(kappa.size).reshape(kappa.shape), np.broadcast_shapes(kappa.shape, u.shape))
    kappa, side = kappa.ravel(), np.broadcast_to(u > 0, row.shape).astype(int)
    square = 2 / (K - 2 + np.hypot(K - 2, 2 * kappa))  # of the peak's width: -1 / (ln f)'', or up to twice as much
    mode = np.arcsin(np.sqrt(np.minimum((K - 2) * square, 1)))
    low = np.maximum(mode - _BEFORE * np.sqrt(square), 0)
    width = (np.minimum(mode + _BEYOND * np.sqrt(square), np.pi) - low) / _N_PARTS
    edges = low[:, None] + width[:, None] * np.arange(_N_PARTS + 1)
    log_peak = _log_density(mode, kappa, K)

    parts = _integrals(edges[:, :-1], width[:, None], kappa[:, None], log_peak[:, None], K)
    sums = np.stack([parts, parts[..., ::-1]], axis=1).cumsum(-1)
    mass, moment = np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)  # of each side, row and edge
    mean = moment[0, :, -1] / mass[0, :, -1]
    target = special.ndtr(-np.minimum(np.abs(u), _FURTHEST)) * mass[0, row, -1]
    part = np.zeros_like(row)
    for jump in _JUMPS:
        part += jump * (mass[side, row, part + jump] <= target)

    edge, outside = np.stack([edges, edges[:, ::-1]])[side, row, part], mass[side, row, part]
    inside = mass[side, row, part + 1] - outside
    place = share = np.clip((target - outside) / inside, 1e-15, 1)
    direction, width, kappa, log_peak = 1 - 2 * side, width[row], kappa[row], log_peak[row]
    for _ in range(_MOST_STEPS):
        step = direction * width * place
        integral, integral_of_moment = _integrals(edge, step, kappa, log_peak, K)
        f = np.exp(_log_density(edge + step, kappa, K) - log_peak)
        change = np.log(share * inside / integral) * integral / (f * width * place)
        if np.abs(change).max(initial=0.0) < 1e-10:
            break
        place = np.minimum(place * np.exp(change), 1)
    moment_below = moment[side, row, part] + integral_of_moment - mean[row] * (outside + integral)
    return edge + step, direction * moment_below / f


def _log_density(t: np.ndarray, kappa: np.ndarray, K: int) -> np.ndarray:
    """kappa (cos t - 1) + (K - 2) ln sin t: the density of an angle, up to a constant."""
    return special.xlogy(K - 2, np.sin(t)) - 2 * kappa * np.sin(t / 2) ** 2


def _integrals(start: np.ndarray, step: np.ndarray, kappa: np.ndarray, log_peak: np.ndarray, K: int) -> np.ndarray:
    """Integrals of the density, 1 at its peak, and of its product with 1 - cos t, between start and start + step."""
    start, step, kappa, log_peak = (number[..., None] for number in (start, step, kappa, log_peak))
    t = start + step / 2 * (1 + _NODES)
    f = np.exp(_log_density(t, kappa, K) - log_peak) * np.abs(step) / 2
    return np.stack([f @ _WEIGHTS, (f * 2 * np.sin(t / 2) ** 2) @ _WEIGHTS])


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
