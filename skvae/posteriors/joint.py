"""Posteriors that are one joint distribution over the code and not normal, with their standard members as priors."""

import math
from typing import Any

import numpy as np
import torch
from scipy import optimize, special
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from ..distributions import quantiles
from ..distributions.divergences import marginals
from ..distributions.smooth import soft_clamp
from ..distributions.spherical import VonMisesFisher as VonMisesFisherDistribution
from ..distributions.univariate import MultivariateStudentT
from ..families.real import FINITE_VARIANCE
from ..priors.base import Prior
from ..priors.joint import DirichletPrior, EllipticalPrior, UniformSphere
from .base import Head, HeadInit, Posterior
from .normal import FullCovariance

__all__ = ["DirichletPosterior", "Elliptical", "VonMisesFisher"]

_NO_DIRECTION = 1e-12  # what a vector of zeros has along the first axis


class DirichletPosterior(Posterior):
    r"""Codes on the simplex, :math:`q(z | x) = \mathrm{Dirichlet}(\alpha(x))`: short name "dirichlet".

    .. math:: \ln q(z) = \sum_k (\alpha_k - 1) \ln z_k + \ln\Gamma(\sum_k \alpha_k) - \sum_k \ln\Gamma(\alpha_k)

    Each code is a mixture of `n_components` parts that sum to one. Link: alpha = exp(raw), at least 0.3. A composition
    of gamma variables (Kingma & Welling 2014, section 2.4); the prior is Dirichlet(1), uniform on the simplex.

    See Also
    --------
    DirichletPrior : Its prior, also with other concentrations.
    CategoricalPosterior : Codes at the corners of a simplex.

    Examples
    --------
    Three shares for every flower:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import DirichletPosterior, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> Z = VAETransformer(3, posterior=DirichletPosterior(), max_iter=0).fit_transform(X)
    >>> bool(Z.min() > 0), float(Z.sum(axis=1).round(6).max())
    (True, 1.0)
    """

    def prior(self) -> Prior:
        """Dirichlet(1), which is uniform on the simplex."""
        return DirichletPrior()

    def build(self, n_components: int) -> Head:
        """One distribution over the simplex."""
        if n_components < 2:
            raise ValueError(f"A Dirichlet code needs n_components >= 2. Got n_components={n_components} instead.")
        return _DirichletHead(n_components, n_components)


class _DirichletHead(Head):
    """Raw numbers (B, K) -> Dirichlet with batch shape (B,) and event shape (K,)."""

    def forward(self, raw: Tensor) -> Distribution:
        """Concentrations exp(raw)."""
        return td.Dirichlet(soft_clamp(raw, math.log(0.3), 9.0).exp(), validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Gamma variables by their inverse CDF, over their sum; without gradient."""
        shares = quantiles.gamma(q.concentration, u)
        return (shares / shares.sum(-1, keepdim=True)).clamp(min=torch.finfo(u.dtype).tiny)

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Torch's own draws, whose gradient is implicit."""
        return q.rsample(u.shape[:1])

    def marginals(self, q: Any) -> Distribution:
        """The single shares are beta variables."""
        return marginals(q)

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """Codes t_k represent the standardised logarithms of the gamma variables behind z.

        With concentration c these have mean psi(c) and variance psi'(c): c is chosen so that psi'(c) / psi'(1) is the
        posterior variance of t, on average, and ln alpha = ln c + sqrt(psi'(1)) E[t]. Under Dirichlet(1)
        cov(t_k, z_k) = (K - 1) / (K^2 sqrt(psi'(1))) and Var z_k = (K - 1) / (K^2 (K + 1)), so the best affine map back
        is t_k = (K + 1) / sqrt(psi'(1)) (z_k - 1 / K).
        """
        K, unit = len(mean), math.sqrt(special.polygamma(1, 1))
        variance = float(np.clip(np.diag(covariance).mean(), 1e-3, 1.0)) * unit**2
        log_c = optimize.brentq(lambda a: float(special.polygamma(1, math.exp(a))) - variance, -1e-6, 9.0)
        slope = (K + 1) / unit
        return unit * projection, log_c + unit * mean, slope * np.eye(K), np.full(K, -slope / K)


class Elliptical(Posterior):
    r"""One multivariate Student t over the code, scale matrix :math:`L L^T`: short name "elliptical".

    .. math:: z = m(x) + L(x)\, e / \sqrt{w / \nu}, \qquad e \sim N(0, I), \; w \sim \chi^2_\nu

    It is like `FullCovariance`, but its tails are robust to outlying rows. The prior is the standard member, m = 0 and
    L = I.

    Parameters
    ----------
    df : float, default=4.0
        Degrees of freedom, :math:`\nu`, above 2 so that the covariance is finite.

    See Also
    --------
    EllipticalPrior : Its prior.
    StudentT : The one-dimensional family, whose components are independent.

    Examples
    --------
    With a Student t prior, codes of rows that lie far out cost less than with a normal one:

    >>> import torch
    >>> from skvae import Elliptical
    >>> t, normal = Elliptical(df=4.0).prior().build(2)(), torch.distributions.Normal(0, 1)
    >>> z = torch.tensor([4.0, 4.0])
    >>> t.log_prob(z).round(decimals=1), normal.log_prob(z).sum().round(decimals=1)
    (tensor(-8.4...), tensor(-17.8...))
    """

    _parameter_constraints = {"df": [FINITE_VARIANCE]}

    def __init__(self, df: float = 4.0) -> None:
        self.df = df

    def prior(self) -> Prior:
        """Location 0 and scale matrix I, with the same degrees of freedom."""
        return EllipticalPrior(self.df)

    def build(self, n_components: int) -> Head:
        """One joint Student t over the code."""
        return _EllipticalHead(float(self.df), n_components)


class _EllipticalHead(Head):
    """Raw numbers as for a full-covariance normal, whose location and L it takes; K + 1 noise variables."""

    def __init__(self, df: float, n_components: int) -> None:
        normal = FullCovariance().build(n_components)
        super().__init__(normal.n_raw, n_components + 1)
        self.df = df
        self.normal = normal

    def forward(self, raw: Tensor) -> Distribution:
        """The normal's location and scale matrix, with df."""
        normal = self.normal(raw)
        return MultivariateStudentT(self.df, normal.loc, normal.scale_tril)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = m + L e / sqrt(w / df), w from the last noise variable; df is fixed, so w needs no gradient."""
        half = torch.full_like(u[0, 0, -1:], self.df / 2)
        w = 2 * quantiles.gamma(half, u[..., -1:])
        return q.loc + (self.normal.push(q, u[..., :-1]) - q.loc) * (self.df / w).sqrt()

    def marginals(self, q: Any) -> Distribution:
        """The single components are Student t variables."""
        return marginals(q)

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """t = z sqrt((df - 2) / df): the standard member has unit variance then, and so moments match."""
        weight, bias, basis, offset = self.normal.start(mean, projection, covariance)
        spread = math.sqrt(self.df / (self.df - 2))
        K = len(mean)
        weight[:K], bias[:K] = spread * weight[:K], spread * bias[:K]
        return weight, bias, basis / spread, offset


class VonMisesFisher(Posterior):
    r"""Codes on the unit sphere, about a mean direction: short name "von_mises_fisher".

    .. math:: q(z | x) \propto e^{\kappa(x)\, \mu(x)^T z}, \quad |z| = |\mu| = 1, \qquad
        KL(q \| U) = \kappa A(\kappa) - \ln h(\kappa)

    It is for rows that differ in direction and not in distance, and for codes that fill their space: nothing pulls them
    towards a centre, and with kappa near 0 a code has no KL. `n_components` is K, the number of columns of z, of which
    one follows from the others up to its sign. `transform` gives the mean direction. Link: kappa = exp(raw), between
    e^-5 and e^8.

    Davidson et al. (2018), sections 3.1 and 3.3, appendices A and B; draws are by the quantile of the angle.

    See Also
    --------
    UniformSphere : Its prior.
    DirichletPosterior : Codes on a simplex.

    References
    ----------
    T. R. Davidson, L. Falorsi, N. De Cao, T. Kipf, J. M. Tomczak, "Hyperspherical Variational Auto-Encoders", UAI 2018.

    Examples
    --------
    Every flower has a place on a sphere:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer, VonMisesFisher
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(3, posterior=VonMisesFisher(), max_iter=5, random_state=0).fit(X)
    >>> np.linalg.norm(vae.transform(X[:3]), axis=1).round(3)
    array([1., 1., 1.])
    """

    def prior(self) -> Prior:
        """The same density everywhere on the sphere."""
        return UniformSphere()

    def build(self, n_components: int) -> Head:
        """One distribution over the sphere."""
        if n_components < 2:
            raise ValueError(f"A code on a sphere needs n_components >= 2. Got n_components={n_components} instead.")
        return _VonMisesFisherHead(n_components + 1, n_components + 1)


class _VonMisesFisherHead(Head):
    """Raw numbers (B, K + 1), a vector and a logarithm -> mean direction and concentration."""

    def forward(self, raw: Tensor) -> Distribution:
        """mu = r / |r|, kappa = exp(raw); a vector of zeros counts as the first axis."""
        vector = torch.cat([raw[..., :1] + _NO_DIRECTION, raw[..., 1:-1]], -1)
        concentration = soft_clamp(raw[..., -1], -5.0, 8.0).exp()
        return VonMisesFisherDistribution(vector / vector.norm(dim=-1, keepdim=True), concentration)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """An angle by its quantile, and a direction across mu."""
        return q.push(u)

    def center(self, q: Any) -> Tensor:
        """The mean direction, which is on the sphere."""
        return q.mode

    def marginals(self, q: Any) -> Distribution:
        """Normal with the exact moments of each component."""
        return td.Normal(q.mean, q.stddev, validate_args=False)

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """The direction of the normal code t, z = t / |t|, of which only that is left.

        Across its direction t / |t| has the variance s^2 / |t|^2 and z nearly 1 / kappa, so that kappa = K / s^2 with
        the mean posterior variance s^2. Under N(0, I) the best affine map back is t = E|t| z.
        """
        K = len(mean)
        log_kappa = min(math.log(K / np.diag(covariance).mean()), 7.0)
        weight = np.concatenate([projection, np.zeros_like(projection[:1])])
        length = math.sqrt(2) * math.exp(math.lgamma((K + 1) / 2) - math.lgamma(K / 2))
        return weight, np.append(mean, log_kappa), length * np.eye(K), np.zeros(K)
