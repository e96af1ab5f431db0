"""The normal distribution, and Tukey's contaminated one. The contract is in `base.py`."""

import math
from numbers import Real
from typing import Any

import numpy as np
from scipy.special import logit
from torch import Tensor
from torch.distributions import Distribution

from .._utils.checks import POSITIVE
from .._utils.compat import Interval, StrOptions
from ..distributions import univariate as densities
from ..distributions.contaminated import Contaminated, StudentT3
from ..distributions.smooth import soft_clamp
from .base import CodeInit, Family, Init
from .recipes import LARGEST_LOGIT, excess, log_excess

__all__ = ["ContaminatedGaussian", "Gaussian"]

_RAREST = 1e-6  # a background that changes no score in its fifth digit


class Gaussian(Family):
    r"""Normal distribution, x ~ N(loc, variance), with a background if a network is trained: short name "gaussian".

    .. math:: \ln p(x) = -\tfrac12 \ln(2\pi\sigma^2) - (x - \mu)^2 / (2\sigma^2)

    Domain: the real line. Link: loc is the raw number, the variance is ``floor + exp(raw)``.

    Linear models, and fits without held-out rows, use this family. A network is trained under a `ContaminatedGaussian`
    with a variance for each row (``noise="auto"``). If a tenth of the rows share one value of the column, at which
    variances per row would collapse to spikes, it is trained with one variance for the column, which gains a background
    after training. So an outlying cell costs tens of nats, not millions. With ``background=0`` the family is a plain
    normal throughout.

    Training keeps variances per column or row above what the column's rows can distinguish from zero. The variance of a
    column with kurtosis k is known from n rows as well as that of a normal column from 2 n / (k - 1); a network can
    memorise those few rows and drive the noise to zero, and then a single new row costs 100 000 nats. So no variance is
    trained below var(x) (k - 1) / (2 n), or half its closed-form initial value where that is smaller. The
    initialisation itself is never changed.

    Parameters
    ----------
    noise : {"auto", "feature", "shared", "row"} or float, default="auto"
        Where the variance comes from: one trained value per column (factor analysis), one for all columns
        (probabilistic PCA), a second number from the network for every row, or a fixed variance. Variances are in model
        space, after `scaling`. "auto" is "row" if a network is trained, rows are held out, and no value makes up a
        tenth of the column; else "feature".
    floor : float, default=1e-3
        Smallest variance, in model space; without one a constant or duplicated column has infinite density.
        A fixed `noise` ignores it.
    background : float, default=1e-3
        The share of the background from which its training starts, in [0, 1). Fixed and shared noise have no
        background. With ``noise="row"``, which a single outlying cell can derail, training has one from its first step,
        with a share of 1e-6. With ``scaling="power"`` there is none, since a heavy tail would have no mean in data
        space.

    See Also
    --------
    ContaminatedGaussian : The same with a background.
    StudentT : Noise with heavier tails.
    LogNormal : Noise that grows with the value.

    Examples
    --------
    One noise for all columns is probabilistic PCA; in data space it is a share of each column's variance:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import Gaussian, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, likelihood=Gaussian(noise="shared"), max_iter=0).fit(X)
    >>> (vae.noise_variance_ / X.var(axis=0)).round(3)
    array([0.084, 0.084, 0.084, 0.084])
    """

    location_scale = True
    reads_column = False
    _parameter_constraints = {
        "noise": [StrOptions({"auto", "feature", "shared", "row"}), POSITIVE],
        "floor": [POSITIVE],
        "background": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, noise: str | float = "auto", floor: float = 1e-3, background: float = 1e-3) -> None:
        self.noise = noise
        self.floor = floor
        self.background = background

    @property
    def n_raw(self) -> int:  # type: ignore[override]
        """Two numbers from the network when it gives the variance too, else one."""
        return 2 if self.noise == "row" else 1

    def distribution(self, loc: Tensor, log_variance: Tensor, floor: Tensor) -> Distribution:
        """Normal(loc, sqrt(floor + exp(log_variance)))."""
        # The bound keeps a posterior of a runaway encoder finite (pyod's VAE returned NaN without one).
        above = log_variance.exp() if self._fixed else excess(log_variance, self.floor, math.exp(20))
        return densities.Normal(loc, (above + floor).sqrt())

    def own_numbers(self, n: int) -> list[tuple[np.ndarray, bool]]:
        """The log variance above the floor, per column or one for all, and the floor; fixed noise does not train."""
        size = n if self._is_per_column else 1
        floor = (np.full(size, self._effective_floor), False)
        if self.noise == "row":
            return [floor]
        variance = np.full(size, float(self.noise) if self._fixed else 1.0)
        return [(log_excess(variance, floor[0]), not self._fixed), floor]

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """The linear-Gaussian model is this family's own: nothing is approximated."""
        floor = np.full(len(noise), self._effective_floor)
        if self._is_per_column and resolution is not None:
            floor = np.maximum(floor, np.minimum(resolution, noise / 2))
        log_variance = log_excess(noise, floor)
        if self.noise == "row":
            weight = np.concatenate([loadings, np.zeros_like(loadings)])
            return weight, np.concatenate([mean, log_variance]), [floor]
        size = len(noise) if self._is_per_column else 1
        return loadings, mean, [log_variance[:size], floor[:size]]

    def tie_noise(self, noise: np.ndarray) -> np.ndarray:
        """One mean for shared noise, the given one for fixed noise; never below the floor."""
        if self._fixed:
            return np.full_like(noise, self.noise)
        if self.noise == "shared":
            noise = np.full_like(noise, noise.mean())
        return np.maximum(noise, self.floor)

    def amortized(self) -> Family:
        """A posterior may be as narrow as float32 can tell; a fixed variance stays fixed."""
        return self if self._fixed else Gaussian(noise="row", floor=1e-9, background=0.0)

    def for_column(self, values: np.ndarray) -> Family:
        """A variance for each row has a background from the first step: it would shrink to nothing around any cell."""
        if self.noise != "row" or not self.background:
            return self
        return ContaminatedGaussian("row", self.floor, min(self.background, _RAREST))

    def in_training(self, has_atom: bool) -> Family:
        """A variance for each row and a background, unless the variance would make a spike of an atom."""
        if self.noise != "auto" or not self.background or has_atom:
            return self
        return ContaminatedGaussian("row", self.floor, self.background)

    def with_background(self) -> Family | None:
        """The same variance for each column, and a background."""
        if self.noise not in ("auto", "feature") or not self.background:
            return None
        return ContaminatedGaussian("feature", self.floor, self.background)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = loc + scale * u."""
        return q.loc + q.scale * u

    def standard(self, zero: Tensor) -> Distribution:
        """N(0, 1)."""
        return densities.StandardNormal(zero)

    def code_start(self, mean: np.ndarray, projection: np.ndarray, variance: np.ndarray) -> CodeInit:
        """z is t itself."""
        weight, bias, _ = self.start(mean, projection, variance)
        return weight, bias, np.ones_like(mean), np.zeros_like(mean)

    @property
    def _is_per_column(self) -> bool:
        return self.noise in ("auto", "feature", "row")

    @property
    def _fixed(self) -> bool:
        return not isinstance(self.noise, str)

    @property
    def _effective_floor(self) -> float:
        return 0.0 if self._fixed else self.floor


class ContaminatedGaussian(Family):
    r"""Normal distribution with a broad background, robust to outliers: short name "contaminated_gaussian".

    .. math:: p(x) = (1 - e)\, N(x; \mu, \sigma^2) + e\, t_3(x; c, s)

    Domain: the real line. Link: loc is the raw number, the variance is ``floor + exp(raw)``, as in `Gaussian`, and the
    log-odds of e are trained. The background is Student's t with three degrees of freedom about the column's mean c,
    and its scale s is the column's standard deviation; it does not depend on z. This is the contaminated normal of
    Tukey (1960), "A survey of sampling from contaminated distributions", with a heavier tail.

    Most cells are explained as under `Gaussian`. A cell that the decoder cannot explain costs -ln e plus 4 times the
    logarithm of its distance, and hardly affects anything else: some 32 nats at a thousand standard deviations, some 60
    at a million, where a normal distribution costs 5e11. A Student t for all cells (Takahashi et al. 2018) is robust as
    well, but has less density near its centre, where nearly all cells are.

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the variance comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest variance, in model space.
    background : float, default=1e-3
        The share e of the background from which training starts, in (0, 1). It stays between 3e-7 and its complement.

    See Also
    --------
    Gaussian : The same without a background, or with one if it helps.
    StudentT : Heavy tails about the decoder's location.

    Examples
    --------
    A cell that lies 20 standard deviations out costs as much as the background has it, under a normal 200 nats:

    >>> import torch
    >>> from skvae import ContaminatedGaussian, Gaussian
    >>> zero, cell = torch.tensor([0.0]), torch.tensor([20.0])
    >>> ContaminatedGaussian().standard(zero).log_prob(cell), Gaussian().standard(zero).log_prob(cell)
    (tensor([-17.7093]), tensor([-200.9189]))
    """

    heavy_tails = True
    location_scale = True
    reparameterized = False
    _parameter_constraints = {
        "noise": [StrOptions({"feature", "row"})],
        "floor": [POSITIVE],
        "background": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, noise: str = "feature", floor: float = 1e-3, background: float = 1e-3) -> None:
        self.noise = noise
        self.floor = floor
        self.background = background

    @property
    def n_raw(self) -> int:  # type: ignore[override]
        """Two numbers from the network when it gives the variance too, else one."""
        return self._normal.n_raw

    def distribution(self, loc: Tensor, *numbers: Tensor) -> Distribution:
        """Contaminated(the normal, t_3 with centre and spread, log-odds)."""
        *normal, log_odds, center, spread = numbers
        log_odds = soft_clamp(log_odds, -LARGEST_LOGIT, LARGEST_LOGIT)
        usual: Any = self._normal.distribution(loc, *normal)
        return Contaminated(usual, StudentT3(center, spread), log_odds)

    def own_numbers(self, n: int) -> list[tuple[np.ndarray, bool]]:
        """Those of the normal, and of the background the log-odds, which train, the centre and the spread."""
        background = [(self._log_odds(n), True), (np.zeros(n), False), (np.ones(n), False)]
        return [*self._normal.own_numbers(n), *background]

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """That of the normal, and a background with mean and standard deviation of the column."""
        weight, bias, own = self._normal.start(mean, loadings, noise, resolution)
        spread = np.sqrt(np.square(loadings).sum(1) + noise)
        return weight, bias, [*own, self._log_odds(len(mean)), mean, spread]

    def tie_noise(self, noise: np.ndarray) -> np.ndarray:
        """That of the normal."""
        return self._normal.tie_noise(noise)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """The quantiles of the mixture."""
        return q.quantile(u)

    def parts(self, q: Any, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The normal and the background."""
        usual = q.normal.loc + q.normal.own_scale * u
        return [(1 - q.share, usual), (q.share, q.background.quantile(u).expand_as(usual))]

    @property
    def _normal(self) -> Gaussian:
        """The family of the cells that the decoder explains."""
        return Gaussian(self.noise, self.floor, 0.0)

    def _log_odds(self, n: int) -> np.ndarray:
        return np.full(n, logit(self.background))
