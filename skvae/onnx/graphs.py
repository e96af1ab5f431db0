"""transform, inverse_transform and score_samples of a fitted estimator as torch modules that `torch.export` can trace.

The methods themselves cross into numpy where columns are scaled, transformed and looked up; here that is torch, in the
same precisions: data space in float64, networks in the precision of the table. One number per cell goes in, NaN for
missing values, and category indices come out; tables with strings are read around the graph (`converters.py`).
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._inference import evaluation
from .._inference.decoded import N_NODES
from .._inference.fitted import Fitted, fitted_of
from .._tables.columns import Columns
from .._tables.scalings import LARGEST_LOG, PowerMap, QuantileMap
from ..families.likelihood import ColumnLikelihood
from ..model import LatentVariableModel

__all__ = ["METHODS", "InverseTransform", "ScoreSamples", "Transform"]


class Transform(nn.Module):
    """Rows in data space to latent codes: `VAETransformer.transform` as a torch module.

    Latent codes come in the estimator's order and signs. The module holds a copy of the fitted networks.

    Parameters
    ----------
    estimator : VAETransformer
        A fitted model.
    dtype : torch.dtype
        Precision of the rows and the networks: torch.float32 or torch.float64.

    See Also
    --------
    InverseTransform : The way back.
    skvae.onnx.to_onnx : The same as an ONNX graph.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.onnx.graphs import Transform
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
    >>> codes = Transform(vae, torch.float64)(torch.from_numpy(X))
    >>> torch.allclose(codes, torch.from_numpy(vae.transform(X)))
    True
    """

    order: Tensor
    signs: Tensor

    def __init__(self, estimator: Any, dtype: torch.dtype) -> None:
        super().__init__()
        fitted = fitted_of(estimator)
        self.module = _module(fitted, dtype)
        self.columns = TorchColumns(fitted.columns, dtype)
        order, signs = fitted.output_map(torch.zeros(0, dtype=dtype))
        self.register_buffer("order", order)
        self.register_buffer("signs", signs)

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows as the centres of their posteriors.

        A category is given by its index.

        Parameters
        ----------
        X : Tensor (B, D)
            Rows, with NaN for a missing value.

        Returns
        -------
        Tensor (B, K)
            Latent codes, of the type of X.

        See Also
        --------
        InverseTransform.forward : The way back.

        Examples
        --------
        See the class.
        """
        module = self.module
        return module.posterior.center(module.encode(*self.columns.tensors(X))).index_select(1, self.order) * self.signs


class InverseTransform(nn.Module):
    """Latent codes to means in data space: `VAETransformer.inverse_transform` as a torch module.

    A category comes as its most probable index, a boolean as a probability.

    Parameters
    ----------
    estimator : VAETransformer
        A fitted model.
    dtype : torch.dtype
        Precision of the latent codes and the networks: torch.float32 or torch.float64.

    See Also
    --------
    Transform : From rows to latent codes.
    skvae.onnx.to_onnx : The same as an ONNX graph.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.onnx.graphs import InverseTransform
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
    >>> InverseTransform(vae, torch.float64)(torch.zeros(1, 2, dtype=torch.float64)).round(decimals=2)
    tensor([[5.8400, 3.0600, 3.7600, 1.2000]], dtype=torch.float64)
    """

    inverse: Tensor
    signs: Tensor

    def __init__(self, estimator: Any, dtype: torch.dtype) -> None:
        super().__init__()
        fitted = fitted_of(estimator)
        self.module = _module(fitted, dtype)
        self.columns = TorchColumns(fitted.columns, dtype)
        order, signs = fitted.output_map(torch.zeros(0, dtype=dtype))
        self.register_buffer("inverse", order.argsort())
        self.register_buffer("signs", signs)

    def forward(self, Z: Tensor) -> Tensor:
        """Decode latent codes to means.

        Means of transformed columns are computed by quadrature.

        Parameters
        ----------
        Z : Tensor (B, K)
            Latent codes in the estimator's order and signs.

        Returns
        -------
        Tensor (B, D)
            Means, of the type of Z.

        See Also
        --------
        Transform.forward : From rows to latent codes.

        Examples
        --------
        See the class.
        """
        p = self.module.decode((Z * self.signs).index_select(1, self.inverse)[None])
        return self.columns.mean(p, self.module.likelihood)[0].to(Z.dtype)


class ScoreSamples(nn.Module):
    """Rows in data space to evidence lower bounds: `VAETransformer.score_samples` as a torch module.

    A row outside the support of a column's family, which the estimator refuses, has the bound NaN, since a graph cannot
    raise an error.

    Parameters
    ----------
    estimator : VAETransformer
        A fitted model.
    dtype : torch.dtype
        Precision of the rows and the networks: torch.float32 or torch.float64.

    See Also
    --------
    Transform : From rows to latent codes.
    skvae.onnx.to_onnx : The same as an ONNX graph.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.onnx.graphs import ScoreSamples
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
    >>> bound = ScoreSamples(vae, torch.float64)(torch.from_numpy(X))
    >>> torch.allclose(bound, torch.from_numpy(vae.score_samples(X)))
    True
    """

    noise: Tensor

    def __init__(self, estimator: Any, dtype: torch.dtype) -> None:
        super().__init__()
        fitted = fitted_of(estimator)
        self.module = _module(fitted, dtype)
        self.columns = TorchColumns(fitted.columns, dtype)
        self.register_buffer("noise", fitted.score_noise.to(dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Bound the log-density of each row from below.

        The bound is the sum of the bound in model space and of the log-Jacobian of the scaling.

        Parameters
        ----------
        X : Tensor (B, D)
            Rows, with NaN for a missing value.

        Returns
        -------
        Tensor (B,)
            Bounds in nats, of the type of X.

        See Also
        --------
        Transform.forward : From rows to latent codes.

        Examples
        --------
        See the class.
        """
        x, mask = self.columns.tensors(X)
        bound = evaluation.elbo(self.module, x, mask, self.noise) + self.columns.log_jacobian(X, mask).to(x.dtype)
        return torch.where(self.columns.are_supported(X), bound, torch.nan)


#: Name of a method -> module.
METHODS: dict[str, Callable[[Any, torch.dtype], nn.Module]] = {
    "transform": Transform,
    "inverse_transform": InverseTransform,
    "score_samples": ScoreSamples,
}


def _module(fitted: Fitted, dtype: torch.dtype) -> LatentVariableModel:
    """Copy the fitted module to the CPU, without gradients."""
    return copy.deepcopy(fitted.module).cpu().to(dtype).eval().requires_grad_(False)


class TorchColumns(nn.Module):
    """`Columns` between data space and model space, in torch.

    Parameters
    ----------
    columns : Columns
    dtype : torch.dtype
        Of the table and the model.
    """

    shift: Tensor
    scale: Tensor
    interior: Tensor
    place: Tensor

    def __init__(self, columns: Columns, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("shift", torch.from_numpy(columns.shift))
        self.register_buffer("scale", torch.from_numpy(columns.scale))
        self.register_buffer("interior", torch.tensor([float(f.interior) for f in columns.families], dtype=dtype))
        self.bounded = [(f.support, list(own)) for f, own in columns.groups if f.units != "standard"]
        # Indices of categories that did not come out of `Schema.encode`: an unknown one counts as missing.
        raw = [int(d) for d in np.flatnonzero(~columns.is_number) if d not in columns.schema.levels]
        self.raw_categories = [(d, columns.families[d].support) for d in raw]
        self.transformed = sorted(columns.maps)
        self.affine = [d for d in range(len(columns.families)) if d not in columns.maps]
        self.maps = _torch_maps([columns.maps[d] for d in self.transformed]) if self.transformed else None
        self.register_buffer("place", torch.tensor(self.affine + self.transformed).argsort())

    def tensors(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """`Columns.tensors`: (x, mask) in model space."""
        if self.maps is None and not self.raw_categories and self.dtype == torch.float32:
            x = (X.double() - self.shift).float() / self.scale.float()
        else:
            x = self._working(X).to(self.dtype)
        mask = ~x.isnan()
        return torch.where(mask, x, self.interior), mask

    def _standardized(self, X: Tensor) -> Tensor:
        return (X.double() - self.shift) / self.scale

    def _working(self, X: Tensor) -> Tensor:
        x = self._standardized(X)
        if self.maps is not None:
            x = self._replace(x, self.maps.map(x[..., self.transformed]))
        for d, support in self.raw_categories:
            known = torch.where(support.check(x[:, d]), x[:, d], torch.nan)
            x = torch.cat([x[:, :d], known[:, None], x[:, d + 1 :]], 1)
        return x

    def _replace(self, x: Tensor, values: Tensor) -> Tensor:
        """Put other numbers into the transformed columns of x (..., D)."""
        return torch.cat([x[..., self.affine], values], -1).index_select(-1, self.place)

    def mean(self, p: Distribution, likelihood: ColumnLikelihood) -> Tensor:
        """E[x given z] in data space, `InDataSpace.mean`: (..., D), float64."""
        mean = p.mean.double()
        if self.maps is not None:
            u = torch.linspace(-6.0, 6.0, N_NODES, dtype=torch.float64)
            x = likelihood.push(p, u.to(self.dtype))[..., self.transformed].double()
            weight = torch.softmax(-u.square() / 2, 0).reshape(-1, *[1] * (x.ndim - 1))
            mean = self._replace(mean, (weight * self.maps.inverse(x)).sum(0))
        return mean * self.scale + self.shift

    def log_jacobian(self, X: Tensor, mask: Tensor) -> Tensor:
        """`Columns.log_jacobian`, (B,), float64."""
        slopes = -self.scale.log() * torch.ones_like(X, dtype=torch.float64)
        if self.maps is not None:
            at = self._standardized(X)[..., self.transformed]
            slopes = self._replace(slopes, slopes[..., self.transformed] + self.maps.log_slope(at))
        return torch.where(mask, slopes, 0.0).sum(-1)

    def are_supported(self, X: Tensor) -> Tensor:
        """Whether a row is one that `Columns.check_support` accepts, (B,)."""
        supported = torch.ones_like(X[:, 0], dtype=torch.bool)
        for support, own in self.bounded:
            values = X[:, own].double()
            supported = supported & (support.check(values) | values.isnan()).all(-1)
        return supported


class PowerMaps(nn.Module):
    """`scalings.PowerMap` of n columns at once: (..., n) -> (..., n), float64."""

    power: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, maps: Sequence[PowerMap]) -> None:
        super().__init__()
        for name in ("power", "mean", "scale"):
            self.register_buffer(name, torch.tensor([getattr(m, name) for m in maps], dtype=torch.float64))

    def _side(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Where the power of v's side is 0, and that power, with 1 in its place."""
        p = torch.where(v < 0, 2 - self.power, self.power)
        return p == 0, torch.where(p == 0, 1.0, p)

    def map(self, v: Tensor) -> Tensor:
        """x = (y(v) - m) / s."""
        is_log, p = self._side(v)
        log = v.abs().log1p().clamp(max=LARGEST_LOG)
        y = torch.where(is_log, log, (p * log).expm1() / p) * v.sign()
        return (torch.where(v.isnan(), v, y) - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """The v with y(v) = m + s x."""
        y = self.mean + self.scale * x
        is_log, p = self._side(y)
        log = torch.where(is_log, y.abs(), (p * y.abs()).log1p() / p)
        return y.sign() * log.clamp(max=LARGEST_LOG).expm1()

    def log_slope(self, v: Tensor) -> Tensor:
        """(lambda - 1) sign(v) ln(1 + |v|) - ln s."""
        return (self.power - 1) * v.sign() * v.abs().log1p() - self.scale.log()


class QuantileMaps(nn.Module):
    """`scalings.QuantileMap` of n columns at once: (..., n) -> (..., n), float64."""

    knots: Tensor
    values: Tensor
    slopes: Tensor
    log_slopes: Tensor

    def __init__(self, maps: Sequence[QuantileMap]) -> None:
        super().__init__()
        most = max(len(m.knots) for m in maps)
        for name in ("knots", "values"):
            padded = [np.pad(getattr(m, name), (0, most - len(m.knots)), constant_values=np.inf) for m in maps]
            self.register_buffer(name, torch.from_numpy(np.stack(padded)))
        self.register_buffer("slopes", torch.from_numpy(np.stack([_slopes(m, most + 1) for m in maps])))
        self.register_buffer("log_slopes", self.slopes.log())

    def map(self, v: Tensor) -> Tensor:
        """x on the broken line through the knots."""
        return self._line(v, self.knots, self.values, self.slopes)

    def inverse(self, x: Tensor) -> Tensor:
        """The same line with its axes exchanged."""
        return self._line(x, self.values, self.knots, 1 / self.slopes)

    def log_slope(self, v: Tensor) -> Tensor:
        """Ln of the segment's slope; at a knot the mean of both."""
        left, right = (self.knots < v[..., None]).sum(-1), (self.knots <= v[..., None]).sum(-1)
        return (_lookup(self.log_slopes, left) + _lookup(self.log_slopes, right)) / 2

    def _line(self, v: Tensor, knots: Tensor, values: Tensor, slopes: Tensor) -> Tensor:
        segment = (knots <= v[..., None]).sum(-1)
        origin = (segment - 1).clamp(min=0)
        return _lookup(values, origin) + _lookup(slopes, segment) * (v - _lookup(knots, origin))


def _torch_maps(maps: Sequence[Any]) -> PowerMaps | QuantileMaps:
    """Give the maps of several columns, which are all of one kind, as one module."""
    return PowerMaps(maps) if isinstance(maps[0], PowerMap) else QuantileMaps(maps)


def _slopes(line: QuantileMap, n: int) -> np.ndarray:
    """Slopes of the n segments below, between and above the knots; those of padding are the last."""
    slopes = np.concatenate([[line.lower], np.diff(line.values) / np.diff(line.knots), [line.upper]])
    return np.pad(slopes, (0, n - len(slopes)), mode="edge")


def _lookup(table: Tensor, index: Tensor) -> Tensor:
    """table (n, J) at index (..., n)."""
    n, J = table.shape
    return table.flatten()[index + J * torch.arange(n)]
