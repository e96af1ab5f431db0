"""Rows drawn by weight."""

import numpy as np

__all__ = ["draw_positions"]


def draw_positions(weight, n_draws, rng):
    """Rows of one epoch: systematic resampling through the cumulative weights, then a shuffle.

    Row i comes floor or ceil of n_draws * w_i / sum(w) times; with equal weights and n_draws = n, exactly once.
    """
    if n_draws == len(weight) and weight.min() == weight.max():
        return rng.permutation(n_draws)
    cumulative = np.cumsum(weight)
    points = (np.arange(n_draws) + rng.random()) / n_draws * cumulative[-1]
    return rng.permutation(np.minimum(np.searchsorted(cumulative, points, side="right"), len(weight) - 1))
