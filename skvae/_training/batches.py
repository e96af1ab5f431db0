"""The rows that train: on the device, or a table that is read as it goes; drawn anew each epoch, cut into batches."""

import math
from itertools import pairwise

import numpy as np
import torch

from .._tables.missing import has_missing
from .._tables.on_disk import draw_runs
from .._tables.sampling import draw_positions
from .._tables.selection import RowSelection, blocks, dense

__all__ = ["Batches", "Rows"]

_DRAWS_PER_DISTINCT_ROW = 4  # bounds an epoch when weights are large
_CELLS_PER_BLOCK = 1 << 20  # gathered at once, and cut into batches
_CELLS_MIXED = 1 << 21  # of a file: a batch has rows of as many runs as it can
_CELLS_COPIED = 1 << 22  # 16 MB: a larger table is its own copy, and casting its rows anew is a hundredth of a step


class Rows:
    """Distinct rows of a table with weights: small tables are cast once, others block by block as they are drawn.

    On a device other than the CPU, and where columns are bent, which is slow, every dense table is cast once.

    Parameters
    ----------
    X : RowSelection or ndarray (n, D)
    weight : ndarray (n,)
    columns : Columns
    device : str
    column_weights : list of float (D,), optional
    """

    def __init__(self, X, weight, columns, device, column_weights=None):
        self.table = X if isinstance(X, RowSelection) else RowSelection(X)
        self.weight = weight
        self.n_columns = X.shape[1]
        self.columns = columns
        self.device = device
        self.x, self.mask = self._read(self.table) if self._is_copied() else (None, None)
        #: Weighted mean over the rows, in nats; of the weighted columns.
        self.log_jacobian = self._mean_log_jacobian(column_weights)

    def __len__(self):
        return len(self.weight)

    def _is_copied(self):
        if self.table.is_sparse or self.table.is_on_disk:
            return False
        is_small = len(self) * self.n_columns <= _CELLS_COPIED
        return is_small or torch.device(self.device).type != "cpu" or bool(self.columns.maps)

    def _read(self, rows, places=None):
        """A selection as (x, mask) for the model, cast block by block into its place; row i goes to places[i]."""
        x, mask = torch.empty(rows.shape, dtype=torch.float32, device=self.device), None
        for part, block in blocks(rows, self.n_columns):
            part = part if places is None else places[part]
            x[part], present = self.columns.tensors(block, self.device, torch.float32)
            if present is not None:
                mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
                mask[part] = present
        return x, mask

    def _read_in_order(self, positions):
        """A file is read from front to back, whatever the order of the rows."""
        numbers = self.table.index[positions]
        order = np.argsort(numbers)
        return self._read(RowSelection(self.table.table, numbers[order]), torch.from_numpy(order).to(self.device))

    def _mean_log_jacobian(self, column_weights):
        if not (self._has_holes() or self.columns.maps):
            return float(self.columns.log_jacobian(None, None, column_weights))  # the same for all rows
        total = 0.0
        for part, block in blocks(self.table, self.n_columns):
            present = torch.from_numpy(~np.isnan(dense(block)))
            total += self.weight[part] @ self.columns.log_jacobian(dense(block), present, column_weights).numpy()
        return float(total / self.weight.sum())

    def _has_holes(self):
        if self.x is not None:
            return self.mask is not None
        return has_missing(self.table)

    def working_rows(self):
        """All rows in the model's units, float64 with NaN for missing, as a selection."""
        return self.table.mapped(self.columns.working_array)

    def take(self, positions):
        """Rows at `positions` (int64 ndarray or slice) as (x, mask)."""
        if self.x is None and self.table.is_on_disk and not isinstance(positions, slice):
            return self._read_in_order(positions)
        if self.x is None:
            return self._read(self.table[positions])
        if not isinstance(positions, slice):
            positions = torch.from_numpy(positions).to(self.device, non_blocking=True)
        return self.x[positions], None if self.mask is None else self.mask[positions]


class Batches:
    """The batches of one epoch, once over the rows; and batches at random for schedules that want more.

    A batch is (x, mask, n_rows): this process's share of its rows, and how many it has in all processes.
    """

    def __init__(self, rows, options, seeds, history):
        self.rows = rows
        self.size = options.batch_size
        self.processes = options.processes
        self.seeds = seeds
        self.history = options.history + list(history)
        self.drawn = 0

    def __iter__(self):
        """Draw the rows of an epoch and cut them into nearly equal batches, gathered block by block."""
        rows, n_rows = self.rows, len(self.rows)
        n_draws = round(min(max(rows.weight.sum(), n_rows), _DRAWS_PER_DISTINCT_ROW * n_rows))
        cuts = _cuts(n_draws, math.ceil(n_draws / self.size))
        cells = _CELLS_MIXED if rows.table.is_on_disk else _CELLS_PER_BLOCK
        n_batches = max(1, cells // (self.size * rows.n_columns))
        ends = [*cuts[:-1:n_batches], n_draws]
        for i, positions in enumerate(self._drawn(n_draws, ends)):
            sizes = np.diff(cuts[i * n_batches : (i + 1) * n_batches + 1]).tolist()
            positions, own_sizes = self.processes.own(positions, sizes)
            x, mask = rows.take(positions)
            masks = [None] * len(sizes) if mask is None else mask.split(own_sizes)
            yield from zip(x.split(own_sizes), masks, sizes, strict=True)

    def _drawn(self, n_draws, ends):
        """The positions of an epoch, cut at `ends`."""
        rng, weight, index = np.random.default_rng(self.seeds), self.rows.weight, self.rows.table.index
        if self.rows.table.is_on_disk:
            yield from draw_runs(index, weight, n_draws, ends, rng)
        else:
            positions = draw_positions(weight, n_draws, rng)
            yield from (positions[a:b] for a, b in pairwise(ends))

    def draw(self):
        """A batch of rows drawn by weight."""
        self.drawn += 1
        rng = np.random.default_rng((*self.seeds, self.drawn))
        weight = self.rows.weight / self.rows.weight.sum()
        n_rows = min(self.size, len(weight))
        positions = rng.choice(len(weight), n_rows, p=weight)
        return *self.rows.take(positions[self.processes.share(n_rows)]), n_rows


def _cuts(n, n_parts):
    """Where to cut n rows into parts of nearly equal size, as np.array_split."""
    size, longer = divmod(n, n_parts)
    parts = np.arange(n_parts + 1)
    return parts * size + np.minimum(parts, longer)
