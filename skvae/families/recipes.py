"""Shared code of families: noise that is trained or from the network, a spread above a floor, links, initialisations.

Three kinds of families, each abstract:

- `NoiseFamily`: its first number (a location, log mean or logit) always comes from the network; the others (scale,
  dispersion, probability of a zero) are one per column, or the network's too with ``noise="row"``.
- `SpreadFamily`: a NoiseFamily whose second number is a spread, floor + exp(raw), squared like a variance.
- `CodeFamily`: for posteriors only.
"""

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor
from torch.distributions import Distribution

from .._utils.checks import POSITIVE
from .._utils.compat import StrOptions
from .._utils.signatures import own_signature
from ..distributions.smooth import BEND, soft_clamp
from .base import CodeInit, Family, Init

__all__ = ["LARGEST_LOG", "LARGEST_LOGIT", "CodeFamily", "LocationScale", "NoiseFamily", "SpreadFamily", "excess",
           "line_start", "log_excess", "log_link", "logit_link", "positive"]  # fmt: skip

LARGEST_LOG = 20 + BEND  # e^20 is reached unbent, and squared is still far inside float32
LARGEST_LOGIT = 15.0  # its sigmoid is not yet 1 in float32, where it would have no slope
_BELOW_FLOOR = 8.0  # in the logarithm: lower spreads differ by less than a thousandth of the floor


class CodeFamily(Family):
    """Base class of families for posteriors only: every number comes from the encoder."""

    observable = False
    units = None

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """There is none: no column is of this family."""
        raise NotImplementedError(f"{type(self).__name__} is a family of posteriors, not of likelihoods.")


class NoiseFamily(Family):
    """Base class: the first number from the network, `n_more` others per column or, with noise="row", from it too."""

    n_more = 1
    _parameter_constraints = {"noise": [StrOptions({"feature", "row"})]}

    def __init__(self, noise: str = "feature") -> None:
        self.noise = noise

    @property
    def n_raw(self) -> int:  # type: ignore[override]
        """All numbers with noise="row", else one."""
        return 1 + self.n_more if self.noise == "row" else 1

    def own_numbers(self, n: int) -> list[tuple[np.ndarray, bool]]:
        """The other numbers, trained, unless the network gives them."""
        return [] if self.noise == "row" else [(np.zeros(n), True) for _ in range(self.n_more)]

    def amortized(self) -> Family:
        """Every number comes from the network."""
        return clone(self).set_params(noise="row")

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Lay out what `margins` gives."""
        weight, first, *more = self.margins(mean, loadings, noise)
        return self._laid_out(weight, first, more)

    @abstractmethod
    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """The first numbers as weight (n, m) and bias (n,), then the other numbers, (n,) each."""

    def _laid_out(self, weight: np.ndarray, first: np.ndarray, more: list[np.ndarray]) -> Init:
        if self.noise != "row":
            return weight, first, more
        constant = np.zeros((self.n_more * len(first), weight.shape[1]))
        return np.concatenate([weight, constant]), np.concatenate([first, *more]), []


class SpreadFamily(NoiseFamily):
    """Base class: the second number is a spread, ``floor + exp(raw)``, the floor a number of its own.

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the spread comes from: one trained number per column, or the network for every row.
    floor : float, default=1e-3
        The smallest spread; without one a constant column has infinite density.
    """

    largest_spread = math.exp(20)
    posterior_floor = 1e-9  # a posterior may be as narrow as float32 can tell
    _parameter_constraints = {**NoiseFamily._parameter_constraints, "floor": [POSITIVE]}

    def __init__(self, noise: str = "feature", floor: float = 1e-3) -> None:
        self.noise = noise
        self.floor = floor

    def distribution(self, first: Tensor, log_spread: Tensor, *rest: Tensor) -> Distribution:
        """`member(first, floor + exp(log_spread), ...)`."""
        *others, floor = rest
        return self.member(first, excess(log_spread, self.floor, self.largest_spread) + floor, *others)

    @own_signature
    @abstractmethod
    def member(self, first: Tensor, spread: Tensor, *rest: Tensor) -> Distribution:
        """The distribution with this location number and this spread."""

    def own_numbers(self, n: int) -> list[tuple[np.ndarray, bool]]:
        """The numbers that are trained, and the floor."""
        size = 1 if self.noise == "row" else n
        return [*super().own_numbers(n), (np.full(size, float(self.floor)), False)]

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Lay out what `margins` gives, the spread above the smallest one that the column's rows can tell from zero."""
        weight, first, spread, *rest = self.margins(mean, loadings, noise)
        floor = np.full(len(mean), float(self.floor))
        if self.noise == "feature" and resolution is not None:
            floor = np.maximum(floor, spread * np.minimum(resolution / noise, 0.5))
        more = [log_excess(np.minimum(spread, math.exp(-BEND) * self.largest_spread), floor), *rest]
        weight, bias, own = self._laid_out(weight, first, more)
        return weight, bias, [*own, floor[:1] if self.noise == "row" else floor]

    def amortized(self) -> Family:
        """Every number from the network, with the floor of a posterior."""
        return super().amortized().set_params(floor=self.posterior_floor)

    def standard(self, zero: Tensor) -> Distribution:
        """Location number 0, spread 1."""
        return self.member(zero, torch.ones_like(zero))


class LocationScale(SpreadFamily):
    """Base class of families on the line, x = loc + scale e: the spread is the squared scale.

    Attributes
    ----------
    unit_mean, unit_variance : float
        Mean and variance of e.
    """

    unit_mean = 0.0
    unit_variance = 1.0
    location_scale = True

    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """Mean and variance of the normal model."""
        spread = noise / self.unit_variance
        return loadings, mean - self.unit_mean * np.sqrt(spread), spread

    def tie_noise(self, noise: np.ndarray) -> np.ndarray:
        """No variance below the floor."""
        return np.maximum(noise, self.floor * self.unit_variance)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = loc + scale e(u)."""
        return q.loc + q.scale * self.quantile(u)

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """The draws e(u) of the member with location 0 and scale 1."""

    def code_start(self, mean: np.ndarray, projection: np.ndarray, variance: np.ndarray) -> CodeInit:
        """Moments: t = (z - unit mean) / unit standard deviation, with the same variance as t."""
        return line_start(mean, projection, variance, self.unit_mean, math.sqrt(self.unit_variance))


def line_start(
    mean: np.ndarray, projection: np.ndarray, variance: np.ndarray, location: float, spread: float
) -> CodeInit:
    """Numbers (loc, log squared scale) of z = location + spread t, t ~ N(projection x + mean, variance).

    `location` and `spread` are centre and spread of the standard member, whose scale is 1. As z - loc is scale times as
    far from its centre as there, scale = sqrt(variance) and loc = location (1 - scale) + spread E[t].
    """
    weight = np.concatenate([spread * projection, np.zeros_like(projection)])
    loc = location * (1 - np.sqrt(variance)) + spread * mean
    bias = np.concatenate([loc, np.log(np.maximum(variance, 1e-9))])
    return weight, bias, np.full_like(mean, 1 / spread), np.full_like(mean, -location / spread)


def log_excess(variance: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """The raw number of a variance: log(variance - floor)."""
    # At the floor itself the raw number would be -inf; a thousandth above it costs 0.0005 nats per column.
    return np.log(np.maximum(variance - floor, 1e-3 * np.maximum(floor, 1e-12)))


def positive(raw: Tensor) -> Tensor:
    """exp(raw), within what float32 can square."""
    return soft_clamp(raw, -LARGEST_LOG, LARGEST_LOG).exp()


def excess(raw: Tensor, floor: float, largest: float) -> Tensor:
    """exp(raw), what a spread has above its floor: the way back from `log_excess`."""
    # Bounded below as well: far under the floor exp(raw) would be 0 in float32, and its gradient too.
    return soft_clamp(raw, math.log(max(floor, 1e-12)) - _BELOW_FLOOR, math.log(largest)).exp()


def log_link(mean: np.ndarray, loadings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight and bias of a log mean a + b z, z ~ N(0, I), whose exponential has this mean and variance |loadings|^2.

    A log-normal variable with squared coefficient of variation c has log variance ln(1 + c) = |b|^2, and
    a = ln mean - |b|^2 / 2. For small loadings b = loadings / mean.

    Returns
    -------
    weight : ndarray (n, m)
    bias : ndarray (n,)
    second : ndarray (n,)
        E of the squared mean, (1 + c) mean^2.
    """
    mean = np.maximum(mean, 1e-6)
    weight = loadings / mean[:, None]
    c = np.square(weight).sum(1)
    weight = weight * np.sqrt(np.log1p(c) / np.maximum(c, 1e-12))[:, None]
    return weight, np.log(mean) - np.log1p(c) / 2, (1 + c) * np.square(mean)


def logit_link(mean: np.ndarray, loadings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a logit whose sigmoid has this mean under z ~ N(0, I) and these covariances with z."""
    p = np.clip(mean, 1e-4, 1 - 1e-4)
    # Rare ones can have any correlation with z on paper; a slope of 3 already spans the whole of (0, 1).
    slope = np.clip(loadings / (p * (1 - p))[:, None], -3.0, 3.0)
    # MacKay's approximation of the logistic-normal mean, E[sigmoid(b + a z)] = sigmoid(b / sqrt(1 + pi a^2 / 8)).
    return slope, np.log(p / (1 - p)) * np.sqrt(1 + np.pi / 8 * np.square(slope).sum(1))
