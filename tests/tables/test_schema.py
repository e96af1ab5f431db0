"""What is learned of a table: kinds, levels and decimals of its columns; and tables that are refused."""

import datetime
import pickle
import weakref

import array_api_strict
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
import torch
from example_tables import FLOATS, SEX, pandas_table, polars_table, same
from scipy import sparse

from skvae._tables.decoding import draws, means
from skvae._tables.encoding import encode, missing
from skvae._tables.schema import Schema


def test_pandas_kinds_and_levels():
    schema = Schema.learn(pandas_table(incomplete=True))
    kind = dict(zip(schema.names, schema.kinds, strict=True))
    assert {name for name in kind if kind[name] == "boolean"} == {"bool", "boolean", "object"}
    assert {name for name in kind if kind[name] == "real"} == {
        *("int8", "uint8", "Int64", "float32", "float64", "Float64", "objects", 7)
    }
    levels = {schema.label(d): levels.tolist() for d, levels in schema.levels.items()}
    assert levels["category"] == ["c", "b", "a"]  # the dtype's order, unobserved ones too
    assert levels["numbers"] == [10, 2]
    assert schema.levels[schema.names.index("numbers")].dtype == np.int64
    assert levels["str"] == ["x", "y", "zz"]
    assert levels["none"] == ["p", "q"]
    assert len(levels["cut"]) == 3
    assert {schema.label(d) for d in schema.ordered} == {"ordered", "cut"}
    assert {schema.label(d) for d in schema.integer} == {"int8", "uint8", "Int64", "objects", 7}
    assert {schema.label(d): k for d, k in schema.decimals.items()} == {"float32": 2, "float64": None, "Float64": 3}
    assert schema.library == "pandas"
    assert not schema.is_plain


def test_polars_kinds_and_levels():
    schema = Schema.learn(polars_table(incomplete=True))
    assert schema.kinds == ["real"] * 5 + ["boolean"] + ["category"] * 3
    assert {d: levels.tolist() for d, levels in schema.levels.items()} == {
        6: ["a", "b"],
        7: ["low", "mid", "high"],
        8: ["x", "y", "zz"],
    }
    assert schema.n_levels == {6: 2, 7: 3, 8: 3}
    assert schema.ordered == {7}
    assert schema.integer == {0, 1, 2}
    assert schema.library == "polars"


def test_observed_levels_are_sorted():
    letters = list("qwertyuiopasdfghjklzxcvbnm")
    for X in ({"a": letters}, {"a": pl.Series(letters, dtype=pl.Categorical)}):
        assert Schema.learn(pl.DataFrame(X)).levels[0].tolist() == sorted(letters)
    assert Schema.learn(pd.DataFrame({"a": [30, 4, 100]}), ["a"]).levels[0].tolist() == [4, 30, 100]


PLAIN = {
    "floats": FLOATS,
    "list": FLOATS.tolist(),
    "objects": FLOATS.astype(object),
    "None": [[1, None], [2, 3]],
    "csr": sparse.csr_matrix(FLOATS),
    "tensor": torch.tensor(FLOATS),
    "array_api": array_api_strict.asarray(FLOATS),
    "pandas": pd.DataFrame(FLOATS).astype({0: np.float32}),
    "polars": pl.DataFrame({"a": [1, None], "b": [0.5, 2.0]}),
}


@pytest.mark.parametrize("X", PLAIN.values(), ids=PLAIN)
def test_plain_tables(X):
    schema = Schema.learn(X)
    assert schema.is_plain
    assert schema.kinds == ["real", "real"]
    assert not schema.levels
    assert encode(schema, X).dtype == np.float64
    np.testing.assert_array_equal(np.isnan(encode(schema, X)), missing(schema, X))
    if schema.names is None:
        assert schema.label(1) == "x1"
        assert draws(schema, FLOATS) is FLOATS
        assert means(schema, FLOATS) is FLOATS


@pytest.mark.parametrize(
    "X", [np.eye(2, dtype=bool), torch.eye(2) > 0, sparse.eye(2, dtype=bool).tocsr(), [[True, False]]]
)
def test_bool_arrays(X):
    schema = Schema.learn(X)
    assert schema.kinds == ["boolean", "boolean"]
    assert schema.is_plain


@pytest.mark.parametrize("column", [[True, False], pd.array([1, 2], dtype="Int64"), ["a", "b"], pd.Categorical([1, 2])])
def test_frames_that_are_not_plain(column):
    assert not Schema.learn(pd.DataFrame({"a": [1.0, 2.0], "b": column})).is_plain


def test_arrays_of_numbers_and_dates_are_read_and_made():
    X = np.array([[1.5, datetime.date(2024, 1, 2)], [2.5, None]], dtype=object)
    schema = Schema.learn(X)
    assert not schema.is_plain
    assert schema.kinds == ["real", "real"]
    np.testing.assert_array_equal(encode(schema, X.tolist()), [[1.5, 19724], [2.5, np.nan]])
    assert draws(schema, np.array([[3.5, 19725.2]])).tolist() == [[3.5, datetime.date(2024, 1, 3)]]


def test_int_arrays_hold_integers():
    assert Schema.learn([[1, 2]]).integer == Schema.learn(torch.tensor([[1, 2]])).integer == {0, 1}
    assert not Schema.learn([[1.0, 2.0]]).integer


def test_cells_that_scikit_learn_refuses_are_left_to_it():
    assert Schema.learn(np.array([[1.0, {"a": 1}], [2.0, 3.0]], dtype=object)).is_plain
    assert Schema.learn(np.array([[1j, 2.0]])).is_plain
    assert Schema.learn([1.0, 2.0]).is_plain
    assert Schema.learn([[1.0], [1.0, 2.0]]).is_plain


@pytest.mark.parametrize(
    "chosen",
    [["sex", "kind", "age"], [0, 2, 1], [True] * 3, np.array([0, -1, 1]), pd.Index(["age", "kind", "sex"]), range(3)],
)
def test_columns_are_named(chosen):
    schema = Schema.learn(SEX, chosen)
    assert schema.kinds == ["category"] * 3
    assert schema.levels[1].tolist() == [1, 3]
    same(draws(schema, encode(schema, SEX)), SEX)


def test_what_is_not_named_is_refused():
    for chosen in ("from_dtype", ["kind"], [False, False, True]):
        with pytest.raises(ValueError, match=r"\['sex'\] hold strings.*categorical_features"):
            Schema.learn(SEX, chosen)
    with pytest.raises(ValueError, match=r"\['sex', 'kind'\]"):
        Schema.learn(SEX, None)
    assert Schema.learn(SEX[["age", "kind"]], "from_dtype").kinds == ["real", "category"]
    assert Schema.learn(SEX[["age"]], None).kinds == ["real"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["sx"], "'sx'.*'sex', 'age', 'kind'"),
        ([3], "column 3"),
        ([True, False], "2 entries, X 3 columns"),
        ("sex", "must be 'auto'"),
        (1, "must be 'auto'"),
    ],
)
def test_bad_categorical_features(chosen, message):
    with pytest.raises(ValueError, match=f"categorical_features.*{message}"):
        Schema.learn(SEX, chosen)


def test_sparse_tables_name_no_columns():
    with pytest.raises(ValueError, match=r"categorical_features.*sparse.*dense"):
        Schema.learn(sparse.eye(3).tocsr(), [0])
    assert Schema.learn(sparse.eye(3).tocsr(), "from_dtype").is_plain


REFUSED = {
    "polars time": (pl.DataFrame({"when": [datetime.time(1)]}), "'when' holds cells of type time"),
    "twice": (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), r"same name: \['a'\]"),
    "twice in arrow": (pa.table([[1], [2]], names=["a", "a"]), r"same name: \['a'\]"),
    "mix": (pd.DataFrame({"a": pd.Series([1, "b", None], dtype=object)}), "'a' .*several types: int, str"),
    "mix in a list": ([["a", 1], [2, 1]], "'x0' .*several types: int, str"),
    "no levels": (pd.DataFrame({"a": pd.Categorical([None])}), "'a' has a category dtype without"),
    "no polars levels": (pl.DataFrame({"a": pl.Series([None], dtype=pl.Categorical)}), "'a' has a category dtype"),
    "list": (pl.DataFrame({"a": [[1, 2]]}), "'a' holds cells of type list"),
    "struct": (pl.DataFrame({"a": [{"b": 1}]}), "'a' holds cells of type dict"),
    "complex": (pd.DataFrame({"a": [1j]}), "'a' holds cells of type complex"),
    "bytes": (pd.DataFrame({"a": pd.Series([b"a"], dtype=object)}), "'a' holds cells of type bytes"),
}


@pytest.mark.parametrize(("X", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(X, message):
    with pytest.raises(ValueError, match=message):
        Schema.learn(X)


@pytest.mark.parametrize(
    ("values", "decimals"), [([1.0, 2.0], 0), ([0.1, 12.345], 3), ([0.1, 1e300], 1), ([1 / 3, 1], None)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decimals(values, decimals, dtype):
    if dtype == np.float32 and max(values) > 1e38:
        values = values[:1]
    assert Schema.learn(pd.DataFrame({"a": np.array(values, dtype)})).decimals == {0: decimals}


def test_an_empty_column_that_is_named_is_no_category():
    schema = Schema.learn(pd.DataFrame({"a": [1.0], "b": [np.nan]}), ["b"])
    assert schema.kinds == ["real", "empty"]
    assert not schema.levels


def test_the_schema_does_not_keep_the_rows():
    X = pd.DataFrame({"a": np.arange(100_000.0), "b": ["some string"] * 100_000})
    for table in (X, pl.from_pandas(X), pa.Table.from_pandas(X)):
        assert len(pickle.dumps(Schema.learn(table))) < 10_000
    values = np.zeros((10, 2))
    alive, X = weakref.ref(values), pd.DataFrame(values, copy=False)
    schema = Schema.learn(X)
    del values, X
    assert alive() is None
    assert schema.names == [0, 1]
