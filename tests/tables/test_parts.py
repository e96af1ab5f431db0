"""Tables joined: cells stay what they are, whatever the dtype of the table beside or above them is."""

import numpy as np
import pytest
from scipy import sparse

from skvae._tables.parts import above, beside


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "new", [np.array([0.25, np.nan]), np.array([0, 300]), np.array([True, False])], ids=["real", "whole", "bool"]
)
def test_columns_beside_keep_their_values(dtype, container, new):
    X = np.array([[1, 0], [0, 1]], dtype=dtype)
    joined = beside(container(X), {"new": new})
    joined = joined.toarray() if sparse.issparse(joined) else joined
    np.testing.assert_array_equal(joined, np.column_stack([X.astype(float), new]))


def test_whole_numbers_need_no_more_bits_than_they_have():
    X = np.ones((2, 1))
    classes = np.array([0, 1])
    assert beside(X.astype(np.float32), {"class": classes}).dtype == np.float32
    assert beside(X.astype(np.uint64), {"was missing": classes == 0}).dtype == np.uint64
    assert beside(X == 1, {"was missing": classes == 0}).dtype == np.int8
    assert beside(np.array([["a"], ["b"]]), {"class": classes}).tolist() == [["a", 0], ["b", 1]]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_rows_below_stay_within_the_limits_of_integers(dtype):
    limits = np.iinfo(dtype)
    joined = above(np.ones((1, 1), dtype=dtype), [[-1e30], [1e30], [2.7]])
    assert joined.dtype == dtype
    assert joined.ravel().tolist() == [1, limits.min, limits.max, 3]
