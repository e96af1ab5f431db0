"""Scores of rows and cells with missing values, against closed forms."""

import numpy as np
import pytest
from linear_oracle import linear_model, with_missing
from sklearn.datasets import load_iris

from skvae import Gaussian, VAETransformer, metrics


def test_score_columns_is_the_density_under_the_rows_posterior(wine):
    """Linear-Gaussian model: x_d | row ~ N(w_d m + mean_d, w_d C w_d' + psi_d)."""
    X = with_missing(wine, 0.2)
    vae = VAETransformer(3, posterior="full", max_iter=0, n_score_samples=4000, random_state=0).fit(X)
    W, mean, noise = linear_model(vae)
    expected = np.full(X.shape, np.nan)
    for i, x in enumerate(X):
        o = ~np.isnan(x)
        C = np.linalg.inv(np.eye(3) + (W[o] / noise[o, None]).T @ W[o])
        centre = mean + W @ C @ (W[o].T @ ((x - mean)[o] / noise[o]))
        variance = np.einsum("dk,kl,dl->d", W, C, W) + noise
        log_p = -0.5 * (np.log(2 * np.pi * variance) + (x - centre) ** 2 / variance)
        expected[i, o] = log_p[o]
    scores = vae.score_columns(X)
    assert scores.shape == X.shape
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(X))
    np.testing.assert_allclose(scores, expected, atol=0.1)


def test_a_broken_cell_is_found():
    iris = load_iris(as_frame=True).data
    # Factor analysis has hardly any noise for petal lengths: codes would follow the broken cell, and others look wrong.
    # So they do where a variance per row gives petals little noise.
    plain = {"init": "pca", "likelihood": Gaussian(background=0)}
    vae = VAETransformer(2, max_iter=10, random_state=0, **plain).fit(iris)
    broken = iris.copy()
    broken.iloc[::10, 2] = 6.9 - broken.iloc[::10, 2]  # a petal as long as another species has
    scores = vae.score_columns(broken)
    ranks = (scores - vae.score_columns(iris).mean(0))[::10].argmin(1)
    assert (ranks == 2).mean() > 0.6
    assert isinstance(scores, np.ndarray)
    assert vae.score_samples(broken)[::10].mean() < vae.score_samples(iris)[::10].mean() - 1


def test_effective_sample_size_of_incomplete_rows_is_full_where_q_is_exact(wine):
    X = with_missing(wine, 0.3)
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    np.testing.assert_allclose(metrics.effective_sample_size(vae, X, 50), 50, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The importance weights:UserWarning")  # duplicates leave hardly any noise
def test_log_likelihood_of_a_linear_gaussian_without_noise_columns_is_finite():
    """Columns that nothing is known of, a constant one and a duplicate, all with incomplete."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    X[:, 1], X[:, 2] = 3.0, X[:, 0]
    X = np.c_[with_missing(X, 0.3), np.full(80, np.nan)]
    for init in ("pca", "factor_analysis"):
        vae = VAETransformer(2, init=init, max_iter=5, random_state=0).fit(X)
        assert np.isfinite(vae.score(X))
        imputed = vae.impute(X)
        assert np.isfinite(imputed[:, :4]).all()
        assert np.isnan(imputed[:, 4]).all()  # nothing is known of it, as of an empty column of a frame
