"""Tables: learnt, encoded, and given back as they came, whatever library and dtypes they are of."""

import copy
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
import sklearn
import torch
from pandas.testing import assert_frame_equal
from scipy import sparse

from skvae._tables.decoding import draws, fill, means
from skvae._tables.encoding import encode, given_row, missing
from skvae._tables.schema import Schema

N = 60
HUGE = 2**53 + 1  # no float64
HOLED = ("Int64", "Float64", "boolean", "object", "none", "float32", "ordered", "category", "str", "string")


def cells(seed, *levels):
    return [levels[i] for i in np.random.default_rng(seed).integers(len(levels), size=N)]


def pandas_table(holes):
    """Every dtype of pandas that a column of a model can have, holes in those that can have them."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_arrays([np.arange(N)[::-1] // 7, np.arange(N)], names=["block", None])
    table = pd.DataFrame(
        {
            "int8": rng.integers(-128, 128, N).astype(np.int8),
            "uint8": rng.integers(0, 256, N).astype(np.uint8),
            "Int64": pd.array(rng.integers(0, 9, N), dtype="Int64"),
            "float32": rng.normal(size=N).astype(np.float32).round(2),
            "float64": rng.normal(size=N),
            "Float64": pd.array(rng.normal(size=N).round(3), dtype="Float64"),
            "bool": rng.random(N) < 0.5,
            "boolean": pd.array(rng.random(N) < 0.5, dtype="boolean"),
            "object": pd.Series(cells(1, True, False), dtype=object),
            "category": pd.Categorical(cells(2, "b", "a"), categories=["c", "b", "a"]),
            "numbers": pd.Categorical(cells(3, 10, 2), categories=[10, 2]),
            "ordered": pd.Categorical(cells(4, "low", "high"), ["low", "mid", "high"], ordered=True),
            "cut": pd.cut(rng.normal(size=N), 3),
            "str": pd.Series(cells(5, "x", "y", "zz")),
            "string": pd.Series(cells(6, "x", "y"), dtype="string"),
            "none": pd.Series(cells(7, "p", "q"), dtype=object),
            "objects": pd.Series(cells(8, 1, 20), dtype=object),
            7: rng.integers(0, 5, N),
        }
    ).set_index(index)
    if holes:
        for d, name in enumerate(HOLED):
            table.loc[table.index[3 * d :: 11], name] = None
    return table


def polars_table(holes):
    """Every dtype of polars that a column of a model can have."""
    rng = np.random.default_rng(0)

    def column(name, values, dtype=None, d=None):
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        return pl.Series(
            name, [None if holes and d is not None and (i + d) % 9 == 0 else v for i, v in enumerate(values)], dtype
        )

    return pl.DataFrame(
        [
            column("Int8", rng.integers(-128, 128, N), pl.Int8),
            column("UInt64", rng.integers(0, 9, N), pl.UInt64),
            column("Int32", rng.integers(0, 9, N), pl.Int32, 1),
            column("Float32", rng.integers(0, 99, N) / 4, pl.Float32, 2),
            column("Float64", rng.normal(size=N)),
            column("Boolean", rng.random(N) < 0.5, pl.Boolean, 3),
            column("Categorical", cells(1, "b", "a"), pl.Categorical, 4),
            column("Enum", cells(2, "low", "high"), pl.Enum(["low", "mid", "high"]), 5),
            column("String", cells(3, "x", "y", "zz"), pl.String, 6),
        ]
    )


def same(A, B):
    """Frames of either library are equal, dtypes, names, index and order included."""
    return polars.testing.assert_frame_equal(A, B) if isinstance(A, pl.DataFrame) else assert_frame_equal(A, B)


TABLES = {"pandas": pandas_table, "polars": polars_table}
tables = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


# Learning


def test_pandas_kinds_and_levels():
    schema = Schema.learn(pandas_table(holes=True))
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
    schema = Schema.learn(polars_table(holes=True))
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


FLOATS = np.array([[1.0, 0.5], [np.nan, 2.0]])
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


def test_int_arrays_hold_integers():
    assert Schema.learn([[1, 2]]).integer == Schema.learn(torch.tensor([[1, 2]])).integer == {0, 1}
    assert not Schema.learn([[1.0, 2.0]]).integer


def test_python_ints_are_64_bits_wide():
    X = pd.DataFrame({"a": pd.Series([1, 2**40], dtype=object)})
    assert draws(Schema.learn(X), np.array([[2.0**41]]))["a"].tolist() == [2**41]


def test_cells_that_scikit_learn_refuses_are_left_to_it():
    assert Schema.learn(np.array([[1.0, {"a": 1}], [2.0, 3.0]], dtype=object)).is_plain
    assert Schema.learn(np.array([[1j, 2.0]])).is_plain
    assert Schema.learn([1.0, 2.0]).is_plain
    assert Schema.learn([[1.0], [1.0, 2.0]]).is_plain


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


# categorical_features

SEX = pd.DataFrame({"sex": ["f", "m", "f"], "age": [3, 1, 3], "kind": pd.Categorical(["a", "b", "a"])})


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


def test_sparse_tables_name_no_columns():
    with pytest.raises(ValueError, match=r"categorical_features.*sparse.*dense"):
        Schema.learn(sparse.eye(3).tocsr(), [0])
    assert Schema.learn(sparse.eye(3).tocsr(), "from_dtype").is_plain


# Tables that are refused

DAY = datetime.date(2020, 1, 1)
REFUSED = {
    "datetime": (pd.DataFrame({"when": pd.to_datetime(["2020-01-01"])}), "'when' holds dates"),
    "timedelta": (pd.DataFrame({"when": pd.to_timedelta([1], unit="D")}), "'when' holds dates"),
    "period": (pd.DataFrame({"when": pd.period_range("2020", periods=1, freq="D")}), "'when' holds dates"),
    "object dates": (pd.DataFrame({"when": pd.Series([DAY, None], dtype=object)}), "'when' holds dates"),
    "polars date": (pl.DataFrame({"when": [DAY]}), "'when' holds dates"),
    "polars time": (pl.DataFrame({"when": [datetime.time(1)]}), "'when' holds dates"),
    "array": (np.array([["2020-01-01"]], dtype="M8[D]"), "X holds dates"),
    "object array": (np.array([[DAY, 1.0]], dtype=object), "'x0' holds dates"),
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


# Encoding


@tables
def test_missing_cells_are_nan(table):
    X = table(holes=True)
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


# Back


@tables
def test_draws_of_codes_are_the_table(table):
    X = table(holes=False)
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
def test_draws_with_holes_are_the_table(table):
    X = table(holes=True)
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


@pytest.mark.parametrize(
    ("values", "decimals"), [([1.0, 2.0], 0), ([0.1, 12.345], 3), ([0.1, 1e300], 1), ([1 / 3, 1], None)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decimals(values, decimals, dtype):
    if dtype == np.float32 and max(values) > 1e38:
        values = values[:1]
    assert Schema.learn(pd.DataFrame({"a": np.array(values, dtype)})).decimals == {0: decimals}


def test_draws_of_float32_values():
    X = pd.DataFrame({"a": np.float32([0.1, 0.2]), "b": [0.1, 0.2], "c": ["x", "y"]})
    schema = Schema.learn(X)
    same(draws(schema, encode(schema, X).astype(np.float32)), X)
    assert [str(dtype) for dtype in means(schema, encode(schema, X).astype(np.float32)).dtypes][:2] == ["float32"] * 2


@tables
def test_means_are_floats_and_levels(table):
    X = table(holes=False)
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


def test_an_empty_column_that_is_named_is_no_category():
    schema = Schema.learn(pd.DataFrame({"a": [1.0], "b": [np.nan]}), ["b"])
    assert schema.kinds == ["real", "empty"]
    assert not schema.levels


def test_missing_cells_of_object_arrays_are_nan():
    X = np.array([["u", 1.0], [None, 2.0]], dtype=object)
    schema = Schema.learn(X)
    assert type(draws(schema, encode(schema, X))[1, 0]) is float


# Filling


@tables
def test_fill(table):
    X, whole = table(holes=True), table(holes=False)
    schema, before = Schema.learn(X), X.copy() if isinstance(X, pd.DataFrame) else X.clone()
    filled = fill(schema, X, encode(schema, whole))
    if isinstance(X, pd.DataFrame):
        whole["float64"] = X["float64"]
        assert filled.index.equals(X.index)
    same(filled, whole)  # the holes were made in it: dtypes, categories and observed cells are as they were
    same(X, before)
    same(fill(schema, whole, encode(schema, X)), whole)  # nothing to fill, nothing touched


@tables
def test_fill_where(table):
    X = table(holes=True)
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
    where = np.array([[False], [True], [False]])  # int8 has no place for the hole that stays
    same(fill(schema, X / 300, np.full((3, 1), 5.0), where), pd.DataFrame({"a": [1.0, 5.0, None]}))


def test_floats_of_whole_numbers_come_back_as_ints_without_a_hole():
    schema = Schema.learn(pd.DataFrame({"a": [1, 2], "b": [0.5, 1.0]}))
    X = pd.DataFrame({"a": [3.0, 4.0], "b": [1, 2]})
    assert fill(schema, X, np.zeros((2, 2))).dtypes.astype(str).tolist() == ["int64", "int64"]
    same(fill(schema, X + 0.5, np.zeros((2, 2))), X + 0.5)


def test_columns_without_a_hole_are_untouched():
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


# One row


def test_row():
    schema = Schema.learn(SEX.assign(member=[True, False, True]))
    np.testing.assert_array_equal(given_row(schema, {"sex": "m", "member": True}), [[1, np.nan, np.nan, 1]])
    np.testing.assert_array_equal(given_row(schema, {"age": np.int8(4), "kind": "b"}), [[np.nan, 4, 1, np.nan]])
    np.testing.assert_array_equal(given_row(Schema.learn(FLOATS), {1: 2}), [[np.nan, 2]])


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


# House


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


def test_a_wide_table():
    """Takes a second; a loop over pairs of columns would take hours."""
    X = pd.DataFrame(np.arange(6000).reshape(2, 3000))
    schema = Schema.learn(X)
    same(draws(schema, encode(schema, X)), X)
