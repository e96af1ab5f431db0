"""Values that rows of a column share: atoms, and the grid that its values lie on."""

import numpy as np

from .columns import Columns
from .selection import RowSelection, dense

__all__ = ["atoms", "rounding_variance"]

_ATOM = 0.1  # the share of the rows with one value that makes it an atom
_SAME = 1e-9  # of a column's range: closer values are one
_MOST_ROWS = 10_000  # rows are sorted by hash: the first are a random subset


def rounding_variance(columns: Columns, X: RowSelection) -> np.ndarray:
    """Variance of a uniform rounding error in each column, g^2 / 12 of the smallest gap g of its values, (D,).

    A noise variance below it would tell the values of a grid apart, which is no density. It is asked of columns whose
    variance is that of a row, and 0 for others.

    Parameters
    ----------
    columns : Columns
    X : RowSelection (n, D)
        Rows in model space, NaN for missing.
    """
    is_own = [family.units == "standard" and family.n_raw == 2 for family in columns.families]
    if not any(is_own):
        return np.zeros(len(is_own))
    first = dense(X.take(slice(_MOST_ROWS)))
    gaps = [_gap(first[:, d]) if own else 0.0 for d, own in enumerate(is_own)]
    return np.square(gaps) / 12


def atoms(X: RowSelection, weight: np.ndarray, floor: float) -> np.ndarray:
    """Columns of which one value has a tenth of the rows, and which are otherwise finer than a variance `floor`, (D,).

    Parameters
    ----------
    X : RowSelection (n, D)
        Rows in model space, NaN for missing.
    weight : ndarray (n,)
    floor : float
    """
    first = dense(X.take(slice(_MOST_ROWS)))
    return np.array([_has_atom(x, weight[: len(x)], floor) for x in first.T])


def _has_atom(x: np.ndarray, weight: np.ndarray, floor: float) -> bool:
    observed = ~np.isnan(x)
    values, place = np.unique(x[observed], return_inverse=True)
    if len(values) < 2:
        return False
    counts = np.bincount(place, weight[observed])
    return bool(counts.max() >= _ATOM * counts.sum() and _gap(values) ** 2 / 12 < floor)


def _gap(x: np.ndarray) -> float:
    """The smallest gap between two values."""
    values = np.unique(x[~np.isnan(x)])
    steps = np.diff(values)
    steps = steps[steps > _SAME * (values[-1] - values[0])] if len(steps) else steps
    return float(steps.min()) if len(steps) else 0.0
