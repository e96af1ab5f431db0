"""Families on the positive half-line. The contract is in `base.py`, shared code in `recipes.py`."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution, constraints
from torch.nn.functional import softplus

from .._utils.checks import COUNT, POSITIVE
from ..distributions import quantiles
from ..distributions import univariate as densities
from ..distributions.smooth import soft_clamp
from .bounded import interval, rounded_into
from .recipes import LARGEST_LOG, CodeFamily, SpreadFamily, log_link, positive

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
    r"""Log-normal distribution, ln x is normal: short name "log_normal".

    .. math:: \ln p(x) = -\ln x - \tfrac12 \ln(2\pi\sigma^2) - (\ln x - \mu)^2 / (2\sigma^2)

    Positive columns whose spread grows with their size. Domain: x > 0. Link: :math:`\mu` is the raw number,
    :math:`\sigma^2` is ``floor + exp(raw)``. As a posterior z = exp(mu + sigma u) (Kingma & Welling 2014, section 2.4),
    prior LogNormal(0, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the variance of ln x comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest variance of ln x.

    See Also
    --------
    Gamma : Another family of positive values, with lighter tails.
    ZeroInflatedLogNormal : The same with exact zeros.
    Gaussian : The same for a table of ln x, whose scores then have another unit.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import LogNormal, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> X = np.exp(rng.normal(size=(300, 1)) + rng.normal(size=(300, 4)))
    >>> vae = VAETransformer(1, likelihood=LogNormal(), max_iter=0).fit(X)
    >>> round(vae.score(X), 1), round(VAETransformer(1, max_iter=0).fit(X).score(X), 1)  # nats per row
    (-6.9, -12.6)
    >>> int((vae.sample(1000, random_state=0) <= 0).sum())
    0
    """

    support = constraints.positive
    units = "scale"
    interior = 1.0
    largest_spread = 20.0

    def member(self, loc: Tensor, spread: Tensor) -> Distribution:
        """LogNormal(loc, sqrt(spread))."""
        return td.LogNormal(soft_clamp(loc, -LARGEST_LOG, LARGEST_LOG), spread.sqrt(), validate_args=False)

    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """Log link; sigma^2 = ln(1 + c), c the squared coefficient of variation of the noise."""
        weight, log_mean, second = log_link(mean, loadings)
        spread = np.log1p(noise / second)
        return weight, log_mean - spread / 2, spread

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = exp(loc + scale u)."""
        return torch.exp(q.loc + q.scale * u)


class Gamma(SpreadFamily):
    r"""Gamma distribution with mean m and squared coefficient of variation c: short name "gamma".

    .. math:: \ln p(x) = a \ln b - \ln\Gamma(a) + (a - 1) \ln x - b x, \qquad a = 1 / c, \; b = a / m

    Domain: x > 0. Link: m = exp(raw), c = ``floor + exp(raw)``, at most 4. As a posterior its draws are differentiated
    implicitly, as torch does, and scored through scipy's inverse CDF; prior Gamma(1, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where c comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest c.

    See Also
    --------
    LogNormal : Another family of positive values, with heavier tails.
    ZeroInflatedGamma : The same with exact zeros.
    Erlang : A fixed integer concentration, for posteriors.

    Examples
    --------
    The standard deviation is in proportion to the mean, whatever the code:

    >>> import numpy as np
    >>> from skvae import Gamma, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(2.0, np.exp(rng.normal(size=(300, 1))), size=(300, 3))
    >>> p = VAETransformer(1, likelihood=Gamma(), max_iter=0, random_state=0).fit(X).decode([[-1.0], [1.0]])
    >>> (p.variance / p.mean**2).numpy().round(2)
    array([[0.96, 1.12, 1.  ],
           [0.96, 1.12, 1.  ]])
    """

    support = constraints.positive
    units = "scale"
    interior = 1.0
    largest_spread = 4.0
    posterior_floor = 1e-4  # above it float32 keeps the KL to 0.01 nats

    def member(self, log_mean: Tensor, spread: Tensor) -> Distribution:
        """Gamma(1 / spread, 1 / (spread mean))."""
        return td.Gamma(1 / spread, 1 / (spread * positive(log_mean)), validate_args=False)

    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """Log link; c = noise / E[m^2]."""
        weight, log_mean, second = log_link(mean, loadings)
        return weight, log_mean, noise / second

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Inverse CDF, without gradient."""
        return quantiles.gamma(q.concentration, u) / q.rate

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Torch's own draws, whose gradient is implicit."""
        return q.rsample(u.shape[:1])


class Exponential(CodeFamily):
    r"""Exponential distribution, a family of posteriors: short name "exponential".

    .. math:: \ln p(z) = -\ln m - z / m

    Domain: z >= 0. Link: the mean is m = exp(raw). z = -m ln(1 - Phi(u)) (Kingma & Welling 2014, section 2.4), prior
    Exponential(1). With a single parameter its standard deviation equals its mean.

    See Also
    --------
    Gamma : Two numbers, mean and spread.
    Weibull : Two numbers, and an elementary inverse CDF.

    Examples
    --------
    Codes are positive, and a row whose code is near 0 is known well:

    >>> import torch
    >>> from skvae import Exponential
    >>> q = Exponential().distribution(torch.tensor([-3.0, 0.0]))
    >>> q.mean, q.stddev
    (tensor([0.0498, 1.0000]), tensor([0.0498, 1.0000]))
    """

    support = constraints.nonnegative

    def distribution(self, log_mean: Tensor) -> Distribution:
        """Exponential(exp(-log_mean))."""
        return td.Exponential(positive(-log_mean), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = mean * e(u)."""
        return quantiles.exponential(u) / q.rate


class Weibull(CodeFamily):
    r"""Weibull distribution, a family of posteriors: short name "weibull".

    .. math:: \ln p(z) = \ln(k / s) + (k - 1) \ln y - y^k, \qquad y = z / s

    Domain: z > 0. Link: s = exp(raw), k = exp(raw) between 1/3 and 200. z = s (-ln(1 - Phi(u)))^(1/k) (Kingma & Welling
    2014, section 2.4), prior Weibull(1, 1).

    See Also
    --------
    Gamma : Also with scale and shape; its draws are differentiated implicitly.
    Rayleigh : The concentration fixed at 2.

    Examples
    --------
    A concentration of 50 is a narrow code near the scale, and its KL to a gamma prior has a closed form:

    >>> import torch
    >>> from skvae import Gamma, Weibull
    >>> q = Weibull().distribution(torch.tensor([0.0]), torch.tensor([50.0]).log())
    >>> q.mean, q.stddev
    (tensor([0.9888]), tensor([0.0250]))
    >>> torch.distributions.kl_divergence(q, Gamma().standard(torch.zeros(1))).round(decimals=2)
    tensor([3.3400])
    """

    support = constraints.positive
    n_raw = 2

    def distribution(self, log_scale: Tensor, log_concentration: Tensor) -> Distribution:
        """Weibull(exp(log_scale), exp(log_concentration))."""
        concentration = soft_clamp(log_concentration, -math.log(3.0), math.log(200.0)).exp()
        return densities.Weibull(positive(log_scale), concentration, validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = s e(u)^(1/k)."""
        return q.scale * quantiles.exponential(u) ** q.concentration_reciprocal


class Rayleigh(CodeFamily):
    r"""Rayleigh distribution, a family of posteriors: short name "rayleigh".

    .. math:: \ln p(z) = \ln z - 2 \ln s - z^2 / (2 s^2)

    The length of a normal vector in the plane. Domain: z > 0. Link: s = exp(raw). z = s sqrt(-2 ln(1 - Phi(u))) (Kingma
    & Welling 2014, section 2.4), prior Rayleigh(1). It is the Weibull distribution with scale sqrt(2) s and
    concentration 2.

    See Also
    --------
    Weibull : The same with a free concentration.

    Examples
    --------
    The median is s sqrt(2 ln 2):

    >>> import torch
    >>> from skvae import Rayleigh
    >>> q = Rayleigh().distribution(torch.tensor([0.0]))
    >>> Rayleigh().push(q, torch.zeros(1, 1, 1))
    tensor([[[1.1774]]])
    """

    support = constraints.positive

    def distribution(self, log_scale: Tensor) -> Distribution:
        """Weibull(sqrt(2) exp(log_scale), 2)."""
        scale = math.sqrt(2) * positive(log_scale)
        return densities.Weibull(scale, torch.full_like(scale, 2.0), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = s sqrt(2 e(u))."""
        return q.scale * quantiles.exponential(u).sqrt()


class Gompertz(CodeFamily):
    r"""Gompertz distribution, a family of posteriors: short name "gompertz".

    .. math:: \ln p(z) = \ln(\eta / s) + z / s - \eta (e^{z / s} - 1)

    Its hazard grows exponentially. Domain: z >= 0. Link: s = exp(raw) up to 10, eta = exp(raw) between e^-5 and e^5.
    z = s ln(1 - ln(1 - Phi(u)) / eta) (Kingma & Welling 2014, section 2.4), prior Gompertz(s = 1, eta = 1).

    See Also
    --------
    Exponential : A constant hazard.
    Gumbel : This family mirrored, and not cut off at 0.

    Examples
    --------
    Large codes are cut off: one draw in a thousand exceeds 2.07, of an exponential variable 6.91.

    >>> import torch
    >>> from scipy.stats import norm
    >>> from skvae import Exponential, Gompertz
    >>> u, zero = torch.tensor(norm.isf(0.001)).reshape(1, 1, 1), torch.zeros(1)
    >>> Gompertz().push(Gompertz().standard(zero), u).item(), Exponential().push(Exponential().standard(zero), u).item()
    (2.067..., 6.907...)
    """

    support = constraints.nonnegative
    n_raw = 2

    def distribution(self, log_scale: Tensor, log_concentration: Tensor) -> Distribution:
        """Gompertz(exp(log_scale), exp(log_concentration))."""
        # A scale beyond 10 would put draws where the prior's density e^(-e^z) is 0 in float32.
        scale = soft_clamp(log_scale, -20.0, math.log(10.0)).exp()
        return densities.Gompertz(scale, soft_clamp(log_concentration, -5.0, 5.0).exp())

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = s ln(1 + e(u) / eta)."""
        return q.scale * torch.log1p(quantiles.exponential(u) / q.concentration)


class Pareto(CodeFamily):
    r"""Pareto distribution, a family of posteriors: short name "pareto".

    .. math:: \ln p(z) = \ln\alpha + \alpha \ln s - (\alpha + 1) \ln z, \qquad z \ge s

    Domain: z >= s >= 1, so that q lies inside the prior Pareto(1, 3). Link: s = exp(softplus(raw)), and alpha = 2 +
    exp(raw), so that the variance is finite. z = s (1 - Phi(u))^(-1/alpha) (Kingma & Welling 2014, section 2.4).

    See Also
    --------
    Exponential : What ln(z / s) is.
    Reciprocal : A power law on an interval.

    Examples
    --------
    No number of the network puts a code below 1:

    >>> import torch
    >>> from skvae import Pareto
    >>> Pareto().distribution(torch.tensor([-9.0, 0.0, 9.0]), torch.zeros(3)).scale
    tensor([1.0001e+00, 2.0000e+00, 8.1041e+03])
    """

    support = constraints.greater_than_eq(1.0)
    n_raw = 2

    def distribution(self, raw_scale: Tensor, log_alpha: Tensor) -> Distribution:
        """Pareto(exp(softplus(raw_scale)), 2 + exp(log_alpha))."""
        scale = softplus(soft_clamp(raw_scale, -15.0, LARGEST_LOG)).exp()
        return densities.Pareto(scale, 2 + soft_clamp(log_alpha, -3.0, 10.0).exp(), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = s exp(e(u) / alpha)."""
        return q.scale * torch.exp(quantiles.exponential(u) / q.alpha)

    def standard(self, zero: Tensor) -> Distribution:
        """Pareto(1, 3)."""
        one = torch.ones_like(zero)
        return densities.Pareto(one, 3 * one, validate_args=False)


class Reciprocal(CodeFamily):
    r"""Reciprocal or log-uniform distribution, a family of posteriors: short name "reciprocal".

    .. math:: \ln p(z) = -\ln z - \ln\ln(b / a), \qquad a \le z \le b

    ln z is uniform on an interval. Domain: low <= a <= z <= b <= high, so that q lies inside the prior, which is the
    whole interval. Link: ln a and ln b as in `Uniform`. z = a (b / a)^Phi(u) (Kingma & Welling 2014, section 2.4).

    Parameters
    ----------
    low : float, default=0.1
        Lower end of the prior, above 0.
    high : float, default=10.0
        Upper end of the prior, above `low`.

    See Also
    --------
    Uniform : The same without the logarithm.
    Pareto : A power law without an upper end.

    Examples
    --------
    The median of the prior is the geometric mean of its ends:

    >>> import torch
    >>> from skvae import Reciprocal
    >>> family = Reciprocal(low=0.1, high=10.0)
    >>> family.push(family.standard(torch.zeros(1)), torch.zeros(1, 1, 1)).round(decimals=4)
    tensor([[[1.]]])
    """

    support = constraints.positive
    n_raw = 2
    _parameter_constraints = {"low": [POSITIVE], "high": [POSITIVE]}

    def __init__(self, low: float = 0.1, high: float = 10.0) -> None:
        self.low = low
        self.high = high

    def check(self) -> None:
        """Also that `low` lies below `high`."""
        super().check()
        if self.low >= self.high:
            raise ValueError(f"Reciprocal needs 0 < low < high. Got low={self.low!r}, high={self.high!r} instead.")

    def distribution(self, position: Tensor, width: Tensor) -> Distribution:
        """LogUniform on an interval inside [ln low, ln high]."""
        log_low, log_high = self._ends()
        inner = [log_low + (log_high - log_low) * end for end in interval(position, width)]
        return densities.LogUniform(*(rounded_into(end, log_low, log_high) for end in inner))

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = exp of a uniform variable."""
        return q.base_dist.icdf(quantiles.tail(u)).exp()

    def standard(self, zero: Tensor) -> Distribution:
        """LogUniform on the whole interval."""
        return densities.LogUniform(*(torch.full_like(zero, end) for end in self._ends()))

    def _ends(self) -> tuple[float, float]:
        return math.log(self.low), math.log(self.high)


class Erlang(CodeFamily):
    r"""Erlang distribution, a family of posteriors: short name "erlang".

    .. math:: \ln p(z) = (k - 1) \ln z - z / s - k \ln s - \ln (k - 1)!

    The sum of k exponential variables. Domain: z > 0. Link: s = exp(raw). The gamma distribution with a fixed integer
    concentration (Kingma & Welling 2014, section 2.4); prior Erlang(k, 1).

    Parameters
    ----------
    shape : int, default=2
        Number of exponential variables, k.

    See Also
    --------
    Gamma : The same with a trained concentration.
    Exponential : One variable.

    Examples
    --------
    Mean and variance of a sum of three:

    >>> import torch
    >>> from skvae import Erlang
    >>> p = Erlang(shape=3).standard(torch.zeros(1))
    >>> p.mean, p.variance
    (tensor([3.]), tensor([3.]))
    """

    support = constraints.positive
    _parameter_constraints = {"shape": [COUNT]}

    def __init__(self, shape: int = 2) -> None:
        self.shape = shape

    def distribution(self, log_scale: Tensor) -> Distribution:
        """Gamma(shape, exp(-log_scale))."""
        return td.Gamma(torch.full_like(log_scale, float(self.shape)), positive(-log_scale), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Inverse CDF, without gradient."""
        return quantiles.gamma(q.concentration, u) / q.rate

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Torch's own draws, whose gradient is implicit."""
        return q.rsample(u.shape[:1])


class Chi2(CodeFamily):
    r"""Chi-squared distribution, a family of posteriors: short name "chi2".

    .. math:: \ln p(z) = (\tfrac d2 - 1) \ln z - \tfrac z2 - \tfrac d2 \ln 2 - \ln\Gamma(\tfrac d2)

    Domain: z > 0. Link: d = 2 exp(raw), at least 0.54. A composition of squared normals (Kingma & Welling 2014, section
    2.4) for real d; prior chi2(2). With a single parameter, its variance is twice its mean.

    See Also
    --------
    Gamma : Mean and variance apart.
    FisherSnedecor : The ratio of two.

    Examples
    --------
    The prior chi2(2) is the exponential distribution with mean 2:

    >>> import torch
    >>> from skvae import Chi2
    >>> p = Chi2().standard(torch.zeros(1))
    >>> p.mean, p.variance
    (tensor([2.]), tensor([4.]))
    """

    support = constraints.positive

    def distribution(self, log_half_df: Tensor) -> Distribution:
        """Chi2(2 exp(log_half_df))."""
        return td.Chi2(2 * soft_clamp(log_half_df, -1.3, 9.0).exp(), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Inverse CDF, without gradient."""
        return quantiles.gamma(q.concentration, u) / q.rate

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Torch's own draws, whose gradient is implicit."""
        return q.rsample(u.shape[:1])


class FisherSnedecor(CodeFamily):
    r"""F distribution, a family of posteriors: short name "fisher_snedecor".

    .. math:: \ln p(z) = \text{const} + (\tfrac{d_1}2 - 1) \ln z - \tfrac{d_1 + d_2}2 \ln(1 + d_1 z / d_2)

    A ratio of chi-squared variables. Domain: z > 0. Link: d1 = 4 exp(raw), d2 = 4 + 4 exp(raw), so that the variance is
    finite. A composition of gamma variables (Kingma & Welling 2014, section 2.4), prior F(4, 8). Narrow members exist
    only near 1.

    See Also
    --------
    Chi2 : One such variable.
    LogNormal : Positive codes that can be narrow anywhere.

    Examples
    --------
    The mean is d2 / (d2 - 2), 8 / 6 in the prior, and near 1 where it is narrow:

    >>> import torch
    >>> from skvae import FisherSnedecor
    >>> FisherSnedecor().standard(torch.zeros(1)).mean
    tensor([1.3333])
    >>> q = FisherSnedecor().distribution(torch.tensor([6.0]), torch.tensor([6.0]))
    >>> q.mean, q.stddev
    (tensor([1.0012]), tensor([0.0499]))
    """

    support = constraints.positive
    n_raw = 2

    def distribution(self, log_df1: Tensor, log_df2: Tensor) -> Distribution:
        """FisherSnedecor(4 exp(log_df1), 4 + 4 exp(log_df2))."""
        df1, df2 = 4 * soft_clamp(log_df1, -2.0, 8.0).exp(), 4 + 4 * soft_clamp(log_df2, -3.0, 8.0).exp()
        return td.FisherSnedecor(df1, df2, validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Inverse CDF, without gradient."""
        return quantiles.fisher_snedecor(q.df1, q.df2, u)

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Torch's own draws, whose gradient is implicit."""
        return q.rsample(u.shape[:1])
