"""Priors that are trained: mixtures of normals, VampPrior, and normalizing flows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from .._utils.checks import COUNT, SIZES
from .._utils.random import whitened_pairs
from ..distributions.coupling import coupling_layers, import_zuko
from ..distributions.latent import Flow, mixture
from .base import Encode, Prior

__all__ = ["FlowPrior", "NormalMixture", "VampPrior"]


class NormalMixture(Prior):
    r"""Mixture of normals with diagonal covariances, all trained: short name "mixture".

    .. math:: p(z) = \sum_m \pi_m N(z; \mu_m, diag(\sigma_m^2))

    Equal members would never separate, so they begin at the clusters of the initial codes (k-means).
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

    _parameter_constraints = {"n_members": [COUNT]}

    def __init__(self, n_members: int = 10) -> None:
        self.n_members = n_members

    def build(self, n_components: int) -> nn.Module:
        """Weights, locations and scales of M members."""
        return _NormalMixtureModule(self.n_members, n_components)

    def start(self, module: Any, z: np.ndarray, x: Tensor, seed: int) -> None:
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

    def __init__(self, n_members: int, n_components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_members))
        self.loc = nn.Parameter(torch.randn(n_members, n_components))
        self.log_scale = nn.Parameter(torch.zeros(n_members, n_components))

    def forward(self, encode: Encode | None = None) -> Distribution:
        """The distribution of a code, of event shape (K,)."""
        return mixture(self.logits, Normal(self.loc, self.log_scale.clamp(-10.0, 10.0).exp(), validate_args=False))


class VampPrior(Prior):
    r"""Mixture of posteriors, :math:`p(z) = \sum_m \pi_m q(z | v_m)`, at trained rows v_m: short name "vamp".

    The pseudo-inputs live in model space and start at rows of the table far from each other (k-means++ over
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

    _parameter_constraints = {"n_members": [COUNT]}

    def __init__(self, n_members: int = 50) -> None:
        self.n_members = n_members

    def build(self, n_components: int, n_features: int) -> nn.Module:
        """M pseudo-inputs of D numbers."""
        return _VampModule(self.n_members, n_features)

    def start(self, module: Any, z: np.ndarray, x: Tensor, seed: int) -> None:
        """Rows whose codes lie far from each other."""
        from sklearn.cluster import kmeans_plusplus  # takes a tenth of a second

        M = min(self.n_members, len(z))
        _, rows = kmeans_plusplus(z, M, random_state=seed % 2**32)
        module.inputs.copy_(x[rows[np.arange(self.n_members) % M]])


class _VampModule(nn.Module):
    """MixtureSameFamily of posteriors."""

    def __init__(self, n_members: int, n_features: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_members))
        self.inputs = nn.Parameter(torch.randn(n_members, n_features))

    def forward(self, encode: Encode) -> Distribution:
        """Encode the pseudo-inputs."""
        return mixture(self.logits, encode(self.inputs))


class FlowPrior(Prior):
    r"""A standard normal variable that coupling layers transform: short name "flow".

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

    _parameter_constraints = {"n_transforms": [COUNT], "hidden_layer_sizes": [SIZES]}

    def __init__(self, n_transforms: int = 3, hidden_layer_sizes: tuple = (64,)) -> None:
        self.n_transforms = n_transforms
        self.hidden_layer_sizes = hidden_layer_sizes

    def check(self) -> None:
        """Also that zuko is installed."""
        super().check()
        import_zuko()

    def build(self, n_components: int) -> nn.Module:
        """A module whose weights are those of the coupling layers."""
        return _FlowModule(n_components, self.n_transforms, self.hidden_layer_sizes)


class _FlowModule(nn.Module):
    """Coupling layers -> the distribution of codes that they make of a normal one."""

    frozen: Tensor

    def __init__(self, n_components: int, n_transforms: int, hidden_layer_sizes: Sequence[int]) -> None:
        super().__init__()
        self.flow = coupling_layers(n_components, 0, n_transforms, hidden_layer_sizes)
        self.register_buffer("frozen", whitened_pairs(64, n_components, torch.default_generator).float())

    def forward(self, encode: Encode | None = None) -> Distribution:
        """The distribution of a code, of event shape (K,)."""
        return Flow(self.flow(None), torch.Size(), self.frozen.shape[-1:], self.frozen)
