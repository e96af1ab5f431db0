"""Families on the positive half-line. The contract stands in `family.py`, what several share in `recipes.py`."""

import math
from numbers import Integral, Real

import numpy as np
import torch
from torch import distributions as td
from torch.distributions import constraints
from torch.nn.functional import softplus

from . import densities, quantiles
from .bounded_families import interval
from .recipes import CodeFamily, SpreadFamily, log_link, positive

__all__ = [
    "Chi2",
    "Erlang",
    "Exponential",
    "FisherSnedecor",
    "Gamma",
    "Gompertz",
    "LogNormal",
    "Pareto",
    "Rayleigh",
    "Reciprocal",
    "Weibull",
]


class LogNormal(SpreadFamily):
    r"""Log-normal distribution: ln x is normal. Positive columns whose spread grows with their size.

    .. math:: \ln p(x) = -\ln x - \tfrac12 \ln(2\pi\sigma^2) - (\ln x - \mu)^2 / (2\sigma^2)

    Domain: x > 0. Link: :math:`\mu` is the raw number, :math:`\sigma^2` is ``floor + exp(raw)``. As a posterior
    z = exp(mu + sigma u) (Kingma & Welling 2014, section 2.4), prior LogNormal(0, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the variance of ln x comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest variance of ln x.

    Examples
    --------
    >>> from skvae import LogNormal, VAETransformer
    >>> VAETransformer(likelihood=LogNormal())
    VAETransformer(likelihood=LogNormal())
    """

    support = constraints.positive
    units = "scale"
    interior = 1.0
    largest_spread = 20.0

    def member(self, loc, spread):
        """LogNormal(loc, sqrt(spread))."""
        return td.LogNormal(loc.clamp(-20.0, 20.0), spread.sqrt(), validate_args=False)

    def margins(self, mean, loadings, noise):
        """Log link; sigma^2 = ln(1 + c), c the squared coefficient of variation of the noise."""
        weight, log_mean, second = log_link(mean, loadings)
        spread = np.log1p(noise / second)
        return weight, log_mean - spread / 2, spread

    def push(self, q, u):
        """z = exp(loc + scale u)."""
        return torch.exp(q.loc + q.scale * u)


class Gamma(SpreadFamily):
    r"""Gamma distribution with mean m and squared coefficient of variation c: concentration 1 / c, rate 1 / (c m).

    .. math:: \ln p(x) = a \ln b - \ln\Gamma(a) + (a - 1) \ln x - b x, \qquad a = 1 / c, \; b = a / m

    Domain: x > 0. Link: m = exp(raw), c = ``floor + exp(raw)``, at most 4. As a posterior its draws are differentiated
    implicitly, as torch does, and scored through scipy's inverse CDF; prior Gamma(1, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where c comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest c.

    Examples
    --------
    >>> from skvae import Gamma, VAETransformer
    >>> VAETransformer(likelihood=Gamma())
    VAETransformer(likelihood=Gamma())
    """

    support = constraints.positive
    units = "scale"
    interior = 1.0
    largest_spread = 4.0
    posterior_floor = 1e-4  # above it float32 keeps the KL to 0.01 nats

    def member(self, log_mean, spread):
        """Gamma(1 / spread, 1 / (spread mean))."""
        return td.Gamma(1 / spread, 1 / (spread * positive(log_mean)), validate_args=False)

    def margins(self, mean, loadings, noise):
        """Log link; c = noise / E[m^2]."""
        weight, log_mean, second = log_link(mean, loadings)
        return weight, log_mean, noise / second

    def push(self, q, u):
        """Inverse CDF, without gradient."""
        return quantiles.gamma(q.concentration, u) / q.rate

    def rsample(self, q, u):
        """Torch's own draws."""
        return q.rsample(u.shape[:1])


class Exponential(CodeFamily):
    r"""Exponential distribution, a family of posteriors.

    .. math:: \ln p(z) = -\ln m - z / m

    Domain: z >= 0. Link: the mean is m = exp(raw). z = -m ln(1 - Phi(u)) (Kingma & Welling 2014, section 2.4), prior
    Exponential(1). With one number its spread is its mean.

    Examples
    --------
    >>> from skvae import Exponential, MeanField, VAETransformer
    >>> VAETransformer(posterior=MeanField(Exponential()))
    VAETransformer(posterior=MeanField(family=Exponential()))
    """

    support = constraints.nonnegative

    def distribution(self, log_mean):
        """Exponential(exp(-log_mean))."""
        return td.Exponential(positive(-log_mean), validate_args=False)

    def push(self, q, u):
        """z = mean * e(u)."""
        return quantiles.exponential(u) / q.rate


class Weibull(CodeFamily):
    r"""Weibull distribution, a family of posteriors.

    .. math:: \ln p(z) = \ln(k / s) + (k - 1) \ln y - y^k, \qquad y = z / s

    Domain: z > 0. Link: s = exp(raw), k = exp(raw) between 0.5 and 100. z = s (-ln(1 - Phi(u)))^(1/k) (Kingma & Welling
    2014, section 2.4), prior Weibull(1, 1).

    Examples
    --------
    >>> from skvae import MeanField, VAETransformer, Weibull
    >>> VAETransformer(posterior=MeanField(Weibull()))
    VAETransformer(posterior=MeanField(family=Weibull()))
    """

    support = constraints.positive
    n_raw = 2

    def distribution(self, log_scale, log_concentration):
        """Weibull(exp(log_scale), exp(log_concentration))."""
        concentration = log_concentration.clamp(math.log(0.5), math.log(100.0)).exp()
        return densities.Weibull(positive(log_scale), concentration, validate_args=False)

    def push(self, q, u):
        """z = s e(u)^(1/k)."""
        return q.scale * quantiles.exponential(u) ** q.concentration_reciprocal


class Rayleigh(CodeFamily):
    r"""Rayleigh distribution, a family of posteriors: the length of a normal vector in the plane.

    .. math:: \ln p(z) = \ln z - 2 \ln s - z^2 / (2 s^2)

    Domain: z > 0. Link: s = exp(raw). z = s sqrt(-2 ln(1 - Phi(u))) (Kingma & Welling 2014, section 2.4), prior
    Rayleigh(1). It is the Weibull distribution with scale sqrt(2) s and concentration 2.

    Examples
    --------
    >>> from skvae import MeanField, Rayleigh, VAETransformer
    >>> VAETransformer(posterior=MeanField(Rayleigh()))
    VAETransformer(posterior=MeanField(family=Rayleigh()))
    """

    support = constraints.positive

    def distribution(self, log_scale):
        """Weibull(sqrt(2) exp(log_scale), 2)."""
        scale = math.sqrt(2) * positive(log_scale)
        return densities.Weibull(scale, torch.full_like(scale, 2.0), validate_args=False)

    def push(self, q, u):
        """z = s sqrt(2 e(u))."""
        return q.scale * quantiles.exponential(u).sqrt()


class Gompertz(CodeFamily):
    r"""Gompertz distribution, a family of posteriors: a hazard that grows exponentially.

    .. math:: \ln p(z) = \ln(\eta / s) + z / s - \eta (e^{z / s} - 1)

    Domain: z >= 0. Link: s = exp(raw) up to 10, eta = exp(raw) between e^-5 and e^5. z = s ln(1 - ln(1 - Phi(u)) / eta)
    (Kingma & Welling 2014, section 2.4), prior Gompertz(s = 1, eta = 1).

    Examples
    --------
    >>> from skvae import Gompertz, MeanField, VAETransformer
    >>> VAETransformer(posterior=MeanField(Gompertz()))
    VAETransformer(posterior=MeanField(family=Gompertz()))
    """

    support = constraints.nonnegative
    n_raw = 2

    def distribution(self, log_scale, log_concentration):
        """Gompertz(exp(log_scale), exp(log_concentration))."""
        # A scale beyond 10 would put draws where the prior's density e^(-e^z) is 0 in float32.
        scale = log_scale.clamp(-20.0, math.log(10.0)).exp()
        return densities.Gompertz(scale, log_concentration.clamp(-5.0, 5.0).exp())

    def push(self, q, u):
        """z = s ln(1 + e(u) / eta)."""
        return q.scale * torch.log1p(quantiles.exponential(u) / q.concentration)


class Pareto(CodeFamily):
    r"""Pareto distribution, a family of posteriors.

    .. math:: \ln p(z) = \ln\alpha + \alpha \ln s - (\alpha + 1) \ln z, \qquad z \ge s

    Domain: z >= s >= 1, so that q lies inside the prior Pareto(1, 3). Link: s = exp(softplus(raw)), and alpha = 2 +
    exp(raw), so that the variance is finite. z = s (1 - Phi(u))^(-1/alpha) (Kingma & Welling 2014, section 2.4).

    Examples
    --------
    >>> from skvae import MeanField, Pareto, VAETransformer
    >>> VAETransformer(posterior=MeanField(Pareto()))
    VAETransformer(posterior=MeanField(family=Pareto()))
    """

    support = constraints.greater_than_eq(1.0)
    n_raw = 2

    def distribution(self, raw_scale, log_alpha):
        """Pareto(exp(softplus(raw_scale)), 2 + exp(log_alpha))."""
        return densities.Pareto(
            positive(softplus(raw_scale)), 2 + log_alpha.clamp(-3.0, 10.0).exp(), validate_args=False
        )

    def push(self, q, u):
        """z = s exp(e(u) / alpha)."""
        return q.scale * torch.exp(quantiles.exponential(u) / q.alpha)

    def standard(self, zero):
        """Pareto(1, 3)."""
        one = torch.ones_like(zero)
        return densities.Pareto(one, 3 * one, validate_args=False)


class Reciprocal(CodeFamily):
    r"""Reciprocal or log-uniform distribution, a family of posteriors: ln z is uniform on an interval.

    .. math:: \ln p(z) = -\ln z - \ln\ln(b / a), \qquad a \le z \le b

    Domain: low <= a <= z <= b <= high, so that q lies inside the prior, which is the whole interval. Link: ln a and
    ln b as in `Uniform`. z = a (b / a)^Phi(u) (Kingma & Welling 2014, section 2.4).

    Parameters
    ----------
    low, high : float, default=0.1 and 10.0
        Ends of the prior, 0 < low < high.

    Examples
    --------
    >>> from skvae import MeanField, Reciprocal, VAETransformer
    >>> VAETransformer(posterior=MeanField(Reciprocal(high=100.0)))
    VAETransformer(posterior=MeanField(family=Reciprocal(high=100.0)))
    """

    support = constraints.positive
    n_raw = 2

    def __init__(self, low: float = 0.1, high: float = 10.0):
        self.low = low
        self.high = high

    def distribution(self, position, width):
        """LogUniform on an interval inside [ln low, ln high]."""
        log_low, log_high = self._ends()
        inner = [log_low + (log_high - log_low) * end for end in interval(position, width)]
        return densities.LogUniform(*(end.clamp(log_low, log_high) for end in inner))

    def push(self, q, u):
        """z = exp of a uniform variable."""
        return q.base_dist.icdf(quantiles.tail(u)).exp()

    def standard(self, zero):
        """LogUniform on the whole interval."""
        return densities.LogUniform(*(torch.full_like(zero, end) for end in self._ends()))

    def _ends(self):
        if not (isinstance(self.low, Real) and isinstance(self.high, Real) and 0 < self.low < self.high < math.inf):
            got = f"Got low={self.low!r}, high={self.high!r} instead."
            raise ValueError(f"The parameters of Reciprocal must be floats with 0 < low < high. {got}")
        return math.log(self.low), math.log(self.high)


class Erlang(CodeFamily):
    r"""Erlang distribution, a family of posteriors: the sum of `shape` exponential variables.

    .. math:: \ln p(z) = (k - 1) \ln z - z / s - k \ln s - \ln (k - 1)!

    Domain: z > 0. Link: s = exp(raw). The gamma distribution with a fixed integer concentration (Kingma & Welling 2014,
    section 2.4); prior Erlang(k, 1).

    Parameters
    ----------
    shape : int, default=2
        k.

    Examples
    --------
    >>> from skvae import Erlang, MeanField, VAETransformer
    >>> VAETransformer(posterior=MeanField(Erlang(shape=3)))
    VAETransformer(posterior=MeanField(family=Erlang(shape=3)))
    """

    support = constraints.positive

    def __init__(self, shape: int = 2):
        self.shape = shape

    def distribution(self, log_scale):
        """Gamma(shape, exp(-log_scale))."""
        if not (isinstance(self.shape, Integral) and self.shape >= 1):
            raise ValueError(
                f"The 'shape' parameter of Erlang must be an int in the range [1, inf). Got {self.shape!r}."
            )
        return td.Gamma(torch.full_like(log_scale, float(self.shape)), positive(-log_scale), validate_args=False)

    def push(self, q, u):
        """Inverse CDF, without gradient."""
        return quantiles.gamma(q.concentration, u) / q.rate

    def rsample(self, q, u):
        """Torch's own draws."""
        return q.rsample(u.shape[:1])


class Chi2(CodeFamily):
    r"""Chi-squared distribution, a family of posteriors.

    .. math:: \ln p(z) = (\tfrac d2 - 1) \ln z - \tfrac z2 - \tfrac d2 \ln 2 - \ln\Gamma(\tfrac d2)

    Domain: z > 0. Link: d = 2 exp(raw), at least 0.54. A composition of squared normals (Kingma & Welling 2014, section
    2.4) for real d; prior chi2(2). With one number, its variance is twice its mean.

    Examples
    --------
    >>> from skvae import Chi2, MeanField, VAETransformer
    >>> VAETransformer(posterior=MeanField(Chi2()))
    VAETransformer(posterior=MeanField(family=Chi2()))
    """

    support = constraints.positive

    def distribution(self, log_half_df):
        """Chi2(2 exp(log_half_df))."""
        return td.Chi2(2 * log_half_df.clamp(-1.3, 9.0).exp(), validate_args=False)

    def push(self, q, u):
        """Inverse CDF, without gradient."""
        return quantiles.gamma(q.concentration, u) / q.rate

    def rsample(self, q, u):
        """Torch's own draws."""
        return q.rsample(u.shape[:1])


class FisherSnedecor(CodeFamily):
    r"""F distribution, a family of posteriors: a ratio of chi-squared variables.

    .. math:: \ln p(z) = \text{const} + (\tfrac{d_1}2 - 1) \ln z - \tfrac{d_1 + d_2}2 \ln(1 + d_1 z / d_2)

    Domain: z > 0. Link: d1 = 4 exp(raw), d2 = 4 + 4 exp(raw), so that the variance is finite. A composition of gamma
    variables (Kingma & Welling 2014, section 2.4), prior F(4, 8). Narrow members stand near 1 only.

    Examples
    --------
    >>> from skvae import FisherSnedecor, MeanField, VAETransformer
    >>> VAETransformer(posterior=MeanField(FisherSnedecor()))
    VAETransformer(posterior=MeanField(family=FisherSnedecor()))
    """

    support = constraints.positive
    n_raw = 2

    def distribution(self, log_df1, log_df2):
        """FisherSnedecor(4 exp(log_df1), 4 + 4 exp(log_df2))."""
        df1, df2 = 4 * log_df1.clamp(-2.0, 8.0).exp(), 4 + 4 * log_df2.clamp(-3.0, 8.0).exp()
        return td.FisherSnedecor(df1, df2, validate_args=False)

    def push(self, q, u):
        """Inverse CDF, without gradient."""
        return quantiles.fisher_snedecor(q.df1, q.df2, u)

    def rsample(self, q, u):
        """Torch's own draws."""
        return q.rsample(u.shape[:1])
