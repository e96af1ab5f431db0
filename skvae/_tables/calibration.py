r"""Calibrated margins: made numbers mapped to the distribution of the fitted column.

.. math:: x \mapsto Q(F(x))

with F the distribution function of made values and Q the quantile function of the fitted ones: the monotone map that
gives a column the margin of the table and leaves every made value its rank. Both functions are broken lines.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Calibration", "Margin", "levels_of", "middle_levels"]


class Margin:
    r"""The quantile function Q of a fitted column, a broken line through :math:`(u_j, v_j)`.

    A value that rows repeat is an atom: Q is constant on the levels of its share. A value that no other row has is
    none: on the levels of its share Q goes from the middle between it and the value before to the middle between it
    and the next. So no such value is a knot but the smallest and the largest, where Q ends, at levels 0 and 1 alone.

    Parameters
    ----------
    levels, values : ndarray (M,), float64
        u and v, neither falling, u from 0 to 1; where two levels are one, Q jumps.

    Examples
    --------
    Half of the rows are 0:

    >>> import numpy as np
    >>> from skvae._tables.calibration import Margin
    >>> x = np.array([0.0, 0.0, 0.0, 1.3, 2.1, 5.9])
    >>> Margin.of(x, np.ones(6), 100).quantile(np.array([0.2, 0.4, 0.75, 0.9])).round(2)
    array([0.  , 0.  , 2.85, 4.76])
    """

    def __init__(self, levels: np.ndarray, values: np.ndarray) -> None:
        self.levels = levels
        self.values = values

    @classmethod
    def of(cls, x: np.ndarray, weight: np.ndarray, n_levels: int) -> "Margin":
        """The margin of the values x (n,) of distinct rows, with their weights (n,), the numbers of rows that they are.

        A value is repeated if two rows have it, or one of weight two or more, which is as good as two rows. The
        `n_levels` commonest of them are atoms; what else lies in one of so many levels becomes one piece of the line.
        """
        v, place, count = np.unique(x, return_inverse=True, return_counts=True)
        w = np.bincount(place, weight, len(v))
        is_repeated = (count > 1) | (w >= 2)
        end = w.cumsum()
        start = np.append(0.0, end[:-1])  # not end - w, which rounding can put below the end before
        middle = v[:-1] + np.diff(v) / 2
        low = np.where(is_repeated, v, np.append(v[0], middle))
        high = np.where(is_repeated, v, np.append(middle, v[-1]))
        first, last = _pieces((start + end) / (2 * end[-1]), is_repeated, w, n_levels)
        levels = np.stack([start[first], end[last]], 1).ravel() / end[-1]
        values = np.stack([low[first], high[last]], 1).ravel()
        is_new = np.append(True, (np.diff(levels) > 0) | (np.diff(values) > 0))
        return cls(levels[is_new], values[is_new])

    def quantile(self, level: np.ndarray) -> np.ndarray:
        """Q of levels in [0, 1]; the last bit of an interpolated value must not leave the range."""
        return np.clip(np.interp(level, self.levels, self.values), self.values[0], self.values[-1])


def _pieces(level: np.ndarray, is_repeated: np.ndarray, w: np.ndarray, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last value of each piece of the line: a common atom, or all others within one of `n_levels` levels."""
    repeated = np.flatnonzero(is_repeated)
    is_alone = np.zeros(len(w), dtype=bool)
    is_alone[repeated[np.argsort(-w[repeated], kind="stable")[:n_levels]]] = True
    cell = np.floor(level * n_levels)
    first = np.flatnonzero(is_alone | np.append(True, (cell[1:] != cell[:-1]) | is_alone[:-1]))
    return first, np.append(first[1:], len(w)) - 1


def middle_levels(n: int) -> np.ndarray:
    """The levels (j + 1/2) / n, (n,)."""
    return (np.arange(n) + 0.5) / n


def levels_of(x: np.ndarray, made: np.ndarray, u: np.ndarray) -> np.ndarray:
    """F(x) of made values x (n,), by their quantiles `made` (J,) at `middle_levels`.

    Where F jumps, at an atom and beyond the outer quantiles, it is a draw among the levels of the jump, by noise u
    (n,), uniform on [0, 1].
    """
    below, up_to = _limit(x, made, "left"), _limit(x, made, "right")
    return below + u * (up_to - below)


def _limit(x: np.ndarray, made: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
    """The limit of F at x from the left or from the right."""
    J = len(made)
    i = np.searchsorted(made, x, side)  # so many quantiles are smaller, or no larger
    left, right = made[np.maximum(i - 1, 0)], made[np.minimum(i, J - 1)]
    part = np.divide(x - left, right - left, out=np.zeros_like(left), where=right > left)
    smallest, largest = (0.0, 1 - 0.5 / J) if side == "left" else (0.5 / J, 1.0)
    return np.where(i == 0, smallest, np.where(i == J, largest, (i - 0.5 + part) / J))


@dataclass(frozen=True, eq=False)
class Calibration:
    """The maps x -> Q(F(x)) of C columns of a table.

    Parameters
    ----------
    columns : list of int (C,)
    made : ndarray (J, C), float64
        Quantiles of made values at the levels (j + 1/2) / J.
    fitted : list of Margin (C,)
        The margins of the table.
    """

    columns: list[int]
    made: np.ndarray
    fitted: list[Margin]

    def map(self, values: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Made rows (n, D) in data space with these columns mapped, by noise u (n, C), uniform on [0, 1]."""
        values = values.copy()
        for d, made, margin, noise in zip(self.columns, self.made.T, self.fitted, u.T, strict=True):
            values[:, d] = margin.quantile(levels_of(values[:, d], made, noise))
        return values
