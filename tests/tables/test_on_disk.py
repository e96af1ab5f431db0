"""Epochs of rows of a file."""

import numpy as np
import pytest

from skvae._tables.contiguous import ContiguousRows
from skvae._tables.on_disk import draw_runs


@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_of_runs_draws_every_row_in_proportion_to_its_weight(weighted):
    n = 5000
    weight = np.random.default_rng(0).integers(0, 4, n) * 1.0 if weighted else np.broadcast_to(1.0, n)
    runs = ContiguousRows.shuffled(n + 30, 7, np.random.default_rng(0))[30:]
    n_draws = int(weight.sum())
    parts = list(draw_runs(runs, weight, n_draws, [0, 1000, 1001, n_draws], np.random.default_rng(1)))
    assert [len(part) for part in parts] == [1000, 1, n_draws - 1001]
    np.testing.assert_array_equal(np.bincount(np.concatenate(parts), minlength=n), weight)
    assert np.ptp(parts[0][:100]) > n / 2  # a batch has rows of many runs
