"""Bounds that the user knows: no made or imputed number of a column lies outside of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .assignment import position
from .cells import gone, kinds_of
from .schema import Schema

__all__ = ["bounded", "check_bounds", "held_ends", "is_outside", "limit"]


def bounded(schema: Schema, bounds: Any) -> Schema:
    """The schema with the bounds of some columns.

    Parameters
    ----------
    schema : Schema
    bounds : mapping of column -> (low, high), or None
        Columns by name or number; None for no bound.
    """
    found: dict[int, tuple[float, float]] = {}
    for key, pair in (bounds or {}).items():
        d = position(schema, key, "bounds")
        if d in found:
            raise ValueError(f"The 'bounds' parameter names column {schema.label(d)!r} twice.")
        _refuse_column(schema, d)
        if isinstance(pair, (str, Mapping)) or not hasattr(pair, "__len__") or len(pair) != 2:
            raise ValueError(f"bounds={{{key!r}: ...}} must be a pair (low, high), None for no bound. Got {pair!r}.")
        low, high = (
            open_end if end is None else limit(schema, d, end, "bounds")
            for end, open_end in zip(pair, (-np.inf, np.inf), strict=True)
        )
        if not low < high:
            raise ValueError(f"bounds={{{key!r}: {pair!r}}} has no value between its ends. Give the lower end first.")
        found[d] = (low, high)
    return replace(schema, bounds=found) if found else schema


def limit(schema: Schema, d: int, value: Any, parameter: str) -> float:
    """A number, or a date for a column of dates, as the number that cells of column d are inside.

    Parameters
    ----------
    schema : Schema
    d : int
    value : number or date
    parameter : str
        Its name, for errors.
    """
    clock, wanted = schema.clocks.get(d), "temporal" if d in schema.clocks else "real"
    what, example = ("numbers", "18") if clock is None else (clock.what, clock.example)
    refusal = ValueError(
        f"The {parameter!r} parameter has {value!r} for column {schema.label(d)!r}, which holds {what}. Use a value "
        f"such as {example}."
    )
    if gone([value])[0] or kinds_of([value]) != {wanted}:
        raise refusal
    if clock is None:
        return float(value)
    try:
        return clock.number(value)
    except ValueError as error:
        raise refusal from error


def _refuse_column(schema: Schema, d: int) -> None:
    kind, what = schema.kinds[d], f"The 'bounds' parameter names column {schema.label(d)!r}, which"
    if d in schema.conditions:
        raise ValueError(f"{what} is one of the 'conditions': it is given and never made. Leave it out.")
    if kind in ("category", "boolean"):
        raise ValueError(f"{what} holds {'categories' if kind == 'category' else 'bools'}. Name columns of numbers.")


def check_bounds(schema: Schema, extremes: np.ndarray) -> None:
    """Raise where a fitted value lies outside of the bounds.

    Parameters
    ----------
    schema : Schema
    extremes : ndarray (2, D)
        The least and the largest value of each column, NaN where it has none.
    """
    for d, ends in schema.bounds.items():
        if outside := [value for value in extremes[:, d].tolist() if is_outside(schema, d, value)]:
            written = ", ".join("None" if np.isinf(end) else _written(schema, d, end) for end in ends)
            raise ValueError(
                f"Column {schema.label(d)!r} has the value {_written(schema, d, outside[0])}, outside of its 'bounds' "
                f"({written}). Correct the value, make it missing, or widen the bounds."
            )


def is_outside(schema: Schema, d: int, value: float) -> bool:
    """Whether a value of a bounded column lies outside."""
    (low, high), held = schema.bounds[d], held_ends(schema, d)
    if schema.is_numeric and d not in schema.integer:  # float32, maybe: a schema does not know arrays of it
        held = tuple(np.array((low, high), np.float32).tolist())
    return (value < low or value > high) and value not in held


def held_ends(schema: Schema, d: int) -> tuple[float, float]:
    """The ends of a bounded column as it holds them: as float32, 0.1 is more than it is as float64, and 0.7 less."""
    dtype = schema.number_types.get(d, np.float64)
    low, high = np.array(schema.bounds[d], dtype if issubclass(dtype, np.floating) else np.float64).tolist()
    return low, high


def _written(schema: Schema, d: int, value: float) -> str:
    return repr(value) if d not in schema.clocks else str(schema.clocks[d].cells(np.array([value]), is_exact=True)[0])
