"""The linear read-out against PCA, factor analysis and finite changes of a code."""

import numpy as np
import pandas as pd
import pytest
import torch
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


@pytest.mark.parametrize("objective", ["elbo", "ae"])
def test_a_component_moves_the_decoded_row_by_its_slopes(objective):
    """At the mean of the codes: slopes at the origin are off by 0.02 standard deviations."""
    few_steps = {"max_iter": 10, "learning_rate": 0.03, "early_stopping": False}
    vae = VAETransformer(3, objective=objective, **few_steps, random_state=0).fit(X)
    center = vae.transform(X).mean(0)
    for k, step in enumerate(1e-3 * np.eye(3)):
        change = vae.inverse_transform([center + step]) - vae.inverse_transform([center - step])
        np.testing.assert_allclose(vae.components_[k] / X.std(0), change[0] / 2e-3 / X.std(0), atol=1e-5)


@pytest.mark.parametrize("posterior", ["categorical", "dirichlet", "von_mises_fisher"])
def test_codes_off_the_line_have_no_slopes(posterior):
    vae = VAETransformer(3, posterior=posterior, max_iter=0, random_state=0).fit(X)
    with pytest.raises(AttributeError, match=r"There is no components_: .*posterior="):
        _ = vae.components_


def test_a_generator_has_slopes_at_the_origin():
    slopes = VAETransformer(2, objective="gan", max_iter=1, random_state=0).fit(X).components_
    assert slopes.shape == (2, 13)
    assert np.isfinite(slopes).all()


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


# ---------------------------------------------------------------- torch modules


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "score_samples"])
def test_gradients_are_those_of_finite_differences(method):
    vae = VAETransformer(2, hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(Z)
    rows = np.zeros((1, 2)) if method == "inverse_transform" else Z[:1]
    x = torch.tensor(rows, requires_grad=True)
    value = vae.to_torch(method)(x)
    np.testing.assert_allclose(value.detach(), getattr(vae, method)(rows), rtol=1e-6, atol=1e-8)
    value.sum().backward()
    for d, step in enumerate(1e-4 * np.eye(rows.shape[1])):
        change = np.sum(getattr(vae, method)(rows + step) - getattr(vae, method)(rows - step)) / 2e-4
        np.testing.assert_allclose(x.grad[0, d], change, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["transform", "score_samples"])
@pytest.mark.parametrize("scaling", [None, "standard", "global", "power", "quantile"])
def test_gradients_of_rows_with_missing_cells(scaling, method):
    """Those of finite differences, also at the mean, where a power has two branches, and 0 for a missing cell."""
    skewed = np.exp(Z[:, :4])
    vae = VAETransformer(2, scaling=scaling, hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(skewed)
    row = np.array([[0.7, np.nan, skewed[:, 2].mean() if scaling == "power" else 1.1, 2.3]])
    module, x = vae.to_torch(method), torch.tensor(row, requires_grad=True)
    module(x).sum().backward()
    assert x.grad[0, 1] == 0
    for d in (0, 2, 3):
        step = torch.from_numpy(1e-6 * np.eye(4)[[d]])
        change = (module(x + step) - module(x - step)).sum() / 2e-6
        assert x.grad[0, d].item() == pytest.approx(change.item(), rel=1e-4, abs=1e-6)


def test_the_estimator_never_sees_what_becomes_of_the_copy():
    vae = VAETransformer(2, **LINEAR).fit(Z)
    codes, module = vae.transform(Z), vae.to_torch()
    assert not any(parameter.requires_grad for parameter in module.parameters())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    np.testing.assert_array_equal(vae.transform(Z), codes)


def test_weights_return_when_they_are_loaded():
    """In the precision of the estimator, and every method uses them."""
    vae = VAETransformer(2, max_iter=2, random_state=0).fit(X)
    before = vae.transform(X)
    tuned = vae.to_torch("transform").requires_grad_(True)
    optimizer = torch.optim.SGD(tuned.module.encoder.parameters(), lr=1e-2)
    tuned(torch.from_numpy(X)).square().mean().backward()
    optimizer.step()
    np.testing.assert_array_equal(vae.transform(X), before)
    vae.module_.load_state_dict(tuned.module.state_dict())
    np.testing.assert_allclose(vae.transform(X), tuned(torch.from_numpy(X)).detach().numpy(), atol=1e-5)
    assert np.abs(vae.transform(X) - before).max() > 1e-3


def test_what_has_no_module_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'score_samples'"):
        VAETransformer(2, objective="ae", **LINEAR).fit(Z).to_torch("score_samples")
    with pytest.raises(ValueError, match=r"'method' parameter of VAETransformer\.to_torch must be a str among"):
        VAETransformer(2, **LINEAR).fit(Z).to_torch("sample")
    with pytest.raises(ValueError, match="'dtype' parameter"):
        VAETransformer(2, **LINEAR).fit(Z).to_torch(dtype="int64")
