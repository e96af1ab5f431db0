"""Weighted moments of the columns of a table, block by block."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from .selection import blocks

__all__ = ["column_sums", "extremes", "moments", "settled"]


def moments(X: Any, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and variance of the observed cells of each column, two passes in float64; NaN is missing.

    A constant column has variance 0; one without observed cells has mean 0 and variance 1. A CSR is not densified.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is not finite, by column name
        missing, total = column_sums(X, weight, lambda x, _: (np.isnan(x), np.where(np.isnan(x), 0.0, x)))
        observed = weight.sum() - missing
        safe = np.maximum(observed, np.finfo(float).tiny)
        mean = total / safe
        (second,) = column_sums(X, weight, lambda x, d: (np.square(np.where(np.isnan(x), 0.0, x - mean[d])),))
        variance = second / safe
        return settled(mean, variance, observed, X.shape[0])


def settled(mean: np.ndarray, variance: np.ndarray, observed: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (D,) where something is observed, else 0 and 1; no variance that is but a rounding error."""
    # scikit-learn's bound on the rounding error of a constant column's variance (StandardScaler).
    eps = np.finfo(float).eps * n_rows
    is_noise = np.isfinite(variance) & (variance <= eps * variance + np.square(eps * mean))
    variance = np.where(is_noise, 0.0, variance)
    return np.where(observed > 0, mean, 0.0), np.where(observed > 0, variance, 1.0)


def extremes(X: Any) -> np.ndarray:
    """The least and the largest observed value of each column, (2, D) float64; NaN where there is none."""
    lowest, highest = np.full((2, X.shape[1]), np.nan)
    for _, block in blocks(X):
        lowest, highest = np.fmin(lowest, _extreme(block, "min")), np.fmax(highest, _extreme(block, "max"))
    return np.stack([lowest, highest])


def _extreme(X: Any, which: str) -> np.ndarray:
    """Largest ("max") or smallest ("min") observed cell of each column."""
    if sparse.issparse(X):
        return getattr(X, f"nan{which}")(axis=0).toarray().ravel()
    return getattr(np, f"f{which}").reduce(X)


def column_sums(X: Any, weight: np.ndarray, function: Callable) -> np.ndarray:
    """Weighted sums over the rows of function(cells, columns) -> arrays like the cells, (D,) float64 each.

    X is an ndarray, CSR or RowSelection. The cells come as float64 blocks (B, D), or those of a CSR as numbers (m,)
    beside their columns (m,), and its zeros once for all.
    """
    totals: Any = 0.0
    for rows, block in blocks(X):
        w = weight[rows]
        if not sparse.issparse(block):
            sums = [w @ cells for cells in function(block.astype(np.float64), slice(None))]
        else:
            stored, *sums = (
                w @ sparse.csr_matrix((np.asarray(cells, np.float64), block.indices, block.indptr), block.shape)
                for cells in (np.ones(block.nnz), *function(block.data.astype(np.float64), block.indices))
            )
            zeros = function(np.zeros(X.shape[1]), slice(None))
            sums = [sum_ + (w.sum() - stored) * zero for sum_, zero in zip(sums, zeros, strict=True)]
        totals = totals + np.stack(sums)
    return totals
