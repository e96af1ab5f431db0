"""The schema of two tables, one below the other."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from chunks import cut, frame

from skvae._tables.schema import Schema
from skvae._tables.union import union


def united(*frames):
    schema = Schema.learn(frames[0])
    for other in frames[1:]:
        schema = union(schema, Schema.learn(other))
    return schema


def test_a_union_is_the_schema_of_the_whole():
    X = frame()
    assert united(*[part for part in cut(X, 4) if len(part)]) == Schema.learn(X)
    X = pl.from_pandas(X)
    assert united(X[:30], X[30:]) == Schema.learn(X)


def test_a_column_without_values_takes_the_others_kind():
    """pandas reads a chunk of missing strings as floats, and Python's None as objects."""
    words, numbers = pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": [1, 2]})
    for nothing in (pd.DataFrame({"a": [np.nan, np.nan]}), pd.DataFrame({"a": [None, None]}, dtype=object)):
        for known in (words, numbers):
            schema = Schema.learn(known)
            assert united(nothing, known) == united(known, nothing) == united(nothing, known, nothing) == schema
    assert united(pd.DataFrame({"a": [np.nan]}), pd.DataFrame({"a": [np.nan]})).kinds == ["real"]


def test_digits_of_a_union():
    ints, floats = pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1.25, np.nan]})
    assert united(ints, ints).integer == {0}
    assert united(ints, floats).integer == set()
    assert united(ints, floats).decimals == united(floats, ints).decimals == {0: 2}
    assert united(floats, pd.DataFrame({"a": [1 / 3]})).decimals == {0: None}
    assert united(ints, floats).template["a"].dtype == np.float64
    assert united(ints.astype(np.int8), ints.astype(np.uint8)).template["a"].dtype == np.int16
    both = united(pl.DataFrame({"a": [1]}, schema={"a": pl.Int8}), pl.DataFrame({"a": [1]}, schema={"a": pl.Int32}))
    assert both.template["a"].dtype == pl.Int32


def test_declared_levels_of_a_union_keep_their_order():
    a, b = (pd.DataFrame({"k": pd.Categorical(list(own), categories=list(own))}) for own in ("cb", "da"))
    schema = united(a, b)
    assert schema.levels[0].tolist() == list("cbda")
    assert schema.template["k"].cat.categories.tolist() == list("cbda")
    a, b = (pl.DataFrame({"k": list(own)}, schema={"k": pl.Enum(list(own))}) for own in ("cb", "cb"))
    assert united(a, b).template["k"].dtype == pl.Enum(["c", "b"])
    with pytest.raises(ValueError, match=r"'k' has ordered categories 'a', 'b', but they were 'a', 'c' before"):
        united(*[pd.DataFrame({"k": pd.Categorical(["a"], list(own), ordered=True)}) for own in ("ac", "ab")])
