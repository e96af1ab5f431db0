"""Posteriors of any shape: networks fed with noise, and normalizing flows."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import AffineTransform, ComposeTransform, Distribution, Normal

from .._utils.checks import COUNT, SIZES
from .._utils.random import whitened_pairs
from ..distributions.coupling import coupling_layers, import_zuko
from ..distributions.latent import Flow
from ..distributions.latent import Implicit as ImplicitDistribution
from ..networks.architectures import mlp
from .base import Head, HeadInit, Posterior
from .conditioning import condition_spread
from .normal import MeanField

__all__ = ["FlowPosterior", "Implicit"]


class Implicit(Posterior):
    r"""Draws from a network that is fed noise, without a density: short name "implicit".

    .. math:: z = m(x) + s(x) u + g(m(x), s(x), u), \qquad u \sim N(0, I)

    g is zero at the start, where q is normal. It is for objectives that need no density, mainly AVB. The centre is a
    Monte Carlo mean over noise that is frozen in `fit`.

    Mescheder et al. (2017), section 3.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64,)
        Of g.

    See Also
    --------
    AVB : The bound that a critic estimates for it.
    FlowPosterior : A flexible posterior that keeps its density.

    Examples
    --------
    It can be drawn from, and that is all; so there is no score:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import Implicit, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective="avb", posterior=Implicit(), max_iter=0).fit(X)
    >>> vae.encode(X).sample((5,)).shape
    torch.Size([5, 150, 2])
    >>> hasattr(vae, "score")
    False
    """

    has_density = False

    _parameter_constraints = {"hidden_layer_sizes": [SIZES]}

    def __init__(self, hidden_layer_sizes: tuple = (64,)) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes

    def build(self, n_components: int) -> Head:
        """Location, scale and the network of the noise."""
        return _ImplicitHead(n_components, self.hidden_layer_sizes)


class _DrawnHead(Head):
    """Heads around a normal N(loc, scale^2) whose q has moments only by frozen draws."""

    condition = staticmethod(condition_spread)

    frozen: Tensor

    def __init__(self, n_components: int, n_extra: int = 0) -> None:
        super().__init__(2 * n_components + n_extra, n_components)
        self.normal = MeanField().build(n_components)
        self.register_buffer("frozen", whitened_pairs(64, n_components, torch.default_generator).float())

    def marginals(self, q: Any) -> Distribution:
        """Normal with the Monte-Carlo moments."""
        return Normal(q.mean, q.stddev, validate_args=False)

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """The normal code itself; further raw numbers are zero."""
        weight, bias, basis, offset = self.normal.start(mean, projection, covariance)
        n_extra = self.n_raw - len(bias)
        return np.pad(weight, ((0, n_extra), (0, 0))), np.pad(bias, (0, n_extra)), basis, offset


class _ImplicitHead(_DrawnHead):
    """Raw numbers (B, 2 K) -> Implicit."""

    def __init__(self, n_components: int, hidden_layer_sizes: Sequence[int]) -> None:
        super().__init__(n_components)
        self.net: Any = mlp(3 * n_components, n_components, hidden_layer_sizes, "silu", 0.0)

    def forward(self, raw: Tensor) -> Distribution:
        """Codes that are defined by how they are drawn."""
        return ImplicitDistribution(partial(self._draw, raw), raw.shape[:-1], torch.Size([self.n_noise]), self.frozen)

    def _draw(self, raw: Tensor, u: Tensor) -> Tensor:
        q = self.normal(raw)
        shape = (*u.shape[:-2], *raw.shape)
        context = torch.cat([raw.expand(shape), u.expand(*shape[:-1], -1)], -1)
        return self.normal.push(q, u) + self.net(context)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Feed the noise to the network."""
        return q.draw(u)


class FlowPosterior(Posterior):
    r"""A normal variable transformed by coupling layers that depend on the row: short name "flow".

    .. math:: z = m(x) + s(x) f^{-1}(u; c(x)), \quad
        \ln q(z|x) = \ln N(f(\tilde z; c); 0, I) + \ln |\det \partial f / \partial z|,
        \quad \tilde z = (z - m) / s

    f is the identity at the start. The centre is a Monte Carlo mean over noise that is frozen in `fit`. Needs zuko:
    ``pip install zuko``.

    Rezende & Mohamed (2015), section 3; Dinh et al. (2017), section 3, coupling layers. Yang's lecture, eq. (12).

    Parameters
    ----------
    n_transforms : int, default=3
        Number of coupling layers.
    hidden_layer_sizes : tuple of int, default=(64,)
        Of each coupling layer.

    See Also
    --------
    FlowPrior : The same layers in the prior, without the row.
    FullCovariance : Only correlations.

    Examples
    --------
    It begins where independent normals do:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import FlowPosterior, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> flow = VAETransformer(2, posterior=FlowPosterior(n_transforms=2), max_iter=0).fit(X)
    >>> round(flow.score(X), 4), round(VAETransformer(2, max_iter=0).fit(X).score(X), 4)
    (-2.6339, -2.6339)
    """

    _parameter_constraints = {"n_transforms": [COUNT], "hidden_layer_sizes": [SIZES]}

    def __init__(self, n_transforms: int = 3, hidden_layer_sizes: tuple = (64,)) -> None:
        self.n_transforms = n_transforms
        self.hidden_layer_sizes = hidden_layer_sizes

    def check(self) -> None:
        """Also that zuko is installed."""
        super().check()
        import_zuko()

    def build(self, n_components: int) -> Head:
        """Location, scale and K numbers of context from the encoder."""
        return _FlowHead(n_components, self.n_transforms, self.hidden_layer_sizes)


class _FlowHead(_DrawnHead):
    """Raw numbers (B, 3 K) -> Flow."""

    def __init__(self, n_components: int, n_transforms: int, hidden_layer_sizes: Sequence[int]) -> None:
        super().__init__(n_components, n_extra=n_components)
        self.flow = coupling_layers(n_components, n_components, n_transforms, hidden_layer_sizes)

    def forward(self, raw: Tensor) -> Distribution:
        """f, after codes are standardised by the location and scale of the normal."""
        K = self.n_noise
        normal = self.normal(raw[..., : 2 * K])
        units = AffineTransform(normal.loc, normal.scale, event_dim=1).inv
        transform = ComposeTransform([units, self.flow(raw[..., 2 * K :])])
        return Flow(transform, raw.shape[:-1], torch.Size([K]), self.frozen)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """The inverse of the transform."""
        return q.draw(u)
