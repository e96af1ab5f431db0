"""Rows of a table by number: chosen, ordered and mapped without a copy, and read block by block.

What a fit needs of a table beside the rows that train is a stream of blocks: sums, hashes, checks. So the only copy in
memory is the one that the epochs run from.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from .contiguous import ContiguousRows

__all__ = ["RowSelection", "blocks", "column", "dense", "stored"]

_CELLS_PER_BLOCK = 1 << 18  # 2 MB as float64: it stays in the cache while it is worked on


class RowSelection:
    """Rows of a table in an order of their own; nothing is read before `take`.

    Parameters
    ----------
    table : ndarray or CSR (N, D)
    index : int64 ndarray (n,) or ContiguousRows, optional
        The rows, in order; all of them by default.
    function : callable, optional
        Maps what is read, (B, D) -> (B, D').
    n_columns : int, optional
        D', where it is not D.
    is_complete : bool
        Whether it is known that no cell is missing, for which a file need not be read again.
    """

    def __init__(
        self,
        table: Any,
        index: Any = None,
        function: Callable | None = None,
        n_columns: int | None = None,
        is_complete: bool = False,
    ) -> None:
        self.table = table
        self.is_complete = is_complete
        self.index = np.arange(table.shape[0]) if index is None else index
        self.function = function
        self.shape = (len(self.index), table.shape[1] if n_columns is None else n_columns)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> "RowSelection":
        """The selection of a slice of these rows, or of some by position."""
        return RowSelection(self.table, self.index[rows], self.function, self.shape[1], self.is_complete)

    @property
    def is_sparse(self) -> bool:
        """Whether the rows come as CSR."""
        return sparse.issparse(self.table) and self.function is None

    @property
    def is_on_disk(self) -> bool:
        """Whether the rows lie in runs of a memory-mapped file."""
        return isinstance(self.index, ContiguousRows)

    def mapped(self, function: Callable, n_columns: int | None = None) -> "RowSelection":
        """The same rows, of which `function` (B, D) -> (B, D') maps every block that is read."""
        inner = self.function
        both = function if inner is None else lambda rows: function(inner(rows))
        return RowSelection(self.table, self.index, both, self.shape[1] if n_columns is None else n_columns)

    def take(self, positions: Any = slice(None)) -> Any:
        """Read the rows at `positions`, a slice or int array: ndarray or CSR."""
        rows = self.table[np.asarray(self.index[positions])]
        return rows if self.function is None else self.function(rows)


def blocks(X: Any, width: int | None = None) -> Iterator[tuple[slice, Any]]:
    """Pairs (slice, rows) that go through an ndarray, CSR or `RowSelection` (n, D) in blocks of some 2^18 cells.

    `width` is what a row takes in the caller's hands: by default D, and of a CSR what is stored.
    """
    step = max(1, _CELLS_PER_BLOCK // (_cells_per_row(X) if width is None else width))
    for i in range(0, X.shape[0], step):
        rows = slice(i, min(i + step, X.shape[0]))
        yield rows, X.take(rows) if isinstance(X, RowSelection) else X[rows]


def _cells_per_row(X: Any) -> int:
    """Numbers that a row takes in memory: of a CSR those that are stored, on average."""
    table = X.table if isinstance(X, RowSelection) and X.is_sparse else X
    return 1 + table.nnz // max(1, table.shape[0]) if sparse.issparse(table) else max(1, X.shape[1])


def column(X: Any, d: int) -> np.ndarray:
    """One column of an ndarray, CSR or `RowSelection` without a function, (n,)."""
    if isinstance(X, RowSelection):
        return column(X.table, d)[np.asarray(X.index)]
    return X[:, [d]].toarray()[:, 0] if sparse.issparse(X) else np.asarray(X[:, d])


def stored(X: Any) -> Any:
    """The cells in memory of an ndarray or CSR."""
    return X.data if sparse.issparse(X) else X


def dense(X: Any) -> Any:
    """Rows as an ndarray (or tensor), whatever they came as."""
    return X.toarray() if sparse.issparse(X) else X
