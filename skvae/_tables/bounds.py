"""Bounds that the user knows: no made or imputed number of a column lies outside of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .assignment import position
from .cells import gone, kinds_of, objects
from .clocks import CLOCK_EXAMPLES, CLOCK_KINDS
from .frames import Column
from .schema import Schema

__all__ = ["bounded", "check_bounds", "limit"]


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
    if gone([value])[0] or kinds_of([value]) != {wanted}:
        what = "numbers" if clock is None else CLOCK_KINDS[clock.kind]
        example = "18" if clock is None else CLOCK_EXAMPLES[clock.kind]
        raise ValueError(
            f"The {parameter!r} parameter has {value!r} for column {schema.label(d)!r}, which holds {what}. Use a "
            f"value such as {example}."
        )
    if clock is None:
        return float(value)
    return float(clock.numbers(Column(objects([value]), schema.label(d)))[0])


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
    for d, (low, high) in schema.bounds.items():
        least, largest = extremes[:, d]
        if least < low or largest > high:
            value = least if least < low else largest
            ends = ", ".join("None" if np.isinf(end) else _written(schema, d, end) for end in (low, high))
            raise ValueError(
                f"Column {schema.label(d)!r} has the value {_written(schema, d, value)}, outside of its 'bounds' "
                f"({ends}). Correct the value, make it missing, or widen the bounds."
            )


def _written(schema: Schema, d: int, value: float) -> str:
    return f"{value:g}" if d not in schema.clocks else str(schema.clocks[d].cells(np.array([value]), is_exact=True)[0])
