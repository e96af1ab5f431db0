"""What is offered, what is hidden and why, in searches, too."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import CategoricalPosterior, VAETransformer, metrics

IRIS = load_iris(as_frame=True).data


def test_hidden_methods_say_why():
    ae, gan = VAETransformer(objective="ae"), VAETransformer(objective="gan")
    assert hasattr(ae, "transform")
    assert not hasattr(ae, "score")
    assert not hasattr(ae, "score_samples")
    for method in (
        "transform",
        "fit_transform",
        "inverse_transform",
        "encode",
        "reconstruct",
        "score",
        "get_feature_names_out",
    ):
        assert not hasattr(gan, method), method
    assert hasattr(gan, "sample")
    assert hasattr(gan, "decode")
    with pytest.raises(AttributeError) as hidden:
        ae.score  # noqa: B018
    assert "scoring=skvae.metrics.neg_reconstruction_error" in str(hidden.value.__cause__)
    with pytest.raises(AttributeError) as hidden:
        gan.transform  # noqa: B018
    assert "without an encoder" in str(hidden.value.__cause__)
    assert hasattr(VAETransformer(objective="aae", posterior="diag"), "score")  # it has a density
    assert not hasattr(VAETransformer(), "prior_responsibilities")
    assert hasattr(VAETransformer(posterior="nonsense"), "score")  # fit will complain, not hasattr


def test_set_output_and_hidden_methods_live_together():
    gan = VAETransformer(2, objective="gan", max_iter=1, random_state=0).fit(IRIS)
    assert not hasattr(gan, "transform")
    assert list(gan.sample(2, random_state=0).columns) == list(IRIS.columns)
    codes = VAETransformer(2, posterior=CategoricalPosterior(n_classes=2), max_iter=1, random_state=0)
    frame = codes.set_output(transform="pandas").fit_transform(IRIS)
    assert list(frame.columns) == [f"vaetransformer{k}_{c}" for k in range(2) for c in range(2)]
    np.testing.assert_allclose(frame.iloc[:, :2].sum(axis=1), 1, rtol=1e-6)


def test_what_a_fitted_model_offers_goes_by_its_fit():
    vae = VAETransformer(2, objective="ae", max_iter=1, random_state=0).fit(IRIS).set_params(objective="elbo")
    assert not hasattr(vae, "score")  # until the next fit
    gan = VAETransformer(2, objective="gan", max_iter=1, random_state=0).fit(IRIS).set_params(objective="elbo")
    assert not hasattr(gan, "transform")
    assert gan.fit_transform(IRIS).shape == (150, 2)


def test_grid_search_over_what_has_no_score():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), VAETransformer(objective="ae", max_iter=5, random_state=0)),
        {"vaetransformer__n_components": [1, 3]},
        scoring=metrics.neg_reconstruction_error,
        cv=3,
    ).fit(IRIS)
    assert search.best_params_ == {"vaetransformer__n_components": 3}
    with pytest.raises(TypeError, match="scor"):
        GridSearchCV(VAETransformer(objective="ae"), {"n_components": [1]}).fit(IRIS)


def test_grid_search_over_components():
    grid = {"objective": ["elbo", "iwae"], "posterior": ["diag", "full"], "prior": ["auto", "mixture"]}
    search = GridSearchCV(VAETransformer(2, max_iter=1, random_state=0), grid, cv=2, error_score="raise").fit(IRIS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    nested = GridSearchCV(
        VAETransformer(1, posterior="categorical", max_iter=1, random_state=0), {"posterior__n_classes": [2, 3]}, cv=2
    ).fit(IRIS)
    assert nested.best_estimator_.module_.width in (2, 3)
