"""Statistics of chunks that merge into those of the whole table."""

import pickle

import numpy as np
import pytest
from chunks import assert_same, cut, frame, statistics_of
from scipy import sparse
from test_large import peak_of, table

import skvae._tables.statistics
from skvae import TableStatistics
from skvae._tables.moments import moments
from skvae._tables.schema import Schema
from skvae._tables.statistics import Sample, _name


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cells", [100, 1 << 22])
def test_any_cut_order_and_tree_of_merges_gives_the_same_statistics(monkeypatch, seed, cells):
    """The sample holds few rows in one case and all of them in the other."""
    monkeypatch.setattr(skvae._tables.statistics, "_CELLS_SAMPLED", cells)
    X, rng = frame(), np.random.default_rng(seed)
    whole = statistics_of([X])
    assert_same(statistics_of(cut(X.sample(frac=1, random_state=seed), 7, seed)), whole)
    forest = [statistics_of(cut(part, 2, seed)) for part in cut(X, 6, seed)]
    while len(forest) > 1:
        a, b = (forest.pop(rng.integers(len(forest))) for _ in range(2))
        forest.append(pickle.loads(pickle.dumps(a)).merge(b))
    assert_same(forest[0], whole)


@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool])
def test_statistics_of_arrays(dtype):
    X = (np.round(table(500, 5)) > 0 if dtype is bool else np.round(table(500, 5))).astype(dtype)
    whole = statistics_of([X])
    assert_same(statistics_of(cut(X[::-1], 5)), whole)
    assert_same(statistics_of([sparse.csr_array(part) for part in cut(X, 3)]), whole)
    mean, variance = moments(X, np.ones(len(X)))
    np.testing.assert_allclose(whole.mean, mean, atol=1e-12)
    np.testing.assert_allclose(whole.variance, variance, rtol=1e-12)
    assert whole._outline.dtype == dtype


def test_moments_know_constants_and_columns_without_values():
    X = np.random.default_rng(0).normal(size=(5000, 4)) + 1e4
    X[:, 1], X[:, 2], X[:3000, 3] = 0.1, np.nan, np.nan
    statistics = statistics_of(cut(X, 9))
    assert statistics.variance[1] == 0  # the mean of many 0.1 is not 0.1
    assert (statistics.mean[2], statistics.variance[2]) == (0, 1)
    mean, variance = moments(X, np.ones(len(X)))
    np.testing.assert_allclose(statistics.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(statistics.variance, variance, rtol=1e-9)


def test_the_sample_is_a_fair_one_with_every_copy_counted(monkeypatch):
    monkeypatch.setattr(skvae._tables.statistics, "_CELLS_SAMPLED", 4000)
    rng = np.random.default_rng(0)
    distinct = rng.normal(size=(20_000, 2))
    times = rng.integers(1, 4, len(distinct))
    statistics = statistics_of(cut(np.repeat(distinct, times, axis=0), 20))
    rows, weight = statistics._sample.rows, statistics._sample.count
    assert rows.shape == (2000, 2)
    place = {row.tobytes(): i for i, row in enumerate(distinct)}
    np.testing.assert_array_equal(weight, times[[place[row.tobytes()] for row in rows]])
    assert np.abs(rows.mean(0)).max() < 4 / np.sqrt(2000)
    assert abs(np.median([place[row.tobytes()] for row in rows]) / 20_000 - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_copies_of_the_last_row_that_has_a_place_are_counted(monkeypatch):
    monkeypatch.setattr(skvae._tables.statistics, "_CELLS_SAMPLED", 6)
    X = np.random.default_rng(0).permutation(np.tile(np.random.default_rng(1).normal(size=(30, 2)), (5, 1)))
    assert statistics_of(np.split(X, 150))._sample.count.tolist() == [5, 5, 5]


def test_names_of_levels_are_the_same_in_every_process():
    """`hash` of a string is not; and numbers may come as ints and as floats, beside a missing value."""
    assert _name("cat").view(np.uint64) == 0xB53AA8E411600236
    assert _name(1) == _name(1.0) == _name(np.float32(1)) != _name("1")
    X = np.array([[1, "a"], [2, "b"]], dtype=object)
    ints, floats = (statistics_of([X]), statistics_of([np.array([[1.0, "a"], [2.0, "b"]], dtype=object)]))
    np.testing.assert_array_equal(ints._sample.first, floats._sample.first)


def test_zeros_of_both_signs_are_one():
    a, b = np.array([[0.0, 1.0]]), np.array([[-0.0, 1.0]])
    for parts in ([a, b], [b, a]):
        statistics = statistics_of(parts)
        assert statistics._sample.count.tolist() == [2]
        assert not np.signbit(statistics._sample.rows).any()


def test_statistics_keep_their_memory(monkeypatch):
    """Three samples and three chunks, of a table 20 times as large as a sample."""
    monkeypatch.setattr(skvae._tables.statistics, "_CELLS_SAMPLED", 1 << 17)
    rng = np.random.default_rng(0)
    chunk = 8 * 5000 * 30
    assert peak_of(lambda: statistics_of(rng.normal(size=(5000, 30)) for _ in range(20))) < 3 * 2**20 + 4 * chunk
    assert Sample.of(np.eye(3), Schema.learn(np.eye(3)), None).threshold is None


def test_statistics_of_nothing_have_no_moments():
    for name in ("mean", "variance", "lowest", "highest"):
        with pytest.raises(AttributeError, match=r"no rows yet. Call update"):
            getattr(TableStatistics(), name)
