"""The model of missing cells, against rates that are known."""

import numpy as np
import pytest
from scipy.special import expit

from skvae._tables.missingness import Missingness


def test_rates_pairs_and_codes_are_those_of_the_masks():
    """Cell 1 depends on the code, cell 2 is missing with cell 1 alone, cell 3 always; 4000 rows: 3 errors are 0.03."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 2))
    first = rng.random(4000) < expit(1.5 * z[:, 0] - 1)
    m = np.column_stack([first, first & (rng.random(4000) < 0.5), np.ones(4000, dtype=bool)])
    model = Missingness.fit([1, 4, 6], m, z, np.ones(4000))
    assert model.of_codes[0] == pytest.approx([1.5, 0], abs=0.15)
    new = rng.normal(size=(40_000, 2))
    drawn = model.draw(new, rng.random((40_000, 3)))
    np.testing.assert_allclose(drawn.mean(0), m.mean(0), atol=0.03)
    assert drawn[new[:, 0] > 1, 0].mean() == pytest.approx(m[z[:, 0] > 1, 0].mean(), abs=0.05)
    assert drawn[~drawn[:, 0], 1].mean() < 0.01
    assert drawn[drawn[:, 0], 1].mean() == pytest.approx(0.5, abs=0.05)


def test_many_columns_depend_on_those_next_before_them():
    """A row lacks all of 40 cells or none."""
    all_or_none = np.repeat(np.arange(500) % 5 == 0, 40).reshape(500, 40)
    model = Missingness.fit(list(range(40)), all_or_none, np.zeros((500, 0)), np.ones(500))
    assert model.of_columns.shape == (40, 30)
    drawn = model.draw(np.zeros((5000, 0)), np.random.default_rng(0).random((5000, 40))).mean(1)
    assert ((drawn < 0.1) | (drawn > 0.9)).mean() > 0.95
    assert drawn.mean() == pytest.approx(0.2, abs=0.03)
