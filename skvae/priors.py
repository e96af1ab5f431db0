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

    A prior is a value without weights; its `build` gives a torch module whose ``forward(encode)`` returns p(z).
    Parameters of that module are trained with the decoder.

    Attributes
    ----------
    reads_rows : bool
        Whether `build` also wants the number of columns, `n_features`, and the module the encode callable.

    See Also
    --------
    Standard : A prior of any `Family`, for which nothing of this is to be written.
    Posterior : The base class of what is held against it.

    Examples
    --------
    A normal that learns its own spread, which the posterior then need not fill:

    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Prior, VAETransformer
    >>> class Wide(torch.nn.Module):
    ...     def __init__(self, n_components):
    ...         super().__init__()
    ...         self.log_scale = torch.nn.Parameter(torch.zeros(n_components))
    ...
    ...     def forward(self, encode=None):
    ...         return torch.distributions.Normal(torch.zeros_like(self.log_scale), self.log_scale.exp())
    >>> class WideNormal(Prior):
    ...     def build(self, n_components):
    ...         return Wide(n_components)
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior=WideNormal(), max_iter=1, early_stopping=False).fit(X)
    >>> bool((vae.module_.prior.log_scale != 0).all())  # it has learned
    True
    """

    reads_rows = False

    @abstractmethod
    def build(self, n_components):
        """Make the module whose ``forward(encode)`` returns p(z).

        The encode callable maps rows (M, D), in the model's units, to their q; priors that do not read rows ignore it.

        Parameters
        ----------
        n_components : int
            K, the width of z. A prior with ``reads_rows = True`` takes `n_features`, D, as a second argument.

        Returns
        -------
        torch.nn.Module
            A new module; what its forward gives has batch shape (K,), or event shape (K,) where it is joint.

        See Also
        --------
        start : Sets what the module cannot know before it has seen codes.

        Examples
        --------
        >>> import torch
        >>> from skvae import StandardNormal
        >>> StandardNormal().build(2)().log_prob(torch.zeros(2))  # -ln(2 pi) / 2
        tensor([-0.9189, -0.9189])
        """

    def check(self):
        """Raise a ValueError for a bad parameter; called before training.

        `__init__` only assigns, as scikit-learn wants it, so that a wrong value shows here.

        See Also
        --------
        VAETransformer.fit : Calls it, before anything is computed.

        Examples
        --------
        >>> from skvae import NormalMixture
        >>> NormalMixture(n_members=0).check()
        Traceback (most recent call last):
        ValueError: The 'n_members' parameter of NormalMixture must be an int in the range [1, inf). Got 0 instead.
        """

    def start(self, module, z, x, seed):
        """Spread the module over codes of the closed-form start.

        Members of a mixture that begin alike stay alike, so they are sent to different rows here. By default nothing
        happens: the codes of the start fill a standard normal.

        Parameters
        ----------
        module : torch.nn.Module
            What `build` made; its parameters are set in place, without gradient.
        z : ndarray (n, K)
            One draw of the posterior of each row, at the start.
        x : Tensor (n, D)
            The rows, in the model's units.
        seed : int
            Of everything that is random here.

        See Also
        --------
        NormalMixture : Starts at the clusters of the codes.
        VampPrior : Starts at rows whose codes lie far from each other.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from skvae import NormalMixture
        >>> prior = NormalMixture(n_members=2)
        >>> module, z = prior.build(1), np.array([[-2.0], [-2.0], [3.0], [3.0]])
        >>> with torch.no_grad():
        ...     prior.start(module, z, torch.zeros(4, 5), seed=0)
        >>> module.loc.detach().flatten().sort().values
        tensor([-2.,  3.])
        """


class StandardNormal(Prior):
    """Independent standard normals, p(z) = N(0, I): short name "normal".

    What "auto" is for normal codes. It has no weights, a closed-form KL to normal posteriors, and is the prior of the
    linear models that the training starts from.

    See Also
    --------
    Standard : The same for another family.
    NormalMixture : Groups of codes.
    FlowPrior : A normal that bends to fit the codes.

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

    def build(self, n_components):
        """A module without weights."""
        return _StandardModule(Gaussian(), n_components)


class Standard(Prior):
    r"""Independent standard members of a family, :math:`p(z) = \prod_k p_0(z_k)`: what "auto" is for a mean-field q.

    It has no weights. To give it is only needed for codes of one family under the prior of another.

    Parameters
    ----------
    family : Family
        A reparameterized family, of which `Family.standard` is taken.

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
    r"""Uniform distribution on a box, :math:`z_k \sim U(low, high)`: short name "uniform".

    For posteriors inside the box, and for objectives that match codes as a whole (WAEMMD, AAE).

    Parameters
    ----------
    low : float, default=0.0
        Lower end of every component.
    high : float, default=1.0
        Upper end of every component.

    See Also
    --------
    Uniform : A family of posteriors inside the unit box.
    WAEMMD : An objective that takes codes from anywhere into the box.

    Examples
    --------
    A Wasserstein autoencoder takes codes that begin normal into the square around 0:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import UniformPrior, VAETransformer, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective="wae_mmd", prior=UniformPrior(low=-1.0), max_iter=0).fit(X)
    >>> before = metrics.mmd_to_prior(vae, X)
    >>> metrics.mmd_to_prior(vae.set_params(max_iter=20, random_state=0).fit(X), X) < before / 5
    True
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
    r"""Every class of every one-hot variable alike: what "auto" is for categorical codes.

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
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import CategoricalPosterior, UniformCategorical, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> posterior, prior = CategoricalPosterior(n_classes=3), UniformCategorical(n_classes=3)
    >>> vae = VAETransformer(1, posterior=posterior, prior=prior, max_iter=0).fit(X)
    >>> bool(vae.kl_per_component_[0] < np.log(3))
    True
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
    `VAETransformer.prior_responsibilities` gives the memberships of rows.

    Isachenko's lecture, mixture of Gaussians; Dilokthanakul et al. (2016).

    Parameters
    ----------
    n_members : int, default=10
        Number of normals, M.

    See Also
    --------
    VampPrior : A mixture of the posteriors of rows that are learned.
    sklearn.mixture.GaussianMixture : The same model without a decoder.

    Examples
    --------
    Clusters of iris against its three species:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.metrics import adjusted_rand_score
    >>> from skvae import NormalMixture, VAETransformer
    >>> X, species = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior=NormalMixture(n_members=3), max_iter=10, random_state=0).fit(X)
    >>> adjusted_rand_score(species, vae.prior_responsibilities(X).argmax(axis=1)) > 0.6
    True
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
    the codes). `VAETransformer.prior_responsibilities` gives the memberships of rows.

    Tomczak & Welling (2018), section 3; there with equal weights.

    Parameters
    ----------
    n_members : int, default=50
        Number of pseudo-inputs, M.

    See Also
    --------
    NormalMixture : A mixture whose members are free.

    Examples
    --------
    Twenty pseudo-inputs of four columns:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer, VampPrior
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior=VampPrior(n_members=20), max_iter=1, random_state=0).fit(X)
    >>> vae.module_.prior.inputs.shape
    torch.Size([20, 4])
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

    f is the identity at the start. Needs zuko: ``pip install zuko``.

    Chen et al. (2017), section 3.2; Dinh et al. (2017), section 3, coupling layers.

    Parameters
    ----------
    n_transforms : int, default=3
        Number of coupling layers.
    hidden_layer_sizes : tuple of int, default=(64,)
        Of each coupling layer.

    See Also
    --------
    FlowPosterior : The same layers in the posterior.
    NormalMixture : A prior with groups.

    Examples
    --------
    It begins as a standard normal, two variables of which have density 1 / (2 pi) at 0:

    >>> import torch
    >>> from skvae import FlowPrior
    >>> FlowPrior(n_transforms=2).build(2)().log_prob(torch.zeros(2)).exp().item()
    0.1591...
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
