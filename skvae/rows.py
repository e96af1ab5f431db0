"""Canonical rows: what the rest of the package sees does not depend on the order or repetition of the caller's rows.

Weight-0 rows are dropped, bit-equal rows merged with added weights, and what is left is sorted by a hash of the
standardised row content. So integer weights equal repetition exactly, a permutation of the rows changes no bit of a
fit, and the first rows of the table are a random subset of it: the held-out rows are simply the first ones, all
copies of a row on one side.

A row's hash is the sum (mod 2^64) of a hash of each cell, so that a CSR row and its dense twin hash alike.
"""

import math

import numpy as np
from scipy import sparse

__all__ = ["canonical_rows", "dense", "draw_positions", "largest_deviation", "moments", "n_held_out", "sort_rows"]

_CELLS_PER_BLOCK = 1 << 20


def canonical_rows(X, sample_weight):
    """Drop weight-0 rows and merge bit-equal ones.

    Parameters
    ----------
    X : ndarray or CSR (n, D)
    sample_weight : ndarray (n,) or None

    Returns
    -------
    X : ndarray or CSR (m, D), the distinct rows in an order that depends on their content only
    weight : ndarray (m,), float64
    """
    weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight
    kept = np.flatnonzero(weight)
    if len(kept) < len(weight):
        X, weight = X[kept], weight[kept]
    first, second = _row_hash(X, seed=1), _row_hash(X, seed=2)  # 128 bits: two unlike rows never meet
    order = np.lexsort((weight, second, first))
    first, second = first[order], second[order]
    starts = np.flatnonzero(np.r_[True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])])
    return X[order[starts]], np.add.reduceat(weight[order], starts)


def sort_rows(X, weight, standardize, seed):
    """Sort distinct rows by a seeded hash of their standardised content, rounded to six decimals.

    The rounding makes the order, and with it the split and the batches, the same for a table in other units.
    """
    hashes = _row_hash(X, seed, lambda values, columns: np.round(standardize(values, columns), 6))
    order = np.argsort(hashes, kind="stable")
    return X[order], weight[order]


def n_held_out(n_rows, validation_fraction):
    """How many distinct rows to hold out, rounded up as in train_test_split; training keeps at least one."""
    n_valid = math.ceil(validation_fraction * n_rows)
    if n_valid >= n_rows:
        raise ValueError(
            f"validation_fraction={validation_fraction} leaves no row to train on: distinct rows: n_samples={n_rows}. "
            "Give more rows, a smaller validation_fraction, X_val, or early_stopping=False."
        )
    return n_valid


def draw_positions(weight, n_draws, rng):
    """Rows of one epoch: systematic resampling through the cumulative weights, then a shuffle.

    Row i comes floor or ceil of n_draws * w_i / sum(w) times; with equal weights and n_draws = n, exactly once.
    """
    if n_draws == len(weight) and weight.min() == weight.max():
        return rng.permutation(n_draws)
    cumulative = np.cumsum(weight)
    points = (np.arange(n_draws) + rng.random()) / n_draws * cumulative[-1]
    return rng.permutation(np.minimum(np.searchsorted(cumulative, points, side="right"), len(weight) - 1))


def dense(X):
    """Rows as an ndarray (or tensor), whatever they came as."""
    return X.toarray() if sparse.issparse(X) else X


def moments(X, weight):
    """Weighted mean and variance of the observed cells of each column, two passes in float64; NaN is missing.

    A constant column has variance 0; one without observed cells has mean 0 and variance 1. A CSR is not densified.
    """
    values = X.data.astype(np.float64) if sparse.issparse(X) else X.astype(np.float64)
    present = ~np.isnan(values)
    observed = weight.sum() - _column_sums(X, ~present, weight)
    safe = np.maximum(observed, np.finfo(float).tiny)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is not finite, by column name
        mean = _column_sums(X, np.where(present, values, 0.0), weight) / safe
        if sparse.issparse(X):
            squares = np.where(present, np.square(values - mean[X.indices]), 0.0)
            stored = _column_sums(X, np.ones(len(values)), weight)
            second = _column_sums(X, squares, weight) + (weight.sum() - stored) * np.square(mean)
        else:
            second = weight @ np.square(np.where(present, values - mean, 0.0))
        variance = second / safe
        # scikit-learn's bound on the rounding error of a constant column's variance (StandardScaler).
        eps = np.finfo(float).eps * X.shape[0]
        variance[np.isfinite(variance) & (variance <= eps * variance + np.square(eps * mean))] = 0.0
    return np.where(observed > 0, mean, 0.0), np.where(observed > 0, variance, 1.0)


def largest_deviation(X, center):
    """max |x - center| over the observed cells of each column; 0 where there are none."""
    if sparse.issparse(X):
        highest, lowest = (getattr(X, name)(axis=0).toarray().ravel() for name in ("nanmax", "nanmin"))
    else:
        highest, lowest = np.fmax.reduce(X), np.fmin.reduce(X)
    return np.nan_to_num(np.maximum(highest - center, center - lowest))


def _column_sums(X, cells, weight):
    """Weighted sums over the rows of `cells`: an array like X, or one number per stored entry of a CSR X."""
    if not sparse.issparse(X):
        return weight @ cells
    return weight @ sparse.csr_matrix((cells.astype(np.float64), X.indices, X.indptr), X.shape)


def _row_hash(X, seed, transform=lambda values, columns: values):
    """Sum over all cells of hash(column, transform(value)), mod 2^64, (n,) uint64."""
    keys = np.random.default_rng(seed).integers(2**64, size=X.shape[1], dtype=np.uint64)
    columns = np.arange(X.shape[1])

    if sparse.issparse(X):  # as if every cell were zero, then the stored ones exchanged
        zero = _cell_hash(transform(np.zeros(X.shape[1]), columns), keys)
        cells = _cell_hash(transform(X.data.astype(np.float64), X.indices), keys[X.indices]) - zero[X.indices]
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(cells, dtype=np.uint64)])
        return total[X.indptr[1:]] - total[X.indptr[:-1]] + zero.sum(dtype=np.uint64)

    hashes = np.empty(X.shape[0], np.uint64)
    step = max(1, _CELLS_PER_BLOCK // X.shape[1])
    for i in range(0, X.shape[0], step):
        block = transform(X[i : i + step].astype(np.float64), columns)
        hashes[i : i + step] = _cell_hash(block, keys).sum(1, dtype=np.uint64)
    return hashes


def _cell_hash(values, keys):
    """splitmix64 of the bits of each float64, with one NaN and one zero."""
    values = np.where(np.isnan(values), np.nan, values + 0.0)
    bits = values.view(np.uint64) ^ keys
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
