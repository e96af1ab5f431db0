"""Families of zeros and ones, categories and counts; all for likelihoods. The contract is in `base.py`."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from scipy.special import logit, ndtr
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution, constraints

from .._utils.checks import COUNT
from .._utils.compat import Interval
from ..distributions import discrete as densities
from ..distributions.smooth import soft_clamp
from .base import Family, Init
from .recipes import LARGEST_LOG, LARGEST_LOGIT, NoiseFamily, SpreadFamily, log_link, logit_link, positive

__all__ = [
    "Bernoulli",
    "Categorical",
    "Constant",
    "NegativeBinomial",
    "Ordinal",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
]

#: What names a column of exposures: a name, or a position from the first column.
EXPOSURE = [str, Interval(Integral, 0, None, closed="left"), None]


class Bernoulli(Family):
    r"""Bernoulli distribution over 0 and 1: short name "bernoulli".

    .. math:: \ln p(x) = x \ln \pi + (1 - x) \ln(1 - \pi)

    Domain: {0, 1}. Link: the raw number is the logit of :math:`\pi`. "auto" is this family for columns of booleans, and
    for arrays of zeros and ones. Means are probabilities, draws are zeros and ones.

    See Also
    --------
    ContinuousBernoulli : Fractions, which may lie between.
    Categorical : More than two values.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import Bernoulli, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> X = (rng.normal(size=(300, 1)) + rng.normal(size=(300, 3)) > 1).astype(float)
    >>> vae = VAETransformer(1, likelihood=Bernoulli(), max_iter=0).fit(X)
    >>> mean = vae.inverse_transform([[1.0]])
    >>> bool(((0 < mean) & (mean < 1)).all()), np.unique(vae.sample(100, random_state=0))
    (True, array([0., 1.]))
    """

    support = constraints.boolean
    units = None
    reparameterized = False

    def distribution(self, logits: Tensor) -> Distribution:
        """Bernoulli(logits)."""
        return densities.Bernoulli(logits=logits, validate_args=False)

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Margins and slopes: d logit / dz = cov(x, z) / (p (1 - p)); the bias keeps E[x] = p under z ~ N(0, I)."""
        return *logit_link(mean, loadings), []

    def information_noise(self, mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """p (1 - p)."""
        return np.maximum(mean * (1 - mean), 1e-6)


class Categorical(Family):
    r"""Categorical distribution over the category indices 0 .. C - 1: short name "categorical".

    .. math:: \ln p(x) = \ln\pi_x

    Domain: {0, ..., C - 1}. Link: C raw numbers, :math:`\pi` is their softmax. "auto" is this family for categories of
    a frame. Decoding gives the most probable category, since categories have no mean; `noise_variance_` is the variance
    of the indices.

    Parameters
    ----------
    n_classes : int, optional
        Number of categories, C; taken from each column's data (the largest index plus one) where it is not given.

    See Also
    --------
    Ordinal : Ordered categories.
    CategoricalPosterior : Classes as latent codes.

    Examples
    --------
    Three species beside four measures, and the most probable one given these:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Categorical, VAETransformer
    >>> X = np.column_stack(load_iris(return_X_y=True))
    >>> vae = VAETransformer(2, likelihood=[(Categorical(), [4])], max_iter=0).fit(X)
    >>> vae.likelihoods_["x4"]
    Categorical(n_classes=3)
    >>> X[0, 4] = np.nan
    >>> vae.impute(X)[0]
    array([5.1, 3.5, 1.4, 0.2, 0. ])
    """

    units = None
    nominal = True
    shares_softmax = True
    reparameterized = False
    _parameter_constraints = {"n_classes": [COUNT, None]}

    def __init__(self, n_classes: int | None = None) -> None:
        self.n_classes = n_classes

    @property
    def n_raw(self) -> int:  # type: ignore[override]
        """The number of grades C."""
        return _known(self)

    @property
    def support(self) -> constraints.Constraint:  # type: ignore[override]
        """The category indices 0 .. C - 1."""
        return constraints.integer_interval(0, self.n_raw - 1)

    def for_column(self, values: np.ndarray) -> Family:
        """With C from the data where it is not given."""
        if self.n_classes is not None:
            return self
        return Categorical(int(max(values.max(initial=0), 0)) + 1)

    def split(self, raw: Tensor, n: int) -> Sequence[Tensor]:
        """The C logits of each column, (..., n, C)."""
        return [raw.unflatten(-1, (n, self.n_raw))]

    def distribution(self, logits: Tensor) -> Distribution:
        """Category indices with C logits each, (..., n, C)."""
        return densities.CategoryIndex(logits)

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Margins and slopes: d ln pi_c / dz = cov([x = c], z) / p_c, and exp(ln pi_c) keeps its mean p_c."""
        p = np.maximum(mean, 1e-6)
        weight = np.clip(loadings / p[:, None], -3.0, 3.0)  # a slope of 3 spans the whole of (0, 1)
        return weight, np.log(p) - np.square(weight).sum(1) / 2, []

    def information_noise(self, mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """p_c: with slopes loadings / p_c the information is sum_c p_c slope_c slope_c'."""
        return np.maximum(mean, 1e-6)


class Ordinal(Family):
    r"""Cumulative logit model of ordered category indices 0 .. C - 1: short name "ordinal".

    .. math:: P(x \le c) = \sigma(\theta_c - \eta), \qquad \theta_0 < \theta_1 < \dots < \theta_{C-2}

    Domain: {0, ..., C - 1}. Link: the raw number is :math:`\eta`; the thresholds are trained numbers of the column,
    :math:`\theta_0` and the logarithms of the increments. So the network gives one number per row, where `Categorical`
    needs C, and a larger one means higher grades. Decoding gives the most probable grade; `noise_variance_` is the
    variance of the indices.

    Parameters
    ----------
    n_classes : int, optional
        Number of grades, C, at least 2; taken from each column's data (the largest index plus one) where it is not
        given.

    See Also
    --------
    Categorical : Categories without an order.
    Poisson : Counts, which have no largest one.

    References
    ----------
    McCullagh, P. (1980). Regression models for ordinal data. Journal of the Royal Statistical Society B 42, 109-142.

    Examples
    --------
    Three grades with thresholds -1 and -1 + exp(0.5):

    >>> import torch
    >>> from skvae import Ordinal
    >>> thresholds = torch.tensor([-1.0]), torch.tensor([0.5])
    >>> Ordinal(n_classes=3).distribution(torch.tensor([2.0]), *thresholds).probs
    tensor([[0.0474, 0.1582, 0.7943]])
    """

    units = None
    reparameterized = False
    _parameter_constraints = {"n_classes": [Interval(Integral, 2, None, closed="left"), None]}

    def __init__(self, n_classes: int | None = None) -> None:
        self.n_classes = n_classes

    @property
    def support(self) -> constraints.Constraint:  # type: ignore[override]
        """The category indices 0 .. C - 1."""
        return constraints.integer_interval(0, self._n_thresholds())

    def for_column(self, values: np.ndarray) -> Family:
        """With C from the data where it is not given."""
        if self.n_classes is not None:
            return self
        return Ordinal(max(int(values.max(initial=0)) + 1, 2))

    def distribution(self, eta: Tensor, first: Tensor, *log_gaps: Tensor) -> Distribution:
        """Ordered categories with thresholds first, first + exp(log_gaps[0]), ..."""
        numbers = torch.stack([first, *(positive(log_gap) for log_gap in log_gaps)], -1)
        return densities.OrderedCategoryIndex(eta, *numbers.split([1, len(log_gaps)], -1))

    @property
    def n_categories(self) -> int | None:
        """The number of grades C."""
        return self._n_thresholds() + 1

    def own_numbers(self, n: int) -> list[tuple[np.ndarray, bool]]:
        """theta_0 and the log increments, trained; as they stand, thresholds with distance 1 around 0."""
        n_gaps = self._n_thresholds() - 1
        return [(np.full(n, -n_gaps / 2), True), *((np.zeros(n), True) for _ in range(n_gaps))]

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Margins of a normal variable cut at c + 1/2, and the covariances of the indices with z.

        With MacKay's E[sigmoid(t - w z)] = sigmoid(t / k), k^2 = 1 + pi |w|^2 / 8, margins F_c need
        theta_c = k logit F_c, and cov(x, z) = w / k sum_c F_c (1 - F_c).
        """
        # Sheppard: rounding adds 1/12 to the variance. Grades cannot be told apart by less than the floor.
        spread = np.sqrt(np.maximum(np.square(loadings).sum(1) + noise - 1 / 12, 0.05))
        cuts = np.arange(self._n_thresholds())[:, None] + 0.5
        F = np.clip(ndtr((cuts - mean) / spread), 1e-4, 1 - 1e-4)
        ratio = loadings / (F * (1 - F)).sum(0)[:, None]
        unattenuated = ratio / np.sqrt(np.maximum(1 - np.pi / 8 * np.square(ratio).sum(1, keepdims=True), 0.1))
        slope = np.clip(unattenuated, -3.0, 3.0)  # as in `logit_link`
        theta = np.sqrt(1 + np.pi / 8 * np.square(slope).sum(1)) * logit(F)
        # Grades far from the mean share a clipped F; each keeps a tenth of a logit.
        return slope, np.zeros_like(mean), [theta[0], *np.log(np.maximum(np.diff(theta, axis=0), 0.1))]

    def _n_thresholds(self) -> int:
        """The number of thresholds, one fewer than grades."""
        return _known(self) - 1


def _known(family: "Categorical | Ordinal") -> int:
    """The number of categories of a family, once it has seen its column."""
    if family.n_classes is None:
        raise ValueError(
            f"The number of categories of {family!r} is taken from the data: call for_column, or set n_classes."
        )
    return int(family.n_classes)


class Poisson(Family):
    r"""Poisson distribution, counts whose variance is their mean: short name "poisson".

    .. math:: \ln p(x) = x \ln\lambda - \lambda - \ln x!

    Domain: {0, 1, ...}. Link: :math:`\lambda` = exp(raw), and e exp(raw) with an exposure e.

    Parameters
    ----------
    exposure : str or int, optional
        Name or position of one of the `conditions`, such as days under observation or a size factor: the mean is m e,
        with e the exposure over its average in `fit`. It is positive and never missing.

    See Also
    --------
    NegativeBinomial : Counts that vary more.
    ZeroInflatedPoisson : Counts with more zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import Poisson, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.exp(0.5 * rng.normal(size=(300, 1)) + 1), size=(300, 3))
    >>> vae = VAETransformer(1, likelihood=Poisson(), max_iter=0).fit(X)
    >>> round(vae.score(X), 1), round(VAETransformer(1, max_iter=0).fit(X).score(X), 1)  # a probability, a density
    (-6.2, -6.4)
    >>> vae.sample(2, random_state=0) % 1
    array([[0., 0., 0.],
           [0., 0., 0.]])

    Visits in so many days; twice as many days have twice as many visits:

    >>> days = rng.integers(1, 30, size=(300, 1))
    >>> X = np.hstack([rng.poisson(days * np.exp(0.5 * rng.normal(size=(300, 1)) - 1), size=(300, 3)), days])
    >>> vae = VAETransformer(1, conditions=[3], likelihood=Poisson(exposure=3), max_iter=0).fit(X)
    >>> week, fortnight = (vae.inverse_transform([[0.5]], given={3: days})[0, :3] for days in (7, 14))
    >>> (fortnight / week).round(4)
    array([2., 2., 2.])
    """

    support = constraints.nonnegative_integer
    units = None
    reparameterized = False
    _parameter_constraints = {"exposure": EXPOSURE}

    def __init__(self, exposure: str | int | None = None) -> None:
        self.exposure = exposure

    def distribution(self, log_mean: Tensor) -> Distribution:
        """Poisson(exp(log_mean))."""
        return td.Poisson(positive(log_mean), validate_args=False)

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """The log mean is linear in z, by `log_link`."""
        weight, bias, _ = log_link(mean, loadings)
        return weight, bias, []

    def information_noise(self, mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The mean, which is the variance."""
        return np.maximum(mean, 1e-6)


class Constant(Family):
    """A point mass, for columns of numbers with a single value, or none.

    `fit` chooses it, whatever the `likelihood` is, for columns without two different values. Every method returns the
    single value of such a column (or a missing one, if `fit` saw none); it adds 0 nats to a score, and the networks do
    not see it. A cell with another value costs 20 nats in `score_samples` and `score_columns`, the log-probability of
    one in 5e8. So scores of two tables are comparable on the columns that vary in both.

    See Also
    --------
    Categorical : A category with one level has probability 1, too.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> X = np.column_stack([np.random.default_rng(0).normal(size=(200, 2)), np.full(200, 0.005)])
    >>> vae = VAETransformer(1, max_iter=0).fit(X)
    >>> vae.likelihoods_["x2"], vae.sample(2, random_state=0)[:, 2]
    (Constant(), array([0.005, 0.005]))
    >>> vae.score_columns([[0.0, 0.0, 0.005], [0.0, 0.0, 7.0]])[:, 2]
    array([  0., -20.])
    """

    def distribution(self, number: Tensor) -> Distribution:
        """PointMass at 0, which does not read the number."""
        return densities.PointMass(torch.zeros_like(number))

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Zeros, since nothing reads them."""
        return np.zeros_like(loadings), np.zeros_like(mean), []

    def tie_noise(self, noise: np.ndarray) -> np.ndarray:
        """1: no linear model is solved for the column."""
        return np.ones_like(noise)

    def for_column(self, values: np.ndarray) -> "Constant":
        """This one; of a column with several values an error."""
        if len(values) and values.min() < values.max():
            low, high = values.min(), values.max()
            raise ValueError(f"Constant() is the likelihood of a column of one value; one goes from {low} to {high}.")
        return self


class NegativeBinomial(SpreadFamily):
    r"""Negative binomial distribution, counts with variance m + d m^2: short name "negative_binomial".

    .. math:: p(x) = \frac{\Gamma(x + r)}{x!\, \Gamma(r)} (1 - \pi)^r \pi^x, \qquad r = 1 / d, \; \pi = d m / (1 + d m)

    Domain: {0, 1, ...}. Its mean is m, its dispersion d. Link: m = exp(raw), and e exp(raw) with an exposure e;
    d = ``floor + exp(raw)``.

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the dispersion comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest dispersion.
    exposure : str or int, optional
        Name or position of one of the `conditions`, such as days under observation or a size factor: the mean is m e,
        with e the exposure over its average in `fit`. It is positive and never missing.

    See Also
    --------
    Poisson : The limit without overdispersion.
    ZeroInflatedNegativeBinomial : The same with more zeros.

    Examples
    --------
    Counts whose rate varies beyond what the code explains:

    >>> import numpy as np
    >>> from skvae import NegativeBinomial, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.exp(rng.normal(size=(300, 1))) * rng.gamma(1.0, size=(300, 4)))
    >>> vae = VAETransformer(1, likelihood=NegativeBinomial(), max_iter=0).fit(X)
    >>> round(vae.score(X), 1), round(VAETransformer(1, likelihood="poisson", max_iter=0).fit(X).score(X), 1)
    (-6.4, -7.9)
    """

    support = constraints.nonnegative_integer
    units = None
    reparameterized = False
    largest_spread = 100.0
    _parameter_constraints = {**SpreadFamily._parameter_constraints, "exposure": EXPOSURE}

    def __init__(self, noise: str = "feature", floor: float = 1e-3, exposure: str | int | None = None) -> None:
        super().__init__(noise, floor)
        self.exposure = exposure

    def member(self, log_mean: Tensor, spread: Tensor) -> Distribution:
        """NegativeBinomial(1 / d, logits ln(d m))."""
        logits = soft_clamp(log_mean, -LARGEST_LOG, LARGEST_LOG) + spread.log()
        return td.NegativeBinomial(1 / spread, logits=logits, validate_args=False)

    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """Log link; the noise is E[m] + d E[m^2]."""
        weight, bias, second = log_link(mean, loadings)
        return weight, bias, np.maximum(noise - mean, 0.05 * mean) / second


class ZeroInflatedPoisson(NoiseFamily):
    r"""Poisson counts that are 0 with an extra probability g: short name "zero_inflated_poisson".

    .. math:: p(x) = g [x = 0] + (1 - g) \lambda^x e^{-\lambda} / x!

    Domain: {0, 1, ...}. Link: :math:`\lambda` = exp(raw), and e exp(raw) with an exposure e; g = sigmoid(raw). Lambert
    (1992).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where g comes from: one trained value per column, or the network for every row.
    exposure : str or int, optional
        Name or position of one of the `conditions`, such as days under observation or a size factor: the mean is m e,
        with e the exposure over its average in `fit`. It is positive and never missing.

    See Also
    --------
    Poisson : The counts without the extra zeros.
    ZeroInflatedNegativeBinomial : The same with dispersion.

    Examples
    --------
    Half of the cells are zero anyway, and of the others e^-3:

    >>> import torch
    >>> from skvae import ZeroInflatedPoisson
    >>> p = ZeroInflatedPoisson().distribution(torch.tensor(3.0).log(), torch.tensor(0.0))
    >>> p.log_prob(torch.tensor(0.0)).exp(), p.mean
    (tensor(0.5249), tensor(1.5000))
    """

    support = constraints.nonnegative_integer
    units = None
    reparameterized = False
    _parameter_constraints = {**NoiseFamily._parameter_constraints, "exposure": EXPOSURE}

    def __init__(self, noise: str = "feature", exposure: str | int | None = None) -> None:
        super().__init__(noise)
        self.exposure = exposure

    def distribution(self, log_mean: Tensor, gate: Tensor) -> Distribution:
        """ZeroInflated(Poisson(exp(log_mean)), gate)."""
        return densities.ZeroInflated(
            td.Poisson(positive(log_mean), validate_args=False), soft_clamp(gate, -LARGEST_LOGIT, LARGEST_LOGIT)
        )

    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """Log link; the odds of g are the noise beyond the mean's, over E[m^2]."""
        weight, bias, second = log_link(mean, loadings)
        odds = np.clip((noise - mean) / second, 0.02, 50.0)
        return weight, bias + np.log1p(odds), np.log(odds)  # E[x] = (1 - g) m, and 1 / (1 - g) = 1 + odds


class ZeroInflatedNegativeBinomial(SpreadFamily):
    """Negative binomial counts, 0 with an extra probability g: short name "zero_inflated_negative_binomial".

    .. math:: p(x) = g [x = 0] + (1 - g) p_{NB}(x)

    Domain: {0, 1, ...}. Link: as `NegativeBinomial`, and g = sigmoid(raw).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where dispersion and g come from: trained values per column, or the network for every row.
    floor : float, default=1e-3
        Smallest dispersion.
    exposure : str or int, optional
        Name or position of one of the `conditions`, such as days under observation or a size factor: the mean is m e,
        with e the exposure over its average in `fit`. It is positive and never missing.

    See Also
    --------
    NegativeBinomial : The counts without the extra zeros, which dispersion alone may explain.
    ZeroInflatedPoisson : The same without dispersion.

    Examples
    --------
    Mean 3, dispersion 1 (above a floor of 0) and g = 1/2; such counts are 0 in one of 4 cells by themselves:

    >>> import torch
    >>> from skvae import ZeroInflatedNegativeBinomial
    >>> numbers = torch.tensor([3.0]).log(), torch.zeros(1), torch.zeros(1), torch.zeros(1)
    >>> p = ZeroInflatedNegativeBinomial().distribution(*numbers)
    >>> p.log_prob(torch.tensor([0.0])).exp(), p.mean
    (tensor([0.6250]), tensor([1.5000]))
    """

    n_more = 2
    support = constraints.nonnegative_integer
    units = None
    reparameterized = False
    largest_spread = 100.0
    _parameter_constraints = {**SpreadFamily._parameter_constraints, "exposure": EXPOSURE}

    def __init__(self, noise: str = "feature", floor: float = 1e-3, exposure: str | int | None = None) -> None:
        super().__init__(noise, floor)
        self.exposure = exposure

    def member(self, log_mean: Tensor, spread: Tensor, gate: Tensor) -> Distribution:
        """ZeroInflated(NegativeBinomial, gate)."""
        return densities.ZeroInflated(
            NegativeBinomial().member(log_mean, spread), soft_clamp(gate, -LARGEST_LOGIT, LARGEST_LOGIT)
        )

    def margins(self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        """As `NegativeBinomial`, with a twentieth of extra zeros."""
        weight, bias, spread = NegativeBinomial().margins(mean, loadings, noise)
        odds = 1 / 19
        return weight, bias + np.log1p(odds), spread, np.full_like(mean, np.log(odds))
