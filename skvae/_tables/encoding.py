"""A table -> one number per cell, by what its schema says: category indices, 0 and 1, numbers, NaN for missing."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .cells import kinds_of
from .frames import Column, as_frame
from .parts import block_of_numbers
from .schema import Schema
from .tables import array_on_host, as_array, columns_of

__all__ = ["encode", "encoded_column", "missing", "recoded", "refuse_other_cells"]


def encode(schema: Schema, X: Any) -> np.ndarray:
    """One number per cell, float64 (n, D): NaN where it is missing, or a category that fit has not seen.

    Columns are taken by position; their names are scikit-learn's to check.
    """
    if as_frame(X) is None and schema.names is None and schema.is_plain:
        return np.array(array_on_host(X), dtype=np.float64)
    at_once, numbers = block_of_numbers(X, _plain_numbers(schema))
    if not at_once:
        return _side_by_side(schema, X, lambda d, column: encoded_column(schema, d, column), np.float64)
    encoded = np.empty((len(numbers), len(schema.kinds)))
    encoded[:, at_once] = numbers
    others = [d for d in range(len(schema.kinds)) if d not in set(at_once)]
    for d, column in zip(others, columns_of(X, schema.names, others), strict=True):
        encoded[:, d] = encoded_column(schema, d, column)
    return encoded


def _plain_numbers(schema: Schema) -> list[int]:
    """The columns of numbers that are no times."""
    return [d for d, kind in enumerate(schema.kinds) if kind == "real" and d not in schema.clocks]


def refuse_other_cells(X: Any, error: Exception) -> None:
    """Name the first column of cells that are no numbers, of which an error came; other errors are not of cells."""
    frame = as_frame(X)
    if isinstance(X, (list, tuple)) and len(X) and not as_array(X).size:
        raise ValueError(f"The rows of the list X differ in length, or their cells are lists. ({error})") from error
    if frame is None and (n_dimensions := getattr(X, "ndim", 2)) != 2:
        raise ValueError(f"Expected 2D array, got an array X of {n_dimensions} dimensions. ({error})") from error
    for column in columns_of(X, None if frame is None else list(frame.columns)):
        if isinstance(error, OverflowError):
            column.numbers()  # of the column that it came of this raises, too
        if not column.holds_numbers and (wrong := [c for c in column.cells() if not _is_read_as_number(c)]):
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"Column {column.label!r} holds {wrong[0]!r}, which is no number. Convert the column or drop it. "
                f"({error})"
            ) from error


def _is_read_as_number(cell: Any) -> bool:
    try:
        return cell is None or float(cell) is not None
    except (TypeError, ValueError, OverflowError):
        return False


def missing(schema: Schema, X: Any) -> np.ndarray:
    """Which cells are missing in the table itself, (n, D) bool; a category that fit has not seen is not."""
    return _side_by_side(schema, X, lambda _, column: column.missing(), bool)


def recoded(schema: Schema, rows: np.ndarray, old: Schema) -> np.ndarray:
    """Rows encoded by `old`, float64 (n, D), in the category indices of `schema`, which is a union with it."""
    for d, levels in old.levels.items():
        if levels.tolist() != schema.levels[d].tolist():
            rows = rows.copy()
            # A missing cell has the index -1 for a moment, and so the last entry, which is NaN.
            indices = np.append(Column(levels, schema.label(d)).category_indices(schema.levels[d]), np.nan)
            rows[:, d] = indices[np.nan_to_num(rows[:, d], nan=-1).astype(np.int64)]
    return rows


def _side_by_side(schema: Schema, X: Any, function: Callable, dtype: type) -> np.ndarray:
    """function(d, column) of every column, side by side (n, D)."""
    columns = [function(d, column) for d, column in enumerate(columns_of(X, schema.names))]
    return np.stack(columns, axis=1).astype(dtype, copy=False)


def encoded_column(schema: Schema, d: int, column: Column) -> np.ndarray:
    """One number per cell of column d, (n,)."""
    if schema.kinds[d] == "category":
        _refuse_numbers_for_words(schema, d, column)
        return column.category_indices(schema.levels[d])
    if d in schema.clocks:
        return schema.clocks[d].numbers(column)
    numbers = column.numbers()
    if schema.kinds[d] == "boolean" and not np.all((numbers == 0) | (numbers == 1) | np.isnan(numbers)):
        raise ValueError(f"Column {column.label!r} held bools when the model was fitted; now it holds other numbers.")
    return numbers if schema.kinds[d] != "empty" else np.full(len(numbers), np.nan)


def _refuse_numbers_for_words(schema: Schema, d: int, column: Column) -> None:
    """No number is an unknown category of a column of strings: the table is another."""
    if not column.holds_numbers or kinds_of(schema.levels[d]) != {"category"}:
        return
    observed = column.numbers()[~column.missing()]
    if len(observed):
        raise ValueError(
            f"Column {column.label!r} held strings when the model was fitted; now it holds the number "
            f"{observed[0].item()!r}. Convert the column, or fit anew."
        )
