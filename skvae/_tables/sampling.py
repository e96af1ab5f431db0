"""Rows drawn by weight."""

import numpy as np

__all__ = ["draw_positions"]


def draw_positions(weight: np.ndarray, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of one epoch: systematic resampling through the cumulative weights, then a shuffle.

    Row i comes floor or ceil of n_draws * w_i / sum(w) times; with equal weights and n_draws = n, exactly once.
    """
    if n_draws == len(weight) and weight.min() == weight.max():
        return rng.permutation(n_draws)
    cumulative = np.cumsum(weight)
    # Equally spaced points with one common random shift, so that the counts differ from their means by less than 1.
    points = (np.arange(n_draws) + rng.random()) / n_draws * cumulative[-1]
    # Rounding may put the last point at the sum of all weights, and so beyond the last row.
    return rng.permutation(np.minimum(np.searchsorted(cumulative, points, side="right"), len(weight) - 1))
