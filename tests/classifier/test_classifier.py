"""`VAEClassifier`: scikit-learn's checks, labels in all forms, tables as they come, storage, and what it is worth."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import LabeledKFold, VAEClassifier, VAETransformer

QUICK = VAETransformer(2, max_iter=0)
EXTRA = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


def few(y, n, seed=0, marker=np.nan):
    """Labels of n rows of each class, a float each."""
    rng = np.random.default_rng(seed)
    label = np.full(len(y), marker, dtype=float)
    for c in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == c))[:n]
        label[rows] = y[rows]
    return label


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def species():
    """Names of the species as objects."""
    data = load_iris()
    return data.target_names[data.target].astype(object)


@parametrize_with_checks([VAEClassifier(VAETransformer(2, max_iter=1))])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_extra_checks(name):
    getattr(estimator_checks, name)("VAEClassifier", VAEClassifier(QUICK))


# ---------------------------------------------------------------- labels in all forms


@pytest.mark.parametrize("container", [list, np.array, pd.Series, pl.Series, pd.Categorical])
def test_missing_entries_of_y_are_no_label(iris, species, container):
    """Names with None in any container give what -1 gives on request, bit for bit."""
    X, y = iris
    known = ~np.isnan(few(y, 5))
    names = [name if k else None for name, k in zip(species, known, strict=True)]
    clf = VAEClassifier(QUICK, random_state=0).fit(X, container(names))
    numbers = VAEClassifier(QUICK, unlabeled=-1, random_state=0).fit(X, few(y, 5, marker=-1).astype(int))
    assert list(clf.classes_) == ["setosa", "versicolor", "virginica"]
    assert numbers.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(clf.predict_proba(X), numbers.predict_proba(X))
    assert clf.score(X, container(names)) == numbers.score(X, np.where(known, y, -1))
    assert set(clf.predict(X)) == set(species)


def test_an_uncertain_row_has_an_uncertain_class(iris):
    """Without petals it is less sure, and without any cell it is far from it."""
    X, y = iris
    clf = VAEClassifier(VAETransformer(2, max_iter=0, random_state=0)).fit(X, y)
    sure = []
    for missing in ([], [2, 3], [0, 1, 2, 3]):
        rows = X.copy()
        rows[:, missing] = np.nan
        sure.append(clf.predict_proba(rows).max(axis=1).mean())
    assert sure[0] > sure[1] > sure[2]
    assert sure[2] < 0.7


def test_minus_one_is_a_class_unless_it_is_the_marker(iris):
    X, y = iris
    assert VAEClassifier(QUICK).fit(X, y - 1).classes_.tolist() == [-1, 0, 1]
    assert VAEClassifier(QUICK, unlabeled=-1).fit(X, y - 1).classes_.tolist() == [0, 1]
    nullable = pd.Series(y, dtype="Int64").mask(np.arange(150) % 3 == 0)
    assert VAEClassifier(QUICK).fit(X, nullable).classes_.tolist() == [0, 1, 2]


def test_rows_without_a_label_do_not_count_in_the_score(iris):
    X, y = iris
    clf = VAEClassifier(QUICK).fit(X, y)
    wrong = (y + 1) % 3
    assert clf.score(X, np.where(np.arange(150) < 75, y, np.nan)) == clf.score(X[:75], y[:75])
    assert clf.score(X, np.where(np.arange(150) < 75, wrong, np.nan)) < 0.1
    weight = (np.arange(150) < 75).astype(float)
    assert clf.score(X, y, sample_weight=weight) == clf.score(X[:75], y[:75])


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (np.full(150, np.nan), {}, "all 150 rows are unlabelled"),
        (np.zeros(150), {}, "y has one class only, np.float64\\(0.0\\)"),
        (np.where(np.arange(150) < 9, 1.0, np.nan), {}, "one class only"),
        (np.arange(149) % 3, {}, "inconsistent numbers of samples: \\[150, 149\\]"),
        (np.where(np.arange(150) < 9, np.nan, 1.0), {"unlabeled": -1}, "contains NaN in 9 rows, and unlabeled=-1"),
        (np.array(["a"] * 75 + [1] * 75, dtype=object), {}, r"several kinds, \['category', 'real'\]"),
        (np.linspace(0, 1, 150), {}, "Unknown label type: continuous"),
        (np.arange(150) % 3, {"class_weight": {7: 2.0}}, r"class_weight names \[7\]"),
        (np.arange(150) % 3, {"class_weight": {0: -2.0}}, "finite positive number"),
        (np.arange(150) % 3, {"estimator": VAETransformer(2, objective="gan", max_iter=1)}, "must have an encoder"),
        (np.arange(150) % 3, {"estimator": LogisticRegression()}, "The 'estimator' parameter of VAEClassifier"),
        (np.arange(150) % 3, {"C": 0}, "The 'C' parameter of VAEClassifier"),
        (None, {}, "requires y to be passed"),
    ],
)
def test_bad_labels_are_refused_and_leave_the_fit(iris, y, options, message):
    X, right = iris
    clf = VAEClassifier(QUICK).fit(X, right)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        clf.set_params(**options).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_errors_of_methods(iris):
    X, y = iris
    with pytest.raises(NotFittedError):
        VAEClassifier().predict(X)
    clf = VAEClassifier(QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"classes that fit has not seen: 7. It saw \[0, 1, 2\]"):
        clf.sample(3, y=7)
    with pytest.raises(ValueError, match="one for each of 3 rows"):
        clf.sample(3, y=[0, 1])
    with pytest.raises(ValueError, match="score counts labelled rows"):
        clf.score(X, np.full(150, None))
    with pytest.raises(ValueError, match="the estimator of this VAEClassifier has none"):
        clf.sample(3, given={0: 1.0})
    with pytest.raises(ValueError, match="4 features"):
        clf.predict(X[:, :3])


# ---------------------------------------------------------------- weights


def test_weights_equal_copies_and_the_order_of_rows_does_not_matter(iris):
    X, y = iris
    y = few(y, 12)
    weight = np.random.default_rng(0).integers(0, 3, 150)
    options = {"estimator": VAETransformer(2, max_iter=2), "class_weight": "balanced", "random_state": 0}
    p = VAEClassifier(**options).fit(X, y, sample_weight=weight).predict_proba(X)
    order = np.random.default_rng(1).permutation(weight.sum())
    copies = np.repeat(X, weight, 0)[order], np.repeat(y, weight)[order]
    np.testing.assert_array_equal(VAEClassifier(**options).fit(*copies).predict_proba(X), p)
    even = VAEClassifier(**options | {"class_weight": None}).fit(X, y, sample_weight=weight)
    assert not np.allclose(even.predict_proba(X), p)


def test_a_heavier_class_is_predicted_more_often(iris):
    X, y = iris
    share = [
        np.mean(VAEClassifier(QUICK, class_weight={1: w}).fit(X[:, :2], y).predict(X[:, :2]) == 1) for w in (0.1, 1, 10)
    ]
    assert share[0] < share[1] - 0.05 < share[2] - 0.1


def test_unlabeled_weight_zero_leaves_the_classes_to_the_labels(iris):
    """With codes that are given, other unlabelled rows then change nothing."""
    X, y = iris
    y = few(y, 4)
    zero = VAEClassifier(QUICK, unlabeled_weight=0, random_state=0).fit(X, y)
    known = ~np.isnan(y)
    normals = zero.label_model_.normals
    np.testing.assert_allclose(normals.means[0], zero.transform(X[known & (y == 0)]).mean(0), atol=1e-6)
    more = VAEClassifier(QUICK, random_state=0).fit(X, y).label_model_.normals
    assert abs(more.means[0] - normals.means[0]).max() > 1e-3


def test_labels_without_meaning_give_no_certainty():
    """Thirty columns seem to explain 120 random labels; labels that were left out say that this is nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(320, 30)), rng.integers(0, 2, 320)
    clf = VAEClassifier(QUICK, random_state=0).fit(X[:120], y[:120])
    linear = LogisticRegression().fit(X[:120], y[:120]).predict_proba(X[120:]).max(axis=1).mean()
    assert clf.predict_proba(X[120:]).max(axis=1).mean() < 0.6 < linear - 0.1


def test_made_rows_have_the_codes_of_their_class():
    """Through the output map and back, where the order of `transform` is not that of the module.

    Codes of draws are a little nearer to zero than the codes that they were drawn from; means of classes are 1 apart.
    """
    X, y = load_wine(return_X_y=True)
    linear = VAETransformer(2, hidden_layer_sizes=(), init="random", max_iter=60, early_stopping=False, random_state=0)
    clf = VAEClassifier(linear).fit(X, y)
    assert clf.estimator_.order_.tolist() == [1, 0]
    for c in range(3):
        codes = clf.transform(clf.sample(2000, y=c, random_state=0)[0])
        np.testing.assert_allclose(codes.mean(axis=0), clf.label_model_.normals.means[c], atol=0.35)


# ---------------------------------------------------------------- tables, pipelines, searches


@pytest.fixture(scope="module")
def shop():
    """A frame with a category, counts, missing cells, and a class that goes by all of them."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    city = np.where(rng.random(300) < 0.8, np.array(["Bonn", "Köln"])[y], "Aachen").astype(object)
    frame = pd.DataFrame({"city": city, "visits": rng.poisson(2 + 3 * y), "size": rng.normal(y * 1.5, 1)})
    frame.loc[::7, "city"] = None
    frame.loc[::5, "size"] = np.nan
    return frame, np.where(y == 1, "yes", "no")


@pytest.mark.parametrize("library", [pd.DataFrame, pl.from_pandas])
def test_raw_frames(shop, library):
    frame, y = shop
    table, few_labels = library(frame), y.astype(object)
    few_labels[30:] = None
    clf = VAEClassifier(VAETransformer(2, max_iter=10), random_state=0).fit(table, few_labels)
    assert clf.score(table, y) > 0.85
    assert clf.feature_names_in_.tolist() == ["city", "visits", "size"]
    rows, label = clf.sample(400, y="yes", random_state=0)
    assert type(rows) is type(table)
    assert set(label) == {"yes"}
    others = clf.sample(400, y="no", random_state=0)[0]
    assert rows["visits"].mean() > others["visits"].mean() + 0.7
    assert (rows["city"] == "Köln").mean() > (others["city"] == "Köln").mean() + 0.1
    unseen = frame.head(3).assign(city=["Paris", None, "Bonn"])
    assert np.isfinite(clf.predict_log_proba(library(unseen))).all()


def test_an_estimator_with_conditions_leaves_the_site_out_of_the_classes():
    """Four sites, each with an offset larger than any class is apart, and five labels of a class on all of them."""
    rng = np.random.default_rng(0)
    kind, site = rng.integers(0, 3, 600), rng.integers(0, 4, 600)
    X = 4 * rng.normal(size=(3, 5))[kind] + 9 * rng.normal(size=(4, 5))[site] + rng.normal(size=(600, 5))
    X = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    frame = pd.DataFrame(X, columns=list("abcde")).assign(site=np.array(list("KLMN"))[site], year=2000 + site % 2)
    y = few(kind, 5)
    accuracy = []
    for conditions in (["site", "year"], None):
        clf = VAEClassifier(VAETransformer(3, conditions=conditions, max_iter=0), random_state=0).fit(frame, y)
        accuracy.append(clf.score(frame, kind))
    assert accuracy[0] > 0.95
    assert accuracy[0] > accuracy[1] + 0.1
    clf = VAEClassifier(VAETransformer(3, conditions=["site", "year"], max_iter=0), random_state=0).fit(frame, y)
    rows = clf.sample(500, y=1, random_state=0, given={"site": "M", "year": 2000})[0]
    assert set(rows["site"]) == {"M"}
    assert rows["year"].dtype == frame["year"].dtype
    np.testing.assert_allclose(
        rows[list("abcde")].mean(), frame[(kind == 1) & (site == 2)][list("abcde")].mean(), atol=0.5
    )
    pd.testing.assert_frame_equal(
        clf.sample(given=frame[["year", "site"]][:1])[0][["site", "year"]], frame[["site", "year"]][:1]
    )
    assert set(map(tuple, clf.sample(200)[0][["site", "year"]].to_numpy())) == set(
        map(tuple, frame[["site", "year"]].to_numpy())
    )
    unseen = frame[:3].assign(site=["Z", None, "K"])
    assert np.isfinite(clf.predict_log_proba(unseen)).all()
    with pytest.raises(ValueError, match="lacks 'year'"):
        clf.sample(given={"site": "M"})
    with pytest.raises(ValueError, match="'given' has 3 rows, for 1"):
        clf.sample(given=frame[["site", "year"]][:3])


def test_sparse_rows_are_their_dense_twins():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200] > 8, few(y[:200], 3)
    clf = VAEClassifier(VAETransformer(4, max_iter=1), random_state=0)
    dense = clone(clf).fit(X.astype(float), y).predict_proba(X[:20])
    np.testing.assert_allclose(clf.fit(sparse.csr_array(X.astype(float)), y).predict_proba(X[:20]), dense, atol=1e-4)


def test_pipelines_searches_and_cross_validation_count_labelled_rows(iris):
    X, y = iris
    y = few(y, 12, marker=-1).astype(int)
    clf = VAEClassifier(QUICK, unlabeled=-1, random_state=0)
    cv = LabeledKFold(3, unlabeled=-1)
    scores = cross_val_score(make_pipeline(StandardScaler(), clf), X, y, cv=cv, error_score="raise")
    assert scores.mean() > 0.85
    grid = {"estimator__n_components": [1, 3], "n_members": [1, 2]}
    search = GridSearchCV(VAEClassifier(QUICK, unlabeled=-1), grid, cv=cv, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.85
    assert VAEClassifier().set_params(estimator__max_iter=0).estimator.n_components == 16
    names = few(iris[1], 12)
    assert cross_val_score(VAEClassifier(QUICK), X, names, cv=LabeledKFold(3)).mean() > 0.85


def test_calibration_takes_labelled_rows(iris):
    X, y = iris
    marked = few(y, 20, marker=-1).astype(int)
    clf = VAEClassifier(QUICK, unlabeled=-1, random_state=0)
    calibrated = CalibratedClassifierCV(clf, cv=LabeledKFold(3, unlabeled=-1)).fit(X, marked)
    p = calibrated.predict_proba(X)
    assert calibrated.classes_.tolist() == [-1, 0, 1, 2]
    assert p[:, 0].max() == 0
    assert (calibrated.predict(X) == y).mean() > 0.9
    everything = CalibratedClassifierCV(VAEClassifier(QUICK, random_state=0), cv=3).fit(X, y)
    assert (everything.predict(X) == y).mean() > 0.9


def test_labeled_folds():
    y = np.array(["a", None, "b", "a", "b", None, "a", "b"], dtype=object)
    folds = list(LabeledKFold(3, random_state=1).split(np.zeros((8, 1)), y))
    assert len(folds) == LabeledKFold(3).get_n_splits()
    assert sorted(np.concatenate([test for _, test in folds])) == [0, 2, 3, 4, 6, 7]
    for train, test in folds:
        assert {1, 5} <= set(train)
        assert sorted([*train, *test]) == list(range(8))
        assert sorted(y[test]) == ["a", "b"]


# ---------------------------------------------------------------- storage


def test_round_trips(iris, species, tmp_path):
    X, y = iris
    names = np.where(np.isnan(few(y, 5)), None, species)
    clf = VAEClassifier(
        VAETransformer(2, max_iter=1, objective="iwae"), class_weight={"setosa": 2.0}, random_state=0, n_members=2
    ).fit(X, names)
    p = clf.predict_proba(X)
    path = tmp_path / "clf.safetensors"
    clf.save(path)
    stored = skops.io.dumps(clf)
    trusted = skops.io.get_untrusted_types(data=stored)
    assert set(trusted) == {"skvae.classifier.vae_classifier.VAEClassifier", "skvae.estimator.VAETransformer"}
    for again in (
        pickle.loads(pickle.dumps(clf)),
        skops.io.loads(stored, trusted=trusted),
        VAEClassifier.load(path),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), p)
        assert repr(again) == repr(clf)
        assert again.classes_.tolist() == clf.classes_.tolist()
        np.testing.assert_array_equal(again.sample(5, random_state=0)[0], clf.sample(5, random_state=0)[0])
    with pytest.raises(ValueError, match="VAETransformer"):
        VAETransformer.load(path)
    clf.estimator_.save(path)
    with pytest.raises(ValueError, match="holds no VAEClassifier"):
        VAEClassifier.load(path)


def test_a_frozen_estimator_keeps_its_table(iris, tmp_path):
    """The transformer of all rows, fitted before, and labels of some: as if it had been fitted in one go."""
    X, y = iris
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(X)
    clf = VAEClassifier(FrozenEstimator(vae), random_state=0).fit(X, few(y, 4))
    p = clf.predict_proba(X)
    whole = VAEClassifier(VAETransformer(2, max_iter=3, random_state=0), random_state=0).fit(X, few(y, 4))
    np.testing.assert_array_equal(whole.predict_proba(X), p)
    assert clone(clf).fit(X[::10], y[::10]).estimator_ is vae
    clf.save(tmp_path / "clf.safetensors")
    again = VAEClassifier.load(tmp_path / "clf.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X), p)
    assert again.estimator.estimator is again.estimator_
    with pytest.raises(ValueError, match="FrozenEstimator of a LogisticRegression"):
        VAEClassifier(FrozenEstimator(LogisticRegression())).fit(X, y)
    with pytest.raises(NotFittedError):
        VAEClassifier(FrozenEstimator(VAETransformer())).fit(X, y)


def test_a_damaged_state_is_refused(iris):
    clf = VAEClassifier(QUICK).fit(*iris)
    state = clf.__getstate__()
    state["label_model_"]["exponents"] = np.ones(3)
    with pytest.raises(ValueError, match=r"exponents is not of shape \(2,\)"):
        VAEClassifier().__setstate__(state)


# ---------------------------------------------------------------- what it is worth


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_with_all_labels_it_is_no_worse_than_logistic_regression(load):
    X, y = load(return_X_y=True)
    X, test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=100)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y).score(test, y_test)
    clf = VAEClassifier(VAETransformer(10, max_iter=20, random_state=0))
    assert clf.fit(X, y).score(test, y_test) > linear - 0.02


def test_with_nine_labels_of_wine_it_beats_logistic_regression():
    """By two standard errors over ten draws of labels, with the codes of one split."""
    X, y = load_wine(return_X_y=True)
    X, test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=100)
    frozen, gain = FrozenEstimator(VAETransformer(16, max_iter=20, random_state=0).fit(X)), []
    for seed in range(10):
        label = few(y, 3, seed)
        known = ~np.isnan(label)
        linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[known], y[known]).score(test, y_test)
        gain.append(VAEClassifier(frozen).fit(X, label).score(test, y_test) - linear)
    assert np.mean(gain) > 2 * np.std(gain, ddof=1) / np.sqrt(10)
