"""Moments of columns, block by block."""

import numpy as np
from scipy import sparse

from skvae._tables.moments import column_sums, moments
from skvae._tables.selection import RowSelection, blocks


def test_blocks_give_the_sums_of_the_whole_table():
    X = np.random.default_rng(0).normal(3, 2, size=(70_000, 9))
    X[::11, 2] = np.nan
    weight = np.random.default_rng(1).uniform(size=len(X))
    assert len(list(blocks(X))) > 2
    mean, variance = moments(RowSelection(X, np.arange(len(X))[::-1]), weight[::-1])
    w = weight[:, None] * ~np.isnan(X)
    np.testing.assert_allclose(mean, np.nansum(w * X, 0) / w.sum(0))
    np.testing.assert_allclose(variance, np.nansum(w * np.square(X - mean), 0) / w.sum(0))


def test_sums_of_a_csr_are_those_of_its_dense_twin():
    cells = np.random.default_rng(0).uniform(size=(500, 40))
    X = sparse.csr_array(np.where(cells < 0.1, cells, 0.0))
    weight = np.random.default_rng(1).uniform(size=500)

    def powers(x, d):
        return np.square(x - 0.1), np.exp(x)

    np.testing.assert_allclose(column_sums(X, weight, powers), column_sums(X.toarray(), weight, powers))
