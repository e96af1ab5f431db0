"""Tables with every dtype that a column of a model can have, for the tests of this folder."""

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pytest
from pandas.testing import assert_frame_equal

N = 60


HUGE = 2**53 + 1  # no float64


HOLED = ("Int64", "Float64", "boolean", "object", "none", "float32", "ordered", "category", "str", "string")


def cells(seed, *levels):
    return [levels[i] for i in np.random.default_rng(seed).integers(len(levels), size=N)]


def pandas_table(incomplete):
    """Every dtype of pandas that a column of a model can have, missing values in those that can have them."""
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
    if incomplete:
        for d, name in enumerate(HOLED):
            table.loc[table.index[3 * d :: 11], name] = None
    return table


def polars_table(incomplete):
    """Every dtype of polars that a column of a model can have."""
    rng = np.random.default_rng(0)

    def column(name, values, dtype=None, d=None):
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        return pl.Series(
            name,
            [None if incomplete and d is not None and (i + d) % 9 == 0 else v for i, v in enumerate(values)],
            dtype,
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


FLOATS = np.array([[1.0, 0.5], [np.nan, 2.0]])


SEX = pd.DataFrame({"sex": ["f", "m", "f"], "age": [3, 1, 3], "kind": pd.Categorical(["a", "b", "a"])})
