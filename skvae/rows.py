"""Canonical rows: what the rest of the package sees does not depend on the order or repetition of the caller's rows.

Weight-0 rows are dropped, bit-equal rows merged with added weights, and what is left is sorted by a hash of the
standardised row content. So integer weights equal repetition exactly, a permutation of the rows changes no bit of a
fit, and the first rows of the table are a random subset of it: the held-out rows are simply the first ones, all
copies of a row on one side.

A row's hash is the sum (mod 2^64) of a hash of each cell, so that a CSR row and its dense twin hash alike.
"""

import math
from itertools import pairwise

import numpy as np
from scipy import sparse

from .selection import RowSelection, Runs, blocks

__all__ = [
    "canonical_rows",
    "column_sums",
    "distinct",
    "draw_positions",
    "draw_runs",
    "largest_deviation",
    "mapped_rows",
    "moments",
    "n_held_out",
    "row_hash",
    "settled",
    "sort_rows",
]

_LONGEST_RUN = 64  # rows: long enough for a disk, short enough for batches of many runs
_FEWEST_RUNS = 1024


def canonical_rows(X, sample_weight):
    """Drop weight-0 rows and merge bit-equal ones.

    Parameters
    ----------
    X : ndarray or CSR (n, D)
    sample_weight : ndarray (n,) or None

    Returns
    -------
    X : RowSelection (m, D), the distinct rows in an order that depends on their content only
    weight : ndarray (m,), float64
    """
    weight = np.broadcast_to(1.0, X.shape[0]) if sample_weight is None else sample_weight  # no number per row
    rows = RowSelection(X)
    if not weight.all():
        kept = np.flatnonzero(weight)
        rows, weight = rows[kept], weight[kept]
    first, second = row_hash(rows, seed=1), row_hash(rows, seed=2)  # 128 bits: two unlike rows never meet
    positions, weight = distinct(first, second, weight)
    return rows[positions], weight


def distinct(first, second, weight):
    """Positions of rows that differ in two hashes (n,) each, in the order of these, and the sums of their weights."""
    order = np.lexsort((weight, second, first))
    first, second = first[order], second[order]
    starts = np.flatnonzero(np.r_[True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])])
    return order[starts], np.add.reduceat(weight[order], starts)


def sort_rows(X, weight, standardize, seed):
    """Sort distinct rows, a RowSelection, by a seeded hash of their standardised content, rounded to six decimals.

    The rounding makes the order, and with it the split and the batches, the same for a table in other units.
    """
    hashes = row_hash(X, seed, lambda values, columns: np.round(standardize(values, columns), 6))
    order = np.argsort(hashes, kind="stable")
    return X[order], weight[order]


def mapped_rows(X, sample_weight, seed):
    """Rows of a memory-mapped file: short runs in an order chosen by `seed`. None is merged, since none is remembered.

    Parameters
    ----------
    X : ndarray (n, D)
    sample_weight : ndarray (n,) or None
    seed : int

    Returns
    -------
    X : RowSelection (m, D) without rows of weight 0
    weight : ndarray (m,), float64
    """
    has_gaps = sample_weight is not None and not sample_weight.all()
    kept = np.flatnonzero(sample_weight) if has_gaps else None
    n_rows = X.shape[0] if kept is None else len(kept)
    length = int(np.clip(n_rows // _FEWEST_RUNS, 1, _LONGEST_RUN))
    runs = Runs.shuffled(n_rows, length, np.random.default_rng(seed), kept)
    weight = np.broadcast_to(1.0, n_rows) if sample_weight is None else sample_weight[np.asarray(runs)]
    return RowSelection(X, runs), weight


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


def draw_runs(runs, weight, n_draws, ends, rng):
    """The same for rows of a file: runs are shuffled, and then the rows of each part, cut at `ends`; a generator.

    So a part is made of neighbours, which are read fast, and its batches of rows from many runs.

    Parameters
    ----------
    runs : Runs (n,)
    weight : ndarray (n,)
    n_draws : int
    ends : list of int
        From 0 to n_draws.
    rng : numpy Generator
    """
    edges = runs.edges
    drawn = None
    if weight.min() < weight.max() or n_draws != len(weight):
        drawn = np.sort(draw_positions(weight, n_draws, rng))
        edges = np.searchsorted(drawn, edges)
    order = rng.permutation(len(edges) - 1)
    sizes = np.diff(edges)[order]
    stops = np.cumsum(sizes)
    for a, b in pairwise(ends):
        i, j = np.searchsorted(stops, a, side="right"), np.searchsorted(stops, b)
        some = order[i : j + 1]
        part = np.concatenate([np.arange(edges[k], edges[k + 1]) for k in some])
        part = part[a - (stops[i] - sizes[i]) :][: b - a]
        yield rng.permutation(part if drawn is None else drawn[part])


def moments(X, weight):
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


def settled(mean, variance, observed, n_rows):
    """Mean and variance (D,) where something is observed, else 0 and 1; no variance that is but a rounding error."""
    # scikit-learn's bound on the rounding error of a constant column's variance (StandardScaler).
    eps = np.finfo(float).eps * n_rows
    is_noise = np.isfinite(variance) & (variance <= eps * variance + np.square(eps * mean))
    variance = np.where(is_noise, 0.0, variance)
    return np.where(observed > 0, mean, 0.0), np.where(observed > 0, variance, 1.0)


def largest_deviation(X, center):
    """max |x - center| over the observed cells of each column; 0 where there are none."""
    highest, lowest = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
    for _, block in blocks(X):
        highest, lowest = np.fmax(highest, _extreme(block, "max")), np.fmin(lowest, _extreme(block, "min"))
    return np.nan_to_num(np.maximum(highest - center, center - lowest))


def _extreme(X, which):
    """Largest ("max") or smallest ("min") observed cell of each column."""
    if sparse.issparse(X):
        return getattr(X, f"nan{which}")(axis=0).toarray().ravel()
    return getattr(np, f"f{which}").reduce(X)


def column_sums(X, weight, function):
    """Weighted sums over the rows of function(cells, columns) -> arrays like the cells, (D,) float64 each.

    X is an ndarray, CSR or RowSelection. The cells come as float64 blocks (B, D), or those of a CSR as numbers (m,)
    beside their columns (m,), and its zeros once for all.
    """
    totals = 0.0
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


def row_hash(X, seed, transform=lambda values, columns: values):
    """Sum over all cells of hash(column, transform(value)), mod 2^64, (n,) uint64."""
    keys = np.random.default_rng(seed).integers(2**64, size=X.shape[1], dtype=np.uint64)
    columns = np.arange(X.shape[1])

    zero = _cell_hash(transform(np.zeros(X.shape[1]), columns), keys) if X.is_sparse else None
    hashes = np.empty(len(X), np.uint64)
    for rows, block in blocks(X):
        if zero is None:
            cells = _cell_hash(transform(block.astype(np.float64), columns), keys)
            hashes[rows] = cells.sum(1, dtype=np.uint64)
        else:  # as if every cell were zero, then the stored ones exchanged
            cells = _cell_hash(transform(block.data.astype(np.float64), block.indices), keys[block.indices])
            total = np.r_[np.zeros(1, np.uint64), np.cumsum(cells - zero[block.indices], dtype=np.uint64)]
            hashes[rows] = total[block.indptr[1:]] - total[block.indptr[:-1]] + zero.sum(dtype=np.uint64)
    return hashes


def _cell_hash(values, keys):
    """splitmix64 of the bits of each float64, with one NaN and one zero."""
    values = np.where(np.isnan(values), np.nan, values + 0.0)
    bits = values.view(np.uint64) ^ keys
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
