"""Priors over the whole code: Dirichlet, the multivariate Student t, and uniform on a sphere."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import Distribution

from .._utils.checks import POSITIVE
from ..distributions.spherical import UniformOnSphere
from ..distributions.univariate import MultivariateStudentT
from ..families.real import FINITE_VARIANCE
from .base import Encode, Prior

__all__ = ["DirichletPrior", "EllipticalPrior", "UniformSphere"]


class DirichletPrior(Prior):
    r"""Dirichlet distribution with equal concentrations, :math:`p(z) \propto \prod_k z_k^{\alpha - 1}`.

    Short name "dirichlet"; "auto" is this prior for a Dirichlet posterior. Small concentrations favour codes with few
    parts, large ones codes with equal parts.

    Parameters
    ----------
    concentration : float, default=1.0
        The alpha of every part: 1 is uniform on the simplex, smaller values favour its corners.

    See Also
    --------
    DirichletPosterior : The posterior on the same simplex.

    Examples
    --------
    The variance of a share among three, in the middle of the simplex and near its corners:

    >>> from skvae import DirichletPrior
    >>> DirichletPrior(concentration=10.0).build(3)().variance
    tensor([0.0072, 0.0072, 0.0072])
    >>> DirichletPrior(concentration=0.1).build(3)().variance
    tensor([0.1709, 0.1709, 0.1709])
    """

    _parameter_constraints = {"concentration": [POSITIVE]}

    def __init__(self, concentration: float = 1.0) -> None:
        self.concentration = concentration

    def build(self, n_components: int) -> nn.Module:
        """A module without weights."""
        return _Fixed(lambda zero: td.Dirichlet(zero + self.concentration, validate_args=False), n_components)


class EllipticalPrior(Prior):
    r"""Multivariate Student t with location 0 and scale matrix I: short name "elliptical".

    .. math:: \ln p(z) = \text{const} - \tfrac{\nu + K}2 \ln(1 + |z|^2 / \nu)

    "auto" is this prior for an elliptical posterior. Its components are uncorrelated, but not independent: they share
    one w, so if one lies far out, the others probably do.

    Parameters
    ----------
    df : float, default=4.0
        Degrees of freedom, above 2.

    See Also
    --------
    Elliptical : The posterior of the same form.
    StandardNormal : The limit of infinite df.

    Examples
    --------
    The variance is df / (df - 2):

    >>> from skvae import EllipticalPrior
    >>> EllipticalPrior(df=4.0).build(3)().variance
    tensor([2., 2., 2.])
    """

    _parameter_constraints = {"df": [FINITE_VARIANCE]}

    def __init__(self, df: float = 4.0) -> None:
        self.df = df

    def build(self, n_components: int) -> nn.Module:
        """A module without weights."""
        df = float(self.df)
        return _Fixed(
            lambda zero: MultivariateStudentT(df, zero, torch.diag_embed(torch.ones_like(zero))), n_components
        )


class UniformSphere(Prior):
    r"""The same density everywhere on the unit sphere, :math:`p(z) = \Gamma(K/2) / (2 \pi^{K/2})`: short name "sphere".

    "auto" is this prior for `VonMisesFisher` codes.

    See Also
    --------
    VonMisesFisher : Its posterior.
    UniformPrior : Uniform in a box.

    Examples
    --------
    Directions, and the density on the circle, 1 / (2 pi):

    >>> import torch
    >>> from skvae import UniformSphere
    >>> p = UniformSphere().build(2)()
    >>> p.sample((5,)).norm(dim=-1)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000])
    >>> p.log_prob(torch.tensor([0.0, 1.0])).exp().item()
    0.159...
    """

    def build(self, n_components: int) -> nn.Module:
        """A module without weights."""
        return _Fixed(UniformOnSphere, n_components)


class _Fixed(nn.Module):
    """p(z) = make(zero), zero a vector of K zeros with the model's type and device."""

    zero: Tensor

    def __init__(self, make: Callable[[Tensor], Distribution], n_components: int) -> None:
        super().__init__()
        self.make = make
        self.register_buffer("zero", torch.zeros(n_components), persistent=False)

    def forward(self, encode: Encode | None = None) -> Distribution:
        """The distribution, event shape (K,)."""
        return self.make(self.zero)
