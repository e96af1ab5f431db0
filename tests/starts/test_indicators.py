"""Categories as indicators in the linear model of the start."""

import numpy as np

from skvae import Categorical, Gaussian
from skvae._starts.indicators import indicators, information_noise, per_indicator, smoothed, sums, tied_noise
from skvae._tables.columns import Columns
from skvae._tables.schema import Schema

NUMBERS, CATEGORY = Gaussian(noise="shared"), Categorical(3)
COLUMNS = Columns.unscaled(Schema.learn(np.zeros((2, 3))), [NUMBERS, CATEGORY, NUMBERS], "standard")


def test_a_category_is_a_column_for_each_level():
    X = np.array([[0.5, 2.0, 1.0], [np.nan, np.nan, 2.0]])
    expected = [[0.5, 0, 0, 1, 1.0], [np.nan, np.nan, np.nan, np.nan, 2.0]]
    np.testing.assert_array_equal(indicators(COLUMNS, X), expected)
    numbers = Columns.unscaled(Schema.learn(X), [NUMBERS] * 3, "standard")
    assert indicators(numbers, X) is X


def test_repetition_and_sums():
    values = np.array([1.0, 2.0, 3.0])
    assert per_indicator(COLUMNS, values).tolist() == [1, 2, 2, 2, 3]
    assert sums(COLUMNS, per_indicator(COLUMNS, values)).tolist() == [1, 6, 3]


def test_no_level_is_impossible():
    mean = smoothed(COLUMNS, np.array([0.0, 1.0, 0.0, 0.0, 0.0]), 10)
    np.testing.assert_allclose(mean, [0, 10.5 / 11.5, 0.5 / 11.5, 0.5 / 11.5, 0])


def test_noise_is_tied_within_a_family():
    noise = np.array([1.0, 0.2, 0.3, 0.4, 3.0])
    before = noise.copy()
    tied = tied_noise(COLUMNS, noise)
    assert tied[0] == tied[4] == 2
    np.testing.assert_array_equal(noise, before)
    mean = np.full(5, 1 / 3)
    own = information_noise(COLUMNS, mean, noise)
    np.testing.assert_array_equal(own[1:4], CATEGORY.information_noise(mean[1:4], noise[1:4]))
    np.testing.assert_array_equal(own[[0, 4]], NUMBERS.information_noise(mean[:2], noise[[0, 4]]))
