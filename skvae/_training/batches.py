"""The rows that train: on the device, or a table that is read as it goes; drawn anew each epoch, cut into batches."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from .._tables.columns import Columns
from .._tables.missing import has_missing
from .._tables.on_disk import draw_runs
from .._tables.sampling import draw_positions
from .._tables.selection import RowSelection, blocks, dense
from .options import TrainingOptions

__all__ = ["Batches", "TrainingRows", "n_draws"]

_MOST_DRAWS = (4, 2048)  # per distinct row, and at all: the larger one bounds an epoch where weights are large
_CELLS_PER_BLOCK = 1 << 20  # gathered at once, and cut into batches
_CELLS_MIXED = 1 << 21  # of a file: a batch has rows of as many runs as it can
_CELLS_COPIED = 1 << 22  # 16 MB: a larger table is its own copy, and casting its rows anew is a hundredth of a step

Tensors = tuple[torch.Tensor, torch.Tensor | None]  # x (B, D) and mask (B, D), None where nothing is missing
Batch = tuple[torch.Tensor, torch.Tensor | None, int]


class TrainingRows:
    """Distinct rows of a table with weights: small tables are cast once, others block by block as they are drawn.

    On a device other than the CPU, and where columns are transformed, which is slow, every dense table is cast once.

    Parameters
    ----------
    X : RowSelection or ndarray (n, D)
    weight : ndarray (n,)
    columns : Columns
    device : str
    column_weights : list of float (D,), optional
    held_out : TrainingRows, optional
        The rows of the same table that are not among these.
    """

    def __init__(
        self,
        X: RowSelection | np.ndarray,
        weight: np.ndarray,
        columns: Columns,
        device: str,
        column_weights: Sequence[float] | None = None,
        held_out: "TrainingRows | None" = None,
    ) -> None:
        self.table = X if isinstance(X, RowSelection) else RowSelection(X)
        self.weight = weight
        self.n_columns = self.table.shape[1]
        self.columns = columns
        self.device = device
        self.copy = self._read(self.table) if self._is_copied() else None
        #: Weighted mean over the rows, in nats; of the weighted columns.
        self.log_jacobian = self._mean_log_jacobian(column_weights, held_out)

    def __len__(self) -> int:
        return len(self.weight)

    def _is_copied(self) -> bool:
        if self.table.is_sparse or self.table.is_on_disk:
            return False
        is_small = len(self) * self.n_columns <= _CELLS_COPIED
        return is_small or torch.device(self.device).type != "cpu" or bool(self.columns.maps)

    def _read(self, rows: RowSelection, places: torch.Tensor | None = None) -> Tensors:
        """A selection as (x, mask) for the model, cast block by block into its place; row i goes to places[i]."""
        x = torch.empty(rows.shape, dtype=torch.float32, device=self.device)
        mask: torch.Tensor | None = None
        for part, block in blocks(rows, self.n_columns):
            place = part if places is None else places[part]
            x[place], present = self.columns.tensors(block, self.device, torch.float32)
            if present is not None:
                mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
                mask[place] = present
        return x, mask

    def _read_in_order(self, positions: np.ndarray) -> Tensors:
        """A file is read from front to back, whatever the order of the rows."""
        numbers = self.table.index[positions]
        order = np.argsort(numbers)
        return self._read(RowSelection(self.table.table, numbers[order]), torch.from_numpy(order).to(self.device))

    def _mean_log_jacobian(self, column_weights: Sequence[float] | None, held_out: "TrainingRows | None") -> float:
        if self.table.is_on_disk and self.weight.min() == self.weight.max():
            others = [] if held_out is None else [held_out]
            whole = self.columns.sum_of_log_jacobians(len(self) + sum(map(len, others)), column_weights)
            if whole is not None:
                return (whole - sum(len(rows) * rows.log_jacobian for rows in others)) / len(self)
        if self.columns.has_one_slope and not self._has_missing():
            return float(self.columns.log_jacobian(None, None, column_weights))  # the same for all rows
        total: Any = 0.0
        for part, block in blocks(self.table, self.n_columns):
            present = torch.from_numpy(~np.isnan(dense(block)))
            total += self.weight[part] @ self.columns.log_jacobian(dense(block), present, column_weights).numpy()
        return float(total / self.weight.sum())

    def _has_missing(self) -> bool:
        if self.copy is not None:
            return self.copy[1] is not None
        return has_missing(self.table)

    def working_rows(self) -> RowSelection:
        """All rows in model space, float64 with NaN for missing, as a selection."""
        return self.table.mapped(self.columns.working_array)

    def take(self, positions: np.ndarray | slice) -> Tensors:
        """Rows at `positions` (int64 or slice) as (x, mask)."""
        if self.copy is not None:
            x, mask = self.copy
            rows: torch.Tensor | slice = positions if isinstance(positions, slice) else self._on_device(positions)
            return x[rows], None if mask is None else mask[rows]
        if self.table.is_on_disk and not isinstance(positions, slice):
            return self._read_in_order(positions)
        return self._read(self.table[positions])

    def _on_device(self, positions: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(positions).to(self.device, non_blocking=True)


class Batches:
    """The batches of one epoch, once over the rows; and batches at random for schedules that want more.

    A batch is (x, mask, n_rows): this process's shard of its rows, and how many it has in all processes.

    Parameters
    ----------
    rows : TrainingRows
    options : TrainingOptions
    seeds : tuple of int
        Of the epoch.
    history : iterable of dict
        Records so far, for schedules to read.
    """

    def __init__(
        self, rows: TrainingRows, options: TrainingOptions, seeds: tuple[int, ...], history: Iterable[dict[str, Any]]
    ) -> None:
        self.rows = rows
        self.size = options.batch_size
        self.processes = options.processes
        self.seeds = seeds
        self.history = options.history + list(history)
        self.drawn = 0

    def __iter__(self) -> Iterator[Batch]:
        """Draw the rows of an epoch and cut them into nearly equal batches, gathered block by block."""
        rows = self.rows
        n_rows = n_draws(rows.weight)
        cuts = _cuts(n_rows, math.ceil(n_rows / self.size))
        cells = _CELLS_MIXED if rows.table.is_on_disk else _CELLS_PER_BLOCK
        n_batches = max(1, cells // (self.size * rows.n_columns))
        # Batch j holds the draws cuts[j] to cuts[j + 1]. A block is n_batches of them, gathered at once: block i begins
        # at cuts[i * n_batches] and ends where the next one begins, the last block, which may be shorter, at n_rows.
        ends = [*cuts[:-1:n_batches], n_rows]
        for i, positions in enumerate(self._drawn(n_rows, ends)):
            sizes = np.diff(cuts[i * n_batches : (i + 1) * n_batches + 1]).tolist()
            positions, own_sizes = self.processes.shard_batches(positions, sizes)
            x, mask = rows.take(positions)
            masks = [None] * len(sizes) if mask is None else mask.split(own_sizes)
            yield from zip(x.split(own_sizes), masks, sizes, strict=True)
            del x, mask, masks  # before the next block is read

    def _drawn(self, n_rows: int, ends: Sequence[int]) -> Iterator[np.ndarray]:
        """The positions of an epoch, cut at `ends`."""
        rng, weight = np.random.default_rng(self.seeds), self.rows.weight
        index: Any = self.rows.table.index  # of a file its `ContiguousRows`
        if self.rows.table.is_on_disk:
            yield from draw_runs(index, weight, n_rows, ends, rng)
        else:
            positions = draw_positions(weight, n_rows, rng)
            yield from (positions[a:b] for a, b in pairwise(ends))

    def draw(self) -> Batch:
        """A batch of rows drawn by weight."""
        self.drawn += 1
        rng = np.random.default_rng((*self.seeds, self.drawn))
        weight = self.rows.weight / self.rows.weight.sum()
        n_rows = min(self.size, len(weight))
        positions = rng.choice(len(weight), n_rows, p=weight)
        x, mask = self.rows.take(positions[self.processes.shard(n_rows)])
        return x, mask, n_rows


def n_draws(weight: np.ndarray) -> int:
    """Rows of an epoch: the sum of the weights, but at least the distinct ones, and bounded where weights are large."""
    n_rows = len(weight)
    per_row, at_all = _MOST_DRAWS
    return round(np.clip(weight.sum(), n_rows, max(per_row * n_rows, at_all)))


def _cuts(n: int, n_parts: int) -> np.ndarray:
    """Where to cut n rows into parts of nearly equal size, as np.array_split: (n_parts + 1,)."""
    size, longer = divmod(n, n_parts)  # the first `longer` parts have one row more than `size`
    parts = np.arange(n_parts + 1)
    return parts * size + np.minimum(parts, longer)
