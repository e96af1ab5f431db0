"""One-dimensional families. One table serves posteriors and likelihoods; the contract stands in `family.py`."""

import math
from numbers import Real

import numpy as np
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal, constraints

from .family import Family

__all__ = ["FAMILIES", "Bernoulli", "Gaussian"]


class Gaussian(Family):
    r"""Normal distribution, x ~ N(loc, variance).

    .. math:: \ln p(x) = -\tfrac12 \ln(2\pi\sigma^2) - (x - \mu)^2 / (2\sigma^2)

    Domain: the real line. Link: loc is the raw number, the variance is ``floor + exp(raw)``.

    With one variance per column, training keeps it above what the column's rows can vouch for. The variance of a column
    with kurtosis k is known from n rows as well as that of a normal one from 2 n / (k - 1); a net can memorise those
    few rows and drive the noise to nothing, and then a single new one costs 100 000 nats. So no variance is trained
    below var(x) (k - 1) / (2 n), or half its closed-form start where that is smaller. The start is never changed.

    Parameters
    ----------
    noise : {"feature", "shared", "row"} or float, default="feature"
        Where the variance comes from: one trained value per column (factor analysis), one for all columns
        (probabilistic PCA), a second number from the network for every row, or a fixed variance.
        Variances are in the units the model sees, after `scaling`.
    floor : float, default=1e-3
        Smallest variance, in the same units; without one a constant or duplicated column has infinite density.
        A fixed `noise` ignores it.

    Examples
    --------
    >>> from skvae import Gaussian, VAETransformer
    >>> VAETransformer(likelihood=Gaussian(noise="shared"))
    VAETransformer(likelihood=Gaussian(noise='shared'))
    """

    def __init__(self, noise: str | float = "feature", floor: float = 1e-3):
        self.noise = noise
        self.floor = floor

    @property
    def n_raw(self):
        """Two numbers from the network when it gives the variance too, else one."""
        self._check()
        return 2 if self.noise == "row" else 1

    def distribution(self, loc, log_variance, floor):
        """Normal(loc, sqrt(floor + exp(log_variance)))."""
        # The bound keeps a posterior of a runaway encoder finite (pyod's VAE returned NaN without one).
        variance = log_variance.clamp(max=20.0).exp() + floor
        return Normal(loc, variance.sqrt(), validate_args=False)

    def own_numbers(self, n):
        """The log variance above the floor, per column or one for all, and the floor; fixed noise does not train."""
        size = n if self.noise == "feature" else 1
        floor = (np.full(size, self._effective_floor), False)
        if self.noise == "row":
            return [floor]
        variance = np.full(size, float(self.noise) if self._fixed else 1.0)
        return [(_log_excess(variance, floor[0]), not self._fixed), floor]

    def start(self, mean, loadings, noise, resolution=None):
        """The linear-Gaussian model is this family's own: nothing is approximated."""
        floor = np.full(len(noise), self._effective_floor)
        if self.noise == "feature" and resolution is not None:
            floor = np.maximum(floor, np.minimum(resolution, noise / 2))
        log_variance = _log_excess(noise, floor)
        if self.noise == "row":
            weight = np.concatenate([loadings, np.zeros_like(loadings)])
            return weight, np.concatenate([mean, log_variance]), [floor[:1]]
        size = len(noise) if self.noise == "feature" else 1
        return loadings, mean, [log_variance[:size], floor[:size]]

    def tie_noise(self, noise):
        """One mean for shared noise, the given one for fixed noise; never below the floor."""
        if self._fixed:
            return np.full_like(noise, self.noise)
        if self.noise == "shared":
            noise = np.full_like(noise, noise.mean())
        return np.maximum(noise, self.floor)

    def amortized(self):
        """A posterior may be as narrow as float32 can tell; a fixed variance stays fixed."""
        return self if self._fixed else Gaussian(noise="row", floor=1e-9)

    def push(self, q, u):
        """z = loc + scale * u."""
        return q.loc + q.scale * u

    def standard(self, zero):
        """N(0, 1)."""
        return Normal(zero, torch.ones_like(zero), validate_args=False)

    def code_start(self, mean, projection, variance):
        """z is t itself."""
        weight, bias, _ = self.start(mean, projection, variance)
        return weight, bias, np.ones_like(mean), np.zeros_like(mean)

    @property
    def _fixed(self):
        return not isinstance(self.noise, str)

    @property
    def _effective_floor(self):
        return 0.0 if self._fixed else self.floor

    def _check(self):
        named = isinstance(self.noise, str) and self.noise in {"feature", "shared", "row"}
        if not (named or (isinstance(self.noise, Real) and 0 < self.noise < math.inf)):
            known = "'feature', 'shared', 'row' or a positive float"
            raise ValueError(f"The 'noise' parameter of Gaussian must be {known}. Got {self.noise!r} instead.")
        if not (isinstance(self.floor, Real) and 0 < self.floor < math.inf):
            raise ValueError(f"The 'floor' parameter of Gaussian must be a positive float. Got {self.floor!r} instead.")


class Bernoulli(Family):
    r"""Bernoulli distribution over 0 and 1.

    .. math:: \ln p(x) = x \ln \pi + (1 - x) \ln(1 - \pi)

    Domain: {0, 1}. Link: the raw number is the logit of :math:`\pi`.

    Examples
    --------
    >>> from skvae import Bernoulli, VAETransformer
    >>> VAETransformer(likelihood=Bernoulli())
    VAETransformer(likelihood=Bernoulli())
    """

    support = constraints.boolean
    units = None
    reparameterized = False

    def distribution(self, logits):
        """Bernoulli(logits)."""
        return TorchBernoulli(logits=logits, validate_args=False)

    def start(self, mean, loadings, noise, resolution=None):
        """Margins and slopes: d logit / dz = cov(x, z) / (p (1 - p)); the bias keeps E[x] = p under z ~ N(0, I)."""
        p = np.clip(mean, 1e-4, 1 - 1e-4)
        # Rare ones can have any correlation with z on paper; a slope of 3 already spans the whole of (0, 1).
        slope = np.clip(loadings / (p * (1 - p))[:, None], -3.0, 3.0)
        # MacKay's approximation of the logistic-normal mean, E[sigmoid(b + a z)] = sigmoid(b / sqrt(1 + pi a^2 / 8)).
        bias = np.log(p / (1 - p)) * np.sqrt(1 + np.pi / 8 * np.square(slope).sum(1))
        return slope, bias, []


def _log_excess(variance, floor):
    # At the floor itself the raw number would be -inf; a thousandth above it costs 0.0005 nats per column.
    return np.log(np.maximum(variance - floor, 1e-3 * np.maximum(floor, 1e-12)))


FAMILIES = {"gaussian": Gaussian, "bernoulli": Bernoulli}
