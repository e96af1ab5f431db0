"""A table -> one number per cell, by what its schema says: category indices, 0 and 1, numbers, NaN for missing."""

import sys
from collections.abc import Callable, Hashable
from numbers import Integral
from typing import Any

import numpy as np

from .frames import Column, as_frame, kinds_of
from .schema import Schema
from .tables import array_on_host, columns_of, first_few

__all__ = ["encode", "given_row", "missing", "recoded"]


def encode(schema: Schema, X: Any) -> np.ndarray:
    """One number per cell, float64 (n, D): NaN where it is missing, or a category that fit has not seen.

    Columns are taken by position; their names are scikit-learn's to check.
    """
    if as_frame(X) is None and schema.names is None and schema.is_plain:
        return np.array(array_on_host(X), dtype=np.float64)
    return _side_by_side(schema, X, lambda d, column: _encoded(schema, d, column), np.float64)


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


def _encoded(schema: Schema, d: int, column: Column) -> np.ndarray:
    if schema.kinds[d] == "category":
        return column.category_indices(schema.levels[d])
    numbers = column.numbers()
    if schema.kinds[d] == "boolean" and not np.all((numbers == 0) | (numbers == 1) | np.isnan(numbers)):
        raise ValueError(f"Column {column.label!r} held bools when the model was fitted; now it holds other numbers.")
    return numbers if schema.kinds[d] != "empty" else np.full(len(numbers), np.nan)


def given_row(schema: Schema, given: Any) -> np.ndarray:
    """One row of given cells, float64 (1, D); all others are missing.

    Parameters
    ----------
    schema : Schema
    given : dict
        Values by column name, or by column number where fit saw an array.
    """
    if not isinstance(given, dict) or not given:
        raise ValueError("'given' must be a dict of column names and values with at least one entry.")
    row = np.full((1, len(schema.kinds)), np.nan)
    for key, value in given.items():
        d = _position(schema, key)
        row[0, d] = _encoded_value(schema, d, value)
    return row


def _position(schema: Schema, key: Any) -> int:
    known = range(len(schema.kinds)) if schema.names is None else schema.names
    if key not in known or (schema.names is None and not isinstance(key, Integral)):
        what = "column names" if schema.names is not None else "column numbers, since fit saw an array without names"
        raise ValueError(f"'given' names the column {key!r}, which fit has not seen. Use {what}: {first_few(known)}.")
    return known.index(key)


def _encoded_value(schema: Schema, d: int, value: Any) -> float:
    kind, column = schema.kinds[d], f"'given' has {value!r} for column {schema.label(d)!r}"
    if kind == "empty":
        raise ValueError(f"{column}, which had no value at all in fit. Leave it out.")
    if kind == "category":
        indices = {level: c for c, level in enumerate(schema.levels[d].tolist())}
        if not isinstance(value, Hashable) or value not in indices:
            raise ValueError(f"{column}, a category that fit has not seen. Known are {first_few(indices)}.")
        return indices[value]
    is_number = kinds_of([value]) in ({"real"}, {"boolean"})
    if kind == "boolean" and not (is_number and value in (0, 1)):
        raise ValueError(f"{column}, which holds bools. Use True or False.")
    if not (is_number and abs(value) <= sys.float_info.max):
        raise ValueError(f"{column}, which holds numbers. Use a finite number.")
    if d in schema.integer and schema.names is not None and value != int(value):
        raise ValueError(f"{column}, which holds whole numbers. Use one.")
    return float(value)
