"""Linear-Gaussian models of tables with missing values: EM on observed cells, the exact initialisation."""

import numpy as np
import pytest
from linear_oracle import linear_model, oracle, with_missing
from standardize import standardized

from skvae import VAETransformer
from skvae._starts.linear_gaussian import LinearGaussian, ObservedCells, SecondMoments, climb, factor_analysis


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
    assert start.score(X) == pytest.approx(rest.score(np.delete(X, 3, axis=1)), abs=1e-3)
    assert np.isfinite(vae.score(X))
    assert (vae.impute(X)[:, 3] == 0).all()


def test_linear_gaussian_precisions_add_up():
    model = LinearGaussian(np.random.default_rng(0).normal(size=(5, 2)), np.full(5, 0.5))
    _, C = model.posterior()
    np.testing.assert_allclose(np.linalg.inv(np.eye(2) + model.precisions().sum(0)), C)
