"""The linear read-out against PCA, factor analysis and finite changes of a code."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA, FactorAnalysis

from skvae import Gaussian, NormalMixture, VAETransformer

X = load_wine().data
Z = (X - X.mean(0)) / X.std(0)
n = len(X)
PPCA = {"likelihood": Gaussian(noise="shared"), "scaling": None, "init": "pca"}
LINEAR = {"max_iter": 0, "random_state": 0}


def test_the_covariance_of_probabilistic_pca_is_that_of_pca():
    vae = VAETransformer(3, **PPCA, **LINEAR).fit(Z)
    np.testing.assert_allclose(vae.get_covariance() * n / (n - 1), PCA(3).fit(Z).get_covariance(), rtol=1e-3)


def test_the_loadings_of_probabilistic_pca_are_directions_times_what_they_explain():
    """W = U (L - sigma^2)^(1/2) (Tipping & Bishop 1999, eq. 7), up to signs."""
    vae = VAETransformer(3, **PPCA, **LINEAR).fit(Z)
    pca = PCA(3).fit(Z)
    length = np.sqrt((pca.explained_variance_ - pca.noise_variance_) * (n - 1) / n)
    expected = length[:, None] * pca.components_
    np.testing.assert_allclose(abs(vae.components_), abs(expected), rtol=1e-3, atol=1e-3 * length[-1])


def test_the_covariance_of_factor_analysis_is_that_of_factor_analysis():
    own = VAETransformer(2, init="factor_analysis", **LINEAR).fit(X)
    reference = FactorAnalysis(2, tol=1e-8, max_iter=10_000, svd_method="lapack").fit(Z).get_covariance()
    np.testing.assert_allclose(own.get_covariance(), reference * np.outer(X.std(0), X.std(0)), rtol=0.02, atol=1e-3)


def test_a_component_moves_the_decoded_row_by_its_slopes():
    vae = VAETransformer(3, max_iter=3, random_state=0).fit(X)
    for k, step in enumerate(1e-3 * np.eye(3)):
        change = vae.inverse_transform([step]) - vae.inverse_transform([np.zeros(3)])
        np.testing.assert_allclose(vae.components_[k], change[0] / 1e-3, rtol=0.05, atol=0.02 * X.std(0).min())


def test_categories_have_no_slope_and_conditions_none_of_their_own():
    frame = pd.DataFrame(X[:, :4]).add_prefix("c")
    frame["kind"] = np.where(X[:, 0] > 13, "a", "b")
    slopes = VAETransformer(2, conditions=["c3"], **LINEAR).fit(frame).components_
    assert slopes.shape == (2, 5)
    assert np.isnan(slopes[:, 4]).all()
    assert np.abs(slopes[:, :3]).min() > 0
    assert not slopes[:, 3].any()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"max_iter": 1, "early_stopping": False}, "hidden layers"),
        ({"likelihood": "laplace", "hidden_layer_sizes": ()}, "columns under Laplace"),
        ({"scaling": "power", "hidden_layer_sizes": ()}, "columns under a scaling that is not affine: .'x0'"),
        ({"conditions": [0], "hidden_layer_sizes": ()}, "conditions"),
        ({"prior": NormalMixture(2), "hidden_layer_sizes": ()}, "the prior NormalMixture"),
    ],
    ids=str,
)
def test_the_covariance_of_another_model_is_refused_with_the_reason(other, named):
    vae = VAETransformer(2, **{**LINEAR, **other}).fit(X[:, :5])
    with pytest.raises(ValueError, match=f"linear Gaussian models, and this one has {named}"):
        vae.get_covariance()


def test_nothing_is_read_out_before_fit():
    assert not hasattr(VAETransformer(), "components_")
    assert not hasattr(VAETransformer(objective="gan"), "get_covariance")
