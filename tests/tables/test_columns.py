"""Columns between data space and model space: values that are never changed, and the same numbers after a refit."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from skvae import Gaussian, Poisson
from skvae._tables.columns import Columns
from skvae._tables.schema import Schema
from skvae._tables.selection import RowSelection

rng = np.random.default_rng(0)
X = np.column_stack([rng.normal(5, 3, 200), np.r_[np.zeros(100), np.full(100, 8.0)], np.full(200, 2.0)])
SCHEMA = Schema.learn(X)


def columns(scaling="standard", families=None):
    return Columns.unscaled(SCHEMA, [Gaussian()] * 3 if families is None else families, scaling)


def fitted(own, rows=slice(None)):
    return own.fitted_to(RowSelection(X[rows]), np.ones(len(X[rows])))


def test_fitting_gives_other_columns_and_changes_none():
    before = columns()
    after = fitted(before)
    assert before.reach is None
    assert not before.shift.any()
    np.testing.assert_allclose(after.shift, X.mean(0))
    np.testing.assert_allclose(after.scale, [X[:, 0].std(), 4, 2])
    with pytest.raises(FrozenInstanceError):
        after.shift = before.shift


def test_a_column_that_a_part_finds_constant_keeps_the_reach_of_all_rows():
    whole = fitted(columns())
    part = fitted(whole, slice(100))
    np.testing.assert_allclose(whole.reach[1:], [4, 2])
    assert part.reach is whole.reach
    assert part.scale[1:].tolist() == [4, 2]
    assert fitted(columns(), slice(100)).scale[1] == 1  # alone, the part knows no deviation


@pytest.mark.parametrize("scaling", [None, "standard", "global", "power", "quantile"])
def test_model_space_and_back(scaling):
    own = fitted(columns(scaling))
    assert list(own.maps) == ([0, 1, 2] if scaling in ("power", "quantile") else [])
    x = torch.from_numpy(own.working_array(X))
    np.testing.assert_allclose(own.to_data(x), X, atol=1e-9)
    assert own.log_slopes(X).shape == X.shape


def test_columns_of_other_scaling_are_not_shifted():
    own = fitted(columns(families=[Gaussian(), Poisson(), Gaussian()]))
    assert own.shift[1] == 0
    assert own.scale[1] == 1
    assert own.has_units("standard").tolist() == [True, False, True]


def test_a_variance_that_overflows_is_refused_by_the_columns_name():
    huge = np.column_stack([X[:, :2], np.linspace(-1e300, 1e300, 200)])
    with pytest.raises(ValueError, match="'x2' has values whose variance overflows"):
        columns().fitted_to(RowSelection(huge), np.ones(200))
