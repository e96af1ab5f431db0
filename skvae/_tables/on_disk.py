"""Rows of a memory-mapped file, read in runs of neighbours."""

from itertools import pairwise

import numpy as np

from .runs import Runs
from .sampling import draw_positions
from .selection import RowSelection

__all__ = ["draw_runs", "mapped_rows"]

_LONGEST_RUN = 64  # rows: long enough for a disk, short enough for batches of many runs


_FEWEST_RUNS = 1024


def mapped_rows(X, sample_weight, seed):
    """Rows of a memory-mapped file: short runs in an order chosen by `seed`. None is merged, since none is remembered.

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
    has_gaps = sample_weight is not None and not sample_weight.all()
    kept = np.flatnonzero(sample_weight) if has_gaps else None
    n_rows = X.shape[0] if kept is None else len(kept)
    length = int(np.clip(n_rows // _FEWEST_RUNS, 1, _LONGEST_RUN))
    runs = Runs.shuffled(n_rows, length, np.random.default_rng(seed), kept)
    weight = np.broadcast_to(1.0, n_rows) if sample_weight is None else sample_weight[np.asarray(runs)]
    return RowSelection(X, runs), weight


def draw_runs(runs, weight, n_draws, ends, rng):
    """The same for rows of a file: runs are shuffled, and then the rows of each part, cut at `ends`; a generator.

    So a part is made of neighbours, which are read fast, and its batches of rows from many runs.

    Parameters
    ----------
    runs : Runs (n,)
    weight : ndarray (n,)
    n_draws : int
    ends : list of int
        From 0 to n_draws.
    rng : numpy Generator
    """
    edges = runs.edges
    drawn = None
    if weight.min() < weight.max() or n_draws != len(weight):
        drawn = np.sort(draw_positions(weight, n_draws, rng))
        edges = np.searchsorted(drawn, edges)
    order = rng.permutation(len(edges) - 1)
    sizes = np.diff(edges)[order]
    stops = np.cumsum(sizes)
    for a, b in pairwise(ends):
        i, j = np.searchsorted(stops, a, side="right"), np.searchsorted(stops, b)
        some = order[i : j + 1]
        part = np.concatenate([np.arange(edges[k], edges[k + 1]) for k in some])
        part = part[a - (stops[i] - sizes[i]) :][: b - a]
        yield rng.permutation(part if drawn is None else drawn[part])
