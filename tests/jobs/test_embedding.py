"""`VAEEmbedding`: PCA's metric, whatever the model."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import Gaussian, VAEEmbedding, VAETransformer

X, y = load_wine(return_X_y=True)
LINEAR = VAETransformer(3, init="pca", likelihood=Gaussian(noise="shared"), max_iter=0)


@parametrize_with_checks([VAEEmbedding(VAETransformer(2, max_iter=0))])
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("scaling", ["standard", "global"])
def test_distances_of_the_linear_model_are_those_of_pca(scaling):
    table = StandardScaler().fit_transform(X) if scaling == "standard" else X / np.sqrt(X.var(0).mean())
    embedding = VAEEmbedding(clone(LINEAR).set_params(scaling=scaling)).fit(X)
    exact = PCA(3).fit_transform(table)
    np.testing.assert_allclose(pdist(embedding.transform(X)), pdist(exact), rtol=1e-4)
    own = embedding.estimator_.transform(X)
    assert np.abs(pdist(own) / pdist(exact) - 1).max() > 0.3


def test_rows_come_back():
    embedding = VAEEmbedding(LINEAR).fit(X)
    rows = embedding.inverse_transform(embedding.transform(X))
    np.testing.assert_allclose(rows, embedding.estimator_.reconstruct(X), rtol=1e-6)


def test_weights_are_copies():
    weight = np.arange(len(X)) % 3
    weighted, copied = VAEEmbedding(LINEAR).fit(X, sample_weight=weight), VAEEmbedding(LINEAR).fit(X.repeat(weight, 0))
    np.testing.assert_allclose(weighted.scale_, copied.scale_, rtol=1e-6)


def test_a_component_without_effect_is_small():
    """Noise in the second component, of the size of chance: sqrt(D / n) of a standard deviation."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(400, 1)) @ np.ones((1, 6)) + 0.1 * rng.normal(size=(400, 6))
    Z = VAEEmbedding(VAETransformer(2, max_iter=0)).fit(one).transform(one)
    assert Z[:, 0].std() == pytest.approx(np.sqrt(6), rel=0.05)
    assert Z[:, 1].std() < 0.2


def test_frames_with_categories_and_missing_cells():
    frame = pd.DataFrame(X[:, :3], columns=list("abc")).assign(kind=np.array(["x", "y", "z"])[y])
    frame.loc[::5, "a"] = np.nan
    embedding = VAEEmbedding(VAETransformer(2, max_iter=0)).set_output(transform="pandas").fit(frame)
    Z = embedding.transform(frame)
    assert list(Z) == ["vaeembedding0", "vaeembedding1"]
    assert embedding.feature_names_in_.tolist() == list(frame)
    assert np.isfinite(Z.to_numpy()).all()
    back = embedding.inverse_transform(Z.iloc[3:5])
    assert back.index.tolist() == [3, 4]
    assert set(back["kind"]) <= {"x", "y", "z"}
    twin = pickle.loads(pickle.dumps(embedding))
    pd.testing.assert_frame_equal(twin.transform(frame), Z)


def test_the_scale_of_a_category_is_that_of_its_indicators():
    """With total variance 1, as a column of numbers has."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], 300)})
    frame["number"] = (frame["kind"] == "a") + 0.01 * rng.normal(size=300)
    embedding = VAEEmbedding(VAETransformer(1, max_iter=0)).fit(frame)
    z = embedding.estimator_.transform(frame)[:, 0]
    indicators = pd.get_dummies(frame["kind"]).to_numpy(float)
    indicators = indicators - indicators.mean(0)
    indicators /= np.sqrt((indicators**2).mean(0).sum())
    number = StandardScaler().fit_transform(frame[["number"]])
    slope = (z - z.mean()) @ np.column_stack([indicators, number]) / ((z - z.mean()) ** 2).sum()
    assert embedding.scale_[0] == pytest.approx(np.linalg.norm(slope), rel=1e-5)


def test_codes_that_lie_on_no_line_are_refused():
    with pytest.raises(ValueError, match=r"one component at a time, but .*has classes"):
        VAEEmbedding(VAETransformer(2, posterior="categorical", max_iter=1)).fit(X)


def test_nested_parameters_and_a_refit():
    embedding = VAEEmbedding(random_state=0).set_params(estimator__n_components=2, estimator__max_iter=0).fit(X)
    assert embedding.transform(X).shape == (len(X), 2)
    iris = load_iris().data
    assert embedding.fit(iris).transform(iris).shape == (150, 2)
