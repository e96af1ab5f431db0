"""Row numbers of a file in runs of neighbours."""

import numpy as np

__all__ = ["Runs"]


class Runs:
    """Row numbers of a file in runs of neighbours, which are read at the speed of the disk; the runs in any order.

    Position p is row ``starts[p // length] + p % length``; these numbers are made when they are asked for.

    Parameters
    ----------
    starts : int64 ndarray
        The shorter run, where there is one, comes last.
    length : int
    first, last : int
        The positions that count.
    rows : int64 ndarray, optional
        The rows that the runs are made of, if not all of the file's.
    """

    def __init__(self, starts, length, first, last, rows=None):
        self.starts, self.length, self.first, self.last, self.rows = starts, length, first, last, rows

    @classmethod
    def shuffled(cls, n_rows, length, rng, rows=None):
        """All of n rows, in runs of that length in random order."""
        n_runs = n_rows // length
        starts = length * np.append(rng.permutation(n_runs), n_runs)
        return cls(starts, length, 0, n_rows, rows)

    def __len__(self):
        return self.last - self.first

    def __getitem__(self, positions):
        """A slice as `Runs`, others as numbers."""
        if isinstance(positions, slice):
            start, stop, _ = positions.indices(len(self))
            return Runs(self.starts, self.length, self.first + start, self.first + max(start, stop), self.rows)
        positions = positions + self.first
        numbers = self.starts[positions // self.length] + positions % self.length
        return numbers if self.rows is None else self.rows[numbers]

    def __array__(self, dtype=None, copy=None):
        return self[np.arange(len(self))]

    @property
    def edges(self):
        """Where runs begin among these positions, and the end."""
        inner = np.arange(-(-(self.first + 1) // self.length), -(-self.last // self.length)) * self.length - self.first
        return np.r_[0, inner, len(self)]
