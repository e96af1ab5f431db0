"""transform, inverse_transform and score_samples of a fitted estimator as torch modules that `torch.export` can trace.

The verbs themselves cross into numpy where columns are scaled, bent and looked up; here that is torch, in the same
precisions: units in float64, networks in the precision of the table. One number per cell goes in, NaN for missing, and
codes of categories come out; tables with strings are read around the graph (`onnx.py`).
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._inference import evaluation
from .._inference.decoded import N_NODES
from .._tables.scalings import LARGEST_LOG, PowerMap, QuantileMap

__all__ = ["VERBS", "InverseTransform", "ScoreSamples", "Transform"]


class Transform(nn.Module):
    """Rows in data units to codes: `VAETransformer.transform` as a torch module.

    Codes come in the estimator's order and signs. The module holds a copy of the fitted networks.

    Parameters
    ----------
    estimator : VAETransformer
        Fitted.
    dtype : torch.dtype
        Of the rows and the networks: torch.float32 or torch.float64.

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

    def __init__(self, estimator: Any, dtype: torch.dtype):
        super().__init__()
        self.module = _module(estimator, dtype)
        self.units = Units(estimator._columns, dtype)
        order, signs = estimator._output_map(torch.zeros(0, dtype=dtype))
        self.register_buffer("order", order)
        self.register_buffer("signs", signs)

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows as the centres of their posteriors.

        A category is its code number.

        Parameters
        ----------
        X : Tensor (B, D)
            NaN for a missing cell.

        Returns
        -------
        Tensor (B, K)
            Of the type of X.

        See Also
        --------
        InverseTransform.forward : The way back.

        Examples
        --------
        See the class.
        """
        module = self.module
        return module.posterior.center(module.encode(*self.units.tensors(X))).index_select(1, self.order) * self.signs


class InverseTransform(nn.Module):
    """Codes to means in data units: `VAETransformer.inverse_transform` as a torch module.

    A category comes as its most probable code number, a boolean as a probability.

    Parameters
    ----------
    estimator : VAETransformer
        Fitted.
    dtype : torch.dtype
        Of the codes and the networks: torch.float32 or torch.float64.

    See Also
    --------
    Transform : From rows to codes.
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

    def __init__(self, estimator: Any, dtype: torch.dtype):
        super().__init__()
        self.module = _module(estimator, dtype)
        self.units = Units(estimator._columns, dtype)
        order, signs = estimator._output_map(torch.zeros(0, dtype=dtype))
        self.register_buffer("inverse", order.argsort())
        self.register_buffer("signs", signs)

    def forward(self, Z: Tensor) -> Tensor:
        """Decode codes to means.

        Means of bent columns are quadratures.

        Parameters
        ----------
        Z : Tensor (B, K)
            In the estimator's order and signs.

        Returns
        -------
        Tensor (B, D)
            Of the type of Z.

        See Also
        --------
        Transform.forward : From rows to codes.

        Examples
        --------
        See the class.
        """
        p = self.module.decode((Z * self.signs).index_select(1, self.inverse)[None])
        return self.units.mean(p, self.module.likelihood)[0].to(Z.dtype)


class ScoreSamples(nn.Module):
    """Rows in data units to evidence lower bounds: `VAETransformer.score_samples` as a torch module.

    A row outside the support of a column's family, which the estimator refuses, has the bound NaN: a graph cannot
    raise.

    Parameters
    ----------
    estimator : VAETransformer
        Fitted.
    dtype : torch.dtype
        Of the rows and the networks: torch.float32 or torch.float64.

    See Also
    --------
    Transform : From rows to codes.
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

    def __init__(self, estimator: Any, dtype: torch.dtype):
        super().__init__()
        self.module = _module(estimator, dtype)
        self.units = Units(estimator._columns, dtype)
        self.register_buffer("noise", estimator._score_noise.to(dtype))

    def forward(self, X: Tensor) -> Tensor:
        """Bound the log-density of each row from below.

        The bound is that of the model's units and the log-Jacobian of the scaling.

        Parameters
        ----------
        X : Tensor (B, D)
            NaN for a missing cell.

        Returns
        -------
        Tensor (B,)
            Nats, of the type of X.

        See Also
        --------
        Transform.forward : From rows to codes.

        Examples
        --------
        See the class.
        """
        x, mask = self.units.tensors(X)
        bound = evaluation.elbo(self.module, x, mask, self.noise) + self.units.log_jacobian(X, mask).to(x.dtype)
        return torch.where(self.units.are_supported(X), bound, torch.nan)


#: Verb -> module.
VERBS = {"transform": Transform, "inverse_transform": InverseTransform, "score_samples": ScoreSamples}


def _module(estimator, dtype):
    return copy.deepcopy(estimator.module_).cpu().to(dtype).eval().requires_grad_(False)


class Units(nn.Module):
    """`columns.Columns` between a table of numbers and the model, in torch.

    Parameters
    ----------
    columns : Columns
    dtype : torch.dtype
        Of the table and the model.
    """

    def __init__(self, columns, dtype):
        super().__init__()
        self.dtype = dtype
        self.register_buffer("shift", torch.from_numpy(columns.shift))
        self.register_buffer("scale", torch.from_numpy(columns.scale))
        self.register_buffer("interior", torch.tensor([float(f.interior) for f in columns.families], dtype=dtype))
        self.loose_categories = [(int(d), columns.families[d].support) for d in columns.loose_categories]
        self.bounded = [(f.support, list(own)) for f, own in columns.groups if f.units != "standard"]
        self.bent = sorted(columns.maps)
        self.bends = _bends([columns.maps[d] for d in self.bent]) if self.bent else None
        straight = [d for d in range(len(columns.families)) if d not in columns.maps]
        self.register_buffer("place", torch.tensor(straight + self.bent).argsort())
        self.straight = straight

    def tensors(self, X):
        """`Columns.tensors`: (x, mask) in the model's units."""
        if self.bends is None and not self.loose_categories and self.dtype == torch.float32:
            x = (X.double() - self.shift).float() / self.scale.float()
        else:
            x = self._working(X).to(self.dtype)
        mask = ~x.isnan()
        return torch.where(mask, x, self.interior), mask

    def _standardized(self, X):
        return (X.double() - self.shift) / self.scale

    def _working(self, X):
        x = self._standardized(X)
        if self.bends is not None:
            x = self._replace(x, self.bends.map(x[..., self.bent]))
        for d, support in self.loose_categories:
            known = torch.where(support.check(x[:, d]), x[:, d], torch.nan)
            x = torch.cat([x[:, :d], known[:, None], x[:, d + 1 :]], 1)
        return x

    def _replace(self, x, bent):
        """x (..., D) with other numbers in the bent columns."""
        return torch.cat([x[..., self.straight], bent], -1).index_select(-1, self.place)

    def mean(self, p, likelihood):
        """E[x given z] in data units, `InDataSpace.mean`: (..., D), float64."""
        mean = p.mean.double()
        if self.bends is not None:
            u = torch.linspace(-6.0, 6.0, N_NODES, dtype=torch.float64)
            x = likelihood.push(p, u.to(self.dtype))[..., self.bent].double()
            weight = torch.softmax(-u.square() / 2, 0).reshape(-1, *[1] * (x.ndim - 1))
            mean = self._replace(mean, (weight * self.bends.inverse(x)).sum(0))
        return mean * self.scale + self.shift

    def log_jacobian(self, X, mask):
        """`Columns.log_jacobian`, (B,), float64."""
        slopes = -self.scale.log() * torch.ones_like(X, dtype=torch.float64)
        if self.bends is not None:
            at = self._standardized(X)[..., self.bent]
            slopes = self._replace(slopes, slopes[..., self.bent] + self.bends.log_slope(at))
        return torch.where(mask, slopes, 0.0).sum(-1)

    def are_supported(self, X):
        """Whether a row is one that `Columns.check_support` lets pass, (B,)."""
        supported = torch.ones_like(X[:, 0], dtype=torch.bool)
        for support, own in self.bounded:
            values = X[:, own].double()
            supported = supported & (support.check(values) | values.isnan()).all(-1)
        return supported


def _bends(maps):
    return {PowerMap: PowerMaps, QuantileMap: QuantileMaps}[type(maps[0])](maps)


class PowerMaps(nn.Module):
    """`scalings.PowerMap` of n columns at once: (..., n) -> (..., n), float64."""

    def __init__(self, maps):
        super().__init__()
        for name in ("power", "mean", "scale"):
            self.register_buffer(name, torch.tensor([getattr(m, name) for m in maps], dtype=torch.float64))

    def _side(self, v):
        """The power of v's side, and where it is 0."""
        p = torch.where(v < 0, 2 - self.power, self.power)
        return p == 0, torch.where(p == 0, 1.0, p)

    def map(self, v):
        """x = (y(v) - m) / s."""
        is_log, p = self._side(v)
        log = v.abs().log1p().clamp(max=LARGEST_LOG)
        y = torch.where(is_log, log, (p * log).expm1() / p) * v.sign()
        return (torch.where(v.isnan(), v, y) - self.mean) / self.scale

    def inverse(self, x):
        """The v with y(v) = m + s x."""
        y = self.mean + self.scale * x
        is_log, p = self._side(y)
        log = torch.where(is_log, y.abs(), (p * y.abs()).log1p() / p)
        return y.sign() * log.clamp(max=LARGEST_LOG).expm1()

    def log_slope(self, v):
        """(lambda - 1) sign(v) ln(1 + |v|) - ln s."""
        return (self.power - 1) * v.sign() * v.abs().log1p() - self.scale.log()


class QuantileMaps(nn.Module):
    """`scalings.QuantileMap` of n columns at once: (..., n) -> (..., n), float64."""

    def __init__(self, maps):
        super().__init__()
        most = max(len(m.knots) for m in maps)
        for name in ("knots", "values"):
            padded = [np.pad(getattr(m, name), (0, most - len(m.knots)), constant_values=np.inf) for m in maps]
            self.register_buffer(name, torch.from_numpy(np.stack(padded)))
        self.register_buffer("slopes", torch.from_numpy(np.stack([_slopes(m, most + 1) for m in maps])))
        self.register_buffer("log_slopes", self.slopes.log())

    def map(self, v):
        """The broken line."""
        return self._line(v, self.knots, self.values, self.slopes)

    def inverse(self, x):
        """The same line with its axes exchanged."""
        return self._line(x, self.values, self.knots, 1 / self.slopes)

    def log_slope(self, v):
        """ln of the segment's slope; at a knot the mean of both."""
        left, right = (self.knots < v[..., None]).sum(-1), (self.knots <= v[..., None]).sum(-1)
        return (_lookup(self.log_slopes, left) + _lookup(self.log_slopes, right)) / 2

    def _line(self, v, knots, values, slopes):
        segment = (knots <= v[..., None]).sum(-1)
        origin = (segment - 1).clamp(min=0)
        return _lookup(values, origin) + _lookup(slopes, segment) * (v - _lookup(knots, origin))


def _slopes(bend, n):
    """Of the n segments below, between and above the knots; those of padding are the last."""
    slopes = np.concatenate([[bend.lower], np.diff(bend.values) / np.diff(bend.knots), [bend.upper]])
    return np.pad(slopes, (0, n - len(slopes)), mode="edge")


def _lookup(table, index):
    """table (n, J) at index (..., n)."""
    n, J = table.shape
    return table.flatten()[index + J * torch.arange(n)]
