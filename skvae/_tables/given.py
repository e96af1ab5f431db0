"""Values that a caller gives: of some columns of one row, or of the conditions of many."""

import sys
from collections.abc import Hashable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from .bounds import is_outside, limit
from .cells import gone, kinds_of
from .encoding import encoded_column
from .frames import as_frame
from .intake import as_table
from .schema import Schema, is_category
from .tables import array_on_host, columns_of, first_few

__all__ = ["given_conditions", "given_row", "refuse_exposures", "some_conditions"]


def given_row(schema: Schema, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """One row of given cells, float64 (1, D), all others missing, and which they are, bool (D,).

    Parameters
    ----------
    schema : Schema
    given : dict
        Values by column name, or by column number where fit saw an array. None, for a missing cell, is a value of
        conditions that are categories or bools.
    """
    if not isinstance(given, Mapping) or not given:
        raise ValueError("'given' must be a dict of column names and values with at least one entry.")
    row, is_named = np.full((1, len(schema.kinds)), np.nan), np.zeros(len(schema.kinds), dtype=bool)
    for key, value in given.items():
        d = _position_of(schema, key)
        row[0, d], is_named[d] = _encoded_value(schema, d, value), True
        if d in schema.exposures:
            refuse_exposures(schema, d, row[0, [d]])
    _refuse_out_of_bounds(schema, row[0])
    return row, is_named


def _refuse_out_of_bounds(schema: Schema, row: np.ndarray) -> None:
    for d in schema.bounds:
        if is_outside(schema, d, row[d]):
            raise ValueError(f"'given' has a value for column {schema.label(d)!r} that is outside of its 'bounds'.")


def _position_of(schema: Schema, key: Any) -> int:
    known = range(len(schema.kinds)) if schema.names is None else schema.names
    if key not in known or (schema.names is None and not isinstance(key, Integral)):
        what = "column names" if schema.names is not None else "column numbers, since fit saw an array without names"
        raise ValueError(f"'given' names the column {key!r}, which fit has not seen. Use {what}: {first_few(known)}.")
    return known.index(key)


def _encoded_value(schema: Schema, d: int, value: Any) -> float:
    kind, column = schema.kinds[d], f"'given' has {value!r} for column {schema.label(d)!r}"
    if kind == "empty":
        raise ValueError(f"{column}, which had no value at all in fit. Leave it out.")
    if d in schema.conditions and is_category(schema, d) and gone([value])[0]:
        return np.nan
    if kind == "category":
        indices = {level: c for c, level in enumerate(schema.levels[d].tolist())}
        if not isinstance(value, Hashable) or value not in indices:
            raise ValueError(f"{column}, a category that fit has not seen. Known are {first_few(indices)}.")
        return indices[value]
    if d in schema.clocks:
        return limit(schema, d, value, "given")
    value = value.item() if isinstance(value, np.generic) else value  # float32 cannot be compared with a float's limits
    is_number = not gone([value])[0] and kinds_of([value]) in ({"real"}, {"boolean"})
    if kind == "boolean" and not (is_number and value in (0, 1)):
        raise ValueError(f"{column}, which holds bools. Use True or False.")
    if not (is_number and abs(value) <= sys.float_info.max):
        raise ValueError(f"{column}, which holds numbers. Use a finite number.")
    if d in schema.integer and schema.names is not None and value != int(value):
        raise ValueError(f"{column}, which holds whole numbers. Use one.")
    return float(value)


def refuse_exposures(schema: Schema, d: int, values: np.ndarray) -> None:
    """Raise where an exposure (n,) is missing, zero or negative."""
    if not (values > 0).all():
        wrong = values[~(values > 0)][0]
        raise ValueError(
            f"Column {schema.label(d)!r} is an exposure of counts, and has the value {wrong:g}. Exposures are positive "
            "numbers that are never missing: correct these rows, or leave them out."
        )


def some_conditions(schema: Schema, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """The conditions that a dict names, float64 (1, G) in the table's order, and which these are, bool (G,)."""
    if not schema.conditions:
        raise ValueError("given=... names conditions of a row, and this VAETransformer has no 'conditions'.")
    row, is_named = given_row(schema, given)
    _refuse_modelled(schema, np.flatnonzero(is_named))
    return row[:, schema.conditions], is_named[schema.conditions]


def given_conditions(schema: Schema, given: Any, n_rows: int | None = None) -> np.ndarray:
    """Conditions of rows, float64 (n, G) in the table's order, NaN for a missing category.

    Parameters
    ----------
    schema : Schema
    given : dict, frame or array (n, G)
        A dict names all conditions, for all rows; a frame has a column for each of them, and one row each. Where fit
        saw an array, an array has the conditions in the order of its columns.
    n_rows : int, optional
        n, where it is known.
    """
    if isinstance(given, Mapping):
        row, is_named = some_conditions(schema, given)
        _refuse_lacking(schema, ~is_named)
        return np.tile(row, (1 if n_rows is None else n_rows, 1))
    rows = _given_table(schema, as_table(given, "given"))
    if n_rows is not None and len(rows) != n_rows:
        raise ValueError(f"'given' has {len(rows)} rows, for {n_rows}. Give one row each, or one dict for all.")
    return rows


def _given_table(schema: Schema, given: Any) -> np.ndarray:
    frame = as_frame(given)
    if frame is None:
        if schema.names is not None or getattr(given, "ndim", 0) != 2 or given.shape[1] != len(schema.conditions):
            what = f"a dict, or a frame with the columns {first_few(map(schema.label, schema.conditions))}"
            raise ValueError(
                f"'given' must be {what}."
                if schema.names is not None
                else f"'given' must be a dict, or an array with the {len(schema.conditions)} columns of 'conditions'."
            )
        columns = dict(zip(schema.conditions, array_on_host(given).T, strict=True))
        own = {d: columns_of(cells[:, None], None)[0] for d, cells in columns.items()}
    else:
        names = list(frame.columns)
        if schema.names is None:
            raise ValueError("'given' is a frame, but fit saw an array without names. Give a dict of column numbers.")
        positions = {_position_of(schema, name): i for i, name in enumerate(names)}
        _refuse_modelled(schema, sorted(positions))
        _refuse_lacking(schema, np.array([d not in positions for d in schema.conditions]))
        found = columns_of(given, names)
        own = {d: found[positions[d]] for d in schema.conditions}
    return np.stack([_given_column(schema, d, column) for d, column in own.items()], 1).astype(np.float64)


def _given_column(schema: Schema, d: int, column: Any) -> np.ndarray:
    values, is_missing = encoded_column(schema, d, column), column.missing()
    label = schema.label(d)
    if not is_category(schema, d) and not np.isfinite(values).all():
        raise ValueError(f"'given' has missing or infinite values in column {label!r}, which holds numbers.")
    if d in schema.integer and schema.names is not None and (is_part := values != np.rint(values)).any():
        raise ValueError(
            f"'given' has {values[is_part][0]:g} in column {label!r}, which holds whole numbers. Use these."
        )
    if d in schema.exposures:
        refuse_exposures(schema, d, values)
    unknown = np.isnan(values) & ~is_missing
    if unknown.any():
        cell = column.cells()[int(unknown.argmax())]
        raise ValueError(
            f"'given' has {cell!r} for column {label!r}, a category that fit has not seen. Known are "
            f"{first_few(schema.levels[d].tolist())}."
        )
    return values


def _refuse_modelled(schema: Schema, named: Any) -> None:
    if others := [schema.label(d) for d in named if d not in schema.conditions]:
        raise ValueError(
            f"'given' names {first_few(others)}, which the model does not condition on: its 'conditions' are "
            f"{first_few(map(schema.label, schema.conditions))}. Only the dict of `sample` takes other columns, too."
        )


def _refuse_lacking(schema: Schema, lacks: np.ndarray) -> None:
    if lacks.any():
        names = [schema.label(d) for d, lack in zip(schema.conditions, lacks, strict=True) if lack]
        raise ValueError(
            f"'given' lacks {first_few(names)}: it must name all 'conditions' of the model, "
            f"{first_few(map(schema.label, schema.conditions))}."
        )
