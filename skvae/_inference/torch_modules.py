"""transform, inverse_transform and score_samples of a fitted estimator as torch modules, for gradients and graphs.

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

from .._tables.columns import COST_OF_ANOTHER_VALUE, FARTHEST, NEXT_TO_ONE, NEXT_TO_ZERO, SAME, Columns
from .._tables.scalings import LARGEST_LOG, THINNEST, Line, PowerMap, QuantileMap, cell_weights
from .._utils.arrays import narrowed
from ..families.likelihood import ColumnLikelihood
from ..model import LatentVariableModel
from . import evaluation
from .decoded import noise_nodes
from .fitted import FARTHEST_CODE, Fitted, fitted_of

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
    >>> from skvae._inference.torch_modules import Transform
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
        return module.center(*self.columns.tensors(X)).index_select(1, self.order) * self.signs


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
    >>> from skvae._inference.torch_modules import InverseTransform
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
        if fitted.columns.given:
            raise NotImplementedError(
                "inverse_transform of a model with 'conditions' needs them beside the codes, which no graph takes yet. "
                "Export 'transform' or 'score_samples', which read them from the row."
            )
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
        Z = Z.clamp(-FARTHEST_CODE, FARTHEST_CODE)
        p = self.module.decode((Z * self.signs).index_select(1, self.inverse)[None])
        return narrowed(self.columns.mean(p, self.module.likelihood)[0], Z.dtype)


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
    >>> from skvae._inference.torch_modules import ScoreSamples
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
    slopes: Tensor
    interior: Tensor
    has_borders: Tensor
    place: Tensor
    noise: Tensor
    is_constant: Tensor

    def __init__(self, columns: Columns, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("shift", torch.from_numpy(columns.shift))
        self.register_buffer("scale", torch.from_numpy(columns.scale))
        self.register_buffer("slopes", torch.from_numpy(columns.slopes))
        self.register_buffer("interior", torch.tensor([float(f.interior) for f in columns.families], dtype=dtype))
        self.bounded = [(f.support, list(own)) for f, own in columns.groups if f.units != "standard"]
        # Indices of categories that did not come out of `Schema.encode`: an unknown one counts as missing.
        raw = [int(d) for d in np.flatnonzero(~columns.is_number) if d not in columns.schema.levels]
        self.raw_categories = [(d, columns.families[d].support) for d in raw]
        self.atoms = columns.atoms
        self.with_borders = columns.with_borders
        has_borders = np.isin(np.arange(len(columns.families)), self.with_borders)
        self.register_buffer("has_borders", torch.from_numpy(has_borders))
        self.transformed = sorted(columns.maps)
        self.affine = [d for d in range(len(columns.families)) if d not in columns.maps]
        self.maps = _torch_maps([columns.maps[d] for d in self.transformed]) if self.transformed else None
        self.register_buffer("noise", torch.from_numpy(noise_nodes()))
        self.has_constants = bool(columns.is_constant.any())
        self.register_buffer("is_constant", torch.from_numpy(columns.is_constant))
        self.register_buffer("place", torch.tensor(self.affine + self.transformed).argsort())

    def tensors(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """`Columns.tensors`: (x, mask) in model space."""
        if self.maps is None and not self.raw_categories and self.dtype == torch.float32 and not self.with_borders:
            x = (X.double() - self.shift).float() / self.scale.float()
        else:
            x = self._working(X).to(self.dtype)
        if self.has_constants:
            x = torch.where(self.is_constant & ~x.isnan(), 0.0, x)
        mask = ~x.isnan()
        return torch.where(mask, x.clamp(-FARTHEST, FARTHEST), self.interior), mask

    def _standardized(self, X: Tensor) -> Tensor:
        X = X.double()
        x = ((X - self.shift) / self.scale).clamp(-FARTHEST, FARTHEST)
        if not self.with_borders:
            return torch.where(X.isnan(), X, x)
        x = torch.where(self.has_borders & (X > 0), x.clamp(min=NEXT_TO_ZERO), x)
        x = torch.where(self.has_borders & (x < 1), x.clamp(max=NEXT_TO_ONE), x)
        return torch.where(X.isnan(), X, x)  # a graph's clamp may lose NaN

    def _working(self, X: Tensor) -> Tensor:
        x = self._standardized(X)
        if self.maps is not None:
            x = torch.where(x.isnan(), x, self._replace(x, self.maps.map(self._before_maps(x))))
        for d, support in self.raw_categories:
            known = torch.where(support.check(x[:, d]), x[:, d], torch.nan)
            x = torch.cat([x[:, :d], known[:, None], x[:, d + 1 :]], 1)
        return x

    def _before_maps(self, x: Tensor) -> Tensor:
        """The transformed columns of x (..., D), 0 where a cell is missing: of NaN the gradient would be NaN, too."""
        return torch.where(x.isnan(), 0.0, x)[..., self.transformed]

    def _replace(self, x: Tensor, values: Tensor) -> Tensor:
        """Put other numbers into the transformed columns of x (..., D)."""
        return torch.cat([x[..., self.affine], values], -1).index_select(-1, self.place)

    def mean(self, p: Distribution, likelihood: ColumnLikelihood) -> Tensor:
        """E[x given z] in data space, `InDataSpace.mean`: (..., D), float64."""
        mean = p.mean.double()
        if self.maps is not None:
            mixed = likelihood.mixed(p, self.noise.to(self.dtype))
            means = [share.double() * self.maps.mean_of_v(x.double()) for share, x in self._transformed(mixed)]
            mean = self._replace(mean, torch.stack(means).sum(0))
        return mean * self.scale + self.shift

    def _transformed(self, mixed: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Shares and values of the parts, of the transformed columns."""
        return [(share[..., self.transformed], x[..., self.transformed]) for share, x in mixed]

    def log_jacobian(self, X: Tensor, mask: Tensor) -> Tensor:
        """`Columns.log_jacobian`, (B,), float64."""
        slopes = self.slopes * torch.ones_like(X, dtype=torch.float64)
        if self.maps is not None:
            at = self._before_maps(self._standardized(X))
            slopes = self._replace(slopes, slopes[..., self.transformed] + self.maps.log_slope(at))
        for d, atoms in self.atoms.items():
            is_atom = torch.stack([X[:, d] == atom for atom in atoms]).any(0)
            own = torch.where(is_atom, 0.0, slopes[:, d])
            slopes = torch.cat([slopes[:, :d], own[:, None], slopes[:, d + 1 :]], 1)
        if self.has_constants:
            is_same = (X.double() - self.shift).abs() <= SAME * self.shift.abs()
            slopes = torch.where(self.is_constant, torch.where(is_same, 0.0, -COST_OF_ANOTHER_VALUE), slopes)
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
    weight: Tensor

    def __init__(self, maps: Sequence[PowerMap]) -> None:
        super().__init__()
        self.register_buffer("weight", torch.softmax(-torch.from_numpy(noise_nodes()).square() / 2, 0))
        for name in ("power", "mean", "scale"):
            self.register_buffer(name, torch.tensor([getattr(m, name) for m in maps], dtype=torch.float64))

    def _side(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Where the power of v's side is 0, and that power, with 1 in its place."""
        p = torch.where(v < 0, 2 - self.power, self.power)
        return p == 0, torch.where(p == 0, 1.0, p)

    def map(self, v: Tensor) -> Tensor:
        """x = (y(v) - m) / s."""
        is_log, p = self._side(v)
        sign, size = _sign_and_size(v)
        log = size.log1p().clamp(max=LARGEST_LOG)
        return (sign * torch.where(is_log, log, (p * log).expm1() / p) - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """The v with y(v) = m + s x."""
        y = self.mean + self.scale * x
        is_log, p = self._side(y)
        sign, size = _sign_and_size(y)
        log = torch.where(is_log, size, (p * size).log1p() / p)
        return sign * log.clamp(max=LARGEST_LOG).expm1()

    def mean_of_v(self, x: Tensor) -> Tensor:
        """Mean of v from x (Q, ..., n) at the nodes of the noise, (..., n)."""
        return torch.tensordot(self.weight, self.inverse(x), 1)

    def log_slope(self, v: Tensor) -> Tensor:
        """(lambda - 1) sign(v) ln(1 + |v|) - ln s."""
        sign, size = _sign_and_size(v)
        return (self.power - 1) * sign * size.log1p() - self.scale.log()


class QuantileMaps(nn.Module):
    """`scalings.QuantileMap` of n columns at once: (..., n) -> (..., n), float64."""

    knots: Tensor
    values: Tensor
    slopes: Tensor
    log_slopes: Tensor
    weight: Tensor

    def __init__(self, maps: Sequence[QuantileMap]) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(cell_weights(noise_nodes())))
        slopes = [np.concatenate([[m.lower], np.diff(m.values) / np.diff(m.knots), [m.upper]]) for m in maps]
        self.register_buffer("knots", _table([m.knots for m in maps], np.inf))
        self.register_buffer("values", _table([m.values for m in maps], np.inf))
        self.register_buffer("slopes", _table(slopes))
        self.register_buffer("log_slopes", self.slopes.log())
        self.back = BackLines([m.line_back() for m in maps])

    def map(self, v: Tensor) -> Tensor:
        """x on the broken line through the knots."""
        segment = (self.knots <= v[..., None]).sum(-1)
        origin = (segment - 1).clamp(min=0)
        return _lookup(self.values, origin) + _lookup(self.slopes, segment) * (v - _lookup(self.knots, origin))

    def mean_of_v(self, x: Tensor) -> Tensor:
        """Mean of v from x (Q, ..., n) at the nodes of the noise, (..., n)."""
        return torch.tensordot(self.weight, self.back.averages(x[:-1], x[1:]), 1)

    def log_slope(self, v: Tensor) -> Tensor:
        """Ln of the segment's slope; at a knot the mean of both."""
        left, right = (self.knots < v[..., None]).sum(-1), (self.knots <= v[..., None]).sum(-1)
        return (_lookup(self.log_slopes, left) + _lookup(self.log_slopes, right)) / 2


class BackLines(nn.Module):
    """`scalings.Line` of n columns at once, float64."""

    points: Tensor
    values: Tensor
    slopes: Tensor
    area: Tensor

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        self.register_buffer("points", _table([line.points for line in lines], np.inf))
        for name in ("values", "slopes", "area"):
            self.register_buffer(name, _table([getattr(line, name) for line in lines]))

    def averages(self, low: Tensor, high: Tensor) -> Tensor:
        """Means of v over x between `low` and `high`, (..., n) each."""
        width = high - low
        is_thin = width <= THINNEST * (1 + torch.maximum(low.abs(), high.abs()))
        at_middle, _ = self._at((low + high) / 2)
        areas = self._at(high)[1] - self._at(low)[1]
        return torch.where(is_thin, at_middle, areas / torch.where(is_thin, 1.0, width))

    def _at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """v at x, and its integral from the first point to x."""
        segment = (self.points <= x[..., None]).sum(-1)
        origin = (segment - 1).clamp(min=0)
        t, v, slope = x - _lookup(self.points, origin), _lookup(self.values, origin), _lookup(self.slopes, segment)
        return v + slope * t, _lookup(self.area, origin) + t * (v + slope * t / 2)


def _sign_and_size(v: Tensor) -> tuple[Tensor, Tensor]:
    """1 or -1, and |v| with the slope 1 at 0, where that of ``abs`` is 0."""
    sign = torch.where(v < 0, -1.0, 1.0).to(v)
    return sign, sign * v


def _torch_maps(maps: Sequence[Any]) -> PowerMaps | QuantileMaps:
    """Give the maps of several columns, which are all of one kind, as one module."""
    return PowerMaps(maps) if isinstance(maps[0], PowerMap) else QuantileMaps(maps)


def _table(rows: Sequence[np.ndarray], padding: float | None = None) -> Tensor:
    """Rows of several lengths as one table, padded with their last number or another one."""
    most = max(map(len, rows))
    last = [row[-1] if padding is None else padding for row in rows]
    ends = [np.full(most - len(row), end) for row, end in zip(rows, last, strict=True)]
    return torch.from_numpy(np.stack([np.concatenate(pair) for pair in zip(rows, ends, strict=True)]))


def _lookup(table: Tensor, index: Tensor) -> Tensor:
    """table (n, J) at index (..., n)."""
    n, J = table.shape
    return table.flatten()[index + J * torch.arange(n)]
