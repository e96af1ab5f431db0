"""The rows that train: on the device once, drawn anew each epoch, cut into batches."""

import math

import numpy as np
import torch
from scipy import sparse

from .rows import dense, draw_positions

__all__ = ["Batches", "Rows"]

_DRAWS_PER_DISTINCT_ROW = 4  # bounds an epoch when weights are large
_BATCHES_PER_BLOCK = 64
_ROWS_PER_BLOCK = 4096  # of a CSR


class Rows:
    """Distinct rows of a table with weights: dense ones move to the device once, CSR ones are densified per batch."""

    def __init__(self, X, weight, columns, device, column_weights=None):
        self.weight = weight
        self.n_columns = X.shape[1]
        self.columns = columns
        self.device = device
        self.table = X if sparse.issparse(X) else None
        self.mask = None
        if self.table is None:
            self.x, self.mask = columns.tensors(X, device, torch.float32)
        #: Weighted mean over the rows, in nats; of the weighted columns.
        self.log_jacobian = self._mean_log_jacobian(X, column_weights)

    def __len__(self):
        return len(self.weight)

    def _mean_log_jacobian(self, X, column_weights):
        if self.table is None:
            jacobian = self.columns.log_jacobian(X, self.mask, column_weights)
        elif not self.columns.maps and not np.isnan(X.data).any():
            jacobian = self.columns.log_jacobian(X, None, column_weights)
        else:
            blocks = (dense(X[i : i + _ROWS_PER_BLOCK]) for i in range(0, len(self), _ROWS_PER_BLOCK))
            masks = ((block, torch.from_numpy(~np.isnan(block))) for block in blocks)
            jacobian = np.concatenate([self.columns.log_jacobian(*pair, column_weights) for pair in masks])
        return float(np.average(np.broadcast_to(jacobian, len(self)), weights=self.weight))

    def working_array(self):
        """All rows in the model's units, float64, NaN for missing."""
        if self.table is not None:
            return self.columns.working_array(self.table)
        x = self.x.cpu().double().numpy()
        return x if self.mask is None else np.where(self.mask.cpu().numpy(), x, np.nan)

    def take(self, positions):
        """Rows at `positions` (int64 ndarray) as (x, mask)."""
        if self.table is not None:
            return self.columns.tensors(self.table[positions], self.device, torch.float32)
        index = torch.from_numpy(positions).to(self.device, non_blocking=True)
        return self.x[index], None if self.mask is None else self.mask[index]


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
        for i in range(0, len(cuts), _BATCHES_PER_BLOCK):
            block = cuts[i : i + _BATCHES_PER_BLOCK]
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
