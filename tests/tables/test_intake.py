"""What callers give as tables: read with every cell once, or refused in one sentence that names the parameter."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from skvae import TableStatistics, VAETransformer
from skvae._tables.intake import as_table

X = np.random.default_rng(0).normal(size=(20, 2)).round(2)
MASK = np.random.default_rng(1).random(X.shape) < 0.2


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", "?"])
def test_masked_cells_of_numbers_are_nan(dtype):
    values = (X * 10).astype(dtype)
    table = as_table(np.ma.masked_array(values, MASK))
    assert type(table) is np.ndarray
    assert table.dtype == (dtype if dtype[0] == "f" else np.float64)
    np.testing.assert_array_equal(np.isnan(table), MASK)
    np.testing.assert_array_equal(table[~MASK], values[~MASK])
    np.testing.assert_array_equal(as_table(list(np.ma.masked_array(values, MASK))), table)


@pytest.mark.parametrize("dtype", ["U1", object])
def test_masked_cells_of_words_are_none(dtype):
    words = np.where(X > 0, "p", "n").astype(dtype)
    table = as_table(np.ma.masked_array(words, MASK))
    np.testing.assert_array_equal(np.equal(table, np.array(None)), MASK)
    np.testing.assert_array_equal(table[~MASK], words[~MASK])


def test_a_mask_without_masked_cells_changes_no_dtype():
    whole = np.arange(6).reshape(3, 2)
    assert as_table(np.ma.masked_array(whole, np.zeros((3, 2), bool))).dtype == whole.dtype


def test_a_masked_constant_among_objects_is_missing():
    cells = np.array([[np.ma.masked, "a"], [1.5, "b"], [2.5, "a"], [0.5, "b"]], dtype=object)
    vae = VAETransformer(1, max_iter=0).fit(cells)
    assert vae.impute(cells)[1:].tolist() == cells[1:].tolist()
    assert isinstance(vae.impute(cells)[0, 0], float)


def test_masked_weights_are_refused():
    weight = np.ma.masked_array(np.ones(20), np.arange(20) == 3)
    with pytest.raises(ValueError, match="sample_weight has masked entries"):
        VAETransformer(1, max_iter=0).fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match="sample_weight has masked entries"):
        VAETransformer(1, max_iter=0).fit(X).score(X, sample_weight=weight)


def test_masked_codes_are_refused():
    with pytest.raises(ValueError, match="Input Z contains NaN"):
        VAETransformer(1, max_iter=0).fit(X).inverse_transform(np.ma.masked_array([[0.0], [1.0]], [[False], [True]]))


def in_parts(dtype):
    """Two parts of every cell, the columns backwards."""
    n, D = X.shape
    indices = np.tile(np.arange(D)[::-1], 2 * n)
    data = np.tile((X * 10).astype(dtype)[:, ::-1], 2).ravel()
    return sparse.csr_array((data, indices, np.arange(n + 1) * 2 * D), X.shape)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4"])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "dok", "bsr", "dia"])
def test_parts_of_a_cell_count_as_their_sum(dtype, form):
    parts = in_parts(dtype)
    given = parts.asformat(form)
    before = given.toarray()
    table = as_table(given)
    assert table.format == "csr"
    assert table.has_canonical_format
    assert table.dtype == given.dtype
    np.testing.assert_array_equal(table.toarray(), before)
    np.testing.assert_array_equal(given.toarray(), before)
    assert parts.nnz == 2 * X.size  # of the caller's table


def test_a_canonical_csr_is_no_copy():
    table = sparse.csr_matrix(X)
    assert as_table(table) is table


def test_a_record_batch_has_names():
    vae = VAETransformer(1, max_iter=0).fit(pa.record_batch({"a": X[:, 0], "b": X[:, 1]}))
    assert vae.feature_names_in_.tolist() == ["a", "b"]
    assert vae.sample(2, random_state=0).column_names == ["a", "b"]


def test_half_precision_of_torch_is_read():
    table = torch.from_numpy(X).bfloat16()
    assert as_table(table).dtype == torch.float32
    np.testing.assert_array_equal(as_table(table), table.double())
    VAETransformer(1, max_iter=0).fit(table).transform(table)


GRAD = torch.from_numpy(X).requires_grad_()
REFUSED = {
    "dict": ({"a": [1.0]}, TypeError, "is a dict, not a table. Make a frame of it: pandas.DataFrame"),
    "list of dicts": ([{"a": 1.0}], TypeError, "is a list of dicts, not a table. Make a frame of it"),
    "pandas Series": (pd.Series([1.0, 2.0]), ValueError, "is a Series, which has one dimension. Give a table of shape"),
    "polars Series": (pl.Series([1.0, 2.0]), ValueError, "is a Series, which has one dimension"),
    "pyarrow array": (pa.array([1.0, 2.0]), ValueError, "is a DoubleArray, which has one dimension"),
    "chunked array": (pa.chunked_array([[1.0]]), ValueError, "is a ChunkedArray, which has one dimension"),
    "index": (pd.Index([1.0]), ValueError, "is a Index, which has one dimension"),
    "None": (None, TypeError, "is an object of type NoneType, not a table"),
    "str": ("ab", TypeError, "is an object of type str, not a table"),
    "set": ({1, 2}, TypeError, "is an object of type set, not a table"),
    "generator": ((row for row in X), TypeError, "is an object of type generator, not a table"),
    "complex array": (X + 0j, ValueError, "holds complex numbers. Give their real and imaginary parts"),
    "complex list": ((X + 0j).tolist(), ValueError, "holds complex numbers"),
    "complex tensor": (torch.from_numpy(X + 0j), ValueError, "holds complex numbers"),
    "complex CSR": (sparse.csr_array(X + 0j), ValueError, "holds complex numbers"),
    "no columns of pandas": (pd.DataFrame(index=range(3)), ValueError, r"has no columns: 0 feature\(s\)"),
    "no columns of polars": (pl.DataFrame(), ValueError, "has no columns"),
    "no columns of pyarrow": (pa.table({}), ValueError, "has no columns"),
    "structured": (np.zeros(3, [("a", float)]), TypeError, r"is a structured array with the fields \['a'\]"),
    "grad": (GRAD, TypeError, "requires grad, but no method .* passes gradients on.* module_, which is differentiable"),
    "rows with grad": (list(GRAD), TypeError, "requires grad, but no method"),
    "sparse tensor": (torch.from_numpy(X).to_sparse(), TypeError, r"one number per cell. Call .to_dense"),
}


@pytest.fixture(scope="module")
def fitted():
    return VAETransformer(1, max_iter=0).fit(X)


@pytest.mark.parametrize(("table", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_table_is_refused_everywhere(table, error, message, fitted):
    codes = fitted.transform(X)
    methods = ("fit", "partial_fit", "transform", "encode", "reconstruct", "score", "score_samples", "score_columns")
    for method in (*methods, "impute"):
        with pytest.raises(error, match=f"X.* {message}"):
            getattr(fitted, method)(table)
    for method in ("inverse_transform", "decode"):
        with pytest.raises(error, match=f"Z.* {message}"):
            getattr(fitted, method)(table)
    if table is not None:
        with pytest.raises(error, match=f"X_val.* {message}"):
            fitted.fit(X, X_val=table)
    with pytest.raises(error, match=f"Chunk 1.* {message}"):
        TableStatistics().update(table)
    with pytest.raises(error, match=message):
        VAETransformer(1).fit_batches(lambda: iter([table]))
    np.testing.assert_array_equal(fitted.transform(X), codes)  # the earlier fit is untouched


def test_na_among_objects_is_missing_for_a_model_of_an_array():
    table = X.copy()
    vae = VAETransformer(1, max_iter=0, random_state=0).fit(X)
    frame = pd.DataFrame(X, columns=["a", "b"]).astype(object)
    frame.iloc[0, 0], frame.iloc[1, 1] = pd.NA, None
    table[0, 0] = table[1, 1] = np.nan
    with pytest.warns(UserWarning, match="has feature names"):
        np.testing.assert_array_equal(vae.transform(frame), vae.transform(table))
    assert frame.iloc[0, 0] is pd.NA


def test_run_end_encoded_columns_are_decoded():
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([30, 60], pa.int32()), pa.array([1.0, 2.0]))
    table = pa.table({"a": runs, "b": pa.array(np.linspace(0, 1, 60))})
    plain = pa.table({"a": [1.0] * 30 + [2.0] * 30, "b": table["b"]})
    fits = [VAETransformer(1, max_iter=0, random_state=0).fit(it) for it in (table, plain)]
    np.testing.assert_array_equal(fits[0].transform(table), fits[1].transform(plain))
    assert fits[0].sample(3, random_state=0).equals(fits[1].sample(3, random_state=0))
