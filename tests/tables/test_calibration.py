"""Quantile functions of fitted columns, ranks of made values, and the map between the two."""

import numpy as np
import pytest
from scipy.stats import kstest

from skvae._tables.calibration import Calibration, Margin, levels_of, middle_levels


def quantiles(x, n=500):
    return np.quantile(x, middle_levels(n))


def test_atoms_have_their_shares_and_no_other_value_is_given_out():
    """Zeros, a grid and a continuum: uniform levels give the first two as often as the table has them, to 1e-3."""
    rng = np.random.default_rng(0)
    x = np.concatenate([np.zeros(2000), rng.integers(1, 6, 1000), 6 + rng.exponential(size=1000)])
    made = Margin.of(x, np.ones(len(x)), 500).quantile(middle_levels(40_000))
    for value in range(6):
        assert (made == value).mean() == pytest.approx((x == value).mean(), abs=1e-3)
    assert not np.isin(made, x[3000:]).any()
    assert kstest(made[made > 5], x[3000:]).statistic < 0.02  # a piece has 1/500 of the rows, 1/125 of these
    assert made.min() == 0
    assert made.max() < x.max()


@pytest.mark.parametrize("n_levels", [4, 50, 500])
def test_fewer_levels_keep_the_commonest_atoms_and_the_rest_to_one_level(n_levels):
    rng = np.random.default_rng(1)
    x = np.concatenate([np.full(900, 3.0), np.round(rng.lognormal(size=3000), 2)])
    margin = Margin.of(x, np.ones(len(x)), n_levels)
    assert len(margin.levels) <= 6 * n_levels
    assert (np.diff(margin.levels) >= 0).all()
    assert (np.diff(margin.values) >= 0).all()
    made = margin.quantile(middle_levels(20_000))
    assert kstest(made, x).statistic < 1 / n_levels + 2e-3
    assert (made == 3.0).mean() == pytest.approx((x == 3.0).mean(), abs=1e-3)


def test_weights_are_repetitions():
    rng = np.random.default_rng(2)
    x, weight = np.round(rng.normal(size=300), 1), rng.integers(1, 4, 300).astype(float)
    repeated = np.repeat(x, weight.astype(int))
    one, other = Margin.of(x, weight, 100), Margin.of(repeated, np.ones(len(repeated)), 100)
    np.testing.assert_array_equal(one.levels, other.levels)
    np.testing.assert_array_equal(one.values, other.values)
    tenth = Margin.of(x, weight / 10, 100)  # what is no number of rows repeats nothing but what rows share
    np.testing.assert_allclose(tenth.quantile(middle_levels(50)), one.quantile(middle_levels(50)), atol=0.2)


@pytest.mark.parametrize("x", [[1.0, 2.0], [-1e300, 1e300], [0.0, 0.0, 5.0], [1.0, np.nextafter(1.0, 2), 2.0]])
def test_quantiles_stay_in_the_range(x):
    made = Margin.of(np.array(x), np.ones(len(x)), 10).quantile(np.linspace(0, 1, 1001))
    assert np.isfinite(made).all()
    assert made.min() == min(x)
    assert made.max() == max(x)
    assert (np.diff(made) >= 0).all()


def test_levels_of_made_values_are_uniform_also_of_atoms():
    rng = np.random.default_rng(3)
    made, new = (np.where(rng.random(20_000) < 0.4, 0.0, rng.exponential(size=20_000)) for _ in range(2))
    level = levels_of(new, quantiles(made), rng.random(20_000))
    assert kstest(level, "uniform").statistic < 0.02  # sqrt(2 / 20 000) is 0.01
    assert level[new == 0].max() < 0.42
    outside = levels_of(np.array([-9.0, 99.0]), quantiles(made), np.array([0.5, 0.5]))
    assert outside[0] < level[new > 0].min()
    assert outside[1] > 0.998


def test_a_right_model_is_left_nearly_alone():
    rng = np.random.default_rng(4)
    made, fitted, new = rng.normal(size=(3, 20_000))
    calibration = Calibration([1], quantiles(made)[:, None], [Margin.of(fitted, np.ones(20_000), 500)])
    rows = np.column_stack([new, new])
    mapped = calibration.map(rows, rng.random((20_000, 1)))
    np.testing.assert_array_equal(mapped[:, 0], new)  # a column that it does not know
    usual = abs(new) < 2
    assert np.abs(mapped[:, 1] - new)[usual].max() < 0.12  # sd of a quantile at 2: 0.02, for each of the two
    order = np.argsort(new[usual])
    assert (np.diff(mapped[usual, 1][order]) >= 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_levels_never_fall_whatever_the_weights(seed):
    """By a last bit, such as that of an end less a weight; a file with falling levels is refused."""
    rng = np.random.default_rng(seed)
    margin = Margin.of(rng.integers(0, 50, 1000).astype(float), rng.random(1000), 500)
    assert (np.diff(margin.levels) >= 0).all()
    assert margin.levels[[0, -1]].tolist() == [0, 1]
