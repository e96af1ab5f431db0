"""Tables of any kind cut and joined: some columns of them, further columns, further rows, without a marker."""

from collections.abc import Collection, Sequence
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np
from scipy import sparse

from .cells import gone
from .frames import Column, as_frame, replace_columns
from .tables import array_on_host, as_array, columns_of

__all__ = [
    "above",
    "beside",
    "block_of_numbers",
    "free_names",
    "names_of",
    "take_columns",
    "take_rows",
    "without_marker",
]


def take_columns(X: Any, positions: Collection[int]) -> Any:
    """The columns at some positions of a table that `as_table` gave."""
    frame = as_frame(X)
    return as_array(X)[:, list(positions)] if frame is None else frame[:, list(positions)].to_native()


def block_of_numbers(X: Any, positions: Collection[int]) -> tuple[list[int], np.ndarray]:
    """Those columns at some positions of a frame that hold ints or floats: their positions, and all at once (n, .).

    One after the other they take most of the time of a row. In pandas they are those of numpy's own dtypes.
    """
    frame = as_frame(X)
    native = None if frame is None else frame.to_native()
    if nw.dependencies.is_pandas_dataframe(native):
        is_number = [isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in native.dtypes]
        positions = [d for d in positions if is_number[d]]
        return positions, native.iloc[:, positions].to_numpy(dtype=np.float64)
    if nw.dependencies.is_polars_dataframe(native):
        dtypes = list(frame.schema.values())
        positions = [d for d in positions if dtypes[d].is_integer() or dtypes[d].is_float()]
        return positions, frame[:, positions].select(nw.all().cast(nw.Float64)).to_numpy()
    return [], np.empty((0, 0))


def take_rows(X: Any, positions: np.ndarray) -> Any:
    """The rows at some positions of a table, or the entries of a list or series; pandas numbers them anew."""
    if nw.dependencies.is_pandas_series(X) or nw.dependencies.is_pandas_dataframe(X):
        return X.iloc[positions].reset_index(drop=True)
    if nw.dependencies.is_into_series(X):
        return nw.from_native(X, series_only=True)[positions.tolist()].to_native()
    if (frame := as_frame(X)) is not None:
        return frame[positions.tolist()].to_native()
    return [X[i] for i in positions] if isinstance(X, (list, tuple)) else X[positions]


def names_of(X: Any) -> list:
    """The names of the columns of a frame; none of another table."""
    return [] if (frame := as_frame(X)) is None else list(frame.columns)


def free_names(taken: list, wanted: Sequence[str]) -> list:
    """Names like the wanted ones, each one that is not taken; the next numbers, where those that are taken are such."""
    if taken and all(isinstance(own, Integral) for own in taken):
        return [max(taken) + 1 + k for k in range(len(wanted))]
    free: list[str] = []
    for name in wanted:
        while name in taken or name in free:
            name += "_"
        free.append(name)
    return free


def beside(X: Any, columns: dict[Any, np.ndarray]) -> Any:
    """A table with further columns of numbers or bools, {name: ndarray (n,)}, at its end."""
    if not columns:
        return X
    if (frame := as_frame(X)) is not None:
        return _frame_beside(frame, columns)
    new = np.column_stack(list(columns.values()))
    if sparse.issparse(X):
        return sparse.hstack([X, new], format="csr", dtype=_dtype_beside(X.dtype, new))
    X = array_on_host(X)
    dtype = _dtype_beside(X.dtype, new)
    return np.hstack([X.astype(dtype, copy=False), new.astype(dtype)])


def _dtype_beside(dtype: np.dtype, new: np.ndarray) -> np.dtype:
    """The dtype that holds cells of `dtype` and new numbers or bools, which are 0 and 1 beside bools, too.

    Whole numbers count with the bits that they need, so that float32 stays float32 beside numbers of classes.
    """
    if dtype.kind in "OU":
        return np.dtype(object)
    if new.dtype.kind == "b":
        return np.dtype(np.int8) if dtype.kind == "b" else dtype
    if new.dtype.kind in "iu":
        return np.result_type(dtype, np.min_scalar_type(new.min()), np.min_scalar_type(new.max()))
    return np.result_type(dtype, new.dtype)


def _frame_beside(frame: Any, columns: dict[Any, np.ndarray]) -> Any:
    if frame.implementation.is_pandas():
        import pandas as pd

        return pd.concat([frame.to_native(), pd.DataFrame(columns, index=frame.to_native().index)], axis=1)
    new = [nw.new_series(name, values, backend=frame.implementation) for name, values in columns.items()]
    return frame.with_columns(*new).to_native()


def above(X: Any, Y: Any) -> Any:
    """The rows of X and below them those of Y, a dense table of the same columns.

    Arrays keep the dtype of X: numbers that are beyond its whole ones become its lowest and highest.
    """
    if (frame := as_frame(X)) is not None:
        return _frame_above(frame, Y)
    X, Y = array_on_host(X), np.asarray(Y)
    return np.concatenate([X, _whole(Y, X.dtype) if X.dtype.kind in "iub" else Y]).astype(X.dtype)


def _whole(Y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers rounded to a dtype of integers or bools, within its limits."""
    rounded = np.rint(Y)
    if dtype.kind == "b":
        return rounded.astype(bool)
    limits = np.iinfo(dtype)
    is_above = rounded >= limits.max  # as a float the highest may be one more than itself, such as 2^63
    whole = np.where(is_above, 0, np.maximum(rounded, limits.min)).astype(dtype)
    whole[is_above] = limits.max
    return whole


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
    if X.dtype.kind in "OU":
        cells = X.astype(object)
        cells[_is_marked(cells.ravel(), marker).reshape(cells.shape)] = None
        return cells
    if isinstance(marker, str):
        raise ValueError(f"missing_values={marker!r} is a string, but X holds numbers. Give a number, or np.nan.")
    if X.dtype.kind == "b":
        return X
    cells = X.astype(np.float64 if X.dtype.kind in "iu" else X.dtype)
    cells[np.equal(X, marker)] = np.nan
    return cells


def _is_marked(cells: np.ndarray, marker: Any) -> np.ndarray:
    """Which Python values (n,) are the marker; the numbers 0 and 1 are not False and True."""
    return np.fromiter((not isinstance(c, (bool, np.bool_)) and c == marker for c in cells), bool, len(cells))


def _unmarked(column: Column, marker: Any) -> Any:
    """The native column without the marker, or None where it does not hold it."""
    _refuse_missing(column, marker)
    cells = column.cells()
    is_marked = _is_marked(cells, marker)
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
