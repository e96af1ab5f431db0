"""Which likelihood family each column has."""

import numpy as np
import pandas as pd
import pytest
import torch

from skvae import Bernoulli, Categorical, Gaussian, Ordinal
from skvae._tables.assignment import assigned_families, position
from skvae._tables.encoding import encode
from skvae._tables.schema import Schema
from skvae._tables.selection import RowSelection
from skvae.families import Family

TABLE = pd.DataFrame({"kind": list("abcabc"), "size": [0.5, 1.0, 2.0, 0.1, 0.2, 0.3], "new": [True, False] * 3})
SCHEMA = Schema.learn(TABLE)
X = RowSelection(encode(SCHEMA, TABLE))


class Grades(Family):
    """A nominal family of a user, which has another word for the number of its levels."""

    units, nominal = None, True

    def __init__(self, levels=3):
        self.levels = levels

    @property
    def n_raw(self):
        return self.levels

    def distribution(self, logits):
        return torch.distributions.Categorical(logits=logits)

    def start(self, mean, loadings, noise, resolution=None):
        raise NotImplementedError


def test_families_go_by_kind():
    assert str(assigned_families(X, SCHEMA, "auto")) == str([Categorical(3), Gaussian(), Bernoulli()])
    zeros_and_ones = np.array([[0.0, 1.0], [1.0, np.nan]])
    families = assigned_families(RowSelection(zeros_and_ones), Schema.learn(zeros_and_ones), "auto")
    assert str(families) == str([Bernoulli()] * 2)
    assert families[0] is families[1]


def test_a_single_family_is_that_of_all_columns_but_the_categories():
    assert str(assigned_families(X, SCHEMA, Gaussian())) == str([Categorical(3), Gaussian(), Gaussian()])


def test_a_nominal_family_of_ones_own_takes_a_category():
    assert Grades().n_categories == 3
    own = Grades()
    assert assigned_families(X, SCHEMA, [(own, "kind")])[0] is own


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        ([(Gaussian(), "kind")], "'kind' is a category; its likelihood cannot be Gaussian"),
        ([(Categorical(4), "kind")], r"'kind' has 3 levels; its likelihood Categorical\(n_classes=4\) has 4"),
        ([(Gaussian(), "size"), (Gaussian(), 1)], "column 'size' twice"),
        ([(Gaussian(), [True, False])], "has 2 entries; X has 3 columns"),
        ([(Gaussian(), "sise")], "'likelihood' parameter names the column 'sise'"),
    ],
)
def test_likelihoods_that_do_not_go_with_the_columns(likelihood, message):
    with pytest.raises(ValueError, match=message):
        assigned_families(X, SCHEMA, likelihood)


def test_the_number_of_levels_comes_from_the_column():
    assert assigned_families(X, SCHEMA, [(Ordinal(), 0)])[0].n_categories == 3


def test_positions():
    assert [position(SCHEMA, key, "columns") for key in ("size", 1, -2)] == [1, 1, 1]
    with pytest.raises(ValueError, match="'columns' parameter names the column 3"):
        position(SCHEMA, 3, "columns")
