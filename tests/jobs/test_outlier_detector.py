"""`VAEOutlierDetector`: scikit-learn's checks, thresholds, cells, tables as they come."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import chi2
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAEOutlierDetector, VAETransformer
from skvae.jobs.outlier_detector import _lower_fence, _quantiles

LINEAR = VAETransformer(2, init="pca", max_iter=0)
EXTRA = ["check_dataframe_column_names_consistency", "check_param_validation", "check_outlier_contamination"]


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)[0]


@pytest.fixture(scope="module")
def mixed():
    """A table with a category, integers and missing cells, of which one column follows another."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    frame = pd.DataFrame(
        {
            "size": size.round(2),
            "weight": (2 * size + 0.3 * rng.normal(size=200)).round(2),
            "legs": rng.choice([2, 4], 200),
            "kind": rng.choice(["cat", "dog"], 200),
        },
        index=[f"row {i}" for i in range(200)],
    )
    return frame.mask((rng.random(frame.shape) < 0.05) & (frame.columns != "legs"))


@pytest.fixture(scope="module")
def fitted(iris):
    return VAEOutlierDetector(LINEAR).fit(iris)


@parametrize_with_checks([VAEOutlierDetector(LINEAR, n_importance_samples=8)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_extra_checks(name):
    getattr(estimator_checks, name)("VAEOutlierDetector", VAEOutlierDetector(LINEAR))


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize("contamination", ["auto", 0.07])
def test_weights_are_copies(mixed, contamination):
    """Rows, typical cells, new categories; with 0 as the weight of the only cows."""
    weight = np.random.default_rng(0).integers(0, 4, 200)
    rows = mixed.assign(kind=mixed["kind"].where(weight > 0, "cow"))
    copies = rows.loc[rows.index.repeat(weight)]
    detector = VAEOutlierDetector(LINEAR, contamination=contamination, n_importance_samples=8, random_state=0)
    labels = detector.fit_predict(rows, sample_weight=weight)
    copied = clone(detector).fit(copies)
    assert detector.n_samples_fit_ == copied.n_samples_fit_ == weight.sum()
    np.testing.assert_allclose(detector.offset_, copied.offset_, rtol=1e-9)
    np.testing.assert_allclose(detector.typical_cells_, copied.typical_cells_, rtol=1e-9)
    np.testing.assert_array_equal(labels, copied.predict(rows))
    unweighted = clone(detector).fit(rows)
    assert abs(unweighted.offset_ - copied.offset_) > 1e-3


def test_quantiles_of_weighted_numbers():
    rng = np.random.default_rng(0)
    x, weight, levels = rng.normal(size=50), rng.integers(0, 4, 50), [0, 0.01, 0.25, 0.5, 0.9, 1]
    np.testing.assert_allclose(_quantiles(x, levels, weight), np.quantile(np.repeat(x, weight), levels))
    np.testing.assert_allclose(_quantiles(x, levels, np.full(50, 1e-3)), np.quantile(x, levels))


@pytest.mark.parametrize("contamination", [0.01, 0.07, 0.5])
def test_the_share_of_outliers_is_exact(iris, contamination):
    rows = np.unique(iris, axis=0)[:100]
    detector = VAEOutlierDetector(LINEAR, contamination=contamination, random_state=0)
    labels = detector.fit_predict(rows)
    assert (labels == -1).sum() == round(100 * contamination)
    assert set(labels) == {-1, 1}
    np.testing.assert_array_equal(labels, detector.predict(rows))
    np.testing.assert_array_equal(labels == -1, detector.score_samples(rows) < detector.offset_)
    np.testing.assert_array_equal(detector.decision_function(rows), detector.score_samples(rows) - detector.offset_)


@pytest.mark.parametrize(("n_columns", "share"), [(2, 0.0229), (10, 0.0087), (30, 0.0050)])
def test_the_share_that_auto_flags_among_normal_rows(n_columns, share):
    """ln p(x) = c - chi2 / 2; the docstring's figures, on quantiles of the distribution in place of draws."""
    scores = -0.5 * chi2.ppf((np.arange(100_000) + 0.5) / 100_000, n_columns)
    assert (scores < _lower_fence(scores, np.ones(len(scores)))).mean() == pytest.approx(share, abs=1e-4)


def test_a_sixth_of_far_rows_do_not_hide_each_other(iris, fitted):
    rng = np.random.default_rng(0)
    far = np.column_stack([rng.uniform(0, 12, (30, 3)), rng.uniform(-6, 12, 30)])
    assert (fitted.predict(iris) == 1).mean() > 0.93
    assert (fitted.predict(far) == -1).mean() > 0.9
    both = VAEOutlierDetector(VAETransformer(2, max_iter=20, random_state=0)).fit(np.concatenate([iris, far]))
    assert (both.predict(iris) == 1).mean() > 0.93
    assert (both.predict(far) == -1).mean() > 0.6


def test_scores_are_the_transformers_and_do_not_depend_on_other_rows(iris):
    detector = VAEOutlierDetector(LINEAR, n_importance_samples=20, random_state=0).fit(iris)
    scores = detector.score_samples(iris)
    np.testing.assert_array_equal(scores, detector.estimator_.score_samples(iris, n_importance_samples=20))
    np.testing.assert_allclose(detector.score_samples(iris[7:9]), scores[7:9], rtol=1e-10)
    bound = VAEOutlierDetector(LINEAR, n_importance_samples=None, random_state=0).fit(iris)
    np.testing.assert_array_equal(bound.score_samples(iris), bound.estimator_.score_samples(iris))
    again = VAEOutlierDetector(LINEAR, n_importance_samples=20, random_state=0).fit(iris)
    assert again.offset_ == detector.offset_


def test_novel_rows_are_found_as_isolation_forest_finds_them(iris):
    """Fitted to two of the species, the third is novel."""
    known, novel = iris[50:], iris[:50]
    truth = np.repeat([1, 0], [len(known), len(novel)])
    rows = np.concatenate([known, novel])
    area = [
        roc_auc_score(truth, detector.fit(known).score_samples(rows))
        for detector in (VAEOutlierDetector(LINEAR, random_state=0), IsolationForest(random_state=0))
    ]
    assert area[0] > area[1] - 0.01
    assert area[0] > 0.98


# ---------------------------------------------------------------- cells


def test_explain_names_the_cell_that_contradicts_its_row(mixed):
    detector = VAEOutlierDetector(VAETransformer(2, max_iter=0), random_state=0).fit(mixed)
    odd = mixed.dropna().head(20).copy()
    odd["weight"] = -odd["weight"] + 12 * np.sign(-odd["weight"])
    surprise = detector.explain(odd)
    assert list(surprise.columns) == list(mixed.columns)
    assert surprise.index.equals(odd.index)
    assert (surprise.idxmax(axis=1) == "weight").mean() > 0.8
    assert (detector.predict(odd) == -1).all()
    everyday = detector.explain(mixed)
    np.testing.assert_array_equal(everyday.isna(), mixed.isna())
    np.testing.assert_allclose(everyday.median(), 0, atol=1e-12)


def test_a_missing_cell_counts_as_an_average_one(mixed):
    """The mean score does not move by the density of the missing column, which is that of its unit."""
    frame = mixed.assign(size=mixed["size"] * 1e6, weight=mixed["weight"] * 1e6)
    detector = VAEOutlierDetector(VAETransformer(2, max_iter=0), random_state=0).fit(frame)
    complete = frame.dropna()
    without = complete.assign(size=np.nan)
    change = detector.score_samples(without).mean() - detector.score_samples(complete).mean()
    assert abs(change) < 2
    assert (detector.estimator_.score_samples(without) - detector.estimator_.score_samples(complete)).mean() > 10


def test_a_new_category_is_surprising(mixed):
    detector = VAEOutlierDetector(VAETransformer(2, max_iter=0), random_state=0).fit(mixed)
    row = mixed.dropna().head(1)
    new = row.assign(kind="unicorn")
    surprise = detector.explain(new)["kind"].item()
    assert surprise == pytest.approx(np.log(201) + detector.typical_cells_[3])
    assert detector.score_samples(new) < detector.score_samples(row.assign(kind=None)) - 3


def test_conditions_are_given(mixed):
    frame = mixed.drop(columns="legs").assign(site=np.arange(len(mixed)) % 2 == 0)
    detector = VAEOutlierDetector(VAETransformer(1, max_iter=0, conditions=["site"]), random_state=0).fit(frame)
    assert np.isfinite(detector.score_samples(frame)).all()
    assert detector.explain(frame)["site"].isna().all()
    assert np.isnan(detector.typical_cells_).tolist() == [False, False, False, True]


# ---------------------------------------------------------------- tables, parameters


def test_polars_pandas_and_pickles_agree(mixed):
    detector = VAEOutlierDetector(LINEAR, contamination=0.1, random_state=0).fit(mixed)
    table = pl.from_pandas(mixed)
    other = clone(detector).fit(table)
    np.testing.assert_allclose(other.score_samples(table), detector.score_samples(mixed))
    assert isinstance(other.explain(table), pl.DataFrame)
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.predict(mixed), detector.predict(mixed))
    assert again.n_features_in_ == 4
    assert again.feature_names_in_.tolist() == list(mixed.columns)


def test_nested_parameters_and_a_pipeline(iris):
    detector = VAEOutlierDetector().set_params(estimator__max_iter=0, estimator__n_components=1, random_state=0)
    pipe = make_pipeline(detector).fit(iris)
    assert pipe[-1].estimator_.n_components == 1
    assert detector.get_params()["estimator__max_iter"] == 0
    assert pipe.predict(iris).shape == pipe.decision_function(iris).shape == (150,)
    more = VAEOutlierDetector(VAETransformer(9, max_iter=0)).fit(iris)  # more components than columns
    assert np.isfinite(more.score_samples(iris)).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contamination": 0.0}, "The 'contamination' parameter of VAEOutlierDetector"),
        ({"contamination": 0.6}, "The 'contamination' parameter of VAEOutlierDetector"),
        ({"contamination": True}, "The 'contamination' parameter of VAEOutlierDetector"),
        ({"contamination": "few"}, "The 'contamination' parameter of VAEOutlierDetector"),
        ({"n_importance_samples": 0}, "The 'n_importance_samples' parameter of VAEOutlierDetector"),
        ({"estimator": IsolationForest()}, "The 'estimator' parameter of VAEOutlierDetector"),
        ({"estimator": VAETransformer(2, objective="ae", max_iter=1)}, "'estimator' .* has no density"),
        ({"estimator": VAETransformer(2, objective="gan", max_iter=1)}, "'estimator' .* without an encoder"),
    ],
)
def test_bad_parameters_leave_the_earlier_fit(iris, fitted, parameters, message):
    detector = copy.copy(fitted).set_params(**parameters)
    before = {name: value for name, value in vars(detector).items() if name.endswith("_")}
    with pytest.raises(ValueError, match=message):
        detector.fit(iris)
    assert "offset_" in before
    assert all(vars(detector)[name] is value for name, value in before.items())


def test_other_columns_are_refused(iris, mixed):
    detector = VAEOutlierDetector(LINEAR).fit(iris)
    with pytest.raises(ValueError, match="X has 3 features, but VAETransformer is expecting 4"):
        detector.predict(iris[:, :3])
    with pytest.raises(ValueError, match="feature names"):
        clone(detector).fit(mixed).explain(mixed.rename(columns={"size": "length"}))
    with pytest.raises(NotFittedError):
        VAEOutlierDetector().predict(iris)
    assert not hasattr(VAEOutlierDetector(), "n_features_in_")
