"""Canonical rows: weights equal repetition, order is irrelevant, the scale does not move the split."""

import numpy as np
import pytest
from scipy import sparse

from skvae import VAETransformer
from skvae._tables.canonical import canonical_rows, n_held_out, sort_rows

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


def test_held_out_count():
    assert n_held_out(100, 0.1) == 10
    assert n_held_out(4, 0.1) == 1
    with pytest.raises(ValueError, match="leaves no row to train on"):
        n_held_out(1, 0.1)


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


def test_all_copies_of_a_row_stay_on_one_side():
    rows = sorted_rows(np.repeat(rng.normal(size=(150, 3)), 3, axis=0))[0]
    n = n_held_out(len(rows), 0.1)
    valid, train = ({row.tobytes() for row in part} for part in (rows[:n], rows[n:]))
    assert len(valid) == 15
    assert len(train) == 135
    assert not train & valid
