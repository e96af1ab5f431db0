"""Categories as indicators, which the linear initialisation models: C columns [x = c] for a category, one for a number.

The letter D' counts the indicators of all columns.
"""

from collections.abc import Iterator

import numpy as np

from .._tables.columns import Columns
from ..families.base import Family

__all__ = ["indicators", "information_noise", "per_indicator", "smoothed", "sums", "tied_noise"]


def indicators(columns: Columns, X: np.ndarray) -> np.ndarray:
    """Rows in model space (n, D) -> (n, D'): numbers as they are, a category as one column per level."""
    if columns.is_number.all():
        return X
    parts = []
    for d, (C, is_number) in enumerate(zip(columns.n_levels, columns.is_number, strict=True)):
        column = X[:, [d]]
        parts.append(column if is_number else np.where(np.isnan(column), np.nan, column == np.arange(C)))
    return np.concatenate(parts, axis=1)


def per_indicator(columns: Columns, values: np.ndarray) -> np.ndarray:
    """Repeat what is known of a column (D,) for each of its indicators, (D',)."""
    return np.repeat(values, columns.n_levels)


def sums(columns: Columns, values: np.ndarray) -> np.ndarray:
    """Sums over the indicators of each column, (D', ...) -> (D, ...)."""
    first_of_each = np.r_[0, columns.n_levels.cumsum()[:-1]]
    return np.add.reduceat(values, first_of_each, axis=0)


def smoothed(columns: Columns, mean: np.ndarray, n_rows: float) -> np.ndarray:
    """Means of indicators with half a row more for each level of a category, so that none is impossible."""
    levels = per_indicator(columns, columns.n_levels)
    is_number = per_indicator(columns, columns.is_number)
    return np.where(is_number, mean, (mean * n_rows + 0.5) / (n_rows + 0.5 * levels))


def tied_noise(columns: Columns, noise: np.ndarray) -> np.ndarray:
    """Project noise variances of indicators (D',) on those that each column's family can have."""
    noise = noise.copy()
    for family, own in _groups(columns):
        noise[own] = family.tie_noise(noise[own])
    return noise


def information_noise(columns: Columns, mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """`Family.information_noise` of indicators with these means and noise variances, (D',) each."""
    noise = noise.copy()
    for family, own in _groups(columns):
        noise[own] = family.information_noise(mean[own], noise[own])
    return noise


def _groups(columns: Columns) -> Iterator[tuple[Family, np.ndarray]]:
    """Each family with the indicators of its columns, bool (D',)."""
    owner = per_indicator(columns, np.arange(len(columns.families)))
    for family, own in columns.groups:
        yield family, np.isin(owner, own)
