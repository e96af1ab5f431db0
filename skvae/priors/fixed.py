"""Priors without parameters."""

from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Uniform

from .._utils.compat import Interval
from ..distributions.latent import OneHots
from ..families import Gaussian
from ..families.base import Family
from .base import Encode, Prior

__all__ = [
    "FINITE",
    "Standard",
    "StandardNormal",
    "UniformCategorical",
    "UniformPrior",
    "check_reparameterized",
    "check_width",
]

FINITE = Interval(Real, None, None, closed="neither")


class StandardNormal(Prior):
    """Independent standard normals, p(z) = N(0, I): short name "normal".

    "auto" is this prior for normal codes. It has no weights and a closed-form KL to normal posteriors, and is the prior
    of the linear models from which training starts.

    See Also
    --------
    Standard : The same for another family.
    NormalMixture : Groups of codes.
    FlowPrior : A normal that is transformed to fit the codes.

    Examples
    --------
    At the start all codes together are as wide as the prior: the variance of the centres and that of q add up to 1.

    >>> from sklearn.datasets import load_iris
    >>> from skvae import StandardNormal, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior=StandardNormal(), max_iter=0).fit(X)
    >>> (vae.transform(X).var(axis=0) + vae.encode(X).variance.mean(0).numpy()).round(1)
    array([1., 1.])
    """

    def build(self, n_components: int) -> nn.Module:
        """A module without weights."""
        return _StandardModule(Gaussian(), n_components)


class Standard(Prior):
    r"""Independent standard members of a family, :math:`p(z) = \prod_k p_0(z_k)`: "auto" for a mean-field q.

    It has no weights. You only need it for codes of one family under the prior of another.

    Parameters
    ----------
    family : Family
        A reparameterized family, whose `Family.standard` is used.

    See Also
    --------
    MeanField : The posterior of the same family.
    StandardNormal : The normal one.

    Examples
    --------
    Normal codes under a Laplace prior, which favours small codes and a few large ones:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import Laplace, Standard, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior=Standard(Laplace()), max_iter=0).fit(X)
    >>> vae.module_.prior()
    Laplace(loc: torch.Size([2]), scale: torch.Size([2]))
    """

    _parameter_constraints = {"family": [Family]}

    def __init__(self, family: Family) -> None:
        self.family = family

    def check(self) -> None:
        """Also that draws of the family can be differentiated, as those of codes are."""
        super().check()
        check_reparameterized(self)

    def build(self, n_components: int) -> nn.Module:
        """A module without weights."""
        return _StandardModule(self.family.amortized(), n_components)


class _StandardModule(nn.Module):
    """p(z) with batch shape (K,)."""

    zero: Tensor

    def __init__(self, family: Family, n_components: int) -> None:
        super().__init__()
        self.family = family
        self.register_buffer("zero", torch.zeros(n_components), persistent=False)

    def forward(self, encode: Encode | None = None) -> Distribution:
        """The standard member, K times."""
        return self.family.standard(self.zero)


class UniformPrior(Prior):
    r"""Uniform distribution on a box, :math:`z_k \sim U(low, high)`: short name "uniform".

    It is for posteriors inside the box, and for objectives that match codes as a whole (WAEMMD, AAE): for these
    ``posterior="auto"`` is a `Point` inside the box.

    Parameters
    ----------
    low : float, default=0.0
        Lower end of every component.
    high : float, default=1.0
        Upper end of every component.

    See Also
    --------
    Uniform : A family of posteriors inside the unit box.
    WAEMMD : An objective that pulls codes into the box.

    Examples
    --------
    The codes of an adversarial autoencoder fill the square around 0, and stay in it:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import UniformPrior, VAETransformer, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective="aae", prior=UniformPrior(low=-1.0), max_iter=20, random_state=0).fit(X)
    >>> vae.fitted_.parts.posterior
    Point(high=1.0, low=-1.0)
    >>> bool(abs(vae.transform(X)).max() < 1), bool(metrics.mmd_to_prior(vae, X) < 0.05)
    (True, True)
    """

    _parameter_constraints = {"low": [FINITE], "high": [FINITE]}

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low = low
        self.high = high

    def check(self) -> None:
        """Also that `low` lies below `high`."""
        super().check()
        if self.low >= self.high:
            raise ValueError(f"UniformPrior needs low < high. Got low={self.low!r}, high={self.high!r} instead.")

    def build(self, n_components: int) -> nn.Module:
        """A module without weights."""
        return _UniformModule(n_components, self.low, self.high)


class _UniformModule(nn.Module):
    """p(z) with batch shape (K,)."""

    low: Tensor
    high: Tensor

    def __init__(self, n_components: int, low: float, high: float) -> None:
        super().__init__()
        self.register_buffer("low", torch.full((n_components,), float(low)), persistent=False)
        self.register_buffer("high", torch.full((n_components,), float(high)), persistent=False)

    def forward(self, encode: Encode | None = None) -> Distribution:
        """U(low, high), K times."""
        return Uniform(self.low, self.high, validate_args=False)


class UniformCategorical(Prior):
    r"""Equal probabilities for the classes of every one-hot variable: "auto" for categorical codes.

    .. math:: \ln p(z) = -n \ln C

    A KL to it is ln C less the entropy of the classes, so no variable carries more than ln C nats.

    Parameters
    ----------
    n_classes : int, default=10
        C, the same as that of the posterior.

    See Also
    --------
    CategoricalPosterior : The posterior over one-hot variables.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import CategoricalPosterior, UniformCategorical, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> posterior, prior = CategoricalPosterior(n_classes=3), UniformCategorical(n_classes=3)
    >>> vae = VAETransformer(1, posterior=posterior, prior=prior, max_iter=0).fit(X)
    >>> vae.kl_per_component_.round(2)  # at most ln 3 = 1.10
    array([0.77])
    """

    _parameter_constraints = {"n_classes": [Interval(Integral, 2, None, closed="left")]}

    def __init__(self, n_classes: int = 10) -> None:
        self.n_classes = n_classes

    def build(self, n_components: int) -> nn.Module:
        """A module without weights; `n_components` is the width of z."""
        check_width(n_components, self.n_classes)
        return _UniformCategoricalModule(n_components, self.n_classes)


class _UniformCategoricalModule(nn.Module):
    """OneHots without batch shape."""

    logits: Tensor

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(width // n_classes, n_classes), persistent=False)

    def forward(self, encode: Encode | None = None) -> Distribution:
        """ln 1/C everywhere."""
        return OneHots(self.logits)


def check_reparameterized(component: Any) -> None:
    """Raise a ValueError for a family of latent codes whose draws cannot be differentiated."""
    if isinstance(component.family, Family) and not component.family.reparameterized:
        raise ValueError(
            f"The 'family' parameter of {type(component).__name__} must be a family that can be reparameterised, e.g. "
            f"Gaussian(). Got {component.family!r} instead."
        )


def check_width(width: int, n_classes: int) -> None:
    """Raise a ValueError for codes that are not variables of so many classes."""
    if width % n_classes:
        raise ValueError(f"Codes of width {width} are not {n_classes} classes each: leave prior='auto'.")
