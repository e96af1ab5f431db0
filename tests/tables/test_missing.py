"""Missing values of tables of numbers."""

import numpy as np
import pytest
from scipy import sparse

from skvae._tables.missing import columns_with_missing, has_missing
from skvae._tables.selection import RowSelection

X = np.where(np.random.default_rng(0).random((50, 6)) < 0.5, 0.0, 1.0)
GAPS = X.copy()
GAPS[7, [1, 4]] = np.nan
KINDS = {"array": np.asarray, "csr": sparse.csr_array, "selection": RowSelection}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_missing_values_are_found_in_every_kind_of_table(make):
    assert has_missing(make(GAPS))
    assert not has_missing(make(X))
    assert np.flatnonzero(columns_with_missing(make(GAPS))).tolist() == [1, 4]
    assert not columns_with_missing(make(X)).any()


def test_missing_values_may_come_from_the_function_of_a_selection():
    assert not has_missing(RowSelection(GAPS).mapped(np.nan_to_num))
    assert has_missing(RowSelection(X).mapped(lambda rows: np.where(rows == 1, np.nan, rows)))
