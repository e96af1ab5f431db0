"""Atoms, and the grid that the values of a column lie on."""

import numpy as np
import pytest

from skvae._tables.selection import RowSelection
from skvae._tables.ties import atoms

RNG = np.random.default_rng(0)
CONTINUOUS = RNG.normal(size=200)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (CONTINUOUS, False),
        (np.where(np.arange(200) < 20, 0.0, CONTINUOUS), True),  # a tenth of the rows
        (np.where(np.arange(200) < 19, 0.0, CONTINUOUS), False),
        (CONTINUOUS.round(1), False),  # a grid wider than the floor's standard deviation of 0.03, sqrt(12) times
        (np.zeros(200), False),
        (np.where(np.arange(200) < 30, 0.0, np.where(np.arange(200) < 50, np.nan, CONTINUOUS)), True),
    ],
    ids=["continuous", "a tenth", "less", "grid", "constant", "missing"],
)
def test_atoms(x, expected):
    assert atoms(RowSelection(x[:, None]), np.ones(200), 1e-3).tolist() == [expected]


def test_weights_count():
    x = np.where(np.arange(200) < 10, 0.0, CONTINUOUS)[:, None]
    weight = np.where(np.arange(200) < 10, 3.0, 1.0)
    assert atoms(RowSelection(x), weight, 1e-3).all()
    assert not atoms(RowSelection(x), np.ones(200), 1e-3).any()
