"""`VAEOversampler`: scikit-learn's checks, the contract of imbalanced-learn's samplers, made rows as their class."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAEOversampler, VAETransformer

LINEAR = VAETransformer(2, init="pca", max_iter=0)


@pytest.fixture(scope="module")
def iris():
    """50, 30 and 10 rows of three classes."""
    X, y = load_iris(return_X_y=True)
    rows = np.r_[0:50, 50:80, 100:110]
    return X[rows], y[rows]


@pytest.fixture(scope="module")
def mixed():
    """A table with an index, a category, strings, integers and missing cells; the rare class has other numbers."""
    rng = np.random.default_rng(0)
    rare = np.arange(160) >= 130
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(np.where(rare, 3, 2), 0.4).round(1),
            "children": rng.poisson(np.where(rare, 4, 1)),
            "town": pd.Categorical(np.where(rng.random(160) < np.where(rare, 0.9, 0.2), "north", "south")),
            "name": rng.choice(["a", "b"], 160),
        },
        index=range(1000, 1160),
    )
    return frame.mask((rng.random(frame.shape) < 0.1) & (frame.columns != "children")), pd.Series(
        np.where(rare, "yes", "no"), name="bought", index=frame.index
    )


@parametrize_with_checks([VAEOversampler(LINEAR)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", ["check_dataframe_column_names_consistency", "check_param_validation"])
def test_extra_checks(name):
    getattr(estimator_checks, name)("VAEOversampler", VAEOversampler(LINEAR))


# ---------------------------------------------------------------- how many rows of which class


@pytest.mark.parametrize(
    ("strategy", "made"),
    [
        ("auto", {1: 20, 2: 40}),
        ("not majority", {1: 20, 2: 40}),
        ("minority", {2: 40}),
        ("not minority", {0: 0, 1: 20}),
        ("all", {0: 0, 1: 20, 2: 40}),
        ({0: 60, 2: 10}, {0: 10, 2: 0}),
        (lambda y: {2: 2 * (y == 2).sum()}, {2: 10}),
    ],
)
def test_strategies_are_those_of_imbalanced_learn(iris, strategy, made):
    X, y = iris
    sampler = VAEOversampler(LINEAR, sampling_strategy=strategy, random_state=0)
    assert sampler.fit(X, y).sampling_strategy_ == made
    assert not hasattr(sampler, "estimator_")
    X_more, y_more = sampler.fit_resample(X, y)
    assert sampler.sampling_strategy_ == made
    np.testing.assert_array_equal(X_more[:90], X)
    np.testing.assert_array_equal(y_more[:90], y)
    np.testing.assert_array_equal(y_more[90:], np.repeat(list(made), list(made.values())))
    assert X_more.shape == (len(y_more), 4)


def test_a_ratio_of_two_classes(iris):
    X, y = iris[0][:80], iris[1][:80]
    assert VAEOversampler(sampling_strategy=0.9).fit(X, y).sampling_strategy_ == {1: 15}
    assert VAEOversampler(sampling_strategy=1.0).fit(X, 1 - y).sampling_strategy_ == {0: 20}
    with pytest.raises(ValueError, match=r"no more rows of class 1 than y has: the ratio is 0.6 already"):
        VAEOversampler(sampling_strategy=0.5).fit(X, y)
    with pytest.raises(ValueError, match=r"sampling_strategy=0.9 is a ratio of two classes, and y has 3"):
        VAEOversampler(sampling_strategy=0.9).fit(*iris)


# ---------------------------------------------------------------- rows


def test_made_rows_are_those_of_their_class():
    """From 15 of the 48 rows of a class: their mean is that of all 48, but for the error of a mean of 15."""
    X, y = load_wine(return_X_y=True)
    few = np.flatnonzero((y != 2) | (np.arange(178) < 145))
    sampler = VAEOversampler(VAETransformer(3, max_iter=0), sampling_strategy={2: 1000}, random_state=0)
    X_more, y_more = sampler.fit_resample(X[few], y[few])
    made = (X_more[len(few) :] - X.mean(0)) / X.std(0)
    assert (y_more[len(few) :] == 2).all()
    means = np.array([((X[y == c] - X.mean(0)) / X.std(0)).mean(0) for c in range(3)])
    distance = np.square(made.mean(0) - means).mean(1)
    assert distance[2] < 0.2
    assert distance[:2].min() > 0.5
    spread = made.std(0) / (X[y == 2] / X.std(0)).std(0)
    assert 0.8 < np.median(spread) < 1.6  # the linear model has one noise for all classes


def test_the_pipeline_of_imbalanced_learn(iris):
    """It resamples in fit alone, and passes parameters and a search on; strategies make what those of SMOTE make."""
    pipeline = pytest.importorskip("imblearn.pipeline")
    smote = pytest.importorskip("imblearn.over_sampling").SMOTE
    X, y = iris
    few = X[:70], y[:70]
    pipe = pipeline.make_pipeline(VAEOversampler(LINEAR, random_state=0), LogisticRegression())
    search = GridSearchCV(pipe, {"vaeoversampler__sampling_strategy": [0.5, "auto"]}, cv=2, error_score="raise")
    assert search.fit(*few).score(*few) > 0.9
    for strategy in ("minority", "not minority", "not majority", "all", 0.7, {1: 30}, lambda y: {1: 25}):
        own, theirs = (
            sampler.fit_resample(*few)[1]
            for sampler in (VAEOversampler(LINEAR, sampling_strategy=strategy), smote(sampling_strategy=strategy))
        )
        np.testing.assert_array_equal(np.bincount(own), np.bincount(theirs))


def test_frames_with_dates():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [60, 12])
    days = (100 * y + rng.integers(0, 50, 72)).astype("m8[D]")
    frame = pd.DataFrame({"when": (np.datetime64("2024-01-01") + days).astype("M8[s]"), "x": y + rng.normal(size=72)})
    frame["zoned"] = frame["when"].dt.tz_localize("Europe/Berlin")
    frame.loc[3, ["when", "zoned"]] = pd.NaT
    for table in (frame, pl.from_pandas(frame)):
        made = VAEOversampler(LINEAR, random_state=0).fit_resample(table, y)[0][72:]
        whole = made if isinstance(made, pd.DataFrame) else made.to_pandas()
        assert made.dtypes.equals(frame.dtypes) if made is whole else made.schema == table.schema
        assert whole.notna().all(axis=None)
        assert (whole["when"] > pd.Timestamp("2024-03-01")).mean() > 0.9  # those of the rare class


def test_seeds_and_pickles(iris):
    sampler = VAEOversampler(LINEAR, random_state=0)
    X_more, _ = sampler.fit_resample(*iris)
    np.testing.assert_array_equal(clone(sampler).fit_resample(*iris)[0], X_more)
    again = pickle.loads(pickle.dumps(sampler))
    assert again.sampling_strategy_ == sampler.sampling_strategy_
    assert again.n_features_in_ == 4
    assert again.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]
    other = sampler.set_params(random_state=1, estimator__n_components=1).fit_resample(*iris)[0]
    assert (other[90:] != X_more[90:]).all()


def test_frames_keep_columns_dtypes_and_rows(mixed):
    X, y = mixed
    sampler = VAEOversampler(VAETransformer(3, max_iter=0), random_state=0)
    X_more, y_more = sampler.fit_resample(X, y)
    assert (X_more.dtypes == X.dtypes).all()
    assert X_more.index.equals(pd.RangeIndex(260))
    pd.testing.assert_frame_equal(X_more[:160], X.reset_index(drop=True))
    assert (y_more.name, y_more.dtype, y_more.value_counts().to_dict()) == ("bought", y.dtype, {"no": 130, "yes": 130})
    made = X_more[160:]
    assert made.notna().all(axis=None)
    assert (made["town"] == "north").mean() > 0.65
    assert made["children"].mean() > 2.5
    assert sampler.feature_names_in_.tolist() == list(X.columns)
    table, labels = sampler.fit_resample(pl.from_pandas(X), pl.Series("bought", y.to_numpy()))
    assert table.schema == pl.from_pandas(X).schema
    assert labels.name == "bought"
    assert (len(table), len(labels)) == (260, 260)
    taken = X.rename(columns={"name": "class"})
    assert list(sampler.fit_resample(taken, y.tolist())[0].columns) == list(taken.columns)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_arrays_keep_their_dtype(iris, dtype):
    X, y = (iris[0] > iris[0].mean(0)) if dtype is bool else iris[0], iris[1]
    X_more, _ = VAEOversampler(LINEAR, random_state=0).fit_resample(X.astype(dtype), y)
    assert X_more.dtype == dtype
    if dtype is bool:
        assert (VAEOversampler(LINEAR, random_state=0).fit_resample(X.astype(float), y)[0] % 1 == 0).all()


def test_lists_and_frames_with_numbers_as_names(iris):
    X, y = iris
    X_more, y_more = VAEOversampler(LINEAR, random_state=0).fit_resample(X.tolist(), y.tolist())
    assert isinstance(X_more, list)
    assert isinstance(y_more, list)
    frame, _ = VAEOversampler(LINEAR, random_state=0).fit_resample(pd.DataFrame(X), y)
    assert frame.columns.equals(pd.RangeIndex(4))
    assert len(frame) == len(X_more) == 150


@pytest.mark.parametrize("key", [-1, [-1], slice(-1, None), [False, False, True]])
def test_positions_are_those_of_the_columns_of_the_table(key):
    """From the end, too, though the class stands there for the model; and weights one by one."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.repeat([0, 1], [40, 20])
    X[:, 2] = rng.poisson(3, 60)
    model = VAETransformer(1, max_iter=0, likelihood=[("poisson", key)], column_weights=[1, 1, 2])
    sampler = VAEOversampler(model, random_state=0)
    more, _ = sampler.fit_resample(X, y)
    families = [type(family).__name__ for family in sampler.estimator_.likelihoods_.values()]
    assert families == ["Gaussian", "Gaussian", "Poisson", "Given"]
    assert (more[60:, 2] % 1 == 0).all()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sampling_strategy": "majority"}, "The 'sampling_strategy' parameter of VAEOversampler"),
        ({"sampling_strategy": 1.5}, "The 'sampling_strategy' parameter of VAEOversampler"),
        ({"sampling_strategy": {7: 100}}, r"sampling_strategy names \[7\], which are no classes of y"),
        ({"sampling_strategy": {0: 10}}, r"sampling_strategy={0: 10} asks for fewer rows than y has: {0: 50}"),
        ({"estimator": VAETransformer(2, conditions=[0])}, r"has conditions=\[0\], and rows are drawn"),
        ({"estimator": "vae"}, "The 'estimator' parameter of VAEOversampler"),
    ],
)
def test_bad_parameters(iris, parameters, message):
    with pytest.raises(ValueError, match=message):
        VAEOversampler(**parameters).fit_resample(*iris)


def test_bad_classes(iris):
    X, y = iris
    sampler = VAEOversampler(LINEAR)
    with pytest.raises(ValueError, match=r"needs to have more than 1 class. Got 1 class instead"):
        sampler.fit_resample(X, np.zeros(90))
    with pytest.raises(ValueError, match=r"The classes \[2\] of y have one row each"):
        sampler.fit_resample(X[:81], y[:81])
    assert sampler.set_params(sampling_strategy={1: 50}).fit(X[:81], y[:81]).sampling_strategy_ == {1: 20}
    with pytest.raises(ValueError, match="NaN or None in 1 rows"):
        sampler.fit_resample(X, [None, *y[1:].tolist()])
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        sampler.fit_resample(X, X[:, 0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        sampler.fit_resample(X, y[:-1])
    with pytest.raises(TypeError, match="X is sparse"):
        sampler.fit_resample(sparse.csr_array(X), y)
