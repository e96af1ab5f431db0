"""Every scaling x a few properties on columns of every kind."""

import pickle

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.preprocessing import PowerTransformer

from skvae._tables.scalings import SCALINGS, PowerMap, QuantileMap

pytestmark = pytest.mark.one_in(3)

GENERATORS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(3, size=n),
    "log-normal": lambda rng, n: np.exp(rng.normal(size=n)),
    "minus log-normal": lambda rng, n: -np.exp(1.5 * rng.normal(size=n)),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "three normals": lambda rng, n: rng.choice([-2.0, 0.0, 3.0], n) + 0.1 * rng.normal(size=n),
    "integers": lambda rng, n: rng.integers(0, 21, n).astype(float),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.91, 0.0, np.exp(rng.normal(size=n))),
    "three values": lambda rng, n: rng.choice([0.0, 1.0, 5.0], n, p=[0.6, 0.3, 0.1]),
    "two values": lambda rng, n: (rng.random(n) < 0.2).astype(float),
    "nearly alike": lambda rng, n: rng.choice([0.0, 1e-9, 1.0, 1.0 + 1e-9], n),
}
COLUMNS = [pytest.param(make, n, id=f"{name} {n}") for name, make in GENERATORS.items() for n in (30, 2000)]
both = pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
every_column = pytest.mark.parametrize(("make", "n"), COLUMNS)


def weighted(make, n, seed=0):
    """A column, standardised by its weights."""
    rng = np.random.default_rng(seed)
    column, weight = make(rng, n), rng.choice([0.0, 0.5, 1.0, 3.0], n)
    return standardised(column, weight), weight


def standardised(column, weight):
    mean = np.average(column, weights=weight)
    return (column - mean) / np.sqrt(np.average(np.square(column - mean), weights=weight))


def around(v, n=501):
    """Points within the column's range and one range beyond it, knots not among them."""
    return np.linspace(2 * v.min() - v.max(), 2 * v.max() - v.min(), n) + 1e-4 * np.sqrt(2)


def line(fitted):
    """The map without atoms, a quantile map's broken line both ways."""
    if isinstance(fitted, PowerMap):
        return fitted
    return QuantileMap(fitted.knots, fitted.values, fitted.lower, fitted.upper)


def log_density(fitted, v):
    """Of the values v under the standard normal density of x."""
    return stats.norm.logpdf(fitted.map(v)) + fitted.log_slope(v)


@both
@every_column
def test_the_column_has_mean_0_and_variance_1(scaling, make, n):
    v, weight = weighted(make, n)
    x = scaling.fit(v, weight).map(v)
    assert np.average(x, weights=weight) == pytest.approx(0, abs=1e-9)
    assert np.average(np.square(x), weights=weight) == pytest.approx(1, abs=1e-9)


@both
@every_column
def test_the_inverse_is_exact_in_the_fitted_range(scaling, make, n):
    v, weight = weighted(make, n)
    fitted, seen = scaling.fit(v, weight), v[weight > 0]
    for exact, points in ((fitted, fitted.knots if scaling is QuantileMap else v), (line(fitted), around(v))):
        np.testing.assert_allclose(exact.inverse(exact.map(points)), points, rtol=1e-9, atol=1e-9)
    there = fitted.inverse(np.linspace(-40, 40, 2001))
    assert np.isfinite(there).all()
    assert (np.diff(there) >= 0).all()
    if scaling is QuantileMap:
        assert seen.min() <= there[0] < seen.min() + 1e-3
        assert seen.max() - 1e-3 < there[-1] <= seen.max()
        if np.unique(seen).size == seen.size:  # no atoms but the ends
            inside = np.linspace(there[0], there[-1], 501)
            np.testing.assert_allclose(fitted.inverse(fitted.map(inside)), inside, rtol=1e-9, atol=1e-9)


@both
@every_column
@pytest.mark.parametrize(("loc", "spread"), [(0.0, 1.0), (0.7, 0.4), (-1.2, 0.05)])
def test_mean_and_variance_are_those_of_draws(scaling, make, n, loc, spread):
    v, weight = weighted(make, n)
    fitted, u = scaling.fit(v, weight), np.linspace(-6, 6, 41)
    mean, variance = fitted.mean_and_variance(u, (loc + spread * u)[:, None])
    level = (np.arange(50_000) + 0.5) / 50_000  # a fine grid in place of draws
    drawn = fitted.inverse(loc + spread * stats.norm.ppf(level))
    assert mean[0] == pytest.approx(drawn.mean(), abs=0.02 * drawn.std() + 1e-9)
    assert np.sqrt(variance[0]) == pytest.approx(drawn.std(), rel=0.05, abs=1e-2)
    assert drawn.min() - 1e-9 <= mean[0] <= drawn.max() + 1e-9


@both
@every_column
def test_it_rises_everywhere(scaling, make, n):
    v, weight = weighted(make, n)
    fitted = scaling.fit(v, weight)
    assert (np.diff(fitted.map(np.unique(np.r_[around(v)]))) > 0).all()
    far = np.geomspace(1e-3, 1e300, 1000)
    x = fitted.map(np.r_[-far[::-1], 0.0, far])
    assert np.isfinite(x).all()
    assert (np.diff(x) >= 0).all()
    assert x[0] < -1
    assert x[-1] > 1
    assert np.isfinite(fitted.inverse(x)).all()
    assert np.isfinite(fitted.log_slope(np.r_[-far, far])).all()


@both
@every_column
def test_the_slope_is_that_of_finite_differences(scaling, make, n):
    v, weight = weighted(make, n)
    fitted = scaling.fit(v, weight)
    points, h = around(v), 1e-6
    if scaling is QuantileMap:  # a difference across a knot is of two slopes
        points = points[np.abs(points[:, None] - fitted.knots).min(1) > 2 * h]
    difference = (fitted.map(points + h) - fitted.map(points - h)) / (2 * h)
    np.testing.assert_allclose(fitted.log_slope(points), np.log(difference), atol=1e-5)


@both
@every_column
def test_the_density_integrates_to_one(scaling, make, n):
    v, weight = weighted(make, n)
    fitted = scaling.fit(v, weight)
    ends = np.linspace(-9, 9, 20_001)  # of cells with the density of their middles; none has a knot inside
    cells = np.unique(np.r_[line(fitted).inverse(ends), getattr(fitted, "knots", [])])
    density = np.exp(log_density(fitted, (cells[1:] + cells[:-1]) / 2))
    assert density @ np.diff(cells) == pytest.approx(1, abs=1e-3)


@both
@every_column
def test_weights_equal_repetition(scaling, make, n):
    v, _ = weighted(make, n)
    weight = np.random.default_rng(1).integers(0, 4, n)
    one, other = scaling.fit(v, weight.astype(float)), scaling.fit(np.repeat(v, weight), np.ones(weight.sum()))
    np.testing.assert_array_equal(one.map(around(v)), other.map(around(v)))
    order = np.random.default_rng(2).permutation(n)
    np.testing.assert_array_equal(scaling.fit(v[order], weight[order]).map(around(v)), one.map(around(v)))


@both
@every_column
def test_scale_is_of_no_account(scaling, make, n):
    rng = np.random.default_rng(0)
    column, weight = make(rng, n), np.ones(n)
    x, other = ((fitted := scaling.fit(v, weight)).map(v) for v in
                (standardised(column, weight), standardised(1e3 * column + 7, weight)))  # fmt: skip
    np.testing.assert_allclose(other, x, rtol=1e-5, atol=1e-5)
    assert fitted.log_slope(0.0).shape == ()


@both
def test_shapes_missing_cells_and_pickles(scaling):
    v, weight = weighted(GENERATORS["log-normal"], 100)
    fitted = scaling.fit(v, weight)
    again = pickle.loads(pickle.dumps(fitted))
    cells = np.array([[[0.3, np.nan, -0.2]], [[np.nan, 4.0, 0.0]]])
    for name in ("map", "inverse", "log_slope"):
        result = getattr(fitted, name)(cells)
        assert result.shape == cells.shape
        assert result.dtype == np.float64
        np.testing.assert_array_equal(np.isnan(result), np.isnan(cells))
        np.testing.assert_array_equal(getattr(again, name)(cells), result)
        assert np.shape(getattr(fitted, name)(0.5)) == ()
        assert getattr(fitted, name)(np.float32(0.5)).dtype == np.float64
    assert cells[0, 0, 0] == 0.3  # nothing is written into


@both
@pytest.mark.parametrize("v", [[], [0.0], [3.0] * 7, [0.1] * 3, [1.0, 2.0]], ids=str)
def test_columns_without_variance_are_left_alone(scaling, v):
    weight = np.ones(len(v))
    weight[1 if v == [1.0, 2.0] else len(v) :] = 0.0  # of the last one only the first row counts
    fitted = scaling.fit(np.array(v), weight)
    points = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(fitted.map(points), points, atol=1e-13)
    np.testing.assert_allclose(fitted.inverse(points), points, atol=1e-13)
    np.testing.assert_allclose(fitted.log_slope(points), 0.0)


@both
@pytest.mark.parametrize("heaviest", [1e3, 1e12, 1e20])
@pytest.mark.parametrize("where", [0, 10, 20])
def test_one_heavy_row_does_no_harm(scaling, heaviest, where):
    """The ranks of the others may not differ from 0, 1 or each other in float64."""
    weight = np.ones(21)
    weight[where] = heaviest
    v = standardised(np.linspace(0, 1, 21), weight)
    fitted = scaling.fit(v, weight)
    x = fitted.map(v)
    assert np.isfinite(x).all()
    assert np.isfinite(fitted.log_slope(v)).all()
    assert (np.diff(x) > 0).all()
    assert np.average(np.square(x), weights=weight) == pytest.approx(1, abs=1e-6)


@both
def test_it_is_finite_wherever_a_decoder_may_lead(scaling):
    v, weight = weighted(GENERATORS["log-normal"], 200)
    x = np.array([-1e30, -1e6, 1e6, 1e30])
    there = scaling.fit(v, weight).inverse(x)
    assert np.isfinite(there).all()
    assert (np.diff(there) >= 0).all()


# ---------------------------------------------------------------- each one's own


@every_column
def test_the_power_maximises_the_likelihood(make, n):
    v, weight = weighted(make, n)
    level = lambda fitted: np.average(log_density(fitted, v), weights=weight)  # noqa: E731
    best = PowerMap.fit(v, weight)
    assert 0 <= best.power <= 2
    for power in np.linspace(0, 2, 41):
        y = stats.yeojohnson(v, power)
        mean = np.average(y, weights=weight)
        other = PowerMap(power, mean, np.sqrt(np.average(np.square(y - mean), weights=weight)))
        assert level(best) >= level(other) - 1e-9


def test_the_power_is_scikit_learns_without_weights():
    for name in ("normal", "exponential", "three normals"):
        v = standardised(GENERATORS[name](np.random.default_rng(0), 500), np.ones(500))
        reference = PowerTransformer().fit(v[:, None])
        fitted = PowerMap.fit(v, np.ones(500))
        if 0 < reference.lambdas_[0] < 2:
            assert fitted.power == pytest.approx(reference.lambdas_[0], abs=1e-4)
            np.testing.assert_allclose(fitted.map(v), reference.transform(v[:, None])[:, 0], atol=1e-4)


@pytest.mark.parametrize("power", [0.0, 1e-12, 0.3, 1.0, 2 - 1e-12, 2.0])
def test_the_inverse_power_at_its_ends(power):
    fitted = PowerMap(power, 0.1, 0.7)
    v = np.r_[-np.geomspace(1e-6, 1e5, 50)[::-1], 0.0, np.geomspace(1e-6, 1e5, 50)]
    np.testing.assert_allclose(fitted.inverse(fitted.map(v)), v, rtol=1e-9, atol=1e-9)
    root = optimize.brentq(lambda v: fitted.map(v) - 1.3, -10, 10)
    assert fitted.inverse(1.3) == pytest.approx(root)


def test_knots_are_mid_ranks_of_data_values():
    v = standardised(np.array([0.0, 0.0, 0.0, 1.0, 1.0, 7.0]), np.ones(6))
    fitted = QuantileMap.fit(v, np.ones(6))
    np.testing.assert_allclose(fitted.knots, np.unique(v))
    score = stats.norm.ppf([1.5 / 6, 4 / 6, 5.5 / 6])
    affine = np.polyfit(score, fitted.values, 1)
    np.testing.assert_allclose(np.polyval(affine, score), fitted.values)
    assert affine[0] > 0


@every_column
def test_knots_keep_their_distance_and_slopes_outside_are_modest(make, n):
    v, weight = weighted(make, n)
    fitted = QuantileMap.fit(v, weight)
    assert 2 <= len(fitted.knots) <= 100
    assert np.diff(fitted.knots).min() >= 1e-3 * (1 - 1e-9)
    assert np.isin(fitted.knots, v).all()
    assert 0 < fitted.lower < 1.01
    assert 0 < fitted.upper < 1.01


def test_a_value_that_most_rows_share_leaves_knots_to_the_others():
    v, _ = weighted(GENERATORS["zeros"], 2000)
    assert len(QuantileMap.fit(v, np.ones(2000)).knots) > 35
    beside = np.r_[v, np.linspace(-5e-4, 5e-4, 40) + v.min()]
    assert v.min() in QuantileMap.fit(beside, np.ones(2040)).knots  # those beside it are merged into it


#: Held-out nats per value above the standardised column itself, with 200 and with 5000 rows: at least.
GAINS = {
    "normal": (-0.06, -0.01),
    "heavy tails": (0.05, 0.1),
    "log-normal": (0.6, 0.7),
    "exponential": (0.3, 0.38),
    "three normals": (1.3, 1.7),
    "integers": (0.05, 0.08),
    "zeros": (0.5, 1.2),
    "three values": (0.15, 0.15),
}


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in GAINS for seed in range(2)])
def test_held_out_density_of_the_quantile_map(name, seed):
    for n, gain in zip((200, 5000), GAINS[name], strict=True):
        train, test = (GENERATORS[name](np.random.default_rng((seed, part)), m) for part, m in ((0, n), (1, 20_000)))
        v, other = ((column - train.mean()) / train.std() for column in (train, test))
        fitted = QuantileMap.fit(v, np.ones(n))
        assert np.mean(log_density(fitted, other) - stats.norm.logpdf(other)) > gain


def test_draws_of_a_quantile_map_give_common_values_their_share():
    rng = np.random.default_rng(0)
    v = np.where(rng.uniform(size=4000) < 0.6, 0.5, rng.exponential(size=4000))
    v = (v - v.mean()) / v.std()
    scaling = QuantileMap.fit(v, np.ones(4000))
    drawn = scaling.inverse(scaling.map(rng.permutation(v)))
    common = np.median(v)
    assert np.isclose(drawn, common).mean() == pytest.approx((v == common).mean(), abs=0.02)
    mid_rank = (stats.rankdata(v) - 0.5) / 4000
    affine = np.polyfit(
        stats.norm.ppf(mid_rank)[np.isin(v, scaling.knots)], scaling.map(v[np.isin(v, scaling.knots)]), 1
    )
    margin = scaling.inverse(np.polyval(affine, stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)))
    assert np.isclose(margin, common).mean() == pytest.approx((v == common).mean(), abs=1e-3)
    levels = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(np.quantile(margin, levels), np.quantile(v, levels), atol=0.02)
