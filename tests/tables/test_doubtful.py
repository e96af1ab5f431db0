"""One warning for each column that is fitted as categories and looks like names or like numbers."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skvae import VAETransformer

N = 60
RNG = np.random.default_rng(0)
NAMES = np.array([f"Anna {i}" for i in range(N)], dtype=object)
NUMBERS = np.array([f"{x:.1f}" for x in RNG.normal(size=N)], dtype=object)
FEW = RNG.choice(["cat", "dog"], N).astype(object)
KINDS = {
    "pandas": lambda columns: pd.DataFrame(columns),
    "polars": lambda columns: pl.DataFrame({name: cells.tolist() for name, cells in columns.items()}),
    "pyarrow": lambda columns: pa.table({name: cells.tolist() for name, cells in columns.items()}),
    "array": lambda columns: np.stack(list(columns.values()), 1).astype(object),
    "list": lambda columns: np.stack(list(columns.values()), 1).tolist(),
}


def fit(table, **parameters):
    return VAETransformer(1, max_iter=0, random_state=0, **parameters).fit(table)


def told(recorded):
    return [str(warning.message) for warning in recorded]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_told_once_by_their_column(kind):
    table = KINDS[kind]({"x": RNG.normal(size=N), "who": NAMES, "pet": FEW})
    with pytest.warns(UserWarning, match="identifiers") as recorded:
        fit(table)
    name = "'x1'" if kind in ("array", "list") else "'who'"
    assert len(recorded) == 1
    assert f"Column {name} has {N} levels in {N} rows" in told(recorded)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_strings_are_told_once_by_their_column(kind):
    numbers = NUMBERS.copy()
    numbers[:5] = "?"
    table = KINDS[kind]({"x": RNG.normal(size=N), "size": numbers, "pet": FEW})
    with pytest.warns(UserWarning, match="strings that are numbers") as recorded:
        fit(table)
    name = "'x1'" if kind in ("array", "list") else "'size'"
    assert len(recorded) == 1
    assert f"Column {name} holds" in told(recorded)[0]
    assert "beside '?'" in told(recorded)[0]


def test_each_column_has_its_own_warning():
    table = pd.DataFrame({"who": NAMES, "also": NAMES[::-1], "size": NUMBERS, "pet": FEW})
    with pytest.warns(UserWarning, match="Column") as recorded:
        fit(table)
    assert sorted(message.split("'")[1] for message in told(recorded)) == ["also", "size", "who"]


def test_shares_are_of_cells_and_weights():
    half = NUMBERS.copy()
    half[: N // 5] = "none"  # a fifth is no number
    repeated = np.array([f"Anna {i}" for i in range(N // 3)] * 3, dtype=object)  # a third as many levels as rows
    fit(pd.DataFrame({"size": half[:10].repeat(6), "who": repeated}))
    sparse_names = NAMES.copy()
    sparse_names[15:] = None  # few rows have a name, and each its own
    with pytest.warns(UserWarning, match="15 levels in 15 rows"):
        fit(pd.DataFrame({"x": RNG.normal(size=N), "who": sparse_names}))
    fit(pd.DataFrame({"x": RNG.normal(size=N), "who": NAMES}).iloc[np.arange(N).repeat(3)])
    weight = np.full(N, 3)
    VAETransformer(1, max_iter=0).fit(pd.DataFrame({"x": RNG.normal(size=N), "who": NAMES}), sample_weight=weight)


def test_what_is_said_to_be_categories_are_categories():
    codes = RNG.choice(["1", "2", "3"], N).astype(object)
    fit(pd.DataFrame({"code": pd.Categorical(codes), "x": RNG.normal(size=N)}))
    fit(pl.DataFrame({"code": pl.Series(codes.tolist(), dtype=pl.Enum(["1", "2", "3"])), "x": RNG.normal(size=N)}))
    fit(pd.DataFrame({"code": codes, "x": RNG.normal(size=N)}), categorical_features=["code"])
    listed = pd.Categorical(FEW, categories=["cat", "dog", *NAMES])  # of a long list two are there
    fit(pd.DataFrame({"pet": listed, "x": RNG.normal(size=N)}))
    with pytest.warns(UserWarning, match="identifiers"):
        fit(pd.DataFrame({"who": pd.Categorical(NAMES), "x": RNG.normal(size=N)}))
    with pytest.warns(UserWarning, match="identifiers"):
        fit(pd.DataFrame({"number": np.arange(N), "x": RNG.normal(size=N)}), categorical_features=["number"])


def test_chunks_are_judged_together():
    names = [f"Anna {i}" for i in range(20)]

    def source():
        return (pd.DataFrame({"who": names, "x": np.arange(20.0) + i}) for i in range(5))

    VAETransformer(1, max_iter=0).fit_batches(source)  # a fifth as many levels as rows
    VAETransformer(1, max_iter=0).fit_statistics(source).partial_fit(next(source()))

    def many():
        return (pd.DataFrame({"who": [f"{name} {i}" for name in names], "x": np.arange(20.0)}) for i in range(5))

    with pytest.warns(UserWarning, match="100 levels in 100 rows"):
        VAETransformer(1, max_iter=0).fit_batches(many)
    with pytest.warns(UserWarning, match="100 levels in 100 rows"):
        VAETransformer(1, max_iter=0).fit_statistics(many).partial_fit(next(many()))
