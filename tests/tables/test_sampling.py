"""Rows drawn by weight."""

import numpy as np

from skvae._tables.sampling import draw_positions


def test_an_epoch_visits_rows_in_proportion_to_their_weights():
    weight = np.array([1.0, 2.0, 3.0, 0.5])
    counts = np.bincount(draw_positions(weight, 13, np.random.default_rng(0)), minlength=4)
    assert (np.abs(counts - 2 * weight) <= 1).all()
    np.testing.assert_array_equal(np.sort(draw_positions(np.full(9, 7.0), 9, np.random.default_rng(0))), np.arange(9))
