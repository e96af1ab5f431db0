"""Counts with an exposure: a condition whose logarithm enters the log mean with coefficient 1."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from skvae import (
    NegativeBinomial,
    Poisson,
    VAETransformer,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from skvae._inference.torch_modules import METHODS

FAMILIES = [Poisson, NegativeBinomial, ZeroInflatedPoisson, ZeroInflatedNegativeBinomial]
COUNTS = list("abcd")
SLOPES = 0.6 * np.array([1.0, 0.5, -0.7, 0.3])


def made(n=300, spread=1.0):
    """Four counts of one code, over days that differ by exp(spread N(0, 1)), a number beside them, and the code."""
    rng = np.random.default_rng(0)
    z, days = rng.normal(size=n), 10 * np.exp(spread * rng.normal(size=n))
    counts = rng.poisson(days[:, None] * np.exp(np.outer(z, SLOPES) - 1))
    return pd.DataFrame(counts, columns=COUNTS).assign(size=z + rng.normal(size=n), days=days), z


def model(family=Poisson, **options):
    likelihood = [(family(exposure="days"), COUNTS)]
    return VAETransformer(
        1,
        **{"conditions": ["days"], "likelihood": likelihood, "init": "pca", "max_iter": 0, "random_state": 0} | options,
    )


@pytest.fixture(scope="module")
def trained():
    frame, _ = made()
    return model(hidden_layer_sizes=(16,), max_iter=5).fit(frame), frame


# ---------------------------------------------------------------- the closed form


@pytest.mark.parametrize("longest", [np.inf, 10.0])
def test_one_column_is_the_poisson_regression_with_an_offset(longest):
    """No direction is left for a code, and the rate is the sum of counts over the sum of days of the same rows."""
    frame = made()[0][["a", "days"]]
    frame["a"] = frame["a"].where(frame["days"] <= longest)
    vae = VAETransformer(1, conditions=["days"], likelihood=Poisson(exposure="days"), max_iter=0).fit(frame)
    seen = frame.dropna()
    rate = seen["a"].sum() / seen["days"].sum()
    np.testing.assert_allclose(vae.inverse_transform([[0.0]], given={"days": 1.0})["a"], rate, rtol=1e-5)
    expected = stats.poisson.logpmf(seen["a"], rate * seen["days"])
    np.testing.assert_allclose(vae.score_samples(seen), expected, rtol=1e-5)
    np.testing.assert_allclose(vae.score_columns(seen)[:, 0], expected, rtol=1e-5)
    assert np.isnan(vae.score_columns(seen)[:, 1]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_start_knows_the_rates(family):
    """Before any training it is near the model that made the rows, which one of the counts alone is far from."""
    frame, z = made()
    frame = frame.drop(columns="size")
    vae = model(family).fit(frame)
    t = np.linspace(-6, 6, 201)
    rates = np.exp(np.multiply.outer(t, SLOPES) - 1)
    p = [stats.poisson.logpmf(frame[COUNTS], np.outer(frame["days"], rate)).sum(1) for rate in rates]
    truth = np.log(np.exp(p).T @ stats.norm.pdf(t) * (t[1] - t[0])).mean()
    assert truth - 0.4 < vae.score(frame) < truth + 0.05
    if family is Poisson:
        assert model(likelihood=[(Poisson(), COUNTS)]).fit(frame).score(frame) < truth - 1
    assert abs(np.corrcoef(vae.transform(frame)[:, 0], z)[0, 1]) > 0.75


def test_a_long_exposure_narrows_the_code():
    """Counts of e days are as good as e counts of one day: the precision of a code is 1 + e g."""
    frame, _ = made()
    frame = frame.drop(columns="size")
    vae = model().fit(frame)
    precision = 1 / vae.encode(frame).variance[:, 0].double().numpy()
    e = frame["days"] / frame["days"].mean()
    np.testing.assert_allclose((precision - 1) / e, (precision[0] - 1) / e[0], rtol=1e-3)
    same_rate = frame.iloc[[0]].assign(**{name: 2 * frame[name][:1] for name in frame})
    assert vae.encode(same_rate).variance < vae.encode(frame[:1]).variance


def test_equal_exposures_change_nothing():
    """Rates are those of the average exposure; where it is everybody's, the model is that of the counts alone."""
    frame = made(spread=0)[0]
    ones, sevens = (model().fit(frame.assign(days=days)).score_samples(frame.assign(days=days)) for days in (1.0, 7.0))
    np.testing.assert_array_equal(ones, sevens)
    alone = frame.drop(columns="days")
    likelihood = [(Poisson(), COUNTS)]
    without = VAETransformer(1, likelihood=likelihood, init="pca", max_iter=0, random_state=0).fit(alone)
    np.testing.assert_allclose(ones, without.score_samples(alone), rtol=1e-6)


# ---------------------------------------------------------------- every method


@pytest.mark.parametrize("family", [Poisson, ZeroInflatedNegativeBinomial])
def test_twice_the_exposure_is_twice_the_mean(family):
    frame, _ = made()
    vae = model(family, hidden_layer_sizes=(8,), max_iter=2).fit(frame)
    Z, given = vae.transform(frame), frame[["days"]]
    once, twice = (vae.inverse_transform(Z, given=c * given) for c in (1, 2))
    np.testing.assert_allclose(twice[COUNTS], 2 * once[COUNTS], rtol=1e-5)
    np.testing.assert_allclose(twice["size"], once["size"], rtol=1e-6)  # another column does not hear of it
    np.testing.assert_array_equal(twice["days"], 2 * frame["days"])


def test_methods_read_the_exposure(trained):
    vae, frame = trained
    days = frame["days"]
    few, many = (vae.reconstruct(frame, given={"days": d}) for d in (1.0, 100.0))
    np.testing.assert_allclose(many[COUNTS], 100 * few[COUNTS], rtol=1e-5)
    drawn = [vae.sample(4000, given={"days": d}, random_state=0)[COUNTS].mean() for d in (20.0, 2.0)]
    np.testing.assert_allclose(drawn[0] / drawn[1], 10, rtol=0.1)  # four standard errors
    assert set(vae.sample(50, random_state=0)["days"]) <= set(days)
    filled = vae.impute(frame.assign(a=np.nan))["a"]
    assert stats.spearmanr(filled, days).statistic > 0.8
    assert np.corrcoef(filled / days, frame["a"] / days)[0, 1] > 0.1
    p = vae.decode(vae.transform(frame[:5]), given=frame[["days"]][:5])
    expected = stats.poisson.logpmf(frame[COUNTS][:5], p.mean[:, :4].numpy())
    np.testing.assert_allclose(p.log_prob(frame[:5])[:, :4], expected, rtol=1e-4)


def test_rows_with_missing_counts():
    """A row without any count says nothing, however long it was exposed."""
    frame = made()[0].drop(columns="size")
    vae = model().fit(frame.assign(d=frame["d"].where(np.arange(len(frame)) > 100)))
    assert np.isfinite(vae.score_samples(frame[:9].assign(a=np.nan))).all()
    empty = frame[:9].assign(**dict.fromkeys(COUNTS, np.nan))
    np.testing.assert_allclose(vae.score_samples(empty), 0, atol=1e-5)
    np.testing.assert_allclose(vae.transform(empty), 0, atol=1e-6)


def test_arrays_files_and_graphs(trained, tmp_path):
    vae, frame = trained
    vae.save(tmp_path / "model")
    again = VAETransformer.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(frame), vae.score_samples(frame))
    assert again.likelihoods_["a"].exposure == 5
    X = frame.to_numpy(float)
    of_array = model(conditions=[5], likelihood=[(Poisson(exposure=5), [0, 1, 2, 3])]).fit(X)
    np.testing.assert_allclose(of_array.score_samples(X), model().fit(frame).score_samples(frame), rtol=1e-5)
    X[::3, 1] = np.nan
    for name in ("transform", "score_samples"):
        graph = METHODS[name](of_array, torch.float64)
        np.testing.assert_allclose(graph(torch.from_numpy(X)), getattr(of_array, name)(X), rtol=1e-9)


def test_a_duration_is_an_exposure():
    """In days, as durations are numbers."""
    frame = made()[0]
    durations = frame.assign(days=pd.to_timedelta(frame["days"], unit="D"))
    one, other = (model(max_iter=0).fit(table) for table in (frame, durations))
    np.testing.assert_allclose(other.score_samples(durations), one.score_samples(frame), rtol=1e-5)
    week = pd.Timedelta(days=7)
    means = [one.inverse_transform([[0.0]], given={"days": 7}), other.inverse_transform([[0.0]], given={"days": week})]
    np.testing.assert_allclose(means[1][COUNTS], means[0][COUNTS], rtol=1e-5)


def test_partial_fit_keeps_the_average_exposure(trained):
    _, frame = trained
    vae = model(hidden_layer_sizes=(8,)).fit(frame)
    before = vae.inverse_transform([[0.0]], given={"days": 5.0})
    vae.partial_fit(frame.assign(days=1.0))
    after = vae.inverse_transform([[0.0]], given={"days": 5.0})
    np.testing.assert_allclose(after[COUNTS], before[COUNTS], rtol=0.5)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("wrong", [0.0, -3.0, np.nan])
def test_an_exposure_that_is_not_positive(trained, wrong):
    vae, frame = trained
    bad = frame.assign(days=frame["days"].where(np.arange(len(frame)) != 7, wrong))
    message = "Column 'days' is an exposure of counts, and has the value"
    with pytest.raises(ValueError, match=message):
        model().fit(bad)
    for method in ("score", "score_samples", "score_columns", "transform", "reconstruct", "impute", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(vae, method)(bad)
    Z = vae.transform(frame)
    for given in (bad[["days"]], {"days": wrong}):
        with pytest.raises(ValueError, match="days"):
            vae.inverse_transform(Z, given=given)
        with pytest.raises(ValueError, match="days"):
            vae.sample(given=given)
    with pytest.raises(ValueError, match="days"):
        vae.reconstruct(frame, given={"days": wrong})


def test_exposures_that_cannot_be():
    frame = made()[0].assign(site="A")
    with pytest.raises(ValueError, match="'days', which is none of the 'conditions'"):
        model(conditions=["size"]).fit(frame)
    with pytest.raises(ValueError, match="'days', which is none of the 'conditions'"):
        model(conditions=None).fit(frame)
    with pytest.raises(ValueError, match="'site', which holds categories"):
        model(conditions=["site"], likelihood=[(Poisson(exposure="site"), COUNTS)]).fit(frame)
    dates = frame.assign(days=pd.date_range("2020-01-01", periods=len(frame)))
    with pytest.raises(ValueError, match=r"'days', which holds times\. An exposure is a positive number or a duration"):
        model().fit(dates)
    with pytest.raises(ValueError, match="'exposure' parameter names the column 'weeks', but X has"):
        model(likelihood=[(Poisson(exposure="weeks"), COUNTS)]).fit(frame)
    for wrong in (-1, 1.5):
        with pytest.raises(ValueError, match="The 'exposure' parameter of Poisson"):
            Poisson(exposure=wrong).check()
