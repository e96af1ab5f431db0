"""Row numbers of a file in stretches of neighbours, which a disk reads fast."""

from typing import Any

import numpy as np

__all__ = ["ContiguousRows"]


class ContiguousRows:
    """Row numbers of a file in runs of neighbours, which are read at the speed of the disk; the runs in any order.

    The numbers are made when they are asked for: that of position p is ``starts[p // length] + p % length``.

    Parameters
    ----------
    starts : int64 ndarray
        The first row of each run. The shorter run, where there is one, comes last.
    length : int
        Rows of a run.
    first, last : int
        The positions that count.
    rows : int64 ndarray, optional
        The rows that the runs are made of, if not all of the file's.
    """

    def __init__(self, starts: np.ndarray, length: int, first: int, last: int, rows: np.ndarray | None = None) -> None:
        self.starts, self.length, self.first, self.last, self.rows = starts, length, first, last, rows

    @classmethod
    def shuffled(
        cls, n_rows: int, length: int, rng: np.random.Generator, rows: np.ndarray | None = None
    ) -> "ContiguousRows":
        """All of n rows, in runs of that length in random order."""
        n_runs = n_rows // length
        # The rows that are left over make a run of fewer, which starts where the whole runs of the file end. It must
        # come last: only then is every position before it in the run number position // length.
        starts = length * np.append(rng.permutation(n_runs), n_runs)
        return cls(starts, length, 0, n_rows, rows)

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, positions: Any) -> Any:
        """A slice as `ContiguousRows`, others as row numbers."""
        if isinstance(positions, slice):
            start, stop, _ = positions.indices(len(self))
            last = self.first + max(start, stop)  # not before its start: a slice like [5:3] is empty
            return ContiguousRows(self.starts, self.length, self.first + start, last, self.rows)
        # Runs are counted from the first of them all, also where the positions that count begin inside a run.
        positions = positions + self.first
        numbers = self.starts[positions // self.length] + positions % self.length
        return numbers if self.rows is None else self.rows[numbers]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[np.arange(len(self))]

    @property
    def edges(self) -> np.ndarray:
        """Where runs begin among these positions, and the end."""
        # Runs begin at multiples of the length. Those inside are from first + 1, rounded up to one, to below last;
        # -(-a // b) rounds up. Counted from `first`, they lie between 0, where the first run may be cut, and the end.
        first_run, end_run = -(-(self.first + 1) // self.length), -(-self.last // self.length)
        return np.r_[0, np.arange(first_run, end_run) * self.length - self.first, len(self)]
