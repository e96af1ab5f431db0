"""Numbers as tables like the one that was fitted: means, draws, and missing values filled."""

import copy
import pickle

import array_api_strict
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
import sklearn
import torch
from example_tables import FLOATS, HUGE, same, tables
from scipy import sparse

from skvae._tables.decoding import draws, fill, means
from skvae._tables.encoding import encode, missing
from skvae._tables.schema import Schema


def test_python_ints_are_64_bits_wide():
    X = pd.DataFrame({"a": pd.Series([1, 2**40], dtype=object)})
    assert draws(Schema.learn(X), np.array([[2.0**41]]))["a"].tolist() == [2**41]


def test_a_list_of_numbers_and_strings():
    X = [[1, "a", 0.5], [2, "b", None], [30, "a", 2.25]]
    schema = Schema.learn(X)
    assert schema.kinds == ["real", "category", "real"]
    assert schema.integer == {0}
    assert schema.decimals == {2: 2}
    np.testing.assert_array_equal(encode(schema, X), [[1, 0, 0.5], [2, 1, np.nan], [30, 0, 2.25]])
    assert draws(schema, np.array([[1.6, 1.0, 0.123]])).tolist() == [[2, "b", 0.12]]
    assert means(schema, np.array([[1.6, 1.0, 0.123]])).tolist() == [[1.6, "b", 0.123]]
    assert fill(schema, X, np.array([[7.0, 0.0, 7.0]] * 3)).tolist() == [[1, "a", 0.5], [2, "b", 7.0], [30, "a", 2.25]]


@pytest.mark.parametrize("make", [np.array, torch.tensor, array_api_strict.asarray], ids=["numpy", "torch", "strict"])
def test_arrays_with_named_columns(make):
    X = make(np.array([[2.0, 0.123456789], [7.0, 1.0], [2.0, -1.0]]))
    schema = Schema.learn(X, [0])
    assert schema.kinds == ["category", "real"]
    assert not schema.is_plain
    Z = encode(schema, X)
    np.testing.assert_array_equal(Z, [[0, 0.123456789], [1, 1], [0, -1]])
    drawn = draws(schema, Z)
    assert drawn.dtype == np.float64
    np.testing.assert_array_equal(drawn, np.asarray(X))
    np.testing.assert_array_equal(means(schema, Z), np.asarray(X))


@tables
def test_draws_of_category_indices_are_the_table(table):
    X = table(incomplete=False)
    schema = Schema.learn(X)
    index = X.index if isinstance(X, pd.DataFrame) else None
    drawn = draws(schema, encode(schema, X), index)
    same(drawn, X)
    if index is not None:
        assert drawn.index is index
    again = pickle.loads(pickle.dumps(schema))
    assert again == schema == copy.deepcopy(schema)
    assert schema != Schema.learn(X[["Int8" if index is None else "int8"]])
    same(draws(again, encode(again, X), index), X)


@tables
def test_draws_with_missing_values_are_the_table(table):
    X = table(incomplete=True)
    schema = Schema.learn(X)
    drawn = draws(schema, encode(schema, X), X.index if isinstance(X, pd.DataFrame) else None)
    np.testing.assert_array_equal(missing(schema, drawn), missing(schema, X))
    np.testing.assert_array_equal(encode(schema, drawn), encode(schema, X))
    assert list(getattr(drawn, "dtypes", ())) == list(getattr(X, "dtypes", ()))


def test_arrow_tables():
    X = pa.table({"a": [1, None, 3], "b": pa.array(["x", None, "y"]).dictionary_encode(), "c": ["u", "v", None]})
    schema = Schema.learn(X)
    assert schema.kinds == ["real", "category", "category"]
    assert schema.library == "pyarrow"
    assert draws(schema, encode(schema, X)).to_pydict() == X.to_pydict()
    filled = fill(schema, X, np.array([[9.0, 1.0, 0.0]] * 3))
    assert filled.to_pydict() == {"a": [1, 9, 3], "b": ["x", "y", "y"], "c": ["u", "v", "u"]}


def test_draws_are_rounded_and_clipped():
    X = pd.DataFrame(
        {"a": np.array([1, 2], np.int8), "b": np.array([1, 2], np.uint64), "c": [0.25, 1.0], "d": [True, False]}
    )
    drawn = draws(Schema.learn(X), np.array([[300.0, -1.0, 0.256, 1.0], [-1.5, 1e30, 1.0, 0.0]]))
    assert drawn["a"].tolist() == [127, -2]
    assert drawn["c"].tolist() == [0.26, 1.0]
    assert drawn["d"].tolist() == [True, False]
    assert drawn["b"].tolist() == [0, 2**64 - 2048]
    assert list(drawn.dtypes) == list(X.dtypes)


def test_draws_of_float32_values():
    X = pd.DataFrame({"a": np.float32([0.1, 0.2]), "b": [0.1, 0.2], "c": ["x", "y"]})
    schema = Schema.learn(X)
    same(draws(schema, encode(schema, X).astype(np.float32)), X)
    assert [str(dtype) for dtype in means(schema, encode(schema, X).astype(np.float32)).dtypes][:2] == ["float32"] * 2


@tables
def test_means_are_floats_and_levels(table):
    X = table(incomplete=False)
    schema = Schema.learn(X)
    Z = encode(schema, X)
    Z[:, [kind != "category" for kind in schema.kinds]] += 0.123
    mean_table = means(schema, Z)
    for d, name in enumerate(schema.names):
        if schema.kinds[d] == "category":
            assert mean_table[name].dtype == X[name].dtype
            assert mean_table[name].to_list() == X[name].to_list()
        else:
            assert str(mean_table[name].dtype).lower() == "float64"
            np.testing.assert_array_equal(mean_table[name].to_numpy(), Z[:, d])


EMPTY = {
    "object": pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series([None, None], dtype=object)}),
    "null": pl.DataFrame({"a": [1.0, 2.0], "b": [None, None]}),
    "string": pl.DataFrame({"a": [1.0, 2.0], "b": pl.Series([None, None], dtype=pl.String)}),
    "array": np.array([["u", None], ["v", None]], dtype=object),
}


@pytest.mark.parametrize("X", EMPTY.values(), ids=EMPTY)
def test_empty_columns_stay_empty(X):
    schema = Schema.learn(X)
    assert schema.kinds[1] == "empty"
    Z = np.array([[0.0, 5.0], [1.0, 5.0]])
    for table in (means(schema, Z), draws(schema, Z), fill(schema, X, Z)):
        assert missing(schema, table).tolist() == [[False, True], [False, True]]
    assert np.isnan(encode(schema, X)[:, 1]).all()
    assert np.isnan(encode(schema, [["u", 5.0]] if isinstance(X, np.ndarray) else pd.DataFrame([[1.0, 5.0]]))[0, 1])
    if not isinstance(X, np.ndarray):
        same(fill(schema, X, Z), X)


def test_missing_cells_of_object_arrays_are_nan():
    X = np.array([["u", 1.0], [None, 2.0]], dtype=object)
    schema = Schema.learn(X)
    assert type(draws(schema, encode(schema, X))[1, 0]) is float


@tables
def test_fill(table):
    X, whole = table(incomplete=True), table(incomplete=False)
    schema, before = Schema.learn(X), X.copy() if isinstance(X, pd.DataFrame) else X.clone()
    filled = fill(schema, X, encode(schema, whole))
    if isinstance(X, pd.DataFrame):
        whole["float64"] = X["float64"]
        assert filled.index.equals(X.index)
    same(filled, whole)  # values were removed from it: dtypes, categories and observed cells are as they were
    same(X, before)
    same(fill(schema, whole, encode(schema, X)), whole)  # nothing to fill, nothing touched


@tables
def test_fill_where(table):
    X = table(incomplete=True)
    schema = Schema.learn(X)
    same(fill(schema, X, encode(schema, X), where=np.zeros(X.shape, bool)), X)
    where = np.zeros(X.shape, bool)
    where[0, 0] = True
    assert encode(schema, fill(schema, X, np.full(X.shape, 1.0), where))[0, 0] == 1


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"a": [HUGE, 1, None], "b": [HUGE] * 3}, dtype="Int64"),
        pl.DataFrame({"a": [HUGE, 1, None], "b": [HUGE] * 3}),
    ],
)
def test_integers_beyond_float64_stay(X):
    filled = fill(Schema.learn(X), X, np.full((3, 2), 5.0))
    assert filled["a"].to_list() == [HUGE, 1, 5]
    assert filled["b"].to_list() == [HUGE] * 3
    assert filled["a"].dtype == X["a"].dtype


def test_a_filled_column_takes_the_fitted_dtype_where_that_is_exact():
    fitted = pd.DataFrame(
        {"a": [1, 2], "b": [True, False], "c": pd.Categorical(["u", "v"]), "d": np.float32([0.1, 0.2])}
    )
    schema = Schema.learn(fitted)
    X = pd.DataFrame({"a": [1, None], "b": [None, True], "c": ["v", None], "d": [None, 0.5]}, dtype=object)
    X = X.astype({"a": float, "d": float})
    filled = fill(schema, X, np.array([[5.4, 0.0, 0.0, 0.1]] * 2))
    same(
        filled,
        pd.DataFrame({"a": [1, 5], "b": [False, True], "c": pd.Categorical(["v", "u"]), "d": np.float32([0.1, 0.5])}),
    )
    X = X.assign(a=[1.5, None], c=["w", None], d=[None, 0.1])  # 1.5 is no int, w no level, 0.1 no float32
    filled = fill(schema, X, np.array([[5.4, 0.0, 0.0, 0.5]] * 2))
    assert filled["a"].tolist() == [1.5, 5.0]
    assert filled["c"].tolist() == ["w", "u"]
    assert filled["c"].dtype == X["c"].dtype
    assert filled["d"].tolist() == [0.5, 0.1]


def test_a_filled_polars_column_takes_the_fitted_dtype_where_that_is_exact():
    schema = Schema.learn(
        pl.DataFrame({"a": [1, 2], "b": [True, False], "c": pl.Series(["u", "v"], dtype=pl.Enum(["u", "v"]))})
    )
    X = pl.DataFrame({"a": [3.0, None], "b": [0, None], "c": ["v", None]})
    expected = pl.DataFrame({"a": [3, 6], "b": [False, True], "c": pl.Series(["v", "u"], dtype=pl.Enum(["u", "v"]))})
    same(fill(schema, X, np.array([[6.0, 1.0, 0.0]] * 2)), expected)
    X = pl.DataFrame({"a": [3.5, None], "b": [2, None], "c": ["w", None]})
    expected = pl.DataFrame({"a": [3.5, 6.0], "b": [2, 1], "c": ["w", "u"]})
    same(fill(schema, X, np.array([[6.0, 1.0, 0.0]] * 2)), expected)


def test_a_column_keeps_its_dtype_where_the_fitted_one_is_too_narrow():
    schema = Schema.learn(pd.DataFrame({"a": np.array([1, 2], np.int8)}))
    X = pd.DataFrame({"a": [300.0, None, None]})
    assert fill(schema, X, np.full((3, 1), 5.0))["a"].tolist() == [300.0, 5.0, 5.0]
    where = np.array([[False], [True], [False]])  # int8 has no place for the missing value that stays
    same(fill(schema, X / 300, np.full((3, 1), 5.0), where), pd.DataFrame({"a": [1.0, 5.0, None]}))


def test_floats_of_whole_numbers_come_back_as_ints_without_missing_values():
    schema = Schema.learn(pd.DataFrame({"a": [1, 2], "b": [0.5, 1.0]}))
    X = pd.DataFrame({"a": [3.0, 4.0], "b": [1, 2]})
    assert fill(schema, X, np.zeros((2, 2))).dtypes.astype(str).tolist() == ["int64", "int64"]
    same(fill(schema, X + 0.5, np.zeros((2, 2))), X + 0.5)


def test_columns_without_missing_values_are_untouched():
    schema = Schema.learn(pd.DataFrame({"a": [1, 2], "b": pd.Series([None, None], dtype=object)}))
    X = pd.DataFrame({"a": np.int32([1, 2]), "b": pd.Series([None, np.nan], dtype=object)})
    filled = fill(schema, X, np.zeros((2, 2)))
    assert filled["a"].dtype == np.int32
    assert filled["b"][0] is None
    assert type(filled["b"][1]) is float
    X = pl.DataFrame({"a": [1.5, float("nan")]})  # not a null
    same(fill(Schema.learn(pl.DataFrame({"a": [1, 2]})), X, np.zeros((2, 1)), np.zeros((2, 1), bool)), X)


def test_polars_ints_become_the_floats_of_fit():
    filled = fill(Schema.learn(pl.DataFrame({"a": [0.5, 1.0]})), pl.DataFrame({"a": [1, None]}), np.full((2, 1), 0.3))
    same(filled, pl.DataFrame({"a": [1.0, 0.3]}))


def test_a_category_that_lacks_the_level_is_extended():
    schema = Schema.learn(pd.DataFrame({"a": pd.Categorical(["u", "v"])}))
    X = pd.DataFrame({"a": pd.Categorical(["w", None], categories=["w", "u"])})
    filled = fill(schema, X, np.array([[1.0], [1.0]]))["a"]
    assert filled.tolist() == ["w", "v"]
    assert filled.cat.categories.tolist() == ["w", "u", "v"]


def test_fill_keeps_the_library_of_what_it_fills():
    schema = Schema.learn(pd.DataFrame({"a": [1, 2], "b": ["u", "v"], "c": [0.5, 1.0]}))
    X = pl.DataFrame({"a": [1, None], "b": ["v", None], "c": [1, None]})
    filled = fill(schema, X, np.array([[2.0, 0.0, 0.3]] * 2))
    same(filled, pl.DataFrame({"a": [1, 2], "b": ["v", "u"], "c": [1.0, 0.3]}))


def test_fill_an_array_where_fit_saw_a_frame():
    schema = Schema.learn(pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}))
    filled = fill(schema, np.array([[5, None], [None, "v"]], dtype=object), np.array([[2.2, 0.0]] * 2))
    assert filled.tolist() == [[5, "u"], [2, "v"]]
    assert fill(schema, np.array([[np.nan, 1.0]]), np.array([[2.2, 0.0]])).tolist() == [[2.0, 1.0]]
    assert fill(schema, np.array([[1.0, np.nan]]), np.array([[2.2, 0.0]])).tolist() == [[1.0, "u"]]


def test_fill_arrays():
    values = np.array([[7.123, 8.0], [9.0, 10.0]])
    for X in (
        FLOATS,
        torch.tensor(FLOATS),
        array_api_strict.asarray(FLOATS),
        sparse.csr_matrix(FLOATS),
        FLOATS.tolist(),
    ):
        schema = Schema.learn(X)
        with sklearn.config_context(array_api_dispatch=True):
            filled = fill(schema, X, values)
        dense = filled.toarray() if sparse.issparse(filled) else np.asarray(filled)
        np.testing.assert_array_equal(dense, [[1.0, 0.5], [9.0, 2.0]])
        assert isinstance(filled, type(X)) or isinstance(X, list)
    X = FLOATS.astype(np.float32)
    assert fill(Schema.learn(X), X, values).dtype == np.float32
    assert np.isnan(X[1, 0])


def test_fill_a_csr_keeps_its_zeros():
    X = sparse.csr_matrix(np.array([[0.0, np.nan], [3.0, 0.0]]))
    filled = fill(Schema.learn(X), X, np.full((2, 2), 5.0))
    assert sparse.issparse(filled)
    assert filled.toarray().tolist() == [[0, 5], [3, 0]]
    assert np.isnan(X.toarray()[0, 1])


def test_a_wide_table():
    """Takes a second; a loop over pairs of columns would take hours."""
    X = pd.DataFrame(np.arange(6000).reshape(2, 3000))
    schema = Schema.learn(X)
    same(draws(schema, encode(schema, X)), X)
