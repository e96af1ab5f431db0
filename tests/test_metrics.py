"""Numbers about a fitted model: what they need, what they look through, and that each is of one model."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, scale

import skvae
from skvae import Gaussian, Ordinal, VAETransformer, metrics

IRIS = load_iris(as_frame=True).data
OF_MODELS = [name for name in metrics.__all__ if name not in ("SynthesisReport", "synthesis_report")]  # those of tables


def test_everything_in_metrics_is_public():
    own = {name: value for name, value in vars(metrics).items() if getattr(value, "__module__", "") == "skvae.metrics"}
    assert set(metrics.__all__) == {"SynthesisReport", *(name for name in own if not name.startswith("_"))}
    assert skvae.metrics is metrics


def test_reconstruction_error_is_relative_to_the_scales_of_the_columns():
    X = IRIS.to_numpy()
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(X)
    expected = np.mean(np.square((X - vae.reconstruct(X)) / X.std(0)))
    assert metrics.reconstruction_error(vae, X) == pytest.approx(expected, rel=0.05)  # scales of the training rows
    incomplete = np.where(X > 5, np.nan, X)
    assert np.isfinite(metrics.reconstruction_error(vae, incomplete))


def test_wrong_categories_and_grades_count_one():
    rng = np.random.default_rng(0)
    table = np.c_[rng.integers(0, 3, 200), rng.integers(0, 4, 200)].astype(float)
    likelihood = [("categorical", [0]), (Ordinal(), [1])]
    vae = VAETransformer(1, likelihood=likelihood, max_iter=0, random_state=0).fit(table)
    expected = np.mean(vae.reconstruct(table) != table)
    assert metrics.reconstruction_error(vae, table) == pytest.approx(expected)


def test_metrics_explain_what_they_lack():
    ae, gan = (VAETransformer(2, objective=o, max_iter=1, random_state=0).fit(IRIS) for o in ("ae", "gan"))
    for name in OF_MODELS:
        with pytest.raises(ValueError, match=f"^({name}|reconstruction_error): .* without an encoder"):
            getattr(metrics, name)(gan, IRIS)
    of_densities = ("mutual_information", "aggregate_posterior_kl", "effective_sample_size", "marginal_log_likelihood")
    for name in ("live_components", *of_densities):
        with pytest.raises(ValueError, match=f"^{name}: .* has no density"):
            getattr(metrics, name)(ae, IRIS)


@pytest.mark.parametrize("name", OF_MODELS)
def test_metrics_need_a_fitted_vae(name):
    metric = getattr(metrics, name)
    for estimator in (VAETransformer(2), make_pipeline(StandardScaler(), VAETransformer(2, objective="gan"))):
        with pytest.raises(NotFittedError):
            metric(estimator, IRIS)
    for estimator in (PCA(2).fit(IRIS), make_pipeline(StandardScaler(), PCA(2)).fit(IRIS)):
        with pytest.raises(ValueError, match=r"takes a VAETransformer, or a Pipeline that ends in one.* Got PCA"):
            metric(estimator, IRIS)


def test_metrics_transform_the_table_by_earlier_steps():
    pipe = make_pipeline(StandardScaler(), VAETransformer(2, max_iter=1, random_state=0)).fit(IRIS)
    scaled = pipe[0].transform(IRIS)
    for name in OF_MODELS:
        metric = getattr(metrics, name)
        np.testing.assert_array_equal(metric(pipe, IRIS), metric(pipe[-1], scaled))


@pytest.mark.parametrize("name", OF_MODELS)
def test_a_fit_in_between_does_not_mix_two_models(name):
    """An earlier step that fits the last one anew stands for a `fit` in another thread."""
    metric = getattr(metrics, name)
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(IRIS)
    expected = metric(vae, IRIS)
    again = FunctionTransformer(lambda X: vae.set_params(n_components=3).fit(X) and X)
    np.testing.assert_array_equal(metric(make_pipeline(again, vae), IRIS), expected)
    assert vae.module_.n_components == 3


def test_a_table_without_an_observed_cell_has_no_reconstruction_error():
    """Found by tests/fuzz: it was NaN, also where every cell holds a category that fit has not seen."""
    vae = VAETransformer(2, max_iter=0).fit(pd.DataFrame({"a": ["x", "y"] * 5, "b": ["u", "v", "v", "u", "u"] * 2}))
    with pytest.raises(ValueError, match="no observed cell"):
        metrics.reconstruction_error(vae, pd.DataFrame({"a": ["new"], "b": ["other"]}))


# ---------------------------------------------------------------- shares of variance


@pytest.mark.parametrize("scaling", ["standard", "global"])
def test_shares_of_variance_of_the_linear_model_are_those_of_pca(scaling):
    X = load_wine().data[:, :12]
    vae = VAETransformer(4, likelihood=Gaussian(noise="shared"), scaling=scaling, init="pca", max_iter=0).fit(X)
    exact = PCA(4).fit(scale(X) if scaling == "standard" else X).explained_variance_ratio_
    np.testing.assert_allclose(metrics.explained_variance_ratio(vae, X), exact, rtol=1e-4, atol=1e-7)


def test_shares_of_variance_are_a_regression_on_the_parts_of_the_reconstruction():
    """By numpy's least squares, of a trained model with missing cells and a category, which does not count."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 5, 300)
    frame = pd.DataFrame({"a": np.cos(angle), "b": np.sin(angle), "c": rng.normal(size=300)})
    frame["kind"] = np.where(angle > 2, "x", "y")
    frame.loc[::7, "a"] = np.nan
    vae = VAETransformer(3, max_iter=40, random_state=0).fit(frame)
    Z, center = vae.transform(frame), vae.fitted_.center
    numbers, scales = frame[list("abc")].to_numpy(), np.nanstd(frame[list("abc")].to_numpy(), 0)
    paths = [np.where(np.arange(3) < k, Z, center) for k in range(4)]
    means = np.stack([vae.inverse_transform(path)[list("abc")].to_numpy() for path in paths])
    seen = ~np.isnan(numbers)
    parts = [np.where(seen, step, np.nan) / scales for step in [*np.diff(means, axis=0), numbers]]
    *parts, cells = [np.nan_to_num(part - np.nanmean(part, 0)).ravel() for part in parts]
    left = [1.0]
    for k in (1, 2, 3):
        A = np.stack(parts[:k], 1)
        left.append(np.square(cells - A @ np.linalg.lstsq(A, cells)[0]).sum() / np.square(cells).sum())
    np.testing.assert_allclose(metrics.explained_variance_ratio(vae, frame), -np.diff(left), rtol=1e-5, atol=1e-8)
    assert left[-1] < 0.5


def test_shares_of_variance_without_numbers_or_lines():
    frame = pd.DataFrame({"kind": ["a", "b"] * 20, "other": ["c", "d", "c", "d"] * 10})
    with pytest.raises(ValueError, match="no column of numbers"):
        metrics.explained_variance_ratio(VAETransformer(1, max_iter=0).fit(frame), frame)
    X = load_wine().data
    with pytest.raises(ValueError, match="one component at a time, but"):
        metrics.explained_variance_ratio(VAETransformer(2, posterior="categorical", max_iter=1).fit(X), X)
