"""Monotone maps that make a column more normal, each fitted to one column.

A column arrives standardised: v, with weighted mean 0 and variance 1, NaN where missing. A scaling maps it to

    x = g(v),   g strictly increasing from the line onto the line,   ln p(v) = ln p(x) + ln g'(v)

and g ends with an affine map of its own, so that the fitted column has weighted mean 0 and variance 1 after it too.
The way back is h, one for draws, means and all else: v = h(x) is the variable that a model's x stands for. It is the
inverse of g, but that `QuantileMap` keeps it in the fitted range and gives common values their share.

All is float64 and elementwise, for arrays of any shape; NaN stays NaN. A column without variance, or without values,
is left as it is.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtri
from scipy.stats import yeojohnson

from .moments import moments

__all__ = ["LARGEST_LOG", "SCALINGS", "THINNEST", "Line", "PowerMap", "QuantileMap", "Scaling", "cell_weights"]

LARGEST_LOG = 300.0  # of 1 + |v|: its square is still a float64
_NEAREST = 1e-3  # knots, in standard deviations
THINNEST = 1e-9  # cell of a quadrature, relative to where it lies: a thinner one has lost its digits


class Scaling(ABC):
    """Base class of maps g of one column; `fit` is the constructor from data."""

    @classmethod
    @abstractmethod
    def fit(cls, v: Any, weight: Any) -> "Scaling":
        """The map for a column's observed values v (n,), without NaN, and their weights (n,)."""

    @abstractmethod
    def map(self, v: Any) -> np.ndarray:
        """x = g(v)."""

    @abstractmethod
    def inverse(self, x: Any) -> np.ndarray:
        """v = h(x)."""

    @abstractmethod
    def log_slope(self, v: Any) -> np.ndarray:
        """ln g'(v)."""

    def mean_and_variance(self, u: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of v = h(x), (...) each, from x (Q, ...) at equally spaced standard normal noise u (Q,).

        By the trapezoid rule in u, which has many digits where h is smooth.
        """
        weight = np.exp(-np.square(u) / 2)
        weight, v = weight / weight.sum(), self.inverse(x)
        mean = np.tensordot(weight, v, 1)
        return mean, np.tensordot(weight, np.square(v - mean), 1)


class PowerMap(Scaling):
    r"""Power transformation of Yeo and Johnson, standardised: :math:`x = (y(v) - m) / s`.

    .. math::

        y(v) = \frac{(1 + v)^\lambda - 1}{\lambda} \; (v \ge 0), \qquad
        y(v) = -\frac{(1 - v)^{2 - \lambda} - 1}{2 - \lambda} \; (v < 0), \qquad
        \ln y'(v) = (\lambda - 1) \, \mathrm{sign}(v) \ln(1 + |v|)

    with :math:`\ln(1 + |v|)` in the place of a power that is 0. :math:`\lambda` maximises the weighted normal
    log-likelihood within [0, 2]: outside, y has a bound, and a decoded x beyond it would have no v.

    Both directions count \|v\| up to :math:`e^{300}` only and are constant further out, where a square would overflow.

    Parameters
    ----------
    power : float, default=1.0
        :math:`\lambda`; 1 is the identity.
    mean, scale : float, default=0.0 and 1.0
        m and s, weighted mean and standard deviation of y in the fitted column.

    References
    ----------
    Yeo, I.-K. & Johnson, R. A. (2000). A new family of power transformations to improve normality or symmetry.
    Biometrika 87, 954-959.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae._tables.scalings import PowerMap
    >>> v = np.array([-1.0, -0.5, -0.5, 2.0])
    >>> scaling = PowerMap.fit(v, np.ones(4))
    >>> round(float(scaling.power), 1)
    0.0
    >>> scaling.inverse(scaling.map(v)).round(2)
    array([-1. , -0.5, -0.5,  2. ])
    """

    def __init__(self, power: float = 1.0, mean: float = 0.0, scale: float = 1.0) -> None:
        self.power = power
        self.mean = mean
        self.scale = scale

    @classmethod
    def fit(cls, v: Any, weight: Any) -> "PowerMap":
        """Maximise :math:`-\\ln s + E[\\ln y'(v)]`, the log-likelihood with m and s at their own maximum."""
        v, weight = _distinct(v, weight)
        if _spread(v, weight) == 0:
            return cls()
        share = weight / weight.sum()
        log_ratio = share @ _signed_log(v)

        def loss(power: float) -> float:
            return np.log(_spread(_yeo_johnson(v, power), weight)) - (power - 1) * log_ratio

        inside = minimize_scalar(loss, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-9}).x
        power = min((float(inside), 0.0, 2.0), key=loss)  # the search never tries the ends
        return cls(power, *_location_and_spread(_yeo_johnson(v, power), weight))

    def map(self, v: Any) -> np.ndarray:
        """x = (y(v) - m) / s."""
        return (_yeo_johnson(v, self.power) - self.mean) / self.scale

    def inverse(self, x: Any) -> np.ndarray:
        """Solve y(v) = m + s x: ln(1 + \\|v\\|) = ln(1 + p \\|y\\|) / p with the power p of that side."""
        y = self.mean + self.scale * np.asarray(x, dtype=np.float64)
        p = np.where(y < 0, 2 - self.power, self.power)
        log = np.where(p == 0, np.abs(y), np.log1p(p * np.abs(y)) / np.where(p == 0, 1.0, p))
        return np.sign(y) * np.expm1(np.minimum(log, LARGEST_LOG))

    def log_slope(self, v: Any) -> np.ndarray:
        """(lambda - 1) sign(v) ln(1 + \\|v\\|) - ln s."""
        return (self.power - 1) * _signed_log(v) - np.log(self.scale)


class QuantileMap(Scaling):
    r"""Piecewise linear map through knots :math:`(v_j, \Phi^{-1}(u_j))`, standardised, :math:`u_j` the share below.

    :math:`u_j = (W_{<j} + w_j / 2) / W`, the weighted mid-rank of the data value :math:`v_j`, so that a value which
    many rows share stands in the middle of their ranks. Any column becomes nearly normal; one with few distinct values
    keeps as many, evenly spread.

    Outside the outer knots the map goes on with the slope of the outer segments, but none that is steeper than the
    standardised column. The outer segment knows the tail: for a log-normal column it is far flatter than 1, and a new
    extreme costs little. A steeper one would throw a new extreme further out than no scaling at all does. At a knot
    `log_slope` is the mean of both sides.

    The way back h is the inverse of this line with two exceptions. Beyond the outer knots it is constant, so that v
    stays in the fitted range: what the line would put further out is an atom at either end. And where more rows share
    a value than a knot stands for, h is constant on all of their ranks, from :math:`\Phi^{-1}(W_{<j} / W)` to
    :math:`\Phi^{-1}(W_{\le j} / W)`, so that the value is an atom of its own share. Elsewhere v has the density
    p(g(v)) g'(v). Densities of the line are what scores have everywhere: a value beyond the range has one, and that of
    an atom is the density of the line there.

    Parameters
    ----------
    knots, values : array-like (J,), default=(0, 1)
        Increasing; J >= 2.
    lower, upper : float, default=1.0
        Slopes outside.
    starts, ends : array-like (J,), optional
        h(x) = v_j for x from the start to the end of knot j; the same number where the value is not common. Without
        them h is the inverse of the line everywhere.

    Notes
    -----
    How many knots, and where, was chosen by the held-out log-density of ten kinds of columns (normal, t with 3 degrees,
    uniform, two log-normal, exponential, three narrow normals, integers 0..20, 91 % zeros with log-normal values, three
    values) of 30 to 20 000 rows, four seeds each. In nats per value above the column that is only standardised:

    - sqrt(n) knots, 4 to 100, with 200 rows and 20 000: normal -0.03 and 0.00, log-normal 0.73 and 0.74, exponential
      0.35 and 0.41, three normals 1.5 and 1.9, integers 0.07 and 0.09, zeros 1.3 and 1.7. With 200 rows half as many
      lose 0.5 on three normals and n^(1/3) 0.6; twice as many lose 0.04 on normal columns (0.08 with 30 rows) and gain
      0.1 on three normals. Up to 300 knots gain 0.02 with 20 000 rows.
    - Levels that begin at the smallest and end at the largest value, rather than in the middle of cells: 0.05 to 0.15
      better on skewed columns of 200 rows, up to 0.3 on zeros.
    - A value that many rows share takes the room of one knot, not of its share of the levels: on zeros 1.3 rather than
      0.6 (200 rows; worst seed 0.8, not 0.0), 1.7 rather than 1.1 (20 000).
    - Slopes outside: that of the standardised column, or the mean of all segments, costs 0.1 on log-normal columns of
      200 rows and 0.6 of 30. The outer segments' without a limit are within 0.02 of ours for continuous columns from
      200 rows on, but lose 0.1 on t of 30 (worst seed -0.28, not -0.04); their gain on zeros (1 to 2 nats) is only the
      kink at the smallest value, where half of their steepness counts.
    - Merging knots below 1e-2, 1e-3 or 1e-4 standard deviations is the same to 0.04; it is there for values that differ
      by rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae._tables.scalings import QuantileMap
    >>> v = np.array([-1.0, -0.5, -0.5, 2.0])
    >>> scaling = QuantileMap.fit(v, np.ones(4))
    >>> scaling.map(v).round(2)
    array([-1.41,  0.  ,  0.  ,  1.41])
    >>> scaling.inverse(scaling.map(v)).round(2)
    array([-1. , -0.5, -0.5,  2. ])
    """

    def __init__(
        self,
        knots: Any = (0.0, 1.0),
        values: Any = (0.0, 1.0),
        lower: float = 1.0,
        upper: float = 1.0,
        starts: Any = None,
        ends: Any = None,
    ) -> None:
        self.knots = np.asarray(knots, dtype=np.float64)
        self.values = np.asarray(values, dtype=np.float64)
        self.lower = lower
        self.upper = upper
        self.starts = starts if starts is None else np.asarray(starts, dtype=np.float64)
        self.ends = ends if ends is None else np.asarray(ends, dtype=np.float64)

    @classmethod
    def fit(cls, v: Any, weight: Any) -> "QuantileMap":
        """Knots by `_knots`, then mean 0 and variance 1."""
        v, weight = _distinct(v, weight)
        spread = _spread(v, weight)
        if spread == 0:
            return cls()
        ranks = np.append(0.0, weight.cumsum())
        score = _score((ranks[1:] - weight / 2) / ranks[-1])
        j = _knots(v, score, weight, spread)
        steepest = _spread(np.interp(v, v[j], score[j]), weight) / spread
        slope = np.minimum(np.diff(score[j]) / np.diff(v[j]), steepest)
        m, s = _location_and_spread(cls(v[j], score[j], slope[0], slope[-1]).map(v), weight)
        is_common = _capped(weight)[j] < weight[j]
        starts, ends = (
            (np.where(is_common, _score(rank[j] / ranks[-1]), score[j]) - m) / s for rank in (ranks[:-1], ranks[1:])
        )
        return cls(v[j], (score[j] - m) / s, float(slope[0] / s), float(slope[-1] / s), starts, ends)

    def map(self, v: Any) -> np.ndarray:
        """The broken line."""
        return _broken_line(v, self.knots, self.values, self.lower, self.upper)

    def inverse(self, x: Any) -> np.ndarray:
        """The same line with its axes exchanged, constant at common values and beyond the fitted range."""
        line = self.line_back()
        t, i, slope = line.at(x)
        return line.values[i] + slope * t

    def line_back(self) -> "Line":
        """h as a broken line of its own."""
        if self.starts is None or self.ends is None:
            return Line(self.values, self.knots, 1 / self.lower, 1 / self.upper)
        return Line(np.stack([self.starts, self.ends], 1).ravel(), np.repeat(self.knots, 2), 0.0, 0.0)

    def mean_and_variance(self, u: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By exact means of h over the cells between neighbours in x: where h jumps, single points would not do.

        The cells have the weights that give a mixture of uniform distributions the variance of the normal one.
        """
        weight = cell_weights(u)
        first, second = self.line_back().averages(x[:-1], x[1:])
        mean = np.tensordot(weight, first, 1)
        within = np.maximum(second - np.square(first), 0.0)
        return mean, np.tensordot(weight, np.square(first - mean) + within, 1)

    def log_slope(self, v: Any) -> np.ndarray:
        """ln of the segment's slope."""
        v = np.asarray(v, dtype=np.float64)
        log = np.log(np.concatenate([[self.lower], np.diff(self.values) / np.diff(self.knots), [self.upper]]))
        left, right = (log[np.searchsorted(self.knots, v, side)] for side in ("left", "right"))
        return np.where(np.isnan(v), np.nan, (left + right) / 2)


class Line:
    """A broken line v(x) through points, with slopes of its own before the first and after the last.

    Parameters
    ----------
    points, values : ndarray (M,)
        x and v, neither falling; where two points are one, v jumps.
    before, after : float
        Slopes.
    """

    def __init__(self, points: np.ndarray, values: np.ndarray, before: float, after: float) -> None:
        self.points, self.values = points, values
        width, rise = np.diff(points), np.diff(values)
        inner = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
        self.slopes = np.concatenate([[before], inner, [after]])
        left, right = values[:-1], values[1:]
        self.area = np.append(0.0, np.cumsum(width * (left + right) / 2))
        self.square_area = np.append(0.0, np.cumsum(width * (left * left + left * right + right * right) / 3))

    def at(self, x: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How far x lies from the point where its segment begins, that point's number, and the segment's slope."""
        x = np.asarray(x, dtype=np.float64)
        segment = np.searchsorted(self.points, x, "right")
        i = np.maximum(segment - 1, 0)
        return x - self.points[i], i, self.slopes[segment]

    def averages(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of v and of v^2 over x between `low` and `high`, from their antiderivatives."""
        middle, i, slope = self.at((low + high) / 2)
        at_middle = self.values[i] + slope * middle
        width = high - low
        is_thin = width <= THINNEST * (1 + np.maximum(np.abs(low), np.abs(high)))
        width = np.where(is_thin, 1.0, width)
        areas = zip(self._areas(high), self._areas(low), (at_middle, np.square(at_middle)), strict=True)
        first, second = (np.where(is_thin, single, (right - left) / width) for right, left, single in areas)
        return first, second

    def _areas(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Integrals of v and v^2 from the first point to x."""
        t, i, slope = self.at(x)
        v = self.values[i]
        first = self.area[i] + t * (v + slope * t / 2)
        return first, self.square_area[i] + t * (v * v + slope * t * (v + slope * t / 3))


def cell_weights(u: np.ndarray) -> np.ndarray:
    """Of the Q - 1 cells between equally spaced u (Q,): uniform on each, the mixture has variance 1."""
    middle, width = (u[1:] + u[:-1]) / 2, u[1] - u[0]
    weight = np.exp(-np.square(middle) / (2 - width**2 / 6))
    return weight / weight.sum()


#: Short names of the scalings.
SCALINGS: dict[Any, type[Scaling]] = {"power": PowerMap, "quantile": QuantileMap}


def _distinct(v: Any, weight: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct values of positive weight, and their weights: integer weights equal repetition to the last bit.

    Returns
    -------
    v, weight : ndarray (m,), float64
    """
    v, weight = np.asarray(v, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    distinct, where = np.unique(v[weight > 0], return_inverse=True)
    return distinct, np.bincount(where, weight[weight > 0], len(distinct))


def _location_and_spread(v: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Weighted mean and standard deviation of v (m,)."""
    mean, variance = moments(v[:, None], weight)
    return float(mean[0]), float(np.sqrt(variance[0]))


def _score(level: np.ndarray) -> np.ndarray:
    """The normal score of a level; weights below float64's resolution of 1 would leave one at 0 or 1, and infinite."""
    return ndtri(np.clip(level, 1e-12, 1 - 1e-12))


def _spread(v: np.ndarray, weight: np.ndarray) -> float:
    """Weighted standard deviation; 0 without values."""
    return _location_and_spread(v, weight)[1] if len(v) else 0.0


def _signed_log(v: Any) -> np.ndarray:
    """sign(v) ln(1 + |v|)."""
    v = np.asarray(v, dtype=np.float64)
    return np.sign(v) * np.log1p(np.abs(v))


def _yeo_johnson(v: Any, power: float) -> np.ndarray:
    """y(v), whose square at |v| = e^300 is still finite."""
    end = np.exp(LARGEST_LOG)
    return yeojohnson(np.clip(np.asarray(v, dtype=np.float64), -end, end), power)


def _broken_line(v: Any, knots: np.ndarray, values: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Linear between the knots, with its own slopes outside."""
    v = np.asarray(v, dtype=np.float64)
    outside = lower * np.minimum(v - knots[0], 0.0) + upper * np.maximum(v - knots[-1], 0.0)
    return np.interp(v, knots, values) + outside


def _knots(v: np.ndarray, score: np.ndarray, weight: np.ndarray, spread: float) -> np.ndarray:
    """Positions in v (m,) at equally spaced levels from the first to the last value, those nearly alike merged.

    Of two that are nearer than 1e-3, in standard deviations of v or in normal scores, the heavier stays: it may be a
    value that most rows share.
    """
    kept: list[int] = []
    for j in _candidates(weight):
        if kept and (v[j] - v[kept[-1]] < _NEAREST * spread or score[j] - score[kept[-1]] < _NEAREST):
            kept[-1] = max(kept[-1], j, key=weight.__getitem__)
        else:
            kept.append(j)
    return np.array(kept)


def _candidates(weight: np.ndarray) -> np.ndarray:
    """Equally spaced levels of the weights (m,), none of which counts for more than one knot's share."""
    capped = _capped(weight)
    level = np.linspace(0.0, 1.0, _n_knots(weight)) * capped.sum()
    return np.unique(np.searchsorted(capped.cumsum(), level * (1 - 1e-12)).clip(max=len(weight) - 1))


def _n_knots(weight: np.ndarray) -> int:
    n = max(weight.sum(), len(weight))  # normalised weights are no lack of evidence
    return int(np.clip(np.sqrt(n), 4, 100))


def _capped(weight: np.ndarray) -> np.ndarray:
    """The weights (m,), none above the share of one knot."""
    n_knots, capped = _n_knots(weight), weight
    for _ in range(20):  # the share shrinks with what is cut off; geometrically, so 20 times will do
        capped = np.minimum(weight, capped.sum() / n_knots)
    return capped
