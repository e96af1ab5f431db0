"""Tukey's contaminated normal distribution: a normal and, rarely, something broad that does not depend on it."""

import math
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import constraints
from torch.nn.functional import logsigmoid, softplus
from torch.types import _size

from .quantiles import tail
from .univariate import Normal, StudentT

__all__ = ["Contaminated", "StudentT3"]

_NO_SHAPE = torch.Size()
_LOG_PEAK = math.log(2 / (math.pi * math.sqrt(3)))  # of Student's t with three degrees of freedom
_KEPLER = (
    151439 / 12713500800000,
    1213 / 7207200000,
    43 / 17248000,
    1 / 25200,
    1 / 1400,
    1 / 60,
    1.0,
)  # highest power first
_TERMS = 12  # of the series of the tail: 0.2^24 is below the precision of float64
_NEAR_ZERO = 0.2  # an argument below which the tail is its series
_N_STEPS = 60  # of Newton's method or bisection; after 40, one odd member in a million is a tenth of a scale off
_HALVES = 0.6745  # so much further out, every normal tail has less than half of its probability
_SURE = 40.0  # log odds beyond which the other part has no digit of float64
_CUBE = 2 * math.sqrt(3) / math.pi  # the tail of a Student t with df 3 is below this over the cube of the distance


class StudentT3(StudentT):
    r"""Student's t with three degrees of freedom, whose density and CDF are elementary.

    .. math:: p(x) = \frac{2}{\pi \sqrt3 s (1 + y^2)^2}, \qquad
        P(X > x) = \tfrac1\pi \left(\arctan w - \frac{w}{1 + w^2}\right), \qquad y = 1 / w = \frac{x - m}{\sqrt3 s}

    The second formula is that for w > 0. Location and scale are broadcast last: those of columns take no kernel per
    cell.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(torch.full_like(loc, 3.0), loc, scale)

    def expand(self, batch_shape: _size, _instance: Any | None = None) -> td.Distribution:
        """The same distribution with its parameters broadcast to another batch shape."""
        return StudentT3(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """-ln s + ln(2 / (pi sqrt 3)) - 2 ln(1 + y^2)."""
        y = (value - self.loc) * (math.sqrt(3) * self.scale).reciprocal()
        return torch.sub(_LOG_PEAK - self.scale.log(), y.square().log1p(), alpha=2)

    def cdf(self, value: Tensor) -> Tensor:
        """P(X < x), accurate in the lower tail."""
        return self.log_cdf(value).exp()

    def log_cdf(self, value: Tensor) -> Tensor:
        """Ln P(X < x), accurate in both tails."""
        y = (value - self.loc) / (math.sqrt(3) * self.scale)
        far = y.abs().clamp(min=1 / _NEAR_ZERO).reciprocal()
        near = y.abs().clamp(max=1 / _NEAR_ZERO)
        # The two terms of the tail cancel to 2 w^3 / 3: there their series takes over.
        series: Any = 0.0
        for k in reversed(range(_TERMS)):
            series = 2 * (k + 1) / (2 * k + 3) - far.square() * series
        inner = 0.5 - (near.atan() + near / (1 + near.square())) / math.pi
        beyond = torch.where(y.abs() > 1 / _NEAR_ZERO, series * far**3 / math.pi, inner)
        return torch.where(y < 0, beyond.log(), torch.log1p(-beyond))

    def quantile(self, u: Tensor) -> Tensor:
        """x with P(X < x) = Phi(u) at standard normal noise u, accurate in both tails.

        With w = tan(E / 2) the tail is (E - sin E) / (2 pi): Kepler's equation of a parabolic orbit, whose series in
        a = (12 pi tail)^(1/3) is exact for small ones; Newton's method goes on from it for others.
        """
        a = (12 * math.pi * tail(-u.abs())).pow(1 / 3)
        series: Any = 0.0
        for c in _KEPLER:
            series = c + a.square() * series
        E = a * series
        mean_anomaly = a**3 / 6
        for _ in range(4):
            E = E - torch.where(a < 0.5, 0.0, (E - E.sin() - mean_anomaly) / (2 * (E / 2).sin().square()))
        return self.loc + math.sqrt(3) * self.scale * u.sign() / (E / 2).tan()


class Contaminated(td.Distribution):
    r"""A normal distribution, replaced by a broad Student t with probability :math:`e = \sigma(\eta)`.

    .. math:: p(x) = (1 - e)\, N(x; \mu, \sigma^2) + e\, t_3(x; c, s)

    The contaminated normal of Tukey (1960), "A survey of sampling from contaminated distributions", with a background
    of heavy tails in the place of his wider normal: a cell costs -ln e and 4 ln of its distance, never its square.

    Parameters
    ----------
    normal : Normal, batch shape (..., n)
    background : StudentT3, batch shape broadcastable to (..., n)
    log_odds : Tensor, broadcastable to (..., n)
        eta.
    """

    arg_constraints = {}
    support = constraints.real

    def __init__(self, normal: Normal, background: StudentT3, log_odds: Tensor) -> None:
        self.normal = normal
        self.background = background
        self.log_odds = log_odds
        super().__init__(normal.batch_shape, validate_args=False)

    @property
    def share(self) -> Tensor:
        """E, the probability of the background."""
        return self.log_odds.sigmoid()

    @property
    def mean(self) -> Tensor:
        """(1 - e) mu + e c."""
        return self.normal.loc.lerp(self.background.loc.expand(self.batch_shape), self.share)

    @property
    def mode(self) -> Tensor:
        """Of the two centres the one that has the higher density."""
        loc, c = self.normal.loc, self.background.loc
        return torch.where(self.log_prob(loc) < self.log_prob(c), c, loc)

    @property
    def variance(self) -> Tensor:
        """(1 - e) sigma^2 + e 3 s^2 + e (1 - e) (mu - c)^2."""
        e, background = self.share, self.background
        within = (1 - e) * self.normal.variance + e * background.variance
        return within + e * (1 - e) * (self.normal.loc - background.loc).square()

    def sample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """Draws of the normal, some of them replaced by draws of the background."""
        with torch.no_grad():
            x = self.normal.sample(sample_shape)
            far = self.background.expand(self.batch_shape).sample(sample_shape)
            return torch.where(torch.rand_like(x) < self.share, far, x)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln(e t) + ln(1 + (1 - e) N / (e t)), where the first term is moderate however far out x lies."""
        far = self.background.log_prob(value)  # no kernel per draw of z
        ratio = self.normal.log_prob(value) - (far + self.log_odds)
        return softplus(ratio, threshold=_SURE) + (far + logsigmoid(self.log_odds))

    def cdf(self, value: Tensor) -> Tensor:
        """(1 - e) Phi + e T_3."""
        return self._log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`, which near 1 has no more digits than 1 - value; see `quantile`."""
        return self.quantile(torch.special.ndtri(value))

    def quantile(self, u: Tensor) -> Tensor:
        r"""x with F(x) = Phi(u) at standard normal noise u, exact in both tails; no gradient.

        Newton's method on ln F, and bisection where that leaves the bracket, in the lower tail; for u > 0 of the
        mirrored variable. With p = Phi(u) in the lower tail, F(x) <= p where each part has at most p / 2, and F(x) >= p
        where each has at least p: the tails of t are heavier than the normal's, so :math:`T_3^{-1}(p) < -|u|`.
        """
        with torch.no_grad():
            side, u = torch.where(u > 0, -1.0, 1.0).to(u), u.abs()
            lower = self._mirrored(side)
            normal, background = lower.normal, lower.background
            log_p = torch.special.log_ndtr(-u)
            x = normal.loc - normal.own_scale * u
            log_cube = math.log(2 * _CUBE) + logsigmoid(self.log_odds) - log_p
            farthest = log_cube.clamp(max=0.9 * math.log(torch.finfo(u.dtype).max)).div(3).exp()
            low = torch.minimum(x - normal.own_scale * _HALVES, background.loc - background.scale * farthest)
            high, x = torch.maximum(x, background.loc - background.scale * u), low
            for _ in range(_N_STEPS):
                log_cdf = lower._log_cdf(x)
                is_low = log_cdf < log_p
                low, high = torch.where(is_low, x, low), torch.where(is_low, high, x)
                newton = x - (log_cdf - log_p) * (log_cdf - lower.log_prob(x)).exp()
                x = torch.where((low < newton) & (newton < high), newton, (low + high) / 2)
            return side * x

    def _mirrored(self, side: Tensor) -> "Contaminated":
        """The distribution of side x, where side is 1 or -1."""
        normal, background = self.normal, self.background
        return Contaminated(
            Normal(side * normal.loc, normal.own_scale),
            StudentT3(side * background.loc, background.scale),
            self.log_odds,
        )

    def _log_cdf(self, value: Tensor) -> Tensor:
        usual = torch.special.log_ndtr((value - self.normal.loc) / self.normal.own_scale) + logsigmoid(-self.log_odds)
        far: Any = self.background.log_cdf(value)
        return torch.logaddexp(usual, far + logsigmoid(self.log_odds))
