"""Linear-Gaussian models of tables with missing values: EM on observed cells, the exact initialisation."""

import numpy as np
import pytest
from linear_oracle import linear_model, oracle, with_missing
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale
from standardize import standardized

from skvae import VAETransformer
from skvae._starts.linear_gaussian import (
    LinearGaussian,
    ObservedCells,
    SecondMoments,
    _unbiased,
    climb,
    factor_analysis,
    probabilistic_pca,
)

pytestmark = pytest.mark.one_in(2)


@pytest.mark.parametrize("init", ["factor_analysis", "pca"])
@pytest.mark.parametrize("posterior", ["full", "diag"])
@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_initialisation_with_missing_values_is_exact_up_to_the_gap_of_independence(name, posterior, init):
    """30 % missing: "full" is the exact posterior; "diag" loses (sum ln P_jj - ln det P) / 2 of each row's pattern."""
    X = with_missing(standardized(name), 0.3)
    vae = VAETransformer(5, posterior=posterior, init=init, max_iter=0, random_state=0).fit(X)
    log_p, gap, z, _ = oracle(vae, X)
    assert gap.mean() > 0.01
    np.testing.assert_allclose(vae.score_samples(X), log_p - (gap if posterior == "diag" else 0), atol=2e-5)
    order, signs = vae.order_, vae.signs_
    np.testing.assert_allclose(vae.transform(X), z[:, order] * signs, atol=1e-3)  # weights are float32


def test_rows_with_all_and_with_no_cells(wine):
    X = with_missing(wine, 0.3)
    X[0], X[1] = np.nan, wine[1]
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    log_p, _, _, mean = oracle(vae, X[:2])
    np.testing.assert_allclose(vae.score_samples(X[:2]), log_p, atol=1e-5)
    assert vae.score_samples(X[:1]) == pytest.approx(0, abs=1e-6)  # nothing seen, nothing to explain
    np.testing.assert_allclose(vae.transform(X[:1]), 0, atol=1e-6)
    np.testing.assert_allclose(vae.impute(X[:1]), mean[:1], atol=0.15)  # 200 draws of a mean of unit scale


def test_em_on_observed_cells_climbs_and_is_factor_analysis_of_complete_rows(wine):
    tie = lambda noise: np.maximum(noise, 1e-3)  # noqa: E731
    weight = np.random.default_rng(0).uniform(0.5, 2, len(wine))
    centred = wine - weight @ wine / weight.sum()
    moments, rows = SecondMoments(centred, weight), ObservedCells(centred, weight)
    model = factor_analysis(moments, 3, tie, max_iter=5)
    assert rows.log_likelihood(model) == pytest.approx(moments.log_likelihood(model), abs=1e-10)
    one, other = moments.em_step(model, tie), rows.em_step(model, tie)
    np.testing.assert_allclose(other.loadings, one.loadings, atol=1e-8)
    np.testing.assert_allclose(other.noise, one.noise, atol=1e-8)
    np.testing.assert_allclose(other.mean, 0, atol=1e-10)

    rows = ObservedCells(with_missing(centred, 0.4), weight)
    levels = [rows.log_likelihood(model)]
    for _ in range(60):
        model = rows.em_step(model, tie)
        levels.append(rows.log_likelihood(model))
    assert np.diff(levels).min() > -1e-10
    assert levels[-1] > levels[0] + 0.1
    assert rows.log_likelihood(climb(model, rows, tie, 2000)) >= levels[-1]


def test_em_recovers_the_truth_behind_missing_values():
    """2000 rows of a known model, 40 % missing: covariance within what that many rows can tell."""
    rng = np.random.default_rng(0)
    W, noise = rng.normal(size=(8, 2)), rng.uniform(0.2, 1, 8)
    X = rng.normal(size=(2000, 2)) @ W.T + rng.normal(size=(2000, 8)) * np.sqrt(noise) + 5
    vae = VAETransformer(2, init="factor_analysis", max_iter=0, random_state=0).fit(with_missing(X, 0.4))
    W_hat, mean, noise_hat = linear_model(vae)
    np.testing.assert_allclose(W_hat @ W_hat.T + np.diag(noise_hat), W @ W.T + np.diag(noise), atol=0.35)
    np.testing.assert_allclose(mean, 5, atol=0.2)


def test_em_knows_the_mean_behind_cells_that_are_missing_at_random():
    """y is missing where x is large: the mean of the observed y is biased, that of the model is not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    X = np.c_[x, x + 0.3 * rng.normal(size=3000), x + 0.3 * rng.normal(size=3000)]
    X[x > 0.3, 1] = np.nan
    vae = VAETransformer(1, init="factor_analysis", max_iter=0, random_state=0).fit(X)
    _, mean, _ = linear_model(vae)
    assert np.nanmean(X[:, 1]) < -0.4
    assert mean[1] == pytest.approx(0, abs=0.05)
    assert vae.impute(X)[:, 1].mean() == pytest.approx(0, abs=0.05)


def test_columns_without_a_cell_and_nothing_else_missing(wine):
    X = wine.copy()
    X[:, 3] = np.nan
    vae = VAETransformer(3, max_iter=5, random_state=0).fit(X)
    rest = VAETransformer(3, max_iter=0, random_state=0).fit(np.delete(X, 3, axis=1))
    start = VAETransformer(3, max_iter=0, random_state=0).fit(X)
    assert start.score(X) == pytest.approx(rest.score(np.delete(X, 3, axis=1)), abs=1e-9)
    assert np.isfinite(vae.score(X))
    assert np.isnan(vae.impute(X)[:, 3]).all()


def test_linear_gaussian_precisions_add_up():
    model = LinearGaussian(np.random.default_rng(0).normal(size=(5, 2)), np.full(5, 0.5))
    _, C = model.posterior()
    np.testing.assert_allclose(np.linalg.inv(np.eye(2) + model.precisions().sum(0)), C)


def floored(noise):
    return np.maximum(noise, 1e-3)


def test_what_other_columns_leave_is_the_inverse_of_the_precision():
    rng = np.random.default_rng(0)
    model = LinearGaussian(rng.normal(size=(6, 2)), rng.uniform(0.01, 1, 6))
    covariance = model.loadings @ model.loadings.T + np.diag(model.noise)
    np.testing.assert_allclose(model.unexplained(), 1 / np.linalg.inv(covariance).diagonal())


@pytest.mark.parametrize("k", [6, 7])
def test_nearly_as_many_factors_as_columns_leave_every_column_its_noise(k):
    """Two columns that are nearly one would make the noise of all columns that of their difference."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 8)) + rng.normal(size=(500, 8))
    X[:, 7] = X[:, 6] + 0.15 * rng.normal(size=500)
    X = (X - X.mean(0)) / X.std(0)
    moments = SecondMoments(X, np.ones(500))
    assert probabilistic_pca(moments, 7, floored).noise.max() < 0.01
    model = factor_analysis(moments, k, floored)
    covariance = np.cov(X.T, bias=True)
    left = 1 / np.linalg.inv(covariance).diagonal()
    assert (model.noise[:6] > 0.3 * left[:6]).all()
    saturated = -0.5 * (8 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + 8)
    assert moments.log_likelihood(model) == pytest.approx(saturated, abs=0.05)
    wide = SecondMoments(X[:5], np.ones(5))  # fewer rows than columns: S is not formed
    assert np.isfinite(factor_analysis(wide, 3, floored).noise).all()


def test_no_factor_takes_a_column_for_itself_where_cells_are_missing():
    """A column that no other explains, a factor to spare, few rows: maximum likelihood has its noise at the floor."""
    X = with_missing(scale(load_diabetes().data), 0.3)
    rows, n = ObservedCells(X, np.ones(442)), (~np.isnan(X)).sum(0)
    begin = factor_analysis(SecondMoments(np.nan_to_num(X), np.ones(442)), 5, floored)
    likely, unbiased = (climb(begin, rows, floored, 1000, 1e-5, n_rows) for n_rows in (None, n))
    assert likely.noise.min() == 1e-3
    assert unbiased.noise.min() > 2e-3
    assert rows.log_likelihood(unbiased) > rows.log_likelihood(likely) - 0.1


def test_noise_for_predictions_is_unbiased_and_in_units_of_its_column():
    """Pure noise in 40 rows: the codes of 3 factors and the mean take what n / (n - 4) gives back."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(20):
        X = rng.normal(size=(40, 6))
        W = np.linalg.lstsq(np.c_[np.ones(40), X[:, 3:]], X[:, :3], rcond=None)[0]
        left = np.square(X[:, :3] - np.c_[np.ones(40), X[:, 3:]] @ W).mean(0)
        model = LinearGaussian(np.zeros((3, 3)), np.ones(3))
        shares.append(_unbiased(lambda noise: noise, model, np.full(3, 40.0), left) - 1 / 40)
    assert np.mean(shares) == pytest.approx(1, abs=0.07)
    X, unit = with_missing(standardized("wine"), 0.3)[:, :6], np.r_[1e3, np.ones(5)]
    plain, scaled = (
        climb(
            LinearGaussian(np.eye(6)[:, :2] * u[:, None], u**2), ObservedCells(X * u, np.ones(178)), abs, 50, n_rows=n
        )
        for u, n in ((np.ones(6), np.full(6, 120.0)), (unit, np.full(6, 120.0)))
    )
    np.testing.assert_allclose(scaled.noise, plain.noise * unit**2, rtol=1e-6)
