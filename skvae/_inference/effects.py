"""What codes do to the columns of a table: least squares of columns, in comparable units, on codes."""

from typing import Any

import numpy as np
import torch

from .._tables.validation import validated
from .._utils.arrays import on_host
from .evaluation import chunk_rows
from .fitted import fitted_of
from .reading import read

__all__ = ["centred_columns", "explained_shares", "slopes"]


def centred_columns(estimator: Any, X: Any, weight: np.ndarray) -> np.ndarray:
    """Give the modelled columns of a table in comparable units, centred, 0 where a cell is missing: (n, C).

    Numbers have variance 1, or under ``scaling="global"`` and None the units of the model; a category is the indicators
    of its levels, with a total variance of 1. Columns of `conditions`, and those without two observed values, are left
    out.

    Parameters
    ----------
    estimator : VAETransformer
    X : table
    weight : ndarray (n,)
        Of the rows.
    """
    fitted = fitted_of(estimator)
    columns = fitted.columns
    x, mask = columns.tensors(on_host(validated(estimator, fitted.schema, X)), "cpu", torch.float64)
    cells = x.numpy() if mask is None else np.where(mask.numpy(), x.numpy(), np.nan)
    parts = []
    for d in np.flatnonzero(~columns.is_given):
        seen = ~np.isnan(cells[:, d]) & (weight > 0)
        own, w = cells[seen][:, [d]], weight[seen]
        if len(np.unique(own)) < 2:
            continue
        if levels := columns.families[d].n_categories:
            own = np.eye(levels)[own[:, 0].astype(int)]
        own = own - np.average(own, axis=0, weights=w)
        if levels or estimator.scaling not in ("global", None):
            own /= np.sqrt(np.average(own**2, axis=0, weights=w).sum())
        part = np.zeros((len(cells), own.shape[1]))
        part[seen] = own
        parts.append(part)
    return np.concatenate(parts, 1) if parts else np.zeros((len(cells), 0))


def slopes(x: np.ndarray, Z: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Give the length of the slope of centred columns x (n, C) on each component of Z (n, K), 0 of a constant: (K,)."""
    w = weight[:, None] / weight.sum()
    Z = Z - (w * Z).sum(0)
    variance = (w * Z**2).sum(0)
    return np.linalg.norm((w * Z).T @ x, axis=1) / np.where(variance > 0, variance, np.inf)


def explained_shares(estimator: Any, X: Any) -> np.ndarray:
    """Give what each part of the reconstruction adds to R^2, see `skvae.metrics.explained_variance_ratio`: (K,).

    Part c_k, once those before it are taken out of it and of the cells r, explains (c_k . r)^2 / (c_k . c_k) of r . r:
    all centred by column, with products over all cells.
    """
    fitted, module, x, mask = read(estimator, X, method="transform")
    own = torch.as_tensor(_scale_of_numbers(estimator, x, mask)).to(x)  # 0 for columns that do not count
    order = fitted.output_map(x)[0]
    center = x.new_zeros(module.width) if fitted.mean_code is None else torch.from_numpy(fitted.mean_code).to(x)
    K, D, step = module.n_components, x.shape[1], chunk_rows(module, module.n_components + 1)
    sums = _Sums(K, D)
    with torch.no_grad():
        for begin in range(0, len(x), step):
            rows = slice(begin, begin + step)
            seen = torch.ones_like(x[rows]) if mask is None else mask[rows].to(x)
            z = module.center(x[rows], None if mask is None else mask[rows])
            path = center.expand(K + 1, len(z), -1).clone()
            for k in range(K):
                path[k + 1 :, :, order[k]] = z[:, order[k]]
            mean = module.decode(path, module.given(x[rows], None if mask is None else mask[rows])).mean
            parts = torch.where(seen.bool(), mean.diff(dim=0), 0) * own
            sums.add(torch.cat([parts, (x[rows] * seen * own)[None]]), seen)
    return sums.shares()


class _Sums:
    """Sums of parts and cells over rows, and of their products over all cells, for K parts of D columns."""

    def __init__(self, K: int, D: int) -> None:
        self.products = np.zeros((K + 1, K + 1))
        self.totals = np.zeros((K + 1, D))
        self.counts = np.zeros(D)

    def add(self, parts: torch.Tensor, seen: torch.Tensor) -> None:
        """Take the parts and, last, the cells of rows, (K + 1, B, D), 0 where a cell is missing; seen (B, D)."""
        flat = parts.flatten(1).double()
        self.products += (flat @ flat.T).cpu().numpy()
        self.totals += parts.double().sum(1).cpu().numpy()
        self.counts += seen.double().sum(0).cpu().numpy()

    def shares(self) -> np.ndarray:
        """Give what each part adds to R^2, (K,): a part that adds nothing to those before it has 0."""
        mean = self.totals / np.maximum(self.counts, 1)
        G = self.products - mean @ (self.counts * mean).T
        total, shares = G[-1, -1], np.zeros(len(G) - 1)
        for k in range(len(shares)):  # Gauss: what is left of the products once part k is taken out
            if G[k, k] > 1e-10 * total:
                shares[k] = G[k, -1] ** 2 / G[k, k] / total
                G = G - np.outer(G[:, k], G[k]) / G[k, k]
        return shares


def _scale_of_numbers(estimator: Any, x: torch.Tensor, mask: torch.Tensor | None) -> np.ndarray:
    """What cells of model space are multiplied by, (D,): 0 for columns that are no numbers, or have one value."""
    columns = fitted_of(estimator).columns
    cells = (x if mask is None else torch.where(mask, x, torch.nan)).double().cpu().numpy()
    scale = np.zeros(x.shape[1])
    for d, family in enumerate(columns.families):
        values = cells[~np.isnan(cells[:, d]), d]
        if family.n_categories is None and not columns.is_given[d] and len(np.unique(values)) > 1:
            scale[d] = 1.0 if estimator.scaling in ("global", None) else 1 / values.std()
    if not scale.any():
        raise ValueError("X has no column of numbers with two observed values, so there is no variance to explain.")
    return scale
