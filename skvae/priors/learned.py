"""Priors that are trained: mixtures of normals, VampPrior, and normalizing flows."""

import copy
import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import Distribution, Normal

from .._utils.checks import COUNT, SIZES
from .._utils.compat import Interval, StrOptions
from .._utils.random import torch_generator, whitened_pairs
from ..distributions.coupling import coupling_layers, import_zuko
from ..distributions.latent import Flow, MemberNormals, OneHots, mixture
from ..distributions.normal_mixtures import COVARIANCES, FittedNormals, best_normals, fewest_members
from ..distributions.smooth import soft_clamp
from .base import Encode, Prior
from .fixed import check_width

__all__ = ["CategoricalPrior", "FlowPrior", "NormalMixture", "NormalMixtureModule", "VampPrior"]

MOST_CODES = 2000  # of which the number of members is found

#: Gradient steps of a flow on codes: learning rate, codes of a step, epochs, and epochs without a gain.
CLIMBING_RATE, CLIMBING_BATCH, MOST_CLIMBS, CLIMBING_PATIENCE = 1e-2, 256, 100, 10
MIN_CODES_TO_HOLD_OUT = 50


class NormalMixture(Prior):
    r"""Mixture of normals, all trained: short name "mixture".

    .. math:: p(z) = \sum_m \pi_m N(z; \mu_m, L_m L_m^T)

    Equal members would never separate, so they begin as the mixture that EM fits to the initial codes, the best of ten
    starts by k-means. `VAETransformer.prior_responsibilities` gives the memberships of rows. ``prior="auto"`` fits a
    mixture of this form to the codes after the training.

    Isachenko's lecture, mixture of Gaussians; Dilokthanakul et al. (2016).

    Parameters
    ----------
    n_members : int or "auto", default=10
        Number of normals, M. "auto" chooses it before the training: the smallest number that describes held-out codes
        of the initialisation as well as the best number does, within one standard error.
    covariance : {"diag", "full"}, default="diag"
        Whether the components of a member are independent; the L_m are then diagonal.

    See Also
    --------
    VampPrior : A mixture of the posteriors of learned pseudo-inputs.
    sklearn.mixture.GaussianMixture : The same model without a decoder.

    Examples
    --------
    Clusters of iris against its three species:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.metrics import adjusted_rand_score
    >>> from skvae import NormalMixture, VAETransformer
    >>> X, species = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior=NormalMixture(n_members=3), max_iter=10, random_state=0).fit(X)
    >>> round(adjusted_rand_score(species, vae.prior_responsibilities(X).argmax(axis=1)), 1)
    0.7
    """

    fits_codes = True
    seeks_groups = True

    _parameter_constraints = {
        "n_members": [StrOptions({"auto"}), COUNT],
        "covariance": [StrOptions(set(COVARIANCES))],
    }

    def __init__(self, n_members: int | str = 10, covariance: str = "diag") -> None:
        self.n_members = n_members
        self.covariance = covariance

    def build(self, n_components: int) -> "NormalMixtureModule":
        """Weights, locations and scales of M members; of one where their number is not known yet."""
        n_members = 1 if isinstance(self.n_members, str) else self.n_members
        return NormalMixtureModule(n_members, n_components, self.covariance)

    def sized(self, z: np.ndarray, row: np.ndarray, seed: int) -> Prior:
        """The number of members in place of "auto"."""
        if not isinstance(self.n_members, str):
            return self
        return NormalMixture(fewest_members(z[:MOST_CODES], row[:MOST_CODES], seed), self.covariance)

    def start(self, module: Any, z: np.ndarray, x: Tensor, seed: int) -> None:
        """The mixture that EM fits to the codes."""
        self.fit_codes(module, z, np.ones(len(z)), seed)

    def fit_codes(self, module: Any, z: np.ndarray, weight: np.ndarray, seed: int) -> None:
        """The mixture that EM fits to the codes."""
        n_members = len(module.logits)
        normals = best_normals(z, weight, n_members, self.covariance, seed)
        again = np.arange(n_members) % len(normals.weights)  # fewer codes than members: some stand twice
        module.set_(FittedNormals(normals.weights[again], normals.means[again], normals.factors[again]))


class NormalMixtureModule(nn.Module):
    """MixtureSameFamily over codes."""

    def __init__(self, n_members: int, n_components: int, covariance: str) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_members))
        self.loc = nn.Parameter(torch.randn(n_members, n_components))
        self.log_scale = nn.Parameter(torch.zeros(n_members, n_components))
        is_full = covariance == "full"
        self.lower = nn.Parameter(torch.zeros(n_members, n_components, n_components)) if is_full else None

    def forward(self, encode: Encode | None = None) -> Distribution:
        """The distribution of a code, of event shape (K,)."""
        scale = soft_clamp(self.log_scale, -10.0, 10.0).exp()
        if self.lower is None:
            return mixture(self.logits, Normal(self.loc, scale, validate_args=False))
        scale_tril = self.lower.tril(-1) + torch.diag_embed(scale)
        return mixture(self.logits, MemberNormals(self.loc, scale_tril=scale_tril, validate_args=False))

    def set_(self, normals: FittedNormals) -> None:
        """Take over a mixture of as many members, in place."""
        factors, scale = normals.factors, normals.scale
        with torch.no_grad():
            self.logits.copy_(torch.from_numpy(np.log(normals.weights)))
            self.loc.copy_(torch.from_numpy(normals.means))
            self.log_scale.copy_(torch.from_numpy(np.log(scale)))
            if self.lower is not None:
                self.lower.copy_(torch.from_numpy(np.tril(factors, -1)))


class CategoricalPrior(Prior):
    r"""Classes of one-hot variables with trained probabilities: short name "categorical".

    .. math:: \ln p(z) = \sum_{k, c} z_{kc} \ln \pi_{kc}

    With one variable the model is a mixture, :math:`\sum_c \pi_c\, p(x | c)`, and begins at clusters of the codes of a
    linear model; `VAETransformer.predict` gives the class of each row.

    He's lecture, "VAE is a Generative Model"; Bishop (2006), section 9.2.

    Parameters
    ----------
    n_classes : int, default=10
        C, the same as that of the posterior.

    See Also
    --------
    UniformCategorical : Equal probabilities, which "auto" is.
    CategoricalPosterior : The posterior over one-hot variables.
    NormalMixture : Groups with codes inside them.

    Examples
    --------
    A fifth of the rows is a group of its own:

    >>> import numpy as np
    >>> from skvae import CategoricalPosterior, CategoricalPrior, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3)) + 8 * (np.arange(500) < 100)[:, None]
    >>> posterior, prior = CategoricalPosterior(n_classes=2), CategoricalPrior(n_classes=2)
    >>> vae = VAETransformer(1, posterior=posterior, prior=prior, max_iter=0, random_state=0).fit(X)
    >>> np.sort(vae.prior_.mean.numpy()).round(2)
    array([0.2, 0.8])
    """

    seeks_groups = True

    _parameter_constraints = {"n_classes": [Interval(Integral, 2, None, closed="left")]}

    def __init__(self, n_classes: int = 10) -> None:
        self.n_classes = n_classes

    def build(self, n_components: int) -> nn.Module:
        """Logits of every variable; `n_components` is the width of z."""
        check_width(n_components, self.n_classes)
        return _CategoricalModule(n_components // self.n_classes, self.n_classes)

    def start(self, module: Any, z: np.ndarray, x: Tensor, seed: int) -> None:
        """The shares of draws, as if each class had half a draw more."""
        shares = (z.sum(0) + 0.5) / (len(z) + 0.5 * self.n_classes)
        module.logits.copy_(torch.from_numpy(np.log(shares)).view_as(module.logits))


class _CategoricalModule(nn.Module):
    """OneHots without batch shape."""

    def __init__(self, n_variables: int, n_classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_variables, n_classes))

    def forward(self, encode: Encode | None = None) -> Distribution:
        """ln pi of every class."""
        return OneHots(self.logits)


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
    r"""A standard normal variable transformed by coupling layers: short name "flow".

    .. math:: \ln p(z) = \ln N(f(z); 0, I) + \ln |\det \partial f / \partial z|

    f is the identity at the start. For plain autoencoders (`AE`, `RAE`) it is fitted to the codes after the training: f
    standardises them, and gradient steps continue as long as the likelihood of held-out codes, every fifth one,
    improves. Needs zuko: ``pip install zuko``.

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

    fits_codes = True

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

    def fit_codes(self, module: Any, z: np.ndarray, weight: np.ndarray, seed: int) -> None:
        """Standardise the codes, and maximise the mean of ln p(z)."""
        scaler, dtype = StandardScaler().fit(z, sample_weight=weight), next(module.parameters()).dtype
        module.loc.copy_(torch.from_numpy(scaler.mean_))
        module.scale.copy_(torch.from_numpy(scaler.scale_))
        _climb(
            module, torch.as_tensor(z, dtype=dtype), torch.as_tensor(weight, dtype=dtype), torch_generator("cpu", seed)
        )


def _climb(module: nn.Module, z: Tensor, weight: Tensor, generator: torch.Generator) -> None:
    """Lower the mean of -ln p(z) by Adam, and keep the epoch that is best for every fifth code, which is held out."""

    def loss(rows: Tensor) -> Tensor:
        return -(weight[rows] * module().log_prob(z[rows])).sum() / weight[rows].sum()

    rows = torch.arange(len(z))[weight > 0]
    is_held_out = rows % 5 == 4 if len(rows) >= MIN_CODES_TO_HOLD_OUT else torch.zeros(len(rows), dtype=torch.bool)
    train, valid = rows[~is_held_out], rows[is_held_out] if is_held_out.any() else rows
    optimizer = torch.optim.Adam(module.parameters(), lr=CLIMBING_RATE)
    best, state, best_epoch = math.inf, copy.deepcopy(module.state_dict()), 0
    for epoch in range(MOST_CLIMBS + 1):
        with torch.no_grad():
            value = float(loss(valid))
        if value < best:
            best, state, best_epoch = value, copy.deepcopy(module.state_dict()), epoch
        if epoch == MOST_CLIMBS or epoch - best_epoch >= CLIMBING_PATIENCE:
            break
        for part in train[torch.randperm(len(train), generator=generator)].split(CLIMBING_BATCH):
            optimizer.zero_grad()
            loss(part).backward()
            optimizer.step()
    module.load_state_dict(state)


class _FlowModule(nn.Module):
    """Coupling layers of standardised codes -> the distribution of codes that they make of a normal one."""

    frozen: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(self, n_components: int, n_transforms: int, hidden_layer_sizes: Sequence[int]) -> None:
        super().__init__()
        self.flow = coupling_layers(n_components, 0, n_transforms, hidden_layer_sizes)
        self.register_buffer("frozen", whitened_pairs(64, n_components, torch.default_generator).float())
        self.register_buffer("loc", torch.zeros(n_components))
        self.register_buffer("scale", torch.ones(n_components))

    def forward(self, encode: Encode | None = None) -> Distribution:
        """The distribution of a code, of event shape (K,)."""
        standardise = td.AffineTransform(self.loc, self.scale, event_dim=1).inv
        transform = td.ComposeTransform([standardise, self.flow(None)])
        return Flow(transform, torch.Size(), self.frozen.shape[-1:], self.frozen)
