"""What no reader can make numbers of is refused with its column, whatever the reader says itself."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skvae import VAETransformer

X = np.random.default_rng(0).normal(size=(20, 2))
WORDS = {"a": X[:3, 0], "b": ["x", "y", "z"]}
CONTAINERS = {
    "pandas": pd.DataFrame(WORDS),
    "polars": pl.DataFrame(WORDS),
    "pyarrow": pa.table(WORDS),
    "array": np.array([[1.0, "x"]], dtype=object),
    "strings": np.array([["1.0", "x"]]),
    "list": [[1.0, "x"]],
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("method", ["transform", "score_samples", "impute", "partial_fit"])
def test_words_in_a_column_of_numbers_are_refused_by_its_name(container, method):
    vae = VAETransformer(1, max_iter=0).fit(pd.DataFrame(X, columns=["a", "b"]))
    fitted = vae.fitted_
    if container not in ("pandas", "polars", "pyarrow"):
        vae = VAETransformer(1, max_iter=0).fit(X)
        fitted = vae.fitted_
    with pytest.raises(ValueError, match=r"Column '(b|x1)' holds 'x', which is no number. Convert"):
        getattr(vae, method)(CONTAINERS[container])
    assert vae.fitted_ is fitted


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1.0, [2.0]], [1.0, [2.0, 3.0]]], "differ in length, or their cells are lists"),
        ([[1.0], [1.0, 2.0]], "differ in length"),
        (np.array(["x", "y"], dtype=object), "Expected 2D array, got an array X of 1 dimensions"),
        (np.array([[1.0, {"a": 1}], [1.0, {}]], dtype=object), r"Column 'x1' holds {'a': 1}, which is no number"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_in_fit(table, message):
    with pytest.raises((TypeError, ValueError), match=message):
        VAETransformer(1, max_iter=0).fit(table)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_frame_whose_rows_all_have_no_weight_is_refused_as_that(make):
    with pytest.raises(ValueError, match="sample_weight"):
        VAETransformer(1).fit(make({"a": [1.0], "b": [2.0]}), sample_weight=[0.0])


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2), ()])
def test_other_shapes_are_refused_where_fit_saw_categories(shape):
    vae = VAETransformer(1, max_iter=0).fit(pd.DataFrame({"a": ["x", "y"] * 5, "b": range(10)}))
    with pytest.raises(ValueError, match=f"Expected 2D array, got an array X of {len(shape)} dimensions"):
        vae.transform(np.zeros(shape))


def test_lists_in_a_column_of_categories_are_refused_by_its_name():
    vae = VAETransformer(1, max_iter=0).fit(pd.DataFrame({"a": ["x", "y"] * 5, "b": range(10)}))
    with pytest.raises(ValueError, match="Column 'a' holds cells that are no categories: unhashable type: 'list'"):
        vae.transform(pd.DataFrame({"a": [["x", "y"]], "b": [1]}))
