"""Importance weights: each row has draws of its own, which its standardised cells decide and nothing else does."""

import numpy as np
import pandas as pd
import pytest
from linear_oracle import with_missing
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from skvae import VAETransformer, metrics

TABLES = {
    "wine": load_wine().data,
    "cancer": with_missing(load_breast_cancer().data[:200, :10], 0.2),
    "diabetes": load_diabetes().data[:200],
}


@pytest.fixture(scope="module")
def trained():
    """A model whose weights are uneven, and its table, whose numbers float32 holds."""
    X = load_wine().data.astype(np.float32).astype(np.float64)
    return VAETransformer(3, max_iter=10, random_state=0).fit(X), X


def rise_in_standard_errors(vae, X, n_draws):
    bounds = [vae.score_samples(X, n_importance_samples=S) for S in n_draws]
    gains = np.diff(bounds, axis=0)
    return gains.mean(1) / (gains.std(1, ddof=1) / np.sqrt(len(X)))


@pytest.mark.parametrize("posterior", ["diag", "laplace", "elliptical", "dirichlet", "categorical", "flow"])
@pytest.mark.parametrize("table", TABLES)
def test_mean_bound_rises_with_the_number_of_draws(table, posterior):
    """Burda et al. (2016), theorem 1: the error of the draws averages out over the rows."""
    X = TABLES[table]
    n_draws = (1, 10, 50, 500, 5000) if posterior == "diag" else (1, 10, 50, 200)
    vae = VAETransformer(2, posterior=posterior, max_iter=8, random_state=0).fit(X)
    assert rise_in_standard_errors(vae, X, n_draws).min() > -2


@pytest.mark.parametrize("S", [1, 2, 7, 100])
def test_bounds_of_a_linear_model_are_exact_at_any_number_of_draws(wine, S):
    X = with_missing(wine, 0.2)
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    np.testing.assert_allclose(vae.score_samples(X, n_importance_samples=S), vae.score_samples(X), atol=1e-5)


METHODS = {
    "score_samples": lambda vae, X: vae.score_samples(X, n_importance_samples=7),
    "effective_sample_size": lambda vae, X: metrics.effective_sample_size(vae, X, 7),
    "impute": lambda vae, X: vae.impute(X, n_importance_samples=20),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:The importance weights:UserWarning")
def test_draws_of_a_row_do_not_depend_on_other_rows_or_the_container(trained, method, monkeypatch):
    vae, X = trained
    call = METHODS[method]
    cells = with_missing(X, 0.2) if method == "impute" else X.copy()
    cells[:50, 0] = 0.0
    expected = call(vae, cells)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if method == "impute" else {"rtol": 1e-10}  # impute is float32 inside
    signed = cells.copy()
    signed[:50, 0] = -0.0
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(call(vae, cells[order])[np.argsort(order)], expected, **tolerance)
    np.testing.assert_allclose(call(vae, cells[[17]])[0], expected[17], **tolerance)
    np.testing.assert_allclose(call(vae, signed), expected, **tolerance)
    for container in (pd.DataFrame,) if method == "impute" else (pd.DataFrame, sparse.csr_array):
        np.testing.assert_allclose(np.asarray(call(vae, container(cells))), expected, **tolerance)
    np.testing.assert_allclose(call(vae, cells.astype(np.float32)), expected, rtol=2e-3)
    monkeypatch.setattr("skvae._inference.evaluation._CELLS_PER_CHUNK", 1000)
    monkeypatch.setattr("skvae._inference.imputed_tables._CELLS", 1000)
    np.testing.assert_allclose(call(vae, cells), expected, **tolerance)


def test_draws_are_the_same_in_other_units(trained):
    _, X = trained
    scale = np.array([1e-3, 7.0, 1e4, *np.ones(10)])
    scores = [VAETransformer(2, max_iter=0, random_state=0).fit(Y).score_samples(Y, 5) for Y in (X, X * scale + 3)]
    np.testing.assert_allclose(scores[1] + np.log(scale).sum(), scores[0], atol=1e-3)


@pytest.mark.filterwarnings("ignore:The importance weights:UserWarning")
def test_errors_of_imputed_means_average_out_over_rows(trained):
    """As an error that all rows share would not."""
    vae, X = trained
    incomplete = X.copy()
    incomplete[:, 6] = np.nan
    few = [vae.impute(incomplete, n_importance_samples=n)[:, 6] for n in (8, 4000)]
    error = few[0] - few[1]
    standard_error = error.std() / np.sqrt(len(X))
    assert abs(error.mean()) < 3 * standard_error
