"""Rows of a file in runs of neighbours."""

from itertools import pairwise

import numpy as np
import pytest

from skvae._tables.contiguous import ContiguousRows


@pytest.mark.parametrize("rows", [None, np.arange(5, 1000, 2)])
def test_runs_are_a_permutation_and_slice_like_one(rows):
    n = 997 if rows is None else len(rows)
    runs = ContiguousRows.shuffled(n, 10, np.random.default_rng(0), rows)
    numbers = np.asarray(runs)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(n) if rows is None else rows)
    np.testing.assert_array_equal(np.asarray(runs[13:77][5:]), numbers[18:77])
    np.testing.assert_array_equal(runs[13:77][np.array([0, 4])], numbers[[13, 17]])
    part = runs[13:77]
    edges = part.edges
    assert edges[0] == 0
    assert edges[-1] == 64
    assert all((np.diff(numbers[13 + a : 13 + b]) == numbers[1] - numbers[0]).all() for a, b in pairwise(edges))
