"""Containers: whatever holds a table for `fit` and for a method, the model and what the method says are the same."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from skvae import TableStatistics, VAETransformer, metrics

pytestmark = pytest.mark.one_in(4)

NAMES = ["a", "b", "c"]
RNG = np.random.default_rng(0)
ROWS = (RNG.normal(size=(30, 2)) @ RNG.normal(size=(2, 3)) + RNG.normal(size=(30, 3))).round(2)
GONE = RNG.random(ROWS.shape) < 0.1
TABLE = np.where(GONE, np.nan, ROWS)
FRAME = pd.DataFrame(TABLE, columns=NAMES)
NULLS = pl.DataFrame(TABLE, schema=NAMES).fill_nan(None)


def split_csr():
    """A CSR in which every cell is stored in two parts, in no order."""
    n, D = TABLE.shape
    columns = np.tile(np.arange(D)[::-1], 2 * n)
    return sparse.csr_matrix((np.tile(TABLE[:, ::-1], 2).ravel() / 2, columns, np.arange(n + 1) * 2 * D), TABLE.shape)


TABLES = {
    "array": lambda: TABLE.copy(),
    "objects": lambda: np.where(GONE, None, ROWS),
    "list": lambda: TABLE.tolist(),
    "masked": lambda: np.ma.masked_array(np.where(GONE, 1e6, ROWS), GONE),
    "masked rows": lambda: list(np.ma.masked_array(np.where(GONE, 1e6, ROWS), GONE)),
    "tensor": lambda: torch.from_numpy(TABLE.copy()),
    "csr": lambda: sparse.csr_matrix(TABLE),
    "csr in parts": split_csr,
    "coo": lambda: sparse.coo_array(split_csr()),
    "pandas": FRAME.copy,
    "nullable": lambda: FRAME.astype("Float64"),
    "pandas of arrow": lambda: FRAME.astype("float64[pyarrow]"),
    "pandas of objects": lambda: FRAME.astype(object).where(~GONE, None),
    "sparse": lambda: FRAME.astype(pd.SparseDtype(float, np.nan)),
    "sparse zeros": lambda: FRAME.astype(pd.SparseDtype(float, 0.0)),
    "polars": NULLS.clone,
    "polars NaN": lambda: pl.DataFrame(TABLE, schema=NAMES),
    "table": NULLS.to_arrow,
    "batch": lambda: NULLS.to_arrow().combine_chunks().to_batches()[0],
}
UNROUNDED = ("array", "list", "masked", "masked rows", "tensor", "csr", "csr in parts", "coo")
COMMON = ("array", "list", "masked", "csr in parts", "pandas", "polars", "table", "batch")
METHODS = ("transform", "reconstruct", "score_samples", "score_columns", "score", "impute", "encode", "metric")


def pairs(names, hub, common):
    """Every pair; those with the hub or of two common ones at once, the others in the slow tests."""
    is_quick = {(a, b): hub in (a, b) or {a, b} <= set(common) for a in names for b in names}
    return [pytest.param(*pair, marks=[] if quick else pytest.mark.slow) for pair, quick in is_quick.items()]


def numbers(result):
    """What a method gives, as numbers."""
    if isinstance(result, torch.distributions.Distribution):
        return result.mean.numpy()
    if sparse.issparse(result):
        return result.toarray()
    if isinstance(result, pa.Table):
        result = result.to_pandas()
    return np.asarray(result, dtype=np.float64)


def called(vae, method, X):
    if method == "metric":
        return metrics.reconstruction_error(vae, X)
    return getattr(vae, method)(X)


@pytest.fixture(scope="module")
def fitted():
    """One model for every container."""
    return {name: VAETransformer(1, max_iter=2, random_state=0).fit(make()) for name, make in TABLES.items()}


@pytest.fixture(scope="module")
def expected(fitted):
    return {method: numbers(called(fitted["array"], method, TABLE)) for method in METHODS}


@pytest.mark.filterwarnings("ignore:X (has feature names|does not have valid feature names)")  # scikit-learn's word
@pytest.mark.parametrize(("fit", "given"), pairs(TABLES, "array", COMMON))
def test_every_pair_of_containers_gives_the_same_numbers(fit, given, fitted, expected):
    for method in METHODS:
        result = numbers(called(fitted[fit], method, TABLES[given]()))
        decimals = 0.0051 if method == "impute" and fit not in UNROUNDED else 1e-9  # of a frame's column: two
        np.testing.assert_allclose(result, expected[method], rtol=1e-9, atol=decimals, err_msg=method)


@pytest.mark.parametrize("given", TABLES)
def test_no_method_changes_the_table_that_it_is_given(given, fitted):
    X = TABLES[given]()
    before = pickled(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        VAETransformer(1, max_iter=1, random_state=0).fit(X, X_val=X).impute(X)
    assert pickled(X) == before


def pickled(X):
    """What a table holds, to the bit."""
    if sparse.issparse(X):
        return [a.tobytes() for a in (X.data, *(X.coords if X.format == "coo" else (X.indices, X.indptr)))]
    if isinstance(X, np.ma.MaskedArray):
        return X.data.tobytes(), X.mask.tobytes()
    return repr(X)


@pytest.mark.filterwarnings("ignore:X (has feature names|does not have valid feature names)")
@pytest.mark.parametrize("given", TABLES)
def test_a_fit_goes_on_with_every_container(given):
    vae = VAETransformer(1, random_state=0)
    codes = clone(vae).partial_fit(TABLE).partial_fit(TABLE).transform(TABLE)
    np.testing.assert_allclose(vae.partial_fit(TABLE).partial_fit(TABLES[given]()).transform(TABLE), codes, atol=1e-9)


@pytest.mark.parametrize("given", TABLES)
def test_statistics_and_batches_of_every_container(given):
    chunks = [TABLES[given]()[:20], TABLES[given]()[20:]] if given != "coo" else [TABLES[given]()]
    statistics = TableStatistics()
    for chunk in chunks:
        statistics = statistics.update(chunk)
    np.testing.assert_allclose(statistics.mean, np.nanmean(TABLE, axis=0))
    np.testing.assert_allclose(statistics.variance, np.nanvar(TABLE, axis=0))
    vae = VAETransformer(1, max_iter=1, random_state=0)
    whole = clone(vae).fit_batches(lambda: iter([TABLE[:20], TABLE[20:]] if len(chunks) == 2 else [TABLE]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes = vae.fit_batches(lambda: iter(chunks)).transform(TABLE)
    np.testing.assert_allclose(codes, whole.transform(TABLE), atol=1e-9)


@pytest.mark.parametrize("name", ["pandas", "polars", "table", "batch"])
def test_names_of_a_frame_are_checked(name, fitted):
    assert fitted[name].feature_names_in_.tolist() == NAMES
    assert list(fitted[name].likelihoods_) == NAMES
    other = pa.record_batch({n: pa.array([1.0]) for n in "axc"})
    with pytest.raises(ValueError, match="feature names should match"):
        fitted[name].transform(other)


# ---------------------------------------------------------------- words and numbers

MIXED = {
    "kind": ["x", "y", None, "x", "y", "y"] * 5,
    "is": [True, None, False, False, True, True] * 5,
    "n": [3, 4, None, 7, 9, 2] * 5,
    "size": [0.5, 1.25, 2.0, None, 0.75, 1.5] * 5,
}
CELLS = np.array(list(zip(*MIXED.values(), strict=True)), dtype=object)
IS_NONE = np.equal(CELLS, np.array(None))
MIXED_TABLES = {
    "objects": CELLS.copy,
    "list": CELLS.tolist,
    "masked": lambda: np.ma.masked_array(np.where(IS_NONE, "z", CELLS), IS_NONE),
    "pandas": lambda: pd.DataFrame(MIXED),
    "nullable": lambda: pd.DataFrame(MIXED).convert_dtypes(),
    "pandas of arrow": lambda: pd.DataFrame(MIXED).convert_dtypes(dtype_backend="pyarrow"),
    "category": lambda: pd.DataFrame(MIXED).astype({"kind": "category", "n": "Int64"}),
    "polars": lambda: pl.DataFrame(MIXED),
    "table": lambda: pa.table(MIXED),
    "batch": lambda: pa.record_batch(MIXED),
    "dictionary": lambda: pa.table(MIXED).set_column(0, "kind", pa.array(MIXED["kind"]).dictionary_encode()),
}


@pytest.fixture(scope="module")
def mixed():
    return {name: VAETransformer(1, max_iter=2, random_state=0).fit(make()) for name, make in MIXED_TABLES.items()}


@pytest.mark.filterwarnings("ignore:X (has feature names|does not have valid feature names)")
@pytest.mark.parametrize(("fit", "given"), pairs(MIXED_TABLES, "objects", ("pandas", "polars", "table")))
def test_every_pair_of_containers_of_mixed_columns(fit, given, mixed):
    X = MIXED_TABLES[given]()
    for method in ("transform", "score_samples", "score_columns", "encode"):
        expected = numbers(getattr(mixed["objects"], method)(CELLS))
        np.testing.assert_allclose(numbers(getattr(mixed[fit], method)(X)), expected, atol=1e-6, err_msg=method)
    imputed = mixed[fit].impute(X)
    assert type(imputed) is {list: np.ndarray, np.ma.MaskedArray: np.ndarray, pa.RecordBatch: pa.Table}.get(
        type(X), type(X)
    )
    cells = pd.DataFrame(imputed.to_pydict() if isinstance(imputed, pa.Table) else imputed).to_numpy(object)
    np.testing.assert_array_equal(cells[~IS_NONE], CELLS[~IS_NONE])
    assert set(cells[:, 0]) == {"x", "y"}
    assert set(cells[:, 1]) == {True, False}
    assert all(n == int(n) for n in cells[:, 2])
    assert len(mixed[fit].sample(3, random_state=0)) == len(mixed[fit].reconstruct(X)[:3]) == 3


@pytest.mark.filterwarnings("ignore:X (has feature names|does not have valid feature names)")
@pytest.mark.parametrize("fit", MIXED_TABLES)
def test_numbers_where_words_were_are_refused_by_name(fit, mixed):
    ones = np.ones((2, 4))
    for method in ("transform", "score_samples", "score_columns", "impute", "reconstruct", "encode"):
        for X in (ones, sparse.csr_matrix(ones), np.ma.masked_array(ones, np.eye(2, 4))):
            with pytest.raises(ValueError, match=r"Column '(kind|x0)' held strings when the model was fitted; now it"):
                getattr(mixed[fit], method)(X)
