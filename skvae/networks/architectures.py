"""Networks beside the linear paths, as values: an MLP, convolutions for images, and the user's own functions.

A network enters as linear path + gate * net, with the gate 0 at the start, so that the closed-form initialisation stays
exact whatever the network is; the built-in MLP starts with a last layer of zeros instead, and needs no gate.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.checks import COUNT, SIZES
from .._utils.compat import Interval, Intervals, StrOptions
from ..families.base import Family
from ..families.discrete import Constant
from .base import Network

__all__ = ["ACTIVATIONS", "MLP", "ConvNet", "FromFactory", "mlp"]

ACTIVATIONS = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


class MLP(Network):
    """Layers of a linear map and an activation each: what ``hidden_layer_sizes`` of the estimator builds.

    Pass it as ``encoder=`` or ``decoder=`` to make the two networks different. Its last layer is initially zero, and
    the linear path contains the constant.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128,)
        Widths of the hidden layers; ``()`` for none, which leaves only the linear path.
    activation : {"silu", "relu", "gelu", "elu", "tanh", "softplus"}, default="silu"
        Nonlinearity after each hidden layer.
    dropout : float, default=0.0
        Dropout rate after each hidden layer.

    See Also
    --------
    ConvNet : Convolutions, for rows of pixels.

    Examples
    --------
    A large encoder before a linear decoder:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import MLP, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, encoder=MLP((64, 64)), decoder=MLP(()), max_iter=5, random_state=0).fit(X)
    >>> vae.module_.encoder.net[0], vae.module_.decoder.net
    (Linear(in_features=4, out_features=64, bias=True), None)
    """

    reads = "features"
    is_silent = True
    _parameter_constraints = {
        "hidden_layer_sizes": [Intervals(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self, hidden_layer_sizes: Sequence[int] = (128,), activation: str = "silu", dropout: float = 0.0
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout

    def build_encoder(self, n_features: int, n_out: int) -> nn.Module | None:
        """`mlp`; None without hidden layers."""
        return mlp(n_features, n_out, self.hidden_layer_sizes, self.activation, self.dropout)

    def build_decoder(self, n_components: int, n_out: int) -> nn.Module | None:
        """The same between other widths."""
        return self.build_encoder(n_components, n_out)


def mlp(
    n_in: int, n_out: int, hidden_layer_sizes: Sequence[int] = (), activation: str = "silu", dropout: float = 0.0
) -> nn.Module | None:
    """Stack Linear, activation, dropout; the last layer is zero. None where there are no hidden layers."""
    if not hidden_layer_sizes:
        return None
    layers = []
    for n_hidden in hidden_layer_sizes:
        layers += [nn.Linear(n_in, n_hidden), ACTIVATIONS[activation]()]
        layers += [nn.Dropout(dropout)] if dropout else []
        n_in = n_hidden
    last = nn.Linear(n_in, n_out, bias=False)  # the affine path has the bias
    nn.init.zeros_(last.weight)
    return nn.Sequential(*layers, last)


class ConvNet(Network):
    """Convolutions and a dense layer for rows of pixels.

    In the encoder the first convolution keeps the size of the image, every further one halves it, and a dense layer
    sees what is left; the decoder is the same in reverse order. A row is the image flattened as numpy does it, channels
    first, ``image.reshape(-1)``. The encoder also sees which pixels are missing, as further channels. In the decoder
    nearest-neighbour upsampling and a convolution replace a transposed convolution, whose overlaps cause checkerboard
    artifacts (Odena et al. 2016). Columns keep their order, so give the estimator ``scaling="global"``: one scale for
    all pixels.

    Parameters
    ----------
    image_shape : tuple of int
        (channels, height, width), or (height, width) for one channel.
    channels : tuple of int, default=(16, 32)
        Channels of the convolutions, from the image inwards; add one for images as large as (28, 28).
    hidden_size : int, default=64
        Width of the dense layer.
    kernel_size : int, default=3
        Odd.
    activation : {"silu", "relu", "gelu", "elu", "tanh", "softplus"}, default="silu"
        Nonlinearity after each convolution.

    See Also
    --------
    MLP : The default, which ignores the neighbourhood of pixels.

    References
    ----------
    A. Odena, V. Dumoulin, C. Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import ConvNet, VAETransformer
    >>> X = load_digits().data[:300]
    >>> net = ConvNet(image_shape=(8, 8), channels=(8, 16))
    >>> vae = VAETransformer(10, encoder=net, decoder=net, scaling="global", max_iter=2, random_state=0).fit(X)
    >>> vae.inverse_transform(vae.transform(X)).shape
    (300, 64)
    """

    _parameter_constraints = {
        "image_shape": [Intervals(Integral, 1, None, closed="left", least=2, most=3)],
        "channels": [SIZES],
        "hidden_size": [COUNT],
        "kernel_size": [COUNT],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int] = (16, 32),
        hidden_size: int = 64,
        kernel_size: int = 3,
        activation: str = "silu",
    ) -> None:
        self.image_shape = image_shape
        self.channels = channels
        self.hidden_size = hidden_size
        self.kernel_size = kernel_size
        self.activation = activation

    def check(self, families: Sequence[Family] = ()) -> None:
        """Also that the kernel has a middle, that each column is one pixel, and that all are of one family."""
        super().check()
        if self.kernel_size % 2 == 0:
            raise ValueError(f"The 'kernel_size' parameter of ConvNet must be an odd int. Got {self.kernel_size!r}.")
        if families:
            self._check_columns(families)

    def _check_columns(self, families: Sequence[Family]) -> None:
        n_pixels = math.prod(self.image_shape)
        if n_pixels != len(families):
            raise ValueError(
                f"ConvNet(image_shape={self.image_shape!r}) has {n_pixels} pixels, but X has {len(families)} columns."
            )
        families = [family for family in families if not isinstance(family, Constant)]
        kinds = sorted({repr(family) for family in families})
        if len(kinds) > 1 or any(family.nominal for family in families):
            raise ValueError(
                f"ConvNet takes rows of pixels, all of one family of numbers; the columns of X are {', '.join(kinds)}. "
                "Name one likelihood for all, or use an MLP."
            )

    def build_encoder(self, n_features: int, n_out: int) -> nn.Module:
        """Convolutions, of stride two from the second on, then dense layers."""
        return _ConvEncoder(n_out=n_out, **self._layout)

    def build_decoder(self, n_components: int, n_out: int) -> nn.Module:
        """Dense layers to the smallest image, then enlarging convolutions up to n_out / (H W) numbers per pixel."""
        return _conv_decoder(n_components, n_out, **self._layout)

    @property
    def _layout(self) -> dict[str, Any]:
        """What both modules take: the shape with its channels, and the parameters."""
        shape = tuple(int(n) for n in self.image_shape)
        return {
            "image_shape": (1, *shape) if len(shape) == 2 else shape,
            "channels": [int(n) for n in self.channels],
            "hidden_size": int(self.hidden_size),
            "kernel_size": int(self.kernel_size),
            "activation": ACTIVATIONS[self.activation],
        }


class _ConvEncoder(nn.Module):
    """(x (B, D), mask (B, D) or None) -> (B, n_out)."""

    def __init__(
        self,
        n_out: int,
        image_shape: Sequence[int],
        channels: Sequence[int],
        hidden_size: int,
        kernel_size: int,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        layers = []
        for i, (n_in, n_next) in enumerate(pairwise([2 * image_shape[0], *channels])):
            layers += [nn.Conv2d(n_in, n_next, kernel_size, 2 if i else 1, kernel_size // 2), activation()]
        n_left = channels[-1] * math.prod(_sizes(image_shape, channels)[-1])
        dense = [nn.Linear(n_left, hidden_size), activation(), nn.Linear(hidden_size, n_out)]
        self.net = nn.Sequential(*layers, nn.Flatten(), *dense)
        for layer in self.net:  # torch's own start shrinks signals threefold a layer, and the gate would have to wait
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # torch's stubs leave room for no bias

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pixels and which of them are there, side by side as channels."""
        observed = torch.ones_like(x) if mask is None else mask.to(x.dtype)
        planes = [t.unflatten(-1, self.image_shape) for t in (x, observed)]
        return self.net(torch.cat(planes, -3))


def _conv_decoder(
    n_components: int,
    n_out: int,
    image_shape: Sequence[int],
    channels: Sequence[int],
    hidden_size: int,
    kernel_size: int,
    activation: Callable[[], nn.Module],
) -> nn.Module:
    """z (N, K) -> (N, n_out)."""
    sizes = _sizes(image_shape, channels)[::-1]
    smallest = (channels[-1], *sizes[0])
    layers = [nn.Linear(n_components, hidden_size), activation(), nn.Linear(hidden_size, math.prod(smallest))]
    layers += [activation(), nn.Unflatten(-1, smallest)]
    for (n_in, n_next), size in zip(pairwise(channels[::-1]), sizes[1:], strict=True):
        layers += [nn.Upsample(size), nn.Conv2d(n_in, n_next, kernel_size, padding=kernel_size // 2), activation()]
    n_planes = n_out // math.prod(image_shape[1:])
    return nn.Sequential(*layers, nn.Conv2d(channels[0], n_planes, kernel_size, padding=kernel_size // 2), nn.Flatten())


def _sizes(image_shape: Sequence[int], channels: Sequence[int]) -> list[tuple[int, ...]]:
    """(height, width) of the image that each convolution of the encoder gives."""
    sizes = [tuple(image_shape[1:])]
    for _ in channels[1:]:
        sizes.append(tuple(math.ceil(n / 2) for n in sizes[-1]))
    return sizes


class FromFactory(Network):
    """A plain function of the user, ``(n_in, n_out) -> torch.nn.Module``, as a network.

    Parameters
    ----------
    factory : callable
    """

    reads = "features"

    def __init__(self, factory: Callable[[int, int], nn.Module]) -> None:
        self.factory = factory

    def check(self, families: Sequence[Family] = ()) -> None:
        """Also that it is a function: a module has its widths already, and would be shared by all fits."""
        super().check()
        if isinstance(self.factory, type) and issubclass(self.factory, Network):
            raise ValueError(f"encoder and decoder take an instance: {self.factory.__name__}(...), not the class.")
        if isinstance(self.factory, nn.Module):
            raise ValueError(
                "encoder and decoder take a function (n_in, n_out) -> torch.nn.Module, not a module: each fit builds "
                f"its own. Got {type(self.factory).__name__}(...); write a function that builds and returns it."
            )

    def build_encoder(self, n_features: int, n_out: int) -> nn.Module:
        """The module that the user's function builds, from columns to raw numbers of the posterior."""
        return self.factory(n_features, n_out)

    def build_decoder(self, n_components: int, n_out: int) -> nn.Module:
        """The module that the user's function builds, from latent variables to raw numbers of the likelihood."""
        return self.factory(n_components, n_out)
