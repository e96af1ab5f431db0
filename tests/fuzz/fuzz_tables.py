"""Strategies for tables: columns as people have them, in every container and every dtype of it.

A table is made of columns, and a column of Python cells, None where one is missing; a container is made of these. What
a library cannot hold itself, such as a string in an array of floats, is no example.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import torch
from hypothesis import reject
from hypothesis import strategies as st
from scipy import sparse

__all__ = ["COLUMNS", "CONTAINERS", "Table", "built", "tables"]


def normal(rng, n):
    return rng.normal(size=n).tolist()


def rounded(rng, n):
    return rng.normal(size=n).round(1).tolist()


def far_away(rng, n):
    return (1e6 + rng.normal(size=n)).tolist()


def constant(rng, n):
    return [0.005] * n


def zeros(rng, n):
    return [0] * n


def nearly_constant(rng, n):
    return [7.0] * (n - 1) + [7.5]


def atom(rng, n):
    return np.where(rng.random(n) < 0.6, 0.0, rng.gamma(2.0, size=n)).tolist()


def positive(rng, n):
    return rng.lognormal(0, 2, n).tolist()


def share(rng, n):
    return rng.choice([0.0, 1.0, 0.25, 0.7], n).tolist()


def inner_share(rng, n):
    return rng.uniform(0.01, 0.99, n).tolist()


def count(rng, n):
    return rng.poisson(2, n).tolist()


def flag(rng, n):
    return rng.integers(0, 2, n).tolist()


def boolean(rng, n):
    return (rng.random(n) < 0.8).tolist()


def signed(rng, n):
    return rng.integers(-128, 128, n).tolist()


def long_integer(rng, n):
    return [2**53 + 1 + int(k) for k in rng.integers(0, 9, n)]


def beyond_int64(rng, n):
    return [2**63 + int(k) for k in rng.integers(0, 9, n)]


def beyond_float(rng, n):
    return [10**400 + int(k) for k in rng.integers(0, 9, n)]


def huge(rng, n):
    return (rng.normal(size=n) * 1e300).tolist()


def largest(rng, n):
    return rng.choice([1.7e308, -1.7e308], n).tolist()


def tiny(rng, n):
    return (rng.normal(size=n) * 1e-300).tolist()


def denormal(rng, n):
    return (5e-324 * rng.integers(0, 4, n)).tolist()


def outlier(rng, n):
    return [*rng.normal(size=n - 1).tolist(), float(rng.choice([1e4, 1e10, 1e20, 1e38, 1e150, -1e300]))]


def infinite(rng, n):
    return [*rng.normal(size=n - 1).tolist(), float(rng.choice([np.inf, -np.inf]))]


def negative_zero(rng, n):
    return rng.choice([0.0, -0.0], n).tolist()


def holes(rng, n):
    return [None if hole else x for x, hole in zip(rng.normal(size=n).tolist(), rng.random(n) < 0.4, strict=True)]


def one_value(rng, n):
    return [1.5] + [None] * (n - 1)


def nothing(rng, n):
    return [None] * n


def money(rng, n):
    return [Decimal(f"{x:.2f}") for x in rng.gamma(3, 10, n)]


def odd_decimal(rng, n):
    return [Decimal(str(rng.choice(["1.5", "NaN", "1E+40", "-0", "1E-50"]))) for _ in range(n)]


def word(rng, n):
    return rng.choice(["a", "b", "c"], n).tolist()


def rare_word(rng, n):
    return ["usual"] * (n - 1) + ["once"]


def one_word(rng, n):
    return ["same"] * n


def identifier(rng, n):
    return [f"person {i}" for i in range(n)]


def word_with_holes(rng, n):
    return [None if hole else w for w, hole in zip(word(rng, n), rng.random(n) < 0.4, strict=True)]


def number_word(rng, n):
    return [str(k) for k in rng.integers(0, 5, n)]


def odd_word(rng, n):
    return rng.choice(["", " ", "$%$", "_x", "nan", "None", "é\n", "a" * 300], n).tolist()


def mixed(rng, n):
    return [[1, "a", True, 2.5, None][k] for k in rng.integers(0, 5, n)]


def date(rng, n):
    return [datetime.date(2020, 1, 1 + int(k)) for k in rng.integers(0, 28, n)]


def complex_number(rng, n):
    return (rng.normal(size=n) + 1j).tolist()


def nested(rng, n):
    return [[1, 2] for _ in range(n)]


NUMBERS = [
    *(normal, rounded, far_away, constant, zeros, nearly_constant, atom, positive, share, inner_share, count, flag),
    *(boolean, signed, long_integer, huge, largest, tiny, denormal, outlier, negative_zero, holes, one_value, nothing),
]
OTHERS = [
    *(beyond_int64, beyond_float, infinite, money, odd_decimal, word, rare_word, one_word, identifier),
    *(word_with_holes, number_word, odd_word, mixed, date, complex_number, nested),
]
#: Name -> function (rng, n) of n cells.
COLUMNS = {make.__name__: make for make in NUMBERS + OTHERS}


@dataclass(frozen=True)
class Table:
    """Columns by their names, as cells, and the kinds that they are of."""

    kinds: tuple[str, ...]
    names: tuple[Any, ...]
    columns: tuple[list, ...]

    def __repr__(self) -> str:
        return f"Table({self.n_rows} rows of {dict(zip(self.names, self.kinds, strict=True))})"

    @property
    def n_rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def taken(self, rows: list[int]) -> "Table":
        """Some of the rows."""
        return Table(self.kinds, self.names, tuple([column[i] for i in rows] for column in self.columns))


@st.composite
def tables(draw: Callable) -> Table:
    """Tables of one to six columns; some are copies of others or sums of them, some rows are repeated."""
    n, rng = draw(st.sampled_from([1, 2, 3, 5, 12, 40, 120])), np.random.default_rng(draw(st.integers(0, 999)))
    plain = st.lists(st.sampled_from([make.__name__ for make in NUMBERS]), min_size=1, max_size=6)
    any_kinds = st.lists(st.sampled_from([*COLUMNS]), min_size=1, max_size=6)
    few_odd = st.tuples(st.lists(st.sampled_from(["normal", "count", "word"]), min_size=1, max_size=3), any_kinds)
    kinds = draw(st.one_of(plain, any_kinds, few_odd.map(lambda parts: [*parts[0], *parts[1][:1]])))
    columns = [COLUMNS[kind](rng, n) for kind in kinds]
    if draw(st.booleans()):
        kinds, columns = [*kinds, "copied"], [*columns, list(columns[0])]
    if draw(st.booleans()):
        total = [_sum(row) for row in zip(*columns, strict=True)]
        kinds, columns = [*kinds, "collinear"], [*columns, total]
    names = draw(st.sampled_from([_plain_names, _odd_names, _integer_names]))(len(kinds))
    table = Table(tuple(kinds), tuple(names), tuple(columns))
    repeats = draw(st.sampled_from([0, 0, 0, n // 2, n]))
    return table.taken([*range(n), *[0] * repeats])


def _sum(cells: tuple) -> Any:
    numbers = [c for c in cells if type(c) is float]
    return sum(numbers) if numbers and np.isfinite(sum(numbers)) else None


def _plain_names(n: int) -> list:
    return [f"c{d}" for d in range(n)]


def _odd_names(n: int) -> list:
    return ["rate $%$", "_hidden", "", "mean", "a b", "x0", "é", "n"][:n] if n <= 8 else _plain_names(n)


def _integer_names(n: int) -> list:
    return list(range(n, 0, -1))


# ---------------------------------------------------------------- containers


def _floats(table: Table, dtype: Any = np.float64) -> np.ndarray:
    cells = [[np.nan if c is None else c for c in row] for row in zip(*table.columns, strict=True)]
    return np.array(cells, dtype=dtype).reshape(table.n_rows, len(table.columns))


def array(draw: Callable, table: Table) -> Any:
    dtype = draw(
        st.sampled_from(
            [
                "f8",
                "f8",
                "f8",
                "f4",
                "f2",
                "g",
                "i1",
                "i2",
                "i4",
                "i8",
                "u1",
                "u2",
                "u4",
                "u8",
                "?",
                "O",
                "c16",
                ">f8",
                "U8",
            ]
        )
    )
    x = _floats(table, object) if dtype == "O" else _floats(table).astype(dtype)
    return draw(st.sampled_from([np.asarray, np.asfortranarray, _read_only]))(x)


def _read_only(x: np.ndarray) -> np.ndarray:
    x.setflags(write=False)
    return x


def masked(draw: Callable, table: Table) -> Any:
    x = _floats(table)
    hole = np.isnan(x)
    return np.ma.masked_array(np.where(hole, 1e6, x), hole)


def nested_list(draw: Callable, table: Table) -> Any:
    return [list(row) for row in zip(*table.columns, strict=True)]


def csr(draw: Callable, table: Table) -> Any:
    dense = _floats(table).astype(draw(st.sampled_from(["f8", "f8", "f4", "i8", "i4", "?"])))
    make = draw(st.sampled_from([sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.coo_array]))
    x = make(dense)
    if make is sparse.csr_array and x.nnz and draw(st.booleans()):  # a cell in two entries, which sum to it
        ends = x.indptr + (np.arange(len(x.indptr)) > np.flatnonzero(np.diff(x.indptr))[0])
        return sparse.csr_array((np.r_[x.data[:1] * 0, x.data], np.r_[x.indices[:1], x.indices], ends), x.shape)
    return x


def tensor(draw: Callable, table: Table) -> Any:
    x = torch.tensor(
        _floats(table), dtype=draw(st.sampled_from([torch.float64, torch.float32, torch.int64, torch.bool]))
    )
    return x.requires_grad_() if x.is_floating_point() and draw(st.booleans()) else x


PANDAS = [
    "float64",
    "float32",
    "int64",
    "int8",
    "uint8",
    "bool",
    "Int64",
    "Float64",
    "boolean",
    "object",
    "category",
    "str",
    "string",
    "Sparse[float64]",
    "Sparse[int64]",
    "int64[pyarrow]",
    "double[pyarrow]",
    "string[pyarrow]",
    "bool[pyarrow]",
]


def pandas_frame(draw: Callable, table: Table) -> Any:
    series = []
    for cells in table.columns:
        column = pd.Series(cells, dtype=None if _is_readable(cells) else object)
        dtype = draw(st.sampled_from([None, None, None, *PANDAS]))
        series.append(column if dtype is None else _cast(column, dtype))
    frame = pd.concat(series, axis=1) if series else pd.DataFrame(index=range(table.n_rows))
    frame.columns = list(table.names)
    return frame.set_index(pd.Index(range(5, 5 + len(frame)), name="row")) if draw(st.booleans()) else frame


def _is_readable(cells: list) -> bool:
    return not any(isinstance(c, int) and abs(c) >= 2**63 for c in cells)


def _cast(column: pd.Series, dtype: str) -> pd.Series:
    if dtype in ("bool", "str") and column.isna().any():
        return column  # pandas would write True, or "None"
    try:
        return column.astype(dtype)
    except (TypeError, ValueError, OverflowError, NotImplementedError, pa.ArrowException):
        return column


def polars_frame(draw: Callable, table: Table) -> Any:
    types = [None, None, None, pl.Float32, pl.Int8, pl.UInt64, pl.Int128, pl.Categorical, pl.String, pl.Decimal(20, 2)]
    series = []
    for name, cells in zip(table.names, table.columns, strict=True):
        is_mixed = len({type(c) for c in cells} - {type(None)}) > 1  # of which polars may panic
        column = pl.Series(str(name), cells, dtype=pl.Object if is_mixed else None, strict=False)
        if column.null_count() > sum(c is None for c in cells):
            reject()  # polars makes a cell missing that it cannot hold
        dtype = draw(st.sampled_from(types))
        try:
            series.append(column if dtype is None else column.cast(dtype))
        except pl.exceptions.PolarsError:
            series.append(column)
    return pl.DataFrame(series)


def arrow_table(draw: Callable, table: Table) -> Any:
    columns = []
    for cells in table.columns:
        column = pa.array(cells)
        if draw(st.booleans()) and not pa.types.is_nested(column.type) and not pa.types.is_null(column.type):
            column = column.dictionary_encode()
        columns.append(column)
    return pa.Table.from_arrays(columns, [str(name) for name in table.names])


def arrow_batch(draw: Callable, table: Table) -> Any:
    return pa.RecordBatch.from_arrays([pa.array(cells) for cells in table.columns], [str(n) for n in table.names])


def odd(draw: Callable, table: Table) -> Any:
    """What is no table, for all that people try."""
    first = pd.Series(table.columns[0], dtype=object, name=table.names[0])
    tries = [
        first,
        first.to_numpy(),
        dict(zip(table.names, table.columns, strict=True)),
        "a table",
        None,
        7,
        iter(table.columns),
        pd.DataFrame(index=range(table.n_rows)),
        np.empty((0, len(table.columns))),
        np.zeros((2, 2, 2)),
        pl.DataFrame({"a": [1.0, 2.0]}).lazy(),
        pd.DataFrame(np.zeros((table.n_rows, 2)), columns=["a", "a"]),
    ]
    return tries[draw(st.integers(0, len(tries) - 1))]


CONTAINERS = {
    make.__name__: make
    for make in (array, masked, nested_list, csr, tensor, pandas_frame, polars_frame, arrow_table, arrow_batch, odd)
}


def built(draw: Callable, container: str, table: Table) -> Any:
    """The table in a container; not an example where that library cannot hold it."""
    refusals = (TypeError, ValueError, OverflowError, NotImplementedError, RuntimeError)
    try:
        with np.errstate(all="ignore"):
            return CONTAINERS[container](draw, table)
    except (*refusals, pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException):
        reject()
