"""Tables as numbers, by value, whatever library and dtypes they are of."""

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
from example_tables import FLOATS, SEX, tables

from skvae._tables.decoding import draws
from skvae._tables.encoding import encode, missing
from skvae._tables.given import given_row
from skvae._tables.schema import Schema


@tables
def test_missing_cells_are_nan(table):
    X = table(incomplete=True)
    schema = Schema.learn(X)
    gone = missing(schema, X)
    assert gone.any()
    assert not gone.all(0).any()
    expected = X.isna().to_numpy() if isinstance(X, pd.DataFrame) else np.stack([c.is_null().to_numpy() for c in X], 1)
    np.testing.assert_array_equal(gone, expected)
    np.testing.assert_array_equal(np.isnan(encode(schema, X)), gone)


def test_values_decide_whatever_the_dtype():
    fitted = pd.DataFrame({"a": pd.Categorical(["x", "y"]), "b": [3, 4], "c": [True, False]})
    schema = Schema.learn(fitted, ["a", "b"])
    expected = [[1.0, 0.0, 0.0], [np.nan, 1.0, 1.0], [0.0, np.nan, np.nan]]
    columns = {"a": ["y", None, "x"], "b": [3.0, 4.0, None], "c": [False, True, None]}
    for X in (
        pd.DataFrame(columns),
        pd.DataFrame(columns).astype({"a": pd.CategoricalDtype(["y", "z", "x"]), "b": "Int64", "c": float}),
        pl.DataFrame(columns),
        pl.DataFrame(columns).with_columns(a=pl.col("a").cast(pl.Categorical), b=pl.col("b").cast(pl.Int8)),
        pa.table(columns),
        pd.DataFrame(columns).to_numpy(object),
    ):
        np.testing.assert_array_equal(encode(schema, X), expected)


def test_unseen_levels_are_nan_but_not_missing():
    schema = Schema.learn(SEX)
    X = SEX.assign(sex=["f", "x", None], kind=pd.Categorical(["c", "a", "b"]))
    np.testing.assert_array_equal(np.isnan(encode(schema, X))[:, [0, 2]], [[0, 1], [1, 0], [1, 0]])
    np.testing.assert_array_equal(missing(schema, X)[:, [0, 2]], [[0, 0], [0, 0], [1, 0]])


def test_nan_and_null_are_missing_in_polars():
    X = pl.DataFrame({"a": [1.0, None, float("nan")], "b": ["u", None, "v"]})
    schema = Schema.learn(X)
    assert schema.n_levels == {1: 2}  # a null is no level
    np.testing.assert_array_equal(missing(schema, X), [[0, 0], [1, 1], [1, 0]])


@pytest.mark.parametrize("column", [["a", "b", None], pd.Categorical(["a", "b", "a"]), pd.to_datetime(["2020"] * 3)])
def test_a_real_column_stays_one(column):
    schema = Schema.learn(SEX)
    with pytest.raises(ValueError, match=r"'age' held numbers.*now it holds"):
        encode(schema, SEX.assign(age=column))


def test_a_boolean_column_stays_one():
    schema = Schema.learn(pd.DataFrame({"a": [True, False]}))
    with pytest.raises(ValueError, match="'a' held bools"):
        encode(schema, pd.DataFrame({"a": [0.0, 2.0]}))


def test_arrays_of_strings():
    X = np.array([["a", "u"], ["b", "v"], ["b", "u"]])
    schema = Schema.learn(X)
    np.testing.assert_array_equal(encode(schema, X), [[0, 0], [1, 1], [1, 0]])
    np.testing.assert_array_equal(draws(schema, encode(schema, X)), X.astype(object))


def test_na_in_an_array_is_missing():
    X = np.array([[1.5, pd.NA], [2.5, 1.0]], dtype=object)
    schema = Schema.learn(X)
    assert not schema.is_plain  # float(pd.NA) is an error
    np.testing.assert_array_equal(encode(schema, X), [[1.5, np.nan], [2.5, 1.0]])


def test_row():
    schema = Schema.learn(SEX.assign(member=[True, False, True]))
    np.testing.assert_array_equal(given_row(schema, {"sex": "m", "member": True})[0], [[1, np.nan, np.nan, 1]])
    np.testing.assert_array_equal(given_row(schema, {"age": np.int8(4), "kind": "b"})[0], [[np.nan, 4, 1, np.nan]])
    np.testing.assert_array_equal(given_row(Schema.learn(FLOATS), {1: 2})[0], [[np.nan, 2]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "at least one"),
        (None, "at least one"),
        ({"Sex": "m"}, "'Sex'.*'sex', 'age'"),
        ({0: "m"}, "column 0"),
        ({"sex": "x"}, "'x' for column 'sex'.*Known are 'f', 'm'"),
        ({"sex": None}, "None for column 'sex'"),
        ({"sex": pd.NA}, "NA.* for column 'sex'"),
        ({"sex": ["m"]}, "for column 'sex'"),
        ({"age": "4"}, "'4' for column 'age'.*finite number"),
        ({"age": np.inf}, "inf for column 'age'"),
        ({"age": np.nan}, "nan for column 'age'"),
        ({"age": None}, "None for column 'age'"),
        ({"age": 10**400}, "for column 'age'"),
        ({"member": 2}, "2 for column 'member'.*True or False"),
        ({"member": "yes"}, "'yes' for column 'member'"),
        ({"nothing": 1}, "no value at all"),
    ],
)
def test_bad_rows(given, message):
    schema = Schema.learn(SEX.assign(member=[True, False, True], nothing=pd.Series([None] * 3, dtype=object)))
    with pytest.raises(ValueError, match=message):
        given_row(schema, given)


def test_bad_rows_of_an_array():
    for key in ("a", 2, -1, 1.0):
        with pytest.raises(ValueError, match=r"column numbers.*0, 1"):
            given_row(Schema.learn(FLOATS), {key: 1.0})
