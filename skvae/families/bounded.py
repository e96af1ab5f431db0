"""Families on an interval. The contract is in `base.py`, shared code in `recipes.py`."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

from ..distributions import quantiles
from ..distributions import univariate as densities
from ..distributions.smooth import soft_clamp
from .base import Family, Init
from .recipes import LARGEST_LOGIT, CodeFamily, SpreadFamily, logit_link

__all__ = ["Beta", "ContinuousBernoulli", "Triangular", "Uniform", "interval", "rounded_into"]

_NARROWEST = 1e-3
_SMALLEST_SHARE = 0.05


def interval(position: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of an interval inside [0, 1] from two raw numbers: its width is a sigmoid, and so is where it stands."""
    position, width = (torch.sigmoid(soft_clamp(a, -LARGEST_LOGIT, LARGEST_LOGIT)) for a in (position, width))
    width = _NARROWEST + (1 - _NARROWEST) * width
    low = (1 - width) * position
    return low, rounded_into(low + width, 0.0, 1.0)


def rounded_into(x: Tensor, low: float, high: float) -> Tensor:
    """x, which lies between low and high up to rounding; the gradient passes unchanged."""
    return x + (x.clamp(low, high) - x).detach()


class Uniform(CodeFamily):
    r"""Uniform distribution on an interval, a family of posteriors: short name "uniform".

    .. math:: \ln p(z) = -\ln(b - a), \qquad a \le z \le b

    Domain: 0 <= a <= z <= b <= 1, so that q lies inside the prior U(0, 1). Link: b - a = sigmoid(raw) and
    a = (1 - (b - a)) sigmoid(raw); the width is at least 0.001. z = a + (b - a) Phi(u) (Kingma & Welling 2014, section
    2.4).

    See Also
    --------
    Triangular : The same interval with a peak in its middle.
    UniformPrior : Any box, for objectives without a KL.

    Examples
    --------
    The KL of an interval to U(0, 1) is minus the logarithm of its width, here about a half:

    >>> import torch
    >>> from skvae import Uniform
    >>> q = Uniform().distribution(torch.tensor([0.0]), torch.tensor([0.0]))
    >>> (q.high - q.low).round(decimals=2)
    tensor([0.5000])
    >>> torch.distributions.kl_divergence(q, Uniform().standard(torch.zeros(1)))
    tensor([0.6921])
    """

    support = constraints.unit_interval
    interior = 0.5
    n_raw = 2

    def distribution(self, position: Tensor, width: Tensor) -> Distribution:
        """Uniform on an interval inside (0, 1)."""
        return densities.Between(*interval(position, width), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = a + (b - a) Phi(u)."""
        return q.icdf(quantiles.tail(u))

    def standard(self, zero: Tensor) -> Distribution:
        """U(0, 1)."""
        return densities.Between(zero, torch.ones_like(zero), validate_args=False)


class Triangular(CodeFamily):
    r"""Symmetric triangular distribution on an interval, a family of posteriors: short name "triangular".

    .. math:: \ln p(z) = \ln\frac{4 r}{b - a}, \qquad r = \min(z - a, b - z) / (b - a)

    Domain: 0 <= a < z < b <= 1, so that q lies inside the prior on (0, 1). Link: as `Uniform`. The inverse CDF is
    elementary (Kingma & Welling 2014, section 2.4).

    See Also
    --------
    Uniform : The same interval without a peak.
    Beta : A smooth family on the unit interval.

    Examples
    --------
    The prior has density 2 in the middle and 1 halfway to the ends:

    >>> import torch
    >>> from skvae import Triangular
    >>> p = Triangular().standard(torch.zeros(1))
    >>> p.log_prob(torch.tensor([0.5, 0.25, 0.75])).exp()
    tensor([2., 1., 1.])
    """

    support = constraints.unit_interval
    interior = 0.5
    n_raw = 2

    def distribution(self, position: Tensor, width: Tensor) -> Distribution:
        """Triangular on an interval inside (0, 1)."""
        return densities.Triangular(*interval(position, width))

    def push(self, q: Any, u: Tensor) -> Tensor:
        """From the nearer end, whose probability does not round to 1."""
        r = torch.sqrt(quantiles.tail(-u.abs()) / 2)
        width = q.high - q.low
        return torch.where(u < 0, q.low + width * r, q.high - width * r)

    def standard(self, zero: Tensor) -> Distribution:
        """Triangular on (0, 1)."""
        return densities.Triangular(zero, torch.ones_like(zero))


class Beta(SpreadFamily):
    r"""Beta distribution, fractions strictly between 0 and 1: short name "beta".

    .. math:: \ln p(x) = (a - 1) \ln x + (b - 1) \ln(1 - x) - \ln B(a, b), \qquad a = m c, \; b = (1 - m) c

    Domain: 0 < x < 1. The mean is m. Link: m = sigmoid(raw), 2 / c = ``floor + exp(raw)``; neither a nor b is below
    0.05. As a posterior its draws are differentiated implicitly, as torch does, and scored through scipy's inverse CDF;
    prior Beta(1, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where c comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest 2 / c.

    See Also
    --------
    ZeroOneInflatedBeta : The same with exact zeros and ones.
    ContinuousBernoulli : Fractions that may be 0 or 1, with a density there.
    DirichletPosterior : Shares of a whole, for codes.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import Beta, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.beta(3 * np.exp(rng.normal(size=(300, 1))), 3, size=(300, 4))
    >>> vae = VAETransformer(1, likelihood=Beta(), max_iter=0).fit(X)
    >>> round(vae.score(X), 1), round(VAETransformer(1, max_iter=0).fit(X).score(X), 1)
    (0.8, 0.5)
    >>> drawn = vae.sample(1000, random_state=0)
    >>> int(((drawn <= 0) | (drawn >= 1)).sum())
    0
    """

    support = densities.inside_unit_interval
    units = None
    interior = 0.5
    largest_spread = 4.0
    posterior_floor = 1e-4  # above it float32 keeps the KL to 0.01 nats

    def member(self, logit: Tensor, spread: Tensor) -> Distribution:
        """Beta(2 m / spread, 2 (1 - m) / spread)."""
        a, b = (self._share(logsigmoid(sign * logit), spread) for sign in (1, -1))
        return densities.Beta(a, b, validate_args=False)

    @staticmethod
    def _share(log_m: Tensor, spread: Tensor) -> Tensor:
        """m c, of the larger or the smaller end."""
        return soft_clamp(math.log(2) + log_m - spread.log(), low=math.log(_SMALLEST_SHARE)).exp()

    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """Logit link; c = E[m (1 - m)] / noise - 1, the noise being the variance given the code."""
        weight, bias = logit_link(mean, loadings)
        inner = np.maximum(mean * (1 - mean) - np.square(loadings).sum(1), 1e-4)
        return weight, bias, 2 / np.maximum(inner / noise - 1, 0.5)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Inverse CDF, without gradient."""
        return quantiles.beta(q.concentration1, q.concentration0, u)

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Torch's own draws, whose gradient is implicit."""
        return q.rsample(u.shape[:1])


class ContinuousBernoulli(Family):
    r"""Continuous Bernoulli distribution, fractions from 0 to 1, both included: short name "continuous_bernoulli".

    .. math:: \ln p(x) = x \ln\pi + (1 - x) \ln(1 - \pi) + \ln C(\pi)

    Domain: 0 <= x <= 1. Link: the raw number is the logit of :math:`\pi`. Without :math:`C(\pi)` the density would not
    integrate to one (Loaiza-Ganem & Cunningham 2019).

    See Also
    --------
    Bernoulli : The same formula for 0 and 1 only, where C is 1.
    Beta : Fractions strictly between 0 and 1, with a concentration of their own.

    Examples
    --------
    Grey levels; pi is not their mean, which stays nearer to a half:

    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from skvae import ContinuousBernoulli, VAETransformer
    >>> ContinuousBernoulli().distribution(torch.tensor([0.9]).logit()).mean
    tensor([0.6699])
    >>> X = load_digits().data[:300] / 16
    >>> vae = VAETransformer(2, likelihood=ContinuousBernoulli(), max_iter=0).fit(X)
    >>> round(vae.score(X), 1), round(VAETransformer(2, max_iter=0).fit(X).score(X), 1)
    (74.7, 22.1)
    """

    support = constraints.unit_interval
    units = None
    interior = 0.5
    reparameterized = False  # torch's draws do not depend on a logit near 0, where it takes them as uniform

    def distribution(self, logits: Tensor) -> Distribution:
        """ContinuousBernoulli(logits)."""
        return densities.ContinuousBernoulli(logits)

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Margins and slopes: dE[x] / dlogit is the variance; the bias has the mean at z = 0."""
        grid = torch.linspace(-7.6, 7.6, 2001, dtype=torch.float64).sinh()  # means from 0.001 to 0.999
        p = densities.ContinuousBernoulli(grid)
        bias = np.interp(mean, p.mean.numpy(), grid.numpy())
        variance = densities.ContinuousBernoulli(torch.from_numpy(bias)).variance.numpy()
        return np.clip(loadings / variance[:, None], -6.0, 6.0), bias, []
