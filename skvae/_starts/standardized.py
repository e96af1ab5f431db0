"""The rows of a table as linear models see them: indicators that are centred and of one scale, and their moments."""

from functools import cached_property, partial
from typing import Any

import numpy as np

from .._tables.columns import Columns
from .._tables.missing import has_missing
from .._tables.moments import column_sums, moments
from .._tables.selection import RowSelection
from .._tables.ties import rounding_variance
from .indicators import Varying, at_one, atom_shares, deviations, indicators, per_indicator, smoothed
from .linear_gaussian import SecondMoments

__all__ = ["Standardized", "least_variance"]

_MAX_CELLS = 20_000_000  # the initialisation sees at most this many cells: a random subset of the rows
_MAX_INDICATORS = 5_000_000  # fewer where categories widen the table
_RAREST = 0.02  # a rarer level is not blown up to unit variance: a handful of rows would make a component


class Standardized:
    """The first rows of a table, of which each number is computed once, for all initialisations that ask for it.

    Parameters
    ----------
    columns : Columns
    X : RowSelection (n, D)
        In data space, with NaN for missing.
    weight : ndarray (n,)

    Attributes
    ----------
    X : RowSelection (n', D)
        The first n' rows, in model space.
    weight : ndarray (n',)
    mean, unit : ndarray (D',)
        Of the D' indicators: what is subtracted, and what they are divided by.
    centred : RowSelection (n', D')
    moving : RowSelection (n', D'')
        Those of `varying` columns.
    """

    def __init__(self, columns: Columns, X: RowSelection, weight: np.ndarray) -> None:
        n_indicators = int(columns.n_levels.sum())
        n_rows = max(1, (_MAX_CELLS if n_indicators == X.shape[1] else _MAX_INDICATORS) // n_indicators)
        self.columns, self.varying = columns, Varying(columns)
        self._is_complete = X.is_complete and not columns.loose_categories
        self.X, self.weight = X[:n_rows].mapped(columns.working_array), weight[:n_rows]
        widened = self.X.mapped(partial(indicators, columns), n_indicators)
        mean, variance = columns.known_moments() or moments(widened, self.weight)
        self.mean = mean = smoothed(columns, mean, max(self.weight.sum(), len(self.weight)))
        if columns.exposures:
            self.mean = mean = at_one(columns, widened, self.weight, mean)
            _, variance = moments(widened.mapped(lambda rows: deviations(columns, rows, mean)), self.weight)
        self.unit = unit = _divisors(columns, mean, variance)
        self.centred = widened.mapped(lambda rows: deviations(columns, rows, mean) / unit)
        self.moving = self.varying.of(self.centred)
        self._first: tuple[int, np.ndarray] | None = None

    @cached_property
    def has_missing(self) -> bool:
        """Whether any cell is missing."""
        return not self._is_complete and has_missing(self.moving)

    def first_moving(self, n_rows: int) -> np.ndarray:
        """The varying indicators of the first rows, with NaN for missing; kept, since all racers ask for the same."""
        if self._first is None or self._first[0] != n_rows:
            self._first = n_rows, self.moving.take(slice(n_rows))
        return self._first[1]

    @cached_property
    def second(self) -> SecondMoments:
        """Second moments of the varying indicators; missing ones count as the mean."""
        return SecondMoments(self.moving.mapped(np.nan_to_num), self.weight)

    @cached_property
    def resolution(self) -> np.ndarray:
        """Below which variance nothing is known of an indicator, (D',): by the number of rows, and by rounding."""
        rounding = per_indicator(self.columns, rounding_variance(self.columns, self.X)) / np.square(self.unit)
        return np.maximum(least_variance(self.centred, self.weight), rounding)

    @cached_property
    def shares(self) -> dict[int, np.ndarray]:
        """The shares of the atoms of each column that has some."""
        return atom_shares(self.columns, self.X, self.weight)


def _divisors(columns: Columns, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """What every indicator is divided by for the linear solution, (D',)."""
    unit = np.where(per_indicator(columns, columns.has_units("standard")), 1.0, np.sqrt(np.clip(variance, 1e-4, None)))
    return np.where(per_indicator(columns, columns.is_number), unit, np.sqrt(np.clip(mean, _RAREST, None)))


def least_variance(centred: RowSelection, weight: np.ndarray) -> np.ndarray:
    """var (k - 1) / (2 n), k the kurtosis: the squared standard error of each variance over 4 var; at most var / 2.

    n is the sum of the weights, but at least the number of distinct rows: normalised weights are no lack of evidence.
    """
    variance, fourth = column_sums(centred, weight / weight.sum(), _square_and_fourth_power)
    kurtosis = fourth / np.maximum(np.square(variance), 1e-300)
    return variance * np.clip((kurtosis - 1) / (2 * max(weight.sum(), len(weight))), 0.0, 0.5)


def _square_and_fourth_power(cells: np.ndarray, columns: Any) -> tuple[np.ndarray, np.ndarray]:
    squares = np.square(np.nan_to_num(cells))
    return squares, np.square(squares)
