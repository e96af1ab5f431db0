"""Families of continuous columns with atoms: values at the border that have a probability of their own.

The atoms' probabilities come from the network, so they depend on the code: z distinguishes dry days from rainy ones.
The contract is in `base.py`, shared code in `recipes.py`.
"""

from abc import abstractmethod

import numpy as np
from scipy.special import expit, logit
from torch import Tensor
from torch.distributions import Distribution, constraints

from .._utils.checks import POSITIVE
from .._utils.compat import StrOptions
from ..distributions.inflated import Inflated
from ..distributions.smooth import soft_clamp
from .base import Family, Init
from .bounded import Beta
from .positive import Gamma, LogNormal
from .recipes import LARGEST_LOGIT, SpreadFamily

__all__ = ["ZeroInflatedGamma", "ZeroInflatedLogNormal", "ZeroOneInflatedBeta"]

_USUAL_SHARE = 0.05  # of an atom, where nothing is known of it
_RAREST = 1e-3


class InflatedFamily(Family):
    """Base class: numbers of the continuous part, and between them the log-odds of each atom against it."""

    reparameterized = False
    _parameter_constraints = {"noise": [StrOptions({"feature", "row"})], "floor": [POSITIVE]}

    def __init__(self, noise: str = "feature", floor: float = 1e-3) -> None:
        self.noise = noise
        self.floor = floor

    @property
    def n_raw(self) -> int:  # type: ignore[override]
        """The first number of the continuous part, the log-odds, and with noise="row" the spread."""
        return self._part.n_raw + len(self.atoms)

    @property
    @abstractmethod
    def _part(self) -> SpreadFamily:
        """The family of the continuous part."""

    def own_numbers(self, n: int) -> list[tuple[np.ndarray, bool]]:
        """Those of the continuous part."""
        return self._part.own_numbers(n)

    def distribution(self, first: Tensor, *numbers: Tensor) -> Distribution:
        """Inflated(the continuous part, log-odds)."""
        n = len(self.atoms)
        log_odds = [soft_clamp(eta, -LARGEST_LOGIT, LARGEST_LOGIT) for eta in numbers[:n]]
        return Inflated(self._part.distribution(first, *numbers[n:]), log_odds, self.atoms)

    def start(
        self,
        mean: np.ndarray,
        loadings: np.ndarray,
        noise: np.ndarray,
        resolution: np.ndarray | None = None,
        shares: np.ndarray | None = None,
    ) -> Init:
        """Margins and slopes, as if atoms and continuous part had the same correlation r with z.

        With shares p_a, p_c of atoms and the rest, the mean m and variance v of the latter follow from those of the
        column. Then cov(x, z) = r (sum_a |a - m| sqrt(p_a (1 - p_a)) + p_c sqrt(v)), which gives r.

        Parameters
        ----------
        mean, loadings, noise, resolution : ndarray
            As in `Family.start`.
        shares : ndarray (A, n), optional
            How often each atom is in each column; by default a twentieth, or less where the variance is too small.
        """
        atoms = np.array(self.atoms)[:, None]
        total = np.square(loadings).sum(1) + noise
        if shares is None:
            shares = np.minimum(_USUAL_SHARE, total / (2 * np.square(atoms - mean).sum(0))) * np.ones_like(atoms)
        p = np.clip(shares, _RAREST, None)
        p = p / np.maximum(1, p.sum(0) / (1 - _RAREST))
        rest = 1 - p.sum(0)
        m = self._inside((mean - (p * atoms).sum(0)) / rest)
        second = (total + np.square(mean) - (p * np.square(atoms)).sum(0)) / rest
        v = np.maximum(second - np.square(m), 1e-2 * np.square(m) * rest)

        deviation = np.sqrt(p * (1 - p))
        r = loadings / ((np.abs(atoms - m) * deviation).sum(0) + rest * np.sqrt(v))[:, None]
        r = r * (0.95 / np.maximum(0.95, np.sqrt(np.square(r).sum(1))))[:, None]
        slopes, biases = _log_odds(p, rest, np.sign(atoms - m)[..., None] * deviation[..., None] * r)
        inner_loadings, inner_noise = r * np.sqrt(v)[:, None], v * (1 - np.square(r).sum(1))
        if self.units == "scale":
            k = 1 / _selected(rest, -slopes.sum(0), inner_loadings / m[:, None])
            m, inner_loadings, inner_noise = k * m, k[:, None] * inner_loadings, np.square(k) * inner_noise
        resolved = None if resolution is None else inner_noise * resolution / noise
        weight, bias, own = self._part.start(m, inner_loadings, inner_noise, resolved)
        n = len(mean)
        return np.concatenate([weight[:n], *slopes, weight[n:]]), np.concatenate([bias[:n], *biases, bias[n:]]), own

    @staticmethod
    def _inside(mean: np.ndarray) -> np.ndarray:
        """The mean of the continuous part, which rounding or an odd table may put outside."""
        return np.maximum(mean, 1e-6)


def _log_odds(p: np.ndarray, rest: np.ndarray, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (A, n, m) and biases (A, n) of ln(p_a / p_c), for covariances (A, n, m) of the atoms with z.

    Over z a slope w counts as w / k, k^2 = 1 + pi |w|^2 / 8 (MacKay), and so does a bias; see `Ordinal.start`.
    """
    ratio = covariances / p[..., None] + covariances.sum(0) / rest[:, None]
    unattenuated = ratio / np.sqrt(np.maximum(1 - np.pi / 8 * np.square(ratio).sum(-1, keepdims=True), 0.1))
    slopes = np.clip(unattenuated, -3.0, 3.0)  # as in `logit_link`
    return slopes, np.log(p / rest) * np.sqrt(1 + np.pi / 8 * np.square(slopes).sum(-1))


def _selected(rest: np.ndarray, slopes: np.ndarray, log_slopes: np.ndarray) -> np.ndarray:
    """E[exp(b z) | no atom] / E[exp(b z)], (n,): amounts are larger where they are not 0, since both depend on z.

    The factor exp(b z) moves z ~ N(0, I) by b, and so the logit of "no atom", with slopes w and MacKay's k, by w b / k.
    """
    k = np.sqrt(1 + np.pi / 8 * np.square(slopes).sum(1))
    return expit(logit(rest) + (slopes * log_slopes).sum(1) / k) / rest


class ZeroInflatedAmounts(InflatedFamily):
    """Base class: zeros beside a continuous part on the positive numbers."""

    atoms = (0.0,)
    support = constraints.nonnegative
    units = "scale"
    interior = 1.0


class ZeroInflatedGamma(ZeroInflatedAmounts):
    r"""Amounts that are 0 with probability g, else gamma distributed: short name "zero_inflated_gamma".

    .. math:: p(0) = g, \qquad p(x) = (1 - g)\, p_{\Gamma}(x) \text{ for } x > 0

    Rain, spending, claims: columns of positive values and exact zeros. Domain: x >= 0. Link: :math:`p_\Gamma` as
    `Gamma`, with mean m = exp(raw); g = sigmoid(raw), from the network like m, so both depend on the code. Scores are
    with respect to Lebesgue's measure plus one point mass at 0: a zero counts ln g, whatever the units of the column.
    The zero adjusted gamma distribution ZAGA of Rigby & Stasinopoulos (2005).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the squared coefficient of variation of the gamma part comes from: one trained value per column, or the
        network for every row.
    floor : float, default=1e-3
        Smallest squared coefficient of variation.

    See Also
    --------
    Gamma : The positive values alone.
    ZeroInflatedLogNormal : Heavier tails.
    ZeroInflatedPoisson : The same for counts.

    References
    ----------
    Rigby, R. A. & Stasinopoulos, D. M. (2005). Generalized additive models for location, scale and shape. Journal of
    the Royal Statistical Society C 54, 507-554.

    Examples
    --------
    One day in two is dry, and the others have 3 mm on average:

    >>> import numpy as np
    >>> import torch
    >>> from skvae import VAETransformer, ZeroInflatedGamma
    >>> numbers = torch.tensor([3.0]).log(), torch.zeros(1), torch.zeros(1), torch.zeros(1)
    >>> p = ZeroInflatedGamma().distribution(*numbers)
    >>> p.log_prob(torch.tensor([0.0])).exp(), p.mean
    (tensor([0.5000]), tensor([1.5000]))
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(400, 1))
    >>> rain = rng.gamma(2.0, np.exp(z), size=(400, 3)) * (z + rng.normal(size=(400, 3)) > 0)
    >>> vae = VAETransformer(1, likelihood=ZeroInflatedGamma(), max_iter=0).fit(rain)
    >>> drawn = vae.sample(1000, random_state=0)
    >>> bool(drawn.min() == 0), bool(abs((drawn == 0).mean() - 0.5) < 0.1)
    (True, True)
    """

    @property
    def _part(self) -> SpreadFamily:
        return Gamma(self.noise, self.floor)


class ZeroInflatedLogNormal(ZeroInflatedAmounts):
    r"""Amounts that are 0 with probability g, else log-normal: short name "zero_inflated_log_normal".

    .. math:: p(0) = g, \qquad p(x) = (1 - g)\, p_{LN}(x) \text{ for } x > 0

    Domain: x >= 0. Link: :math:`p_{LN}` as `LogNormal`, :math:`\mu` the raw number; g = sigmoid(raw), from the network
    like :math:`\mu`. Scores are with respect to Lebesgue's measure plus one point mass at 0: a zero counts ln g,
    whatever the units of the column. The delta distribution of Aitchison (1955).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the variance of ln x comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest variance of ln x.

    See Also
    --------
    LogNormal : The positive values alone.
    ZeroInflatedGamma : Lighter tails.

    References
    ----------
    Aitchison, J. (1955). On the distribution of a positive random variable having a discrete probability mass at the
    origin. Journal of the American Statistical Association 50, 901-908.

    Examples
    --------
    Incomes, a fifth of which are zero:

    >>> import torch
    >>> from skvae import ZeroInflatedLogNormal
    >>> numbers = torch.zeros(1), torch.tensor([0.2]).logit(), torch.zeros(1), torch.zeros(1)
    >>> p = ZeroInflatedLogNormal().distribution(*numbers)
    >>> p.log_prob(torch.tensor([0.0])).exp(), p.mean  # 0.8 exp(1/2)
    (tensor([0.2000]), tensor([1.3190]))
    """

    @property
    def _part(self) -> SpreadFamily:
        return LogNormal(self.noise, self.floor)


class ZeroOneInflatedBeta(InflatedFamily):
    r"""Fractions that are 0, 1 or beta distributed between: short name "zero_one_inflated_beta".

    .. math:: p(0) = \pi_0, \qquad p(1) = \pi_1, \qquad p(x) = (1 - \pi_0 - \pi_1)\, p_B(x) \text{ for } 0 < x < 1

    Domain: 0 <= x <= 1. Link: :math:`p_B` as `Beta`; :math:`\ln(\pi_0 / \pi_B)` and :math:`\ln(\pi_1 / \pi_B)`, with
    :math:`\pi_B = 1 - \pi_0 - \pi_1`, are raw numbers from the network. Scores are with respect to Lebesgue's measure
    plus point masses at 0 and 1. BEINF of Rigby & Stasinopoulos (2005), with the parameters of Ospina & Ferrari (2010).

    Parameters
    ----------
    noise : {"feature", "row"}, default="feature"
        Where the concentration of the beta part comes from: one trained value per column, or the network for every row.
    floor : float, default=1e-3
        Smallest 2 / c, c the concentration.

    See Also
    --------
    Beta : The fractions strictly between 0 and 1 alone.
    ContinuousBernoulli : Fractions that may be 0 or 1, with a density there.

    References
    ----------
    Ospina, R. & Ferrari, S. L. P. (2010). Inflated beta distributions. Statistical Papers 51, 111-126.

    Examples
    --------
    A quarter of the customers never pay in cash, a quarter always do:

    >>> import torch
    >>> from skvae import ZeroOneInflatedBeta
    >>> half, zero = torch.tensor([0.5]).log(), torch.zeros(1)
    >>> p = ZeroOneInflatedBeta().distribution(zero, half, half, zero, zero)
    >>> p.log_prob(torch.tensor([0.0, 1.0])).exp(), p.mean
    (tensor([0.2500, 0.2500]), tensor([0.5000]))
    """

    atoms = (0.0, 1.0)
    support = constraints.unit_interval
    units = None
    interior = 0.5

    @property
    def _part(self) -> SpreadFamily:
        return Beta(self.noise, self.floor)

    @staticmethod
    def _inside(mean: np.ndarray) -> np.ndarray:
        return np.clip(mean, 1e-3, 1 - 1e-3)
