"""Categories as indicators, which the linear initialisation models: C columns [x = c] for a category, one for a number.

The letter D' counts the indicators of all columns.
"""

from collections.abc import Iterator

import numpy as np

from .._tables.columns import Columns
from .._tables.moments import moments
from .._tables.selection import RowSelection, column
from ..families.base import Family
from .linear_gaussian import LinearGaussian

__all__ = [
    "Varying",
    "at_one",
    "atom_shares",
    "deviations",
    "indicators",
    "information_noise",
    "per_indicator",
    "smoothed",
    "sums",
    "tied_noise",
]


def indicators(columns: Columns, X: np.ndarray) -> np.ndarray:
    """Rows in model space (n, D) -> (n, D'): numbers as they are, a category as one column per level."""
    if columns.is_number.all():
        return X
    parts = []
    for d, (C, is_number) in enumerate(zip(columns.n_levels, columns.is_number, strict=True)):
        column = X[:, [d]]
        parts.append(column if is_number else np.where(np.isnan(column), np.nan, column == np.arange(C)))
    return np.concatenate(parts, axis=1)


def at_one(columns: Columns, X: RowSelection, weight: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Means of indicators X (n, D'), those of counts with an exposure as they are at an exposure of 1.

    That is the sum of counts over the sum of the exposures of the same rows: a count may be missing by its exposure.
    """
    own, exposure = _exposed(columns)

    def of_observed(rows: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(rows[:, own]), np.nan, rows[:, exposure])

    e, _ = moments(X.mapped(of_observed, len(own)), weight)
    mean = mean.copy()
    mean[own] /= np.where(e > 0, e, 1.0)  # 0 where no count is observed
    return mean


def deviations(columns: Columns, rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Rows of indicators (n, D') less their means; of counts x with an exposure e it is (x - e m) / sqrt(e).

    The second moments of these are those of counts with exposure 1, if e is 1 on average: m is the variance of a
    Poisson column, and loadings W are times sqrt(e). A rate x / e of a small exposure would outweigh all others.
    """
    own, exposure = _exposed(columns)
    if not len(own):
        return rows - mean
    e = rows[:, exposure]
    left = rows - mean
    left[:, own] = (rows[:, own] - e * mean[own]) / np.sqrt(e)
    return left


def _exposed(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """The indicators of columns with an exposure, and those of their exposures."""
    first = columns.n_levels.cumsum() - columns.n_levels
    pairs = np.array(list(columns.exposures.items()), dtype=np.int64).reshape(-1, 2)
    return first[pairs[:, 0]], first[pairs[:, 1]]


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


def atom_shares(columns: Columns, X: RowSelection, weight: np.ndarray) -> dict[int, np.ndarray]:
    """How often each column of rows X (n, D) in model space has its atoms, with half a row more for each of them."""
    shares = {}
    for d, atoms in columns.atoms.items():
        cells = column(X, d)
        count = np.array([weight[cells == atom].sum() for atom in atoms])
        shares[d] = (count + 0.5) / (weight[~np.isnan(cells)].sum() + 0.5 * (len(atoms) + 1))
    return shares


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


class Varying:
    """The indicators of the columns that are neither constant nor given, which a linear model is solved for.

    Parameters
    ----------
    columns : Columns
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.which = per_indicator(columns, ~columns.is_constant & ~columns.is_given)

    def of(self, X: RowSelection) -> RowSelection:
        """Rows of these indicators alone, (n, D') -> (n, D'')."""
        if self.which.all():
            return X
        return X.mapped(lambda rows: rows[:, self.which], int(self.which.sum()))

    def taken(self, columns: list[int]) -> np.ndarray:
        """Which of these indicators are those of some columns, (D'',) bool."""
        chosen = np.isin(np.arange(len(self.columns.families)), columns)
        return per_indicator(self.columns, chosen)[self.which]

    def tied_noise(self, noise: np.ndarray) -> np.ndarray:
        """`tied_noise` of these indicators, (D'') -> (D'')."""
        everywhere = np.ones(len(self.which))
        everywhere[self.which] = noise
        return tied_noise(self.columns, everywhere)[self.which]

    def placed(self, solution: LinearGaussian) -> LinearGaussian:
        """A linear model of these indicators as one of all, of which the others say nothing of a code."""
        loadings, noise = np.zeros((len(self.which), solution.loadings.shape[1])), np.ones(len(self.which))
        mean = np.zeros(len(self.which))
        loadings[self.which], noise[self.which], mean[self.which] = solution.loadings, solution.noise, solution.mean
        return LinearGaussian(loadings, noise, mean, *map(self._placed, (solution.slopes, solution.log_scales)))

    def _placed(self, slopes: np.ndarray | None) -> np.ndarray | None:
        if slopes is None:
            return None
        everywhere = np.zeros((len(self.which), slopes.shape[1]))
        everywhere[self.which] = slopes
        return everywhere

    def taken_from(self, solution: LinearGaussian) -> LinearGaussian:
        """The part of a linear model of all indicators that is about these."""
        mean = np.broadcast_to(solution.mean, len(self.which))
        return LinearGaussian(solution.loadings[self.which], solution.noise[self.which], mean[self.which])


def _groups(columns: Columns) -> Iterator[tuple[Family, np.ndarray]]:
    """Each family with the indicators of its columns, bool (D',)."""
    owner = per_indicator(columns, np.arange(len(columns.families)))
    for family, own in columns.groups:
        yield family, np.isin(owner, own)
