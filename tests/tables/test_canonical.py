"""Canonical rows: weights equal repetition, order is irrelevant, the scale does not move the split."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae._tables.canonical import canonical_rows, sort_rows, split_rows
from skvae._tables.selection import RowSelection

pytestmark = pytest.mark.one_in(2)

rng = np.random.default_rng(0)


def identity(values, columns):
    return values


def sorted_rows(X, weight=None, standardize=identity, seed=0):
    rows, weight = sort_rows(*canonical_rows(X, weight), standardize, seed)
    return rows.take(), weight


def test_duplicates_are_merged_zero_weights_dropped_and_signed_zeros_equal():
    X = np.array([[1.0, 0.0], [2.0, np.nan], [1.0, -0.0], [3.0, 1.0], [2.0, np.nan]])
    rows, weight = canonical_rows(X, np.array([1.0, 0.5, 2.0, 0.0, 0.25]))
    assert {(r[0], w) for r, w in zip(rows.take(), weight, strict=True)} == {(1.0, 3.0), (2.0, 0.75)}


def test_the_order_depends_on_content_only():
    X = rng.normal(size=(500, 3))[rng.integers(0, 500, 700)]
    weight = rng.uniform(size=700)
    order = rng.permutation(700)
    a, b = sorted_rows(X, weight), sorted_rows(X[order], weight[order])
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])
    assert not np.array_equal(a[0], sorted_rows(X, weight, seed=1)[0])  # another seed, another order
    c = sorted_rows(X.astype(np.float32).astype(np.float64))[0]
    np.testing.assert_array_equal(c, sorted_rows(X.astype(np.float32))[0])


def test_the_order_of_a_table_does_not_depend_on_its_scale():
    X = rng.normal(size=(300, 4))
    scale, shift = np.array([1e-3, 0.1, 7.0, 1e4]), np.array([5.0, -3.0, 0.3, 1e5])
    a = sorted_rows(X)[0]
    b = sorted_rows(X * scale + shift, standardize=lambda v, d: (v - shift[d]) / scale[d])[0]
    np.testing.assert_allclose((b - shift) / scale, a, atol=1e-9)


def test_sparse_rows_sort_like_dense_ones():
    X = rng.normal(size=(200, 5)) * (rng.uniform(size=(200, 5)) < 0.4)

    def standardize(values, columns):
        return (values - np.arange(5.0)[columns]) / 3

    dense = sorted_rows(X, standardize=standardize)[0]
    csr = sorted_rows(sparse.csr_array(X), standardize=standardize)[0]
    np.testing.assert_array_equal(csr.toarray(), dense)


def test_the_first_rows_are_a_random_subset():
    X = np.arange(10_000.0)[:, None]
    first = sorted_rows(X)[0][:1000, 0]
    assert abs(first.mean() - 5000) < 4 * 2887 / np.sqrt(1000)  # four standard errors of a uniform sample


def sides(weight, validation_fraction=0.1):
    """Weights of the training side and of the held-out side, by row."""
    weight = np.asarray(weight, dtype=float)
    X = RowSelection(np.arange(float(len(weight)))[:, None])
    parts = split_rows(X, weight, validation_fraction)
    return [np.bincount(rows.take()[:, 0].astype(int), w, len(weight)) for rows, w in parts]


def test_equal_rows_are_held_out_as_train_test_split_does():
    for n, fraction in ((100, 0.1), (101, 0.1), (4, 0.1), (30, 0.25)):
        for weight in (1.0, 10.0, 0.3):
            train, valid = sides(np.full(n, weight), fraction)
            train_numbers, valid_numbers = train_test_split(np.arange(n), test_size=fraction)
            assert (np.count_nonzero(train), np.count_nonzero(valid)) == (len(train_numbers), len(valid_numbers))
            np.testing.assert_array_equal(train + valid, weight)
            assert set(np.flatnonzero(valid)) == set(range(len(valid_numbers)))


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("draw", ["one record", "power law", "exponential", "flags"])
def test_the_held_out_side_has_its_share_of_the_weight(draw, fraction):
    weight = {
        "one record": lambda: np.r_[rng.integers(1, 3, 700), 800],
        "power law": lambda: np.ceil(rng.pareto(1, 500)),
        "exponential": lambda: rng.exponential(size=400),
        "flags": lambda: np.unique(rng.random((2000, 8)) < 0.1, axis=0, return_counts=True)[1],
    }[draw]()
    weight = rng.permutation(np.asarray(weight, float))
    train, valid = sides(weight, fraction)
    np.testing.assert_allclose(train + valid, weight)
    # Whole rows fill the side up to the last of them, which is no heavy one.
    largest_whole = max(3 * np.median(weight), 0.02 * fraction * weight.sum())
    share = fraction * weight.sum()
    assert share * (1 - 1e-12) <= valid.sum() <= share + largest_whole
    is_both = (train > 0) & (valid > 0)
    np.testing.assert_allclose(valid[is_both], fraction * weight[is_both])
    assert weight[~is_both].max() <= largest_whole
    assert not is_both.any() or weight[is_both].min() > largest_whole


def test_the_split_is_the_same_for_weights_in_another_unit():
    weight = np.ceil(rng.pareto(1, 300))
    for one, other in zip(sides(weight), sides(weight / 8), strict=True):
        np.testing.assert_array_equal(one, 8 * other)


def test_some_row_must_be_left_to_train_on():
    with pytest.raises(ValueError, match="leaves no row to train on"):
        sides([1.0])
    train, valid = sides([1.0, 5000.0, 1.0])
    assert train[1] == pytest.approx(4500)
    assert valid[1] == pytest.approx(500)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_fits_are_bit_identical_under_permutation_and_repetition(cancer, early_stopping):
    def fit(X, weight=None):
        vae = VAETransformer(3, max_iter=4, early_stopping=early_stopping, random_state=0)
        return vae.fit(X, sample_weight=weight).transform(cancer)

    order = rng.permutation(len(cancer))
    np.testing.assert_array_equal(fit(cancer), fit(cancer[order]))
    weight = rng.integers(0, 4, len(cancer))
    np.testing.assert_array_equal(fit(cancer, weight), fit(np.repeat(cancer, weight, axis=0)))
    np.testing.assert_array_equal(fit(cancer, 1.0 * weight), fit(cancer[weight > 0], weight[weight > 0]))


def test_copies_of_a_row_stay_on_one_side_where_all_rows_have_as_many():
    _, weight = sorted_rows(np.repeat(rng.normal(size=(150, 3)), 10, axis=0))
    train, valid = sides(weight)
    assert np.count_nonzero(valid) == 15
    assert np.count_nonzero(train) == 135
