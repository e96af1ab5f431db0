"""One number per cell -> a table like the one that fit saw: its library, names, dtypes, levels and decimals."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from .._utils.arrays import like, on_host
from .bounds import held_ends
from .cells import kinds_of, objects
from .encoding import missing
from .frames import Column, as_frame, frame_like, replace_columns
from .numbers import as_decimal
from .schema import Schema
from .tables import array_on_host, columns_of

__all__ = ["draws", "fill", "means", "numbers"]


def means(schema: Schema, values: Any, index: Any = None) -> Any:
    """A table of expected values: numbers and bools as floats, dates as dates, categories as levels of their indices.

    Parameters
    ----------
    schema : Schema
    values : float array (n, D)
        Returned as it is where fit saw an array without categories.
    index : pandas.Index, optional
        Of the pandas frame.
    """
    return _table(schema, values, index, as_floats=True)


def draws(
    schema: Schema,
    values: Any,
    index: Any = None,
    exact: Collection[int] = (),
    supports: Mapping[int, Constraint] | None = None,
) -> Any:
    """A table as fit saw it, every column in its own dtype: ints rounded, floats to the decimals that fit saw.

    Parameters
    ----------
    schema : Schema
    values : float array (n, D)
        Returned as it is where fit saw an array without categories.
    index : pandas.Index, optional
        Of the pandas frame.
    exact : collection of int
        Float columns that are not rounded.
    supports : dict of int to Constraint, optional
        Where the numbers of some columns lie, and stay when they are rounded.
    """
    values = _inside(schema, values, supports, exact)
    return _table(schema, values, index, as_floats=False, exact=exact)


def numbers(schema: Schema, values: np.ndarray, index: Any = None) -> Any:
    """A table of one float per cell, with the names that fit saw: a frame of its library, or the array itself.

    Parameters
    ----------
    schema : Schema
    values : float array (n, D)
    index : pandas.Index, optional
        Of the pandas frame.
    """
    if schema.names is None:
        return values
    columns = columns_of(schema.template, schema.names)
    return frame_like(schema.template, [c.series(v) for c, v in zip(columns, values.T, strict=True)], index)


def fill(
    schema: Schema, X: Any, values: np.ndarray, where: Any = None, supports: Mapping[int, Constraint] | None = None
) -> Any:
    """X with its missing cells replaced by draws; every other cell stays as it is, X itself is not written to.

    A column with missing values takes the dtype that fit saw if that holds all its cells exactly, else it keeps its
    own; so does a float column of whole numbers that fit saw as ints. Other columns are untouched.

    Parameters
    ----------
    schema : Schema
    X : table (n, D)
    values : float array (n, D)
    where : bool array (n, D), optional
        The cells to replace, if not the missing ones.
    supports : dict of int to Constraint, optional
        As for `draws`.

    Returns
    -------
    table : the library of X; an ndarray for a list
    """
    where = missing(schema, X) if where is None else np.asarray(where, dtype=bool)
    values = _inside(schema, values, supports)
    if (frame := as_frame(X)) is None:
        return _filled_array(schema, X, values, where)
    fitted: list[Any] = [None] * len(schema.kinds)
    if frame.implementation.name.lower() == schema.library:
        fitted = columns_of(schema.template, schema.names)
    columns = {
        d: _filled_column(schema, d, column, fitted[d], values[:, d], where[:, d])
        for d, column in enumerate(columns_of(X, schema.names))
    }
    return replace_columns(frame.to_native(), {d: column for d, column in columns.items() if column is not None})


def _inside(schema: Schema, values: Any, supports: Mapping[int, Constraint] | None, exact: Collection[int] = ()) -> Any:
    """Values (n, D) within bounds, and such that rounding leaves neither supports nor bounds."""
    bounds = {d: held_ends(schema, d) for d in schema.bounds if d not in exact}
    if bounds:
        values = values.copy() if isinstance(values, np.ndarray) else values.clone()
    for d, ends in bounds.items():
        values[:, d] = values[:, d].clip(*ends)
    for limits in (supports or {}, {d: constraints.interval(*ends) for d, ends in bounds.items()}):
        rounded = {d: limit for d, limit in limits.items() if _is_rounded(schema, d) and d not in exact}
        values = _rounded_inside(schema, values, rounded) if rounded else values
    return values


def _is_rounded(schema: Schema, d: int) -> bool:
    """Whether draws of a column are rounded: those of numbers in an array are not."""
    return d in schema.number_types or d in schema.clocks


def _rounded_inside(schema: Schema, values: np.ndarray, supports: Mapping[int, Constraint]) -> np.ndarray:
    """Values (n, D), those whose rounding would leave the support at the next number of the table that is inside.

    A waiting time of 0.04 in a column of one decimal is 0.1 and not 0, of which no gamma distribution knows.
    """
    values = values.copy()
    for d, support in supports.items():
        cells, step = _rounded(schema, d, values[:, d])
        outside = ~(support.check(torch.from_numpy(cells)).numpy() | np.isnan(cells))
        above = cells[outside] + step
        is_inside = support.check(torch.from_numpy(above)).numpy()
        values[outside, d] = np.where(is_inside, above, cells[outside] - step)
    return values


def _rounded(schema: Schema, d: int, values: np.ndarray) -> tuple[np.ndarray, float]:
    """Numbers (n,) as the table will hold them, float64, and the step between two of them."""
    if d in schema.clocks:
        return schema.clocks[d].rounded(values), 1 / schema.clocks[d].fineness
    dtype, k = schema.number_types[d], 0 if d in schema.integer else schema.decimals.get(d)
    cells = values if k is None else np.round(values, k)
    is_float = issubclass(dtype, np.floating)
    step = float(np.finfo(dtype).eps) if k is None else 10.0**-k
    return cells.astype(dtype if is_float else np.float64).astype(np.float64), step


def _drawn(schema: Schema, d: int, values: np.ndarray, is_exact: bool = False) -> np.ndarray:
    """One column of draws (n,) as numbers, or as an object array with None where it is missing."""
    is_missing = np.isnan(values) | (schema.kinds[d] == "empty")
    if is_missing.any():
        cells = np.full(len(values), None)
        cells[~is_missing] = _drawn(schema, d, values[~is_missing], is_exact) if not is_missing.all() else None
        return cells
    if schema.kinds[d] == "category":
        return schema.levels[d][values.astype(np.int64)]
    if schema.kinds[d] == "boolean":
        return values >= 0.5
    if d in schema.clocks:
        return schema.clocks[d].cells(values, is_exact)
    if d not in schema.number_types:  # fit saw an array of numbers
        return values
    if d in schema.integer:
        return _drawn_integers(schema.number_types[d], values)
    k = None if is_exact else schema.decimals.get(d)
    if schema.number_types[d] is Decimal:
        return objects([as_decimal(value, k) for value in values.tolist()])
    return (values if k is None else np.round(values, k) + 0.0).astype(schema.number_types[d], copy=False)


def _drawn_integers(dtype: type, values: np.ndarray) -> np.ndarray:
    if dtype is int:
        return objects([int(value) for value in np.rint(values).tolist()])
    info = np.iinfo(dtype)
    below = np.nextafter(float(info.max), 0) if float(info.max) > info.max else info.max  # 2^63 is no int64
    return np.clip(np.rint(values.astype(np.float64)), info.min, below).astype(info.dtype)


def _drawn_cells(schema: Schema, values: np.ndarray) -> np.ndarray:
    """Draws as an object array (n, D), NaN for missing: numpy's own way to say so."""
    cells = np.empty(values.shape, dtype=object)
    for d in range(values.shape[1]):
        cells[:, d] = _drawn(schema, d, values[:, d])
    missing: Any = None
    cells[np.equal(cells, missing)] = np.nan
    return cells


def _table(schema: Schema, values: Any, index: Any, as_floats: bool, exact: Collection[int] = ()) -> Any:
    if schema.names is None:
        return values if schema.is_plain else _array(schema, values, as_floats)
    columns = []
    for d, fitted in enumerate(columns_of(schema.template, schema.names)):
        is_float = as_floats and _has_float_mean(schema, d)
        own = values[:, d]
        columns.append(
            fitted.series(own) if is_float else fitted.hold(_drawn(schema, d, fitted.within(own), d in exact))
        )
    return frame_like(schema.template, columns, index)


def _array(schema: Schema, values: Any, as_floats: bool) -> Any:
    if not isinstance(values, np.ndarray):  # of an Array API library, and to stay there
        return like(torch.from_numpy(_array(schema, on_host(values), as_floats)), values)
    is_numeric = schema.is_numeric
    table = values.astype(np.result_type(values, np.float32)) if is_numeric else _drawn_cells(schema, values)
    for d, kind in enumerate(schema.kinds):
        if is_numeric and kind == "category":
            table[:, d] = _drawn(schema, d, values[:, d])
        elif not is_numeric and as_floats and _has_float_mean(schema, d):
            table[:, d] = values[:, d]
    return table


def _has_float_mean(schema: Schema, d: int) -> bool:
    """Whether expected values of a column are floats: those of dates are dates, of categories the likeliest levels."""
    return schema.kinds[d] in ("real", "boolean") and d not in schema.clocks


def _filled_column(
    schema: Schema, d: int, column: Column, fitted: Column | None, values: np.ndarray, where: np.ndarray
) -> Any:
    """The native column with the cells `where` (n,) replaced, or None if it is to stay as it is."""
    is_filled = where.any() and schema.kinds[d] != "empty"
    was_integer = fitted is not None and d in schema.integer and column.storage == "float"
    if not is_filled and not was_integer:
        return None
    if d in schema.clocks:
        return _filled_times(schema, d, column, fitted, values, where)
    cells = column.cells()
    if is_filled:
        cells[where] = _drawn(schema, d, (column if fitted is None else fitted).within(values[where]))
    if fitted is not None and not (fitted.holds_objects and column.holds_numbers) and fitted.admits(cells):
        return fitted.like(cells)
    return column.hold(cells) if is_filled else None


def _filled_times(
    schema: Schema, d: int, column: Column, fitted: Column | None, values: np.ndarray, where: np.ndarray
) -> Any:
    """The native column of times with cells replaced: in its own dtype, or the fitted one for objects."""
    own = column if column.storage == "time" or fitted is None else fitted
    drawn = _drawn(schema, d, own.within(values[where]))
    if own is column and not own.is_array and not own.is_pandas:
        return own.replaced(where, drawn)
    cells = column.cells()
    cells[where] = drawn
    return own.hold(cells)


def _filled_array(schema: Schema, X: Any, values: np.ndarray, where: np.ndarray) -> Any:
    if sparse.issparse(X):
        X = X.tocsr(copy=True)
        X[where] = values[where]
        return X
    filled = np.array(array_on_host(X))
    is_typed = schema.names is None and filled.dtype != object
    drawn = draws(schema, values) if is_typed else _drawn_cells(schema, values)
    if not kinds_of(drawn[where]) <= {"real", "boolean"}:
        filled = filled.astype(object)
    filled[where] = drawn[where]
    return filled if isinstance(X, (np.ndarray, list, tuple)) else like(torch.from_numpy(filled), X)
