"""The rows that train: on the device, or a table that is read as it goes; drawn anew each epoch, cut into batches."""

import math

import numpy as np
import torch

from .rows import draw_positions
from .selection import RowSelection, blocks, dense, stored

__all__ = ["Batches", "Rows"]

_DRAWS_PER_DISTINCT_ROW = 4  # bounds an epoch when weights are large
_CELLS_PER_BLOCK = 1 << 20  # gathered at once, and cut into batches


class Rows:
    """Distinct rows of a table with weights: dense ones move to the device once, CSR ones are densified per batch.

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
        self.x, self.mask = (None, None) if self.table.is_sparse else self._read(self.table)
        #: Weighted mean over the rows, in nats; of the weighted columns.
        self.log_jacobian = self._mean_log_jacobian(column_weights)

    def __len__(self):
        return len(self.weight)

    def _read(self, rows):
        """A selection as (x, mask) for the model, cast block by block into its place."""
        x, mask = torch.empty(rows.shape, device=self.device), None
        for part, block in blocks(rows, self.n_columns):
            x[part], present = self.columns.tensors(block, self.device, torch.float32)
            if present is not None:
                mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
                mask[part] = present
        return x, mask

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
        return any(np.isnan(stored(block)).any() for _, block in blocks(self.table))

    def working_rows(self):
        """All rows in the model's units, float64 with NaN for missing, as a selection."""
        return self.table.mapped(self.columns.working_array)

    def take(self, positions):
        """Rows at `positions` (int64 ndarray or slice) as (x, mask)."""
        if self.x is None:
            return self._read(self.table[positions])
        if not isinstance(positions, slice):
            positions = torch.from_numpy(positions).to(self.device, non_blocking=True)
        return self.x[positions], None if self.mask is None else self.mask[positions]


class Batches:
    """The batches of one epoch, once over the rows; and batches at random for schedules that want more."""

    def __init__(self, rows, options, seeds, history):
        self.rows = rows
        self.size = options.batch_size
        self.seeds = seeds
        self.history = options.history + list(history)
        self.drawn = 0

    def __iter__(self):
        """Draw the rows of an epoch and cut them into nearly equal batches, gathered block by block."""
        rows, n_rows = self.rows, len(self.rows)
        n_draws = round(min(max(rows.weight.sum(), n_rows), _DRAWS_PER_DISTINCT_ROW * n_rows))
        positions = draw_positions(rows.weight, n_draws, np.random.default_rng(self.seeds))
        cuts = np.array_split(positions, math.ceil(n_draws / self.size))
        n_batches = max(1, _CELLS_PER_BLOCK // (self.size * rows.n_columns))
        for i in range(0, len(cuts), n_batches):
            block = cuts[i : i + n_batches]
            sizes = [len(cut) for cut in block]
            x, mask = rows.take(np.concatenate(block))
            masks = [None] * len(block) if mask is None else mask.split(sizes)
            yield from zip(x.split(sizes), masks, strict=True)

    def draw(self):
        """A batch of rows drawn by weight."""
        self.drawn += 1
        rng = np.random.default_rng((*self.seeds, self.drawn))
        weight = self.rows.weight / self.rows.weight.sum()
        return self.rows.take(rng.choice(len(weight), min(self.size, len(weight)), p=weight))
