"""Rows of a memory-mapped file, read in runs of neighbours."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from .contiguous import ContiguousRows
from .sampling import draw_positions
from .selection import RowSelection

__all__ = ["draw_runs", "mapped_rows"]

_LONGEST_RUN = 64  # rows: long enough for a disk, short enough for batches of many runs
_FEWEST_RUNS = 1024


def mapped_rows(X: np.ndarray, sample_weight: np.ndarray | None, seed: int) -> tuple[RowSelection, np.ndarray]:
    """Rows of a memory-mapped file: short runs in an order chosen by `seed`.

    Equal rows are not merged, since that would take a hash of every row in memory.

    Parameters
    ----------
    X : ndarray (n, D)
    sample_weight : ndarray (n,) or None
    seed : int

    Returns
    -------
    X : RowSelection (m, D) without rows of weight 0
    weight : ndarray (m,), float64
    """
    kept = None if sample_weight is None or sample_weight.all() else np.flatnonzero(sample_weight)
    n_rows = X.shape[0] if kept is None else len(kept)
    length = int(np.clip(n_rows // _FEWEST_RUNS, 1, _LONGEST_RUN))
    rows = ContiguousRows.shuffled(n_rows, length, np.random.default_rng(seed), kept)
    weight = np.broadcast_to(1.0, n_rows) if sample_weight is None else sample_weight[np.asarray(rows)]
    return RowSelection(X, rows), weight


def draw_runs(
    rows: ContiguousRows, weight: np.ndarray, n_draws: int, ends: Sequence[int], rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Positions of one epoch of a file: runs are shuffled, and then the rows of each part, cut at `ends`; a generator.

    So a part is made of neighbours, which are read fast, and its batches of rows from many runs.

    Parameters
    ----------
    rows : ContiguousRows (n,)
    weight : ndarray (n,)
    n_draws : int
    ends : list of int
        From 0 to n_draws.
    rng : numpy Generator
    """
    edges = rows.edges  # run k has the positions edges[k] .. edges[k + 1] - 1
    drawn = None
    if weight.min() < weight.max() or n_draws != len(weight):
        # A row may be drawn several times or never. From here on positions count in the sorted draws, and so do edges.
        drawn = np.sort(draw_positions(weight, n_draws, rng))
        edges = np.searchsorted(drawn, edges)
    order = rng.permutation(len(edges) - 1)
    sizes = np.diff(edges)[order]
    stops = np.cumsum(sizes)  # where each run ends when they stand one after the other in the new order
    for a, b in pairwise(ends):
        # The runs that reach into [a, b): from the one that holds a to the one that ends at b or beyond.
        i, j = np.searchsorted(stops, a, side="right"), np.searchsorted(stops, b)
        part = np.concatenate([np.arange(edges[k], edges[k + 1]) for k in order[i : j + 1]])
        part = part[a - (stops[i] - sizes[i]) :][: b - a]  # without what run i has before a, and run j after b
        yield rng.permutation(part if drawn is None else drawn[part])
