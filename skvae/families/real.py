"""Families on the whole line. The contract is in `base.py`, shared code in `recipes.py`."""

import math
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution
from torch.distributions.utils import euler_constant

from .._utils.compat import Interval
from ..distributions import quantiles
from ..distributions import univariate as densities
from ..distributions.smooth import soft_clamp
from .base import CodeInit
from .recipes import CodeFamily, LocationScale, line_start

__all__ = ["FINITE_VARIANCE", "Cauchy", "Gumbel", "Laplace", "Logistic", "StudentT"]

#: Degrees of freedom of a Student t distribution whose variance is finite.
FINITE_VARIANCE = Interval(Real, 2, None, closed="neither")


class Laplace(LocationScale):
    r"""Laplace distribution, whose negative log-density is an absolute error: short name "laplace".

    .. math:: \ln p(x) = -\ln(2 s) - |x - \mu| / s

    Domain: the real line. Link: :math:`\mu` is the raw number, the squared scale is ``floor + exp(raw)``. As a
    posterior z = mu + s e with the inverse CDF of e (Kingma & Welling 2014, section 2.4), prior Laplace(0, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the scale comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest squared scale, in model space.

    See Also
    --------
    Logistic : Tails between this one's and the normal's.
    StudentT : Tails that are heavier still.

    Examples
    --------
    A cell that lies 5 scales out costs 5.7 nats, under a normal 13.4:

    >>> import torch
    >>> from skvae import Gaussian, Laplace
    >>> zero, cell = torch.tensor([0.0]), torch.tensor([5.0])
    >>> Laplace().standard(zero).log_prob(cell), Gaussian().standard(zero).log_prob(cell)
    (tensor([-5.6931]), tensor([-13.4189]))
    """

    unit_variance = 2.0

    def member(self, loc: Tensor, spread: Tensor) -> Distribution:
        """Laplace(loc, sqrt(spread))."""
        return td.Laplace(loc, spread.sqrt(), validate_args=False)

    def quantile(self, u: Tensor) -> Tensor:
        """Laplace(0, 1)."""
        return quantiles.laplace(u)


class Logistic(LocationScale):
    r"""Logistic distribution, tails between the normal's and Laplace's: short name "logistic".

    .. math:: \ln p(x) = -y - 2 \ln(1 + e^{-y}) - \ln s, \qquad y = (x - \mu) / s

    Domain: the real line. Link: :math:`\mu` is the raw number, the squared scale is ``floor + exp(raw)``. As a
    posterior z = mu + s logit(Phi(u)) (Kingma & Welling 2014, section 2.4), prior Logistic(0, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the scale comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest squared scale, in model space.

    See Also
    --------
    Laplace : The same tails, with a peak.
    Gaussian : Lighter tails.

    Examples
    --------
    Smooth at its mode, where Laplace has a kink, and with the same slope -1 of ln p far out:

    >>> import torch
    >>> from skvae import Logistic
    >>> x = torch.tensor([0.0, 10.0], requires_grad=True)
    >>> Logistic().standard(torch.zeros(2)).log_prob(x).sum().backward()
    >>> x.grad.round(decimals=3)
    tensor([ 0., -1.])
    """

    unit_variance = math.pi**2 / 3

    def member(self, loc: Tensor, spread: Tensor) -> Distribution:
        """Logistic(loc, sqrt(spread))."""
        return densities.Logistic(loc, spread.sqrt())

    def quantile(self, u: Tensor) -> Tensor:
        """Logistic(0, 1)."""
        return quantiles.logistic(u)


class Gumbel(LocationScale):
    r"""Gumbel distribution of largest values: short name "gumbel".

    .. math:: \ln p(x) = -y - e^{-y} - \ln s, \qquad y = (x - \mu) / s

    Domain: the real line. Link: :math:`\mu` is the raw number, the squared scale is ``floor + exp(raw)``. As a
    posterior z = mu - s ln(-ln Phi(u)) (Kingma & Welling 2014, section 2.4), prior Gumbel(0, 1).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the scale comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest squared scale, in model space.

    See Also
    --------
    Gompertz : This one mirrored and cut off at 0, for posteriors.
    Logistic : The difference of two such variables.

    Examples
    --------
    Skewed to the right: the mean, Euler's constant, lies above the mode, and large values are less of a surprise:

    >>> import torch
    >>> from skvae import Gumbel
    >>> p = Gumbel().standard(torch.zeros(1))
    >>> p.mean, p.mode
    (tensor([0.5772]), tensor([0.]))
    >>> p.log_prob(torch.tensor([3.0])), p.log_prob(torch.tensor([-3.0]))
    (tensor([-3.0498]), tensor([-17.0855]))
    """

    largest_spread = 400.0  # Gamma(1 + scale) stands in the KL
    unit_mean = euler_constant
    unit_variance = math.pi**2 / 6

    def member(self, loc: Tensor, spread: Tensor) -> Distribution:
        """Gumbel(loc, sqrt(spread))."""
        return densities.Gumbel(loc, spread.sqrt(), validate_args=False)

    def quantile(self, u: Tensor) -> Tensor:
        """Gumbel(0, 1)."""
        return quantiles.gumbel(u)


class StudentT(LocationScale):
    r"""Student's t distribution, noise that is robust to outliers: short name "student_t".

    .. math:: \ln p(x) = \text{const} - \ln s - \tfrac{\nu + 1}2 \ln(1 + y^2 / \nu), \qquad y = (x - \mu) / s

    Domain: the real line. The number of degrees of freedom is fixed. Link: :math:`\mu` is the raw number, the squared
    scale is ``floor + exp(raw)``. As a posterior z = mu + s e (Kingma & Welling 2014, section 2.4), prior
    Student t(df, 0, 1).

    Parameters
    ----------
    df : float, default=4.0
        Degrees of freedom, above 2 so that the variance is finite.
    noise : {"feature", "row"}, default="feature"
        Where the scale comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest squared scale, in model space.

    See Also
    --------
    Elliptical : A joint Student t, for posteriors.
    Cauchy : One degree of freedom, for posteriors.

    Examples
    --------
    A table of which one cell in fifty is ten times too large:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import StudentT, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> X[np.random.default_rng(0).random(X.shape) < 0.02] *= 10
    >>> forgiving = VAETransformer(2, likelihood=StudentT(df=3.0), max_iter=0).fit(X)
    >>> round(forgiving.score(X), 1), round(VAETransformer(2, max_iter=0).fit(X).score(X), 1)  # nats per row
    (-6.2, -10.7)
    """

    heavy_tails = True
    _parameter_constraints = {**LocationScale._parameter_constraints, "df": [FINITE_VARIANCE]}

    def __init__(self, df: float = 4.0, noise: str = "feature", floor: float = 1e-3) -> None:
        super().__init__(noise, floor)
        self.df = df

    @property
    def unit_variance(self) -> float:  # type: ignore[override]
        """df / (df - 2)."""
        return self.df / (self.df - 2)

    def member(self, loc: Tensor, spread: Tensor) -> Distribution:
        """StudentT(df, loc, sqrt(spread))."""
        return densities.StudentT(torch.full_like(loc, self.df), loc, spread.sqrt())

    def quantile(self, u: Tensor) -> Tensor:
        """Student t(df, 0, 1), by scipy: df is fixed, so nothing is to be differentiated."""
        return quantiles.student_t(self.df, u)

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Torch's own draws, whose gradient is implicit."""
        return q.rsample(u.shape[:1])


class Cauchy(CodeFamily):
    r"""Cauchy distribution, a family of posteriors: short name "cauchy".

    .. math:: \ln p(z) = -\ln(\pi s) - \ln(1 + y^2), \qquad y = (z - \mu) / s

    Domain: the real line. Link: :math:`\mu` is the raw number, the scale is ``exp(raw / 2)``. z = mu + s tan(pi (Phi(u)
    - 1/2)) (Kingma & Welling 2014, section 2.4), prior Cauchy(0, 1). It has no mean: transform gives the location, and
    under a linear decoder a Gaussian likelihood has no expectation either; `Cauchy` and `StudentT` suit each other.

    See Also
    --------
    StudentT : Heavy tails with a mean and a variance.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Cauchy, MeanField, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, posterior=MeanField(Cauchy()), likelihood="student_t", max_iter=0).fit(X)
    >>> vae.encode(X[:1]).mean
    tensor([[nan, nan]], dtype=torch.float64)
    >>> vae.transform(X[:1]).shape
    (1, 2)
    """

    n_raw = 2
    location_scale = True

    def distribution(self, loc: Tensor, log_square: Tensor) -> Distribution:
        """Cauchy(loc, exp(log_square / 2))."""
        return td.Cauchy(loc, soft_clamp(log_square / 2, -10.0, 10.0).exp(), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = loc + scale e(u)."""
        return q.loc + q.scale * quantiles.cauchy(u)

    def center(self, q: Any) -> Tensor:
        """The location, which is the median."""
        return q.loc

    def code_start(self, mean: np.ndarray, projection: np.ndarray, variance: np.ndarray) -> CodeInit:
        """No moments: the slope of the quantile map at the median, dz/dt = pi / sqrt(2 pi), takes their place."""
        return line_start(mean, projection, variance, 0.0, math.sqrt(math.pi / 2))
