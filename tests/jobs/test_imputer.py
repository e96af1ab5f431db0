"""`VAEImputer`: scikit-learn's checks, the contract of its imputers, tables as they come."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import Gaussian, VAEImputer, VAETransformer

LINEAR = VAETransformer(2, init="pca", max_iter=0)
EXTRA = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out_pandas",
]


def holes(X, share=0.2, seed=0):
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


@pytest.fixture(scope="module")
def wine():
    return holes(load_wine(return_X_y=True)[0][:, :6])


@pytest.fixture(scope="module")
def mixed():
    """A category, a string, an integer, a nullable bool and two floats, with an index and missing cells."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=120)
    frame = pd.DataFrame(
        {
            "size": size.round(2),
            "legs": pd.array(np.where(size > 0, 4, 2), dtype="Int64"),
            "kind": pd.Categorical(np.where(size > 0.5, "dog", "cat")),
            "name": rng.choice(["a", "b"], 120),
            "wild": pd.array(size < 0, dtype="boolean"),
            "weight": (2 * size + 0.3 * rng.normal(size=120)).round(1),
        },
        index=pd.Index(range(1000, 1120), name="id"),
    )
    return frame.mask(rng.random(frame.shape) < 0.15)


@pytest.fixture(scope="module")
def fitted(mixed):
    return VAEImputer(LINEAR, random_state=0).fit(mixed)


@parametrize_with_checks([VAEImputer(LINEAR)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_extra_checks(name):
    getattr(estimator_checks, name)("VAEImputer", VAEImputer(LINEAR))


# ---------------------------------------------------------------- what it does with cells


def test_it_imputes_as_its_model_does(wine):
    imputer = VAEImputer(LINEAR, random_state=0).fit(wine)
    filled = imputer.transform(wine)
    np.testing.assert_array_equal(filled, imputer.estimator_.impute(wine))
    np.testing.assert_array_equal(filled[~np.isnan(wine)], wine[~np.isnan(wine)])
    complete = load_wine(return_X_y=True)[0][:, :6]
    assert imputer.transform(complete) is not complete
    np.testing.assert_array_equal(imputer.transform(complete), complete)
    missing = np.isnan(wine)
    error = [
        np.square((table - complete) / complete.std(0))[missing].mean()
        for table in (filled, SimpleImputer().fit_transform(wine))
    ]
    assert error[0] < 0.9 * error[1]


def test_draws_repeat_and_vary(wine):
    imputer = VAEImputer(LINEAR, sample_posterior=True, random_state=0)
    drawn = imputer.fit_transform(wine)
    np.testing.assert_array_equal(drawn, imputer.transform(wine))
    np.testing.assert_array_equal(drawn, clone(imputer).fit(wine).transform(wine))
    np.testing.assert_allclose(imputer.transform(wine[60:64]), drawn[60:64], rtol=1e-3, atol=1e-3)
    missing = np.isnan(wine)
    means = imputer.set_params(sample_posterior=False).transform(wine)
    scale = np.broadcast_to(np.nanstd(wine, axis=0), wine.shape)[missing]
    spread = ((drawn - means)[missing] / scale).std()
    assert 0.4 < spread < 1.1  # draws vary as what the other columns leave open
    first, second = imputer.draw(wine, 2, random_state=0)
    assert (first[missing] != second[missing]).mean() > 0.99
    np.testing.assert_array_equal(imputer.draw(wine, 2, random_state=0)[1], second)


def test_limits_hold_for_imputed_cells_alone(wine):
    plain = VAEImputer(LINEAR, random_state=0).fit_transform(wine)
    low, high = np.nanquantile(wine, [0.4, 0.6], axis=0)
    missing = np.isnan(wine)
    for options in ({"min_value": low, "max_value": high}, {"min_value": dict(enumerate(low)), "max_value": high}):
        filled = VAEImputer(LINEAR, random_state=0, **options).fit_transform(wine)
        np.testing.assert_allclose(filled[missing], np.clip(plain, low, high)[missing], rtol=1e-12)
        np.testing.assert_array_equal(filled[~missing], wine[~missing])
    assert (plain[missing] != filled[missing]).mean() > 0.5
    one = VAEImputer(LINEAR, min_value=1.5, random_state=0).fit_transform(wine)
    assert one[missing].min() == 1.5


def test_limits_of_a_frame(mixed):
    """Integers stay whole inside of limits between them, and categories have none."""
    options = {"min_value": {"legs": 2.5, "size": 0.125}, "max_value": 3.5}
    filled = VAEImputer(LINEAR, **options, random_state=0).fit_transform(mixed)
    missing = mixed.isna()
    assert (filled["legs"][missing["legs"]] == 3).all()
    assert filled["size"][missing["size"]].min() >= 0.125
    assert (filled.dtypes == mixed.dtypes).all()


@pytest.mark.parametrize(
    "container", [np.asarray, pd.DataFrame, lambda X: pl.DataFrame(X, nan_to_null=True), sparse.csr_array]
)
def test_another_marker_is_the_same(wine, container):
    expected = VAEImputer(LINEAR, random_state=0).fit_transform(container(wine))
    marked = container(np.where(np.isnan(wine), -1, wine))
    filled = VAEImputer(LINEAR, missing_values=-1, random_state=0).fit_transform(marked)
    assert type(filled) is type(marked)
    filled, expected = (table.toarray() if sparse.issparse(table) else table for table in (filled, expected))
    np.testing.assert_array_equal(filled, expected)
    with pytest.raises(ValueError, match=r"Input X contains NaN or None in column .* and missing_values=-1"):
        VAEImputer(LINEAR, missing_values=-1).fit(wine)


def test_a_string_as_marker(mixed):
    words = mixed.assign(name=mixed["name"].fillna("?"))[["name"]].assign(size=np.arange(120))
    filled = VAEImputer(VAETransformer(1, max_iter=0), missing_values="?", random_state=0).fit_transform(words)
    assert set(filled["name"]) == {"a", "b"}
    with pytest.raises(ValueError, match="missing_values='\\?' is a string, but X holds numbers"):
        VAEImputer(LINEAR, missing_values="?").fit(np.ones((5, 3)))
    with pytest.raises(ValueError, match="nearly every cell of a sparse X"):
        VAEImputer(LINEAR, missing_values=0).fit(sparse.eye(5, format="csr"))


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("container", [np.array, pd.DataFrame, pl.DataFrame, sparse.csr_array])
@pytest.mark.parametrize("keep", [False, True])
def test_empty_columns_and_indicators_are_those_of_simple_imputer(wine, container, keep):
    X = wine.copy()
    X[:, 2], X[:, 4] = np.nan, load_wine(return_X_y=True)[0][:, 4]
    names = [f"c{d}" for d in range(6)]
    table = container(X, columns=names) if container is pd.DataFrame else container(X)
    table = pl.DataFrame(X, schema=names) if container is pl.DataFrame else table
    options = {"add_indicator": True, "keep_empty_features": keep}
    simple = SimpleImputer(**options).fit(pd.DataFrame(X, columns=names))
    imputer = VAEImputer(LINEAR, **options, random_state=0)
    if keep:
        imputer.fit(table)
    else:
        with pytest.warns(UserWarning, match=r"Columns \['(x|c)2'\] have no observed cell"):
            imputer.fit(table)
    filled = imputer.transform(table)
    own = list(imputer.get_feature_names_out(None if container in (pd.DataFrame, pl.DataFrame) else names))
    assert own == list(simple.get_feature_names_out())
    assert type(filled) is type(table)
    cells = filled.toarray() if sparse.issparse(filled) else np.asarray(filled, dtype=float)
    expected = simple.set_params(keep_empty_features=True).fit_transform(pd.DataFrame(X, columns=names))
    expected = expected if keep else np.delete(expected, 2, axis=1)
    np.testing.assert_array_equal(cells[:, 5 + keep :], expected[:, 5 + keep :])
    assert np.isfinite(cells).all()
    if keep:
        np.testing.assert_array_equal(cells[:, 2], 0)


def test_frames_keep_dtypes_index_and_observed_cells(mixed):
    filled = VAEImputer(LINEAR, random_state=0).fit_transform(mixed)
    assert filled.notna().all(axis=None)
    assert (filled.dtypes == mixed.dtypes).all()
    assert filled.index.equals(mixed.index)
    pd.testing.assert_frame_equal(filled.mask(mixed.isna()), mixed)
    assert ((filled["kind"] == "dog") == (filled["size"] > 0.5))[mixed["kind"].isna()].mean() > 0.7
    for output in ("pandas", "polars"):
        again = VAEImputer(LINEAR, random_state=0).set_output(transform=output).fit(mixed).transform(mixed)
        assert list(again.columns) == list(mixed.columns)
        assert again["name"].to_list() == filled["name"].to_list()
    with_indicator = VAEImputer(LINEAR, add_indicator=True, random_state=0).fit_transform(mixed)
    assert with_indicator["missingindicator_kind"].dtype == bool
    np.testing.assert_array_equal(with_indicator.iloc[:, 6:], mixed.isna())


def test_polars_frames(mixed):
    table = pl.from_pandas(mixed)
    filled = VAEImputer(LINEAR, add_indicator=True, random_state=0).fit_transform(table)
    assert filled.columns[:6] == table.columns
    assert filled.schema["missingindicator_name"] == pl.Boolean
    assert filled[:, :6].schema == table.schema
    assert filled.null_count().sum_horizontal().item() == 0


def test_frames_with_dates():
    """Times, with and without a zone, durations, periods and dates keep dtype and resolution; limits may be dates."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=100)
    when = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta((60 * size).round(), unit="D")).astype("M8[s]")
    frame = pd.DataFrame(
        {
            "size": size,
            "when": when,
            "zoned": when.dt.tz_localize("Europe/Berlin").astype("datetime64[us, Europe/Berlin]"),
            "lasts": pd.to_timedelta((100 * size).round(), unit="min"),
            "month": pd.PeriodIndex(when, freq="M"),
            "day": pd.Series([t.date() for t in when], dtype=object),
        }
    )
    incomplete = frame.mask((rng.random(frame.shape) < 0.2) & (frame.columns != "size"))
    filled = VAEImputer(LINEAR, random_state=0).fit_transform(incomplete)
    assert filled.dtypes.equals(frame.dtypes)
    assert filled.notna().all(axis=None)
    pd.testing.assert_frame_equal(filled.mask(incomplete.isna()), incomplete)
    error = (filled["when"] - frame["when"])[incomplete["when"].isna()].abs()
    assert error.max() < pd.Timedelta("20D")  # of a standard deviation of 60
    table = pl.from_pandas(incomplete.drop(columns="month"))
    assert VAEImputer(LINEAR, random_state=0).fit_transform(table).schema == table.schema
    first = pd.Timestamp("2024-02-01")
    late = VAEImputer(LINEAR, min_value={"when": first}, random_state=0).fit_transform(incomplete)["when"]
    assert late[incomplete["when"].isna()].min() == first > late.min()


# ---------------------------------------------------------------- where it works


def test_a_search_over_nested_parameters_in_a_pipeline(mixed):
    """Imputed frames keep their dtypes, so that a selector behind works; more components than columns do no harm."""
    y = np.arange(120) % 2
    behind = make_column_transformer(
        (OneHotEncoder(), make_column_selector(dtype_exclude="number")),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    )
    pipe = make_pipeline(VAEImputer(LINEAR, random_state=0), behind, LogisticRegression())
    search = GridSearchCV(pipe, {"vaeimputer__estimator__n_components": [1, 9]}, cv=2, error_score="raise")
    search.fit(mixed, y)
    assert search.best_estimator_[0].estimator_.n_components in (1, 9)
    default = GridSearchCV(make_pipeline(VAEImputer()), {"vaeimputer__estimator__n_components": [2]})
    assert default.estimator.set_params(vaeimputer__estimator__n_components=2)[0].estimator.n_components == 2


def test_inside_a_column_transformer(mixed):
    columns = make_column_transformer(
        (VAEImputer(LINEAR, random_state=0), ["size", "weight"]), remainder="drop", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    filled = columns.fit_transform(mixed)
    assert list(filled.columns) == ["size", "weight"]
    assert filled.notna().all(axis=None)


def test_pickles_and_attributes(mixed):
    imputer = VAEImputer(LINEAR, sample_posterior=True).fit(mixed)
    again = pickle.loads(pickle.dumps(imputer))
    pd.testing.assert_frame_equal(again.transform(mixed), imputer.transform(mixed))
    assert again.n_features_in_ == 6
    assert again.feature_names_in_.tolist() == list(mixed.columns)
    with pytest.raises(NotFittedError):
        VAEImputer().transform(mixed)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_value": 1, "max_value": 1}, "min_value must be below max_value. Column 'size' has min_value=1"),
        ({"min_value": {"size": 2}, "max_value": {"size": 1}}, "Column 'size' has min_value=2 and max_value=1"),
        ({"min_value": [0, 1]}, "min_value must be a number, one number for each of the 6 columns"),
        ({"min_value": {"kind": 1}}, "min_value names the column 'kind', which holds no numbers"),
        ({"max_value": {"width": 1}}, "The 'max_value' parameter names the column 'width'"),
        ({"max_value": "large"}, "The 'max_value' parameter of VAEImputer"),
        ({"sample_posterior": "yes"}, "The 'sample_posterior' parameter of VAEImputer"),
        ({"estimator": SimpleImputer()}, "The 'estimator' parameter of VAEImputer"),
    ],
)
def test_bad_parameters_leave_the_earlier_fit(mixed, fitted, parameters, message):
    imputer = copy.copy(fitted).set_params(**parameters)
    before = {name: value for name, value in vars(imputer).items() if name.endswith("_")}
    with pytest.raises(ValueError, match=message):
        imputer.fit(mixed)
    assert "estimator_" in before
    assert all(vars(imputer)[name] is value for name, value in before.items())


def test_a_model_without_an_encoder_is_refused(wine):
    with pytest.raises(ValueError, match=r"'estimator' .* without an encoder"):
        VAEImputer(VAETransformer(2, objective="gan", likelihood=Gaussian(background=0), max_iter=1)).fit(wine)


def test_other_columns_are_refused(mixed, wine):
    imputer = VAEImputer(LINEAR).fit(mixed)
    with pytest.raises(ValueError, match="feature names"):
        imputer.transform(mixed.rename(columns={"size": "length"}))
    with pytest.raises(ValueError, match="feature"):
        imputer.transform(mixed.drop(columns="legs"))
    with pytest.raises(ValueError, match="X has 4 features, but VAETransformer is expecting 6"):
        VAEImputer(LINEAR).fit(wine).transform(load_iris().data)
    with pytest.raises(ValueError, match=r"The 'n_draws' parameter of VAEImputer.draw"):
        imputer.draw(mixed, 0)


def test_markers_in_arrays_of_strings_and_of_bools():
    """A string among strings, and 0 and 1, which are not False and True."""
    X = np.array([["a", "b"], ["?", "b"], ["a", "b"], ["a", "?"]])
    filled = VAEImputer(LINEAR, missing_values="?", random_state=0).fit_transform(X)
    assert filled.tolist() == [["a", "b"]] * 4
    mixed = np.array([[False, 0.0], [True, 2.0], [True, 3.0], [False, 4.0]], dtype=object)
    filled = VAEImputer(LINEAR, missing_values=0, random_state=0).fit_transform(mixed)
    assert filled[:, 0].tolist() == [False, True, True, False]
    assert filled[0, 1] > 1


@pytest.mark.parametrize(
    ("imputer", "message"),
    [
        (VAEImputer(VAETransformer(objective="gan")), "lacks what this job needs"),
        (VAEImputer(min_value=3, max_value=2), "min_value must be below max_value"),
    ],
)
def test_what_cannot_be_is_said_before_training(imputer, message, wine, monkeypatch):
    monkeypatch.setattr(VAETransformer, "fit", lambda *_: pytest.fail("trained first"))
    with pytest.raises(ValueError, match=message):
        imputer.fit(wine)


def test_names_of_indicators_are_free():
    frame = pd.DataFrame({0: [1.0, np.nan, 2.0, 3.0], 1: [1.0, 2.0, np.nan, 3.0]})
    filled = VAEImputer(LINEAR, add_indicator=True, random_state=0).fit_transform(frame)
    assert filled.columns.tolist() == [0, 1, 2, 3]
    taken = frame.set_axis(["a", "missingindicator_a"], axis=1)
    imputer = VAEImputer(LINEAR, add_indicator=True, random_state=0).fit(taken)
    names = ["a", "missingindicator_a", "missingindicator_a_", "missingindicator_missingindicator_a"]
    assert imputer.transform(taken).columns.tolist() == imputer.get_feature_names_out().tolist() == names
