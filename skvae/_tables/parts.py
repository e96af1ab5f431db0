"""Tables of any kind cut and joined: some columns of them, further columns, further rows, without a marker."""

from collections.abc import Collection
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np
from scipy import sparse

from .cells import gone
from .frames import Column, as_frame, replace_columns
from .tables import array_on_host, as_array, columns_of

__all__ = ["above", "beside", "free_name", "take_columns", "take_rows", "without_marker"]


def take_columns(X: Any, positions: Collection[int]) -> Any:
    """The columns at some positions of a table that `as_table` gave."""
    frame = as_frame(X)
    return as_array(X)[:, list(positions)] if frame is None else frame[:, list(positions)].to_native()


def take_rows(X: Any, positions: np.ndarray) -> Any:
    """The rows at some positions of a table, or the entries of a list or series; pandas numbers them anew."""
    if nw.dependencies.is_pandas_series(X) or nw.dependencies.is_pandas_dataframe(X):
        return X.iloc[positions].reset_index(drop=True)
    if nw.dependencies.is_into_series(X):
        return nw.from_native(X, series_only=True)[positions.tolist()].to_native()
    if (frame := as_frame(X)) is not None:
        return frame[positions.tolist()].to_native()
    return [X[i] for i in positions] if isinstance(X, (list, tuple)) else X[positions]


def free_name(X: Any, name: str) -> Any:
    """A name that no column of a frame has yet, of the kind that they have: a string, or the next number."""
    names = [] if (frame := as_frame(X)) is None else list(frame.columns)
    if names and all(isinstance(own, Integral) for own in names):
        return max(names) + 1
    while name in names:
        name += "_"
    return name


def beside(X: Any, columns: dict[Any, np.ndarray]) -> Any:
    """A table with further columns of numbers or bools, {name: ndarray (n,)}, at its end."""
    if not columns:
        return X
    if (frame := as_frame(X)) is not None:
        return _frame_beside(frame, columns)
    new = np.column_stack(list(columns.values()))
    if sparse.issparse(X):
        return sparse.hstack([X, new], format="csr", dtype=X.dtype)
    X = array_on_host(X)
    return np.hstack([X, new.astype(object if X.dtype == object else np.result_type(X.dtype, np.int8))])


def _frame_beside(frame: Any, columns: dict[Any, np.ndarray]) -> Any:
    if frame.implementation.is_pandas():
        import pandas as pd

        return pd.concat([frame.to_native(), pd.DataFrame(columns, index=frame.to_native().index)], axis=1)
    new = [nw.new_series(name, values, backend=frame.implementation) for name, values in columns.items()]
    return frame.with_columns(*new).to_native()


def above(X: Any, Y: Any) -> Any:
    """The rows of X and below them those of Y, a dense table of the same columns; arrays keep the dtype of X."""
    if (frame := as_frame(X)) is not None:
        return _frame_above(frame, Y)
    X, Y = array_on_host(X), np.asarray(Y)
    return np.concatenate([X, np.rint(Y) if X.dtype.kind in "iub" else Y]).astype(X.dtype)


def _frame_above(frame: Any, below: Any) -> Any:
    """In pandas the rows are numbered anew."""
    if frame.implementation.is_pandas():
        import pandas as pd

        return pd.concat([frame.to_native(), below], ignore_index=True)
    return nw.concat([frame, nw.from_native(below, eager_only=True)]).to_native()


def without_marker(X: Any, marker: Any) -> Any:
    """A table with missing cells in place of the marker, a number or string; itself where it is NaN, None or NA.

    Raises
    ------
    ValueError
        Cells are missing beside those with the marker, or the marker is 0 and the table sparse.
    """
    if gone([marker]).any():
        return X
    if (frame := as_frame(X)) is not None:
        columns = {d: _unmarked(column, marker) for d, column in enumerate(columns_of(X, list(frame.columns)))}
        return replace_columns(frame.to_native(), {d: column for d, column in columns.items() if column is not None})
    if sparse.issparse(X):
        return _unmarked_csr(X, marker)
    X = array_on_host(X)
    for column in columns_of(X, None):
        _refuse_missing(column, marker)
    if X.dtype != object and isinstance(marker, str):
        raise ValueError(f"missing_values={marker!r} is a string, but X holds numbers. Give a number, or np.nan.")
    cells = X.astype(np.float64 if X.dtype.kind in "iub" else X.dtype)
    cells[np.equal(X, marker).astype(bool)] = np.nan if cells.dtype.kind == "f" else None
    return cells


def _unmarked(column: Column, marker: Any) -> Any:
    """The native column without the marker, or None where it does not hold it."""
    _refuse_missing(column, marker)
    cells = column.cells()
    is_marked = np.fromiter((type(c) is not bool and c == marker for c in cells), bool, len(cells))
    if not is_marked.any():
        return None
    cells[is_marked] = None
    return column.hold(cells)


def _unmarked_csr(X: Any, marker: Any) -> Any:
    if marker == 0:
        raise ValueError("missing_values=0 would make nearly every cell of a sparse X missing. Give a dense table.")
    X = X.astype(np.result_type(X.dtype, np.float32), copy=True)
    X.data[X.data == marker] = np.nan
    return X


def _refuse_missing(column: Column, marker: Any) -> None:
    if column.missing().any():
        raise ValueError(
            f"Input X contains NaN or None in column {column.label!r}, and missing_values={marker!r}. Mark all missing "
            "cells alike, or set missing_values=np.nan, which takes NaN, None and NA for them."
        )
