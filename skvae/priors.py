"""Priors p(z): where codes live. A prior is a value; its module returns the distribution."""

from abc import ABC, abstractmethod
from numbers import Integral, Real

import numpy as np
import torch
from torch import nn
from torch.distributions import Normal, Uniform

from ._documented import Documented
from ._random import whitened_pairs
from .distributions import Flow, OneHots, mixture
from .families import Gaussian
from .family import Family
from .flows import check_flow, coupling_layers

__all__ = [
    "PRIORS",
    "FlowPrior",
    "NormalMixture",
    "Prior",
    "Standard",
    "StandardNormal",
    "UniformCategorical",
    "UniformPrior",
    "VampPrior",
]


class Prior(Documented, ABC):
    """Base class of priors; subclass it for one of your own.

    Attributes
    ----------
    reads_rows : bool
        Whether `build` also wants the number of columns, `n_features`, and the module the encode callable.
    """

    reads_rows = False

    @abstractmethod
    def build(self, n_components):
        """Make the module for codes of that width; `forward(encode)` returns p(z), handed the encode callable."""

    def check(self):
        """Raise a ValueError for a bad parameter; called before training."""

    def start(self, module, z, x, seed):
        """Spread the module over draws z (n, K), an ndarray, of the start's posteriors of rows x (n, D), a tensor."""


class StandardNormal(Prior):
    """p(z) = N(0, I): short name "normal".

    Examples
    --------
    >>> from skvae import StandardNormal, VAETransformer
    >>> VAETransformer(prior=StandardNormal())
    VAETransformer(prior=StandardNormal())
    """

    def build(self, n_components):
        """A module without weights."""
        return _StandardModule(Gaussian(), n_components)


class Standard(Prior):
    r"""Independent standard members of a family, :math:`p(z) = \prod_k p_0(z_k)`: what "auto" is for a mean-field q.

    Parameters
    ----------
    family : Family

    Examples
    --------
    >>> from skvae import Gaussian, Standard, VAETransformer
    >>> VAETransformer(prior=Standard(Gaussian()))
    VAETransformer(prior=Standard(family=Gaussian()))
    """

    def __init__(self, family: Family):
        self.family = family

    def check(self):
        """`family` is one that can be reparameterised, as codes are."""
        if not (isinstance(self.family, Family) and self.family.reparameterized):
            must = "must be an instance of Family that can be reparameterised"
            raise ValueError(f"The 'family' parameter of Standard {must}. Got {self.family!r} instead.")

    def build(self, n_components):
        """A module without weights."""
        self.check()
        return _StandardModule(self.family.amortized(), n_components)


class _StandardModule(nn.Module):
    """p(z) with batch shape (K,)."""

    def __init__(self, family, n_components):
        super().__init__()
        self.family = family
        self.register_buffer("zero", torch.zeros(n_components), persistent=False)

    def forward(self, encode=None):
        """The standard member, K times."""
        return self.family.standard(self.zero)


class UniformPrior(Prior):
    r"""p(z) uniform on a box, :math:`z_k \sim U(low, high)`: short name "uniform".

    For posteriors inside the box, and for objectives that match codes as a whole (WAEMMD, AAE).

    Parameters
    ----------
    low, high : float, default=0.0 and 1.0

    Examples
    --------
    >>> from skvae import UniformPrior, VAETransformer
    >>> VAETransformer(objective="aae", prior=UniformPrior(low=-1.0))
    VAETransformer(objective='aae', prior=UniformPrior(low=-1.0))
    """

    def __init__(self, low: float = 0.0, high: float = 1.0):
        self.low = low
        self.high = high

    def check(self):
        """low < high, both finite."""
        numbers = isinstance(self.low, Real) and isinstance(self.high, Real)
        if not (numbers and -np.inf < self.low < self.high < np.inf):
            got = f"Got low={self.low!r}, high={self.high!r} instead."
            raise ValueError(f"UniformPrior needs finite numbers low < high. {got}")

    def build(self, n_components):
        """A module without weights."""
        return _UniformModule(n_components, self.low, self.high)


class _UniformModule(nn.Module):
    """p(z) with batch shape (K,)."""

    def __init__(self, n_components, low, high):
        super().__init__()
        self.register_buffer("low", torch.full((n_components,), float(low)), persistent=False)
        self.register_buffer("high", torch.full((n_components,), float(high)), persistent=False)

    def forward(self, encode=None):
        """U(low, high), K times."""
        return Uniform(self.low, self.high, validate_args=False)


class UniformCategorical(Prior):
    """Every class of every one-hot variable alike: what "auto" is for categorical codes.

    Parameters
    ----------
    n_classes : int, default=10

    Examples
    --------
    >>> from skvae import CategoricalPosterior, UniformCategorical, VAETransformer
    >>> prior = UniformCategorical(n_classes=4)
    >>> VAETransformer(posterior=CategoricalPosterior(n_classes=4), prior=prior)
    VAETransformer(posterior=CategoricalPosterior(n_classes=4),
                   prior=UniformCategorical(n_classes=4))
    """

    def __init__(self, n_classes: int = 10):
        self.n_classes = n_classes

    def check(self):
        """At least two classes."""
        if not (isinstance(self.n_classes, Integral) and self.n_classes >= 2):
            must = "must be an int in the range [2, inf)"
            raise ValueError(f"The 'n_classes' parameter of UniformCategorical {must}. Got {self.n_classes!r} instead.")

    def build(self, n_components):
        """A module without weights; `n_components` is the width of z."""
        if n_components % self.n_classes:
            raise ValueError(
                f"Codes of width {n_components} are not {self.n_classes} classes each: leave prior='auto'."
            )
        return _UniformCategoricalModule(n_components, self.n_classes)


class _UniformCategoricalModule(nn.Module):
    """OneHots without batch shape."""

    def __init__(self, width, n_classes):
        super().__init__()
        self.register_buffer("logits", torch.zeros(width // n_classes, n_classes), persistent=False)

    def forward(self, encode=None):
        """ln 1/C everywhere."""
        return OneHots(self.logits)


class NormalMixture(Prior):
    r"""Mixture of normals with diagonal covariances, all trained: short name "mixture".

    .. math:: p(z) = \sum_m \pi_m N(z; \mu_m, diag(\sigma_m^2))

    Equal members would never separate, so they start at the clusters of the start's codes (k-means).
    `prior_responsibilities` gives the memberships of rows.

    Isachenko's lecture, mixture of Gaussians; Dilokthanakul et al. (2016).

    Parameters
    ----------
    n_members : int, default=10
        M.

    Examples
    --------
    >>> from skvae import NormalMixture, VAETransformer
    >>> VAETransformer(prior=NormalMixture(n_members=3))
    VAETransformer(prior=NormalMixture(n_members=3))
    """

    def __init__(self, n_members: int = 10):
        self.n_members = n_members

    def check(self):
        """At least one member."""
        _check_members(self)

    def build(self, n_components):
        """Weights, locations and scales of M members."""
        return _NormalMixtureModule(self.n_members, n_components)

    def start(self, module, z, x, seed):
        """Locations at the clusters, scales and weights of what belongs to them."""
        from sklearn.cluster import KMeans  # takes a tenth of a second

        M = min(self.n_members, len(np.unique(z, axis=0)))
        clusters = KMeans(M, n_init=1, random_state=seed % 2**32).fit(z)
        count = np.bincount(clusters.labels_, minlength=M)
        within = np.stack([z[clusters.labels_ == m].var(0) for m in range(M)])
        # A cluster of few codes has no variance of its own to speak of: it borrows two codes' worth of all clusters'.
        pooled = (count[:, None] * within).sum(0) / len(z)
        variance = (count[:, None] * within + 2 * pooled) / (count[:, None] + 2)
        again = np.arange(self.n_members) % M  # fewer codes than members: some stand twice
        module.logits.copy_(torch.from_numpy(np.log(count[again])))
        module.loc.copy_(torch.from_numpy(clusters.cluster_centers_[again]))
        module.log_scale.copy_(torch.from_numpy(0.5 * np.log(variance[again] + 1e-6)))


class _NormalMixtureModule(nn.Module):
    """MixtureSameFamily over codes."""

    def __init__(self, n_members, n_components):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_members))
        self.loc = nn.Parameter(torch.randn(n_members, n_components))
        self.log_scale = nn.Parameter(torch.zeros(n_members, n_components))

    def forward(self, encode=None):
        """Event shape (K,)."""
        return mixture(self.logits, Normal(self.loc, self.log_scale.clamp(-10.0, 10.0).exp(), validate_args=False))


class VampPrior(Prior):
    r"""Mixture of posteriors, :math:`p(z) = \sum_m \pi_m q(z | v_m)`, at trained rows v_m: short name "vamp".

    The pseudo-inputs live in the model's own units and start at rows of the table far from each other (k-means++ over
    the codes). `prior_responsibilities` gives the memberships of rows.

    Tomczak & Welling (2018), section 3; there with equal weights.

    Parameters
    ----------
    n_members : int, default=50
        M.

    Examples
    --------
    >>> from skvae import VAETransformer, VampPrior
    >>> VAETransformer(prior=VampPrior(n_members=20))
    VAETransformer(prior=VampPrior(n_members=20))
    """

    reads_rows = True

    def __init__(self, n_members: int = 50):
        self.n_members = n_members

    def check(self):
        """At least one member."""
        _check_members(self)

    def build(self, n_components, n_features):
        """M pseudo-inputs of D numbers."""
        return _VampModule(self.n_members, n_features)

    def start(self, module, z, x, seed):
        """Rows whose codes lie far from each other."""
        from sklearn.cluster import kmeans_plusplus  # takes a tenth of a second

        M = min(self.n_members, len(z))
        _, rows = kmeans_plusplus(z, M, random_state=seed % 2**32)
        module.inputs.copy_(x[rows[np.arange(self.n_members) % M]])


class _VampModule(nn.Module):
    """MixtureSameFamily of posteriors."""

    def __init__(self, n_members, n_features):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_members))
        self.inputs = nn.Parameter(torch.randn(n_members, n_features))

    def forward(self, encode):
        """Encode the pseudo-inputs."""
        return mixture(self.logits, encode(self.inputs))


class FlowPrior(Prior):
    r"""A standard normal, bent by coupling layers: short name "flow".

    .. math:: \ln p(z) = \ln N(f(z); 0, I) + \ln |\det \partial f / \partial z|

    f is the identity at the start. Needs zuko: ``pip install skvae[flows]``.

    Chen et al. (2017), section 3.2; Dinh et al. (2017), section 3, coupling layers.

    Parameters
    ----------
    n_transforms : int, default=3
    hidden_layer_sizes : tuple of int, default=(64,)
        Of each coupling layer.

    Examples
    --------
    >>> from skvae import FlowPrior, VAETransformer
    >>> VAETransformer(prior=FlowPrior(n_transforms=2))
    VAETransformer(prior=FlowPrior(n_transforms=2))
    """

    def __init__(self, n_transforms: int = 3, hidden_layer_sizes: tuple = (64,)):
        self.n_transforms = n_transforms
        self.hidden_layer_sizes = hidden_layer_sizes

    def check(self):
        """At least one transform, and zuko at hand."""
        check_flow(self)

    def build(self, n_components):
        """The coupling layers."""
        return _FlowModule(n_components, self.n_transforms, self.hidden_layer_sizes)


class _FlowModule(nn.Module):
    """Flow over codes."""

    def __init__(self, n_components, n_transforms, hidden_layer_sizes):
        super().__init__()
        self.flow = coupling_layers(n_components, 0, n_transforms, hidden_layer_sizes)
        self.register_buffer("frozen", whitened_pairs(64, n_components, torch.default_generator).float())

    def forward(self, encode=None):
        """Event shape (K,)."""
        return Flow(self.flow(None), (), self.frozen.shape[-1:], self.frozen)


def _check_members(prior):
    if not (isinstance(prior.n_members, Integral) and prior.n_members >= 1):
        name, must = type(prior).__name__, "must be an int in the range [1, inf)"
        raise ValueError(f"The 'n_members' parameter of {name} {must}. Got {prior.n_members!r} instead.")


PRIORS = {
    "normal": StandardNormal,
    "mixture": NormalMixture,
    "vamp": VampPrior,
    "flow": FlowPrior,
    "uniform": UniformPrior,
}
