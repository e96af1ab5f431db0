"""Normal posteriors, and independent members of any family."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, Normal

from .._utils.compat import StrOptions
from ..distributions.smooth import soft_clamp
from ..families import FAMILIES, Gaussian
from ..families.base import Family, FamilyHead
from ..priors.base import Prior
from ..priors.fixed import Standard, StandardNormal, check_reparameterized
from .base import Head, HeadInit, Posterior
from .conditioning import condition_covariance, condition_location, condition_spread, push_joint

__all__ = ["FullCovariance", "MeanField"]


class MeanField(Posterior):
    r"""Independent components of one family, :math:`q(z | x) = \prod_k q_k(z_k | x)`: short name "diag" if normal.

    Every short name of a reparameterized family is also one of a posterior: ``posterior="laplace"``. If no cell is
    missing, the linear initialisation is rotated so that the exact posterior of normal codes has this form.

    Kingma & Welling (2014), section 2.4, lists the families that can be reparameterised.

    Parameters
    ----------
    family : str or Family, default="gaussian"
        A family or its short name; all its parameters come from the encoder.

    See Also
    --------
    FullCovariance : Correlated normal components.
    FlowPosterior : Components that are transformed together.

    Examples
    --------
    Laplace codes, with Laplace(0, 1) as their prior; a code and its spread for every row:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import MeanField, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, posterior=MeanField("laplace"), max_iter=0).fit(X)
    >>> vae.module_.prior()
    Laplace(loc: torch.Size([2]), scale: torch.Size([2]))
    >>> vae.encode(X).stddev.shape
    torch.Size([150, 2])
    """

    _parameter_constraints = {
        "family": [StrOptions({name for name, family in FAMILIES.items() if family.reparameterized}), Family]
    }

    def __init__(self, family: str | Family = "gaussian") -> None:
        self.family = family

    def check(self) -> None:
        """Also that draws of the family can be differentiated."""
        super().check()
        check_reparameterized(self)

    def prior(self) -> Prior:
        """The family's own standard member."""
        family = self._amortized_family()
        return StandardNormal() if isinstance(family, Gaussian) else Standard(family)

    def build(self, n_components: int) -> Head:
        """One head for all components."""
        return _MeanFieldHead(self._amortized_family(), n_components)

    def _amortized_family(self) -> Family:
        family = FAMILIES[self.family]() if isinstance(self.family, str) else self.family
        return family.amortized()


class _MeanFieldHead(Head):
    """Raw numbers (B, n_raw of the family * K) -> the family's distribution with batch shape (B, K)."""

    def __init__(self, family: Family, n_components: int) -> None:
        head = FamilyHead(family, n_components)
        super().__init__(head.n_raw, n_components)
        self.family = family
        self.head = head
        if family.location_scale:
            self.condition = condition_location if family.n_raw == 1 else condition_spread

    def forward(self, raw: Tensor) -> Distribution:
        """All components in one distribution."""
        return self.head(raw)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """The family's inverse CDF or location-scale map."""
        return self.family.push(q, u)

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """The family's differentiable draws."""
        return self.family.rsample(q, u)

    def center(self, q: Any) -> Tensor:
        """E[z given x] where it is finite, (B, K)."""
        return self.family.center(q)

    def center_of(self, raw: Tensor) -> Tensor:
        """The location of normal components is among the raw numbers."""
        return self.family.split(raw, self.head.n)[0] if isinstance(self.family, Gaussian) else super().center_of(raw)

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """Each component by itself, as the family says."""
        weight, bias, slope, offset = self.family.code_start(mean, projection, np.diag(covariance))
        return weight, bias, np.diag(slope), offset


class FullCovariance(Posterior):
    """Correlated components, :math:`q(z | x) = N(m(x), L(x) L(x)^T)`, L lower triangular: short name "full".

    The diagonal of L is exp(raw), the part below it is raw. With a linear decoder it can equal the exact posterior even
    if the loadings are rotated, or if different cells are missing in each row.

    See Also
    --------
    MeanField : Independent components, for which the initialisation is rotated.
    Elliptical : The same with heavier tails.

    Examples
    --------
    With complete rows the closed-form initialisation needs no correlations; with missing cells each row has its own:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import FullCovariance, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    >>> diag = VAETransformer(2, init="pca", max_iter=0).fit(X)
    >>> full = VAETransformer(2, init="pca", max_iter=0, posterior=FullCovariance()).fit(X)
    >>> round(full.score(X) - diag.score(X), 2)  # nats per row
    0.05
    """

    def build(self, n_components: int) -> Head:
        """One joint normal over the code."""
        return _FullCovarianceHead(n_components)


class _FullCovarianceHead(Head):
    """Raw numbers (B, K + K (K + 1) / 2) -> MultivariateNormal with batch shape (B,) and event shape (K,)."""

    condition = staticmethod(condition_covariance)

    rows: Tensor
    columns: Tensor

    def __init__(self, n_components: int) -> None:
        rows, columns = torch.tril_indices(n_components, n_components)
        super().__init__(n_components + len(rows), n_components)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, raw: Tensor) -> Distribution:
        """Fill L from the raw numbers."""
        K = self.n_noise
        lower = raw.new_zeros(*raw.shape[:-1], K, K)
        lower[..., self.rows, self.columns] = raw[..., K:]
        log_diagonal = soft_clamp(lower.diagonal(dim1=-2, dim2=-1), -10.0, 10.0)
        scale_tril = lower.tril(-1) + torch.diag_embed(log_diagonal.exp())
        return MultivariateNormal(raw[..., :K], scale_tril=scale_tril, validate_args=False)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """z = m + L u."""
        return push_joint(q, u)

    def marginals(self, q: Any) -> Distribution:
        """Normal with the diagonal of the covariance."""
        return Normal(q.loc, q.stddev, validate_args=False)

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """The code of the linear model is itself normal: a constant Cholesky factor, mean and projection as given."""
        lower = np.linalg.cholesky(covariance)
        np.fill_diagonal(lower, np.log(np.diag(lower)))
        raw = lower[np.tril_indices(len(mean))]
        weight = np.concatenate([projection, np.zeros((len(raw), projection.shape[1]))])
        return weight, np.concatenate([mean, raw]), np.eye(len(mean)), np.zeros_like(mean)
