"""Canonical rows: what the rest of the package sees does not depend on the order or repetition of the caller's rows.

Weight-0 rows are dropped, bit-equal rows merged with added weights, and what is left is sorted by a hash of the
standardised row content. So integer weights equal repetition exactly, a permutation of the rows changes no bit of a
fit, and the first rows of the table are a random subset of it: the held-out rows are the first ones. A row that is a
large part of the table by itself is on both sides.

A row's hash is the sum (mod 2^64) of a hash of each cell, so that a CSR row and its dense twin hash alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .selection import RowSelection, blocks

__all__ = [
    "canonical_rows",
    "content_hash",
    "copy_numbers",
    "distinct",
    "row_hash",
    "sort_rows",
    "split_rows",
]

_DECIMALS = 6  # of standardised cells: what a change of units does to their last digits is not content
# A row is on both sides if it has more than this share of the held-out side, and this many times the median weight: a
# table of a few rows, or one whose rows all come ten times, is split by whole rows.
_HEAVY_SHARE, _HEAVY_FACTOR = 0.02, 3


def canonical_rows(X: Any, sample_weight: np.ndarray | None) -> tuple[RowSelection, np.ndarray]:
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


def distinct(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of rows that differ in two hashes (n,) each, in the order of these, and the sums of their weights."""
    order = np.lexsort((weight, second, first))
    first, second = first[order], second[order]
    # A group of equal rows starts where either hash differs from that of the row before.
    starts = np.flatnonzero(np.r_[True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])])
    return order[starts], np.add.reduceat(weight[order], starts)


def sort_rows(X: RowSelection, weight: np.ndarray, standardize: Callable, seed: int) -> tuple[RowSelection, np.ndarray]:
    """Sort distinct rows, a RowSelection, by a seeded hash of their standardised content, rounded to six decimals.

    The rounding makes the order, and with it the split and the batches, the same for a table in other units.
    """
    hashes = row_hash(X, seed, lambda values, columns: np.round(standardize(values, columns), _DECIMALS))
    order = np.argsort(hashes, kind="stable")
    return X[order], weight[order]


def content_hash(x: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
    """A seeded hash of rows x (B, D) in model space, NaN for missing, (B,) uint64; rounded as in `sort_rows`."""
    return row_hash(RowSelection(np.round(x, _DECIMALS)), seed)


def copy_numbers(X: Any) -> np.ndarray:
    """How many of the rows before each row of a table (n, D) are equal to it, int64 (n,)."""
    hashes = row_hash(RowSelection(X), seed=1)
    order = np.argsort(hashes, kind="stable")
    is_first = np.r_[True, hashes[order][1:] != hashes[order][:-1]]
    place = np.arange(len(order))
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = place - np.maximum.accumulate(np.where(is_first, place, 0))
    return numbers


def split_rows(
    X: RowSelection, weight: np.ndarray, validation_fraction: float
) -> tuple[tuple[RowSelection, np.ndarray], tuple[RowSelection, np.ndarray]]:
    """Training rows and held-out rows, each with their weights, of rows in random order.

    The held-out side has `validation_fraction` of the weight. A row that alone weighs more than a fiftieth of that
    side, and more than three median rows, gives `validation_fraction` of its weight to it and trains with the rest: a
    model that never sees the commonest row cannot learn it, and one that is judged by little else learns nothing else.
    Of the others the first ones are held out whole, one row more where the share falls between two, as in
    train_test_split.
    """
    if weight.min() == weight.max():  # without a number per row, since a file has many
        n = min(math.ceil(validation_fraction * len(weight)), len(weight))
        sides = (X[n:], weight[n:]), (X[:n], weight[:n])
    else:
        held_out = _held_out_weight(weight, validation_fraction)
        sides = _of_weight(X, weight - held_out), _of_weight(X, held_out)
    if len(sides[0][1]) == 0:
        raise ValueError(
            f"validation_fraction={validation_fraction} leaves no row to train on: distinct rows: "
            f"n_samples={len(weight)}. Give more rows, a smaller validation_fraction, X_val, or early_stopping=False."
        )
    return sides


def _held_out_weight(weight: np.ndarray, validation_fraction: float) -> np.ndarray:
    """What each row gives to the held-out side, (n,)."""
    total = weight.sum()
    is_heavy = weight > max(_HEAVY_SHARE * validation_fraction * total, _HEAVY_FACTOR * np.median(weight))
    held_out = np.where(is_heavy, validation_fraction * weight, 0.0)
    whole = np.where(is_heavy, 0.0, weight)
    before = np.cumsum(whole) - whole
    is_first = ~is_heavy & (before < validation_fraction * whole.sum())  # the rows before it do not fill the side
    held_out[is_first] = weight[is_first]
    return held_out


def _of_weight(X: RowSelection, weight: np.ndarray) -> tuple[RowSelection, np.ndarray]:
    """The rows that have weight; those of a file stay in runs unless one of them is on both sides."""
    positions = np.flatnonzero(weight)
    rows: np.ndarray | slice = positions
    if len(positions) and positions[-1] - positions[0] + 1 == len(positions):
        rows = slice(positions[0], positions[-1] + 1)
    return X[rows], weight[rows]


def row_hash(
    X: RowSelection, seed: int | Sequence[int], transform: Callable = lambda values, columns: values
) -> np.ndarray:
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
            # The sum of row i is the difference of the running sums at its ends.
            total = np.r_[np.zeros(1, np.uint64), np.cumsum(cells - zero[block.indices], dtype=np.uint64)]
            hashes[rows] = total[block.indptr[1:]] - total[block.indptr[:-1]] + zero.sum(dtype=np.uint64)
    return hashes


def _cell_hash(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """splitmix64 of the bits of each float64, with one NaN and one zero."""
    values = np.where(np.isnan(values), np.nan, values + 0.0)
    bits = values.view(np.uint64) ^ keys
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
