"""The schema of two tables, one below the other."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .cells import kinds_of
from .clocks import finer
from .frames import replace_columns
from .numbers import widest
from .schema import ColumnSchema, Schema, gathered
from .tables import columns_of, first_few

__all__ = ["union"]

_KINDS = {"real": "numbers", "boolean": "bools", "category": "strings or categories"}


def union(first: Schema, second: Schema) -> Schema:
    """The schema of two tables that have the same columns.

    Levels that no dtype lists are sorted, others keep their order; a column without any value in one table is what
    it is in the other; integer is what is integer in both.

    Parameters
    ----------
    first, second : Schema
        Of the rows above and of those below.

    Raises
    ------
    ValueError
        Other columns, or a column of another kind.
    """
    if _shape(first) != _shape(second):
        raise ValueError(f"X has {_described_shape(second)}, but there were {_described_shape(first)} before.")
    sources = [_sources(d, first, second) for d in range(len(first.kinds))]
    both = replace(
        first,
        is_plain=first.is_plain and second.is_plain,
        is_numeric=first.is_numeric and second.is_numeric,
        **gathered([_united(d, parts) for d, parts in enumerate(sources)]),
    )
    if both.names is None:
        return both
    return replace(both, frame=_united_frame(sources, first, second, both.levels), description=None)


def _shape(schema: Schema) -> tuple:
    return schema.library, len(schema.kinds), schema.names


def _described_shape(schema: Schema) -> str:
    if schema.names is None:
        return f"{len(schema.kinds)} columns without names"
    return f"the {len(schema.kinds)} columns {first_few(schema.names)} of {schema.library}"


def _sources(d: int, first: Schema, second: Schema) -> list[Schema]:
    """The schemas that know column d: both, or one where the other has seen no value of it."""
    parts = [schema for schema in (first, second) if schema.kinds[d] != "empty" and d not in schema.blank]
    return parts or [second if first.kinds[d] == "empty" else first]


def _united(d: int, parts: Sequence[Schema]) -> ColumnSchema:
    """What is known of column d in one or two parts of the table."""
    cells = [_kind_of_cells(d, schema) for schema in parts]
    if len(set(cells)) > 1:
        raise ValueError(
            f"Column {parts[0].label(d)!r} holds {cells[1]}, but it held {cells[0]} before. Convert it to one."
        )
    kind = parts[0].kinds[d]
    clocks = [schema.clocks[d] for schema in parts if d in schema.clocks]
    is_integer = all(d in schema.integer for schema in parts)
    types = [schema.number_types[d] for schema in parts if d in schema.number_types]
    decimals = [schema.decimals[d] for schema in parts if d in schema.decimals]
    return ColumnSchema(
        kind,
        levels=_united_levels(d, parts) if kind == "category" else None,
        is_ordered=all(d in schema.ordered for schema in parts),
        is_integer=is_integer,
        is_blank=all(d in schema.blank for schema in parts),
        number_type=widest(types) if types else None,
        has_decimals=bool(decimals) and not is_integer,
        decimals=_most(decimals),
        clock=finer(clocks, parts[0].label(d)) if clocks else None,
    )


def _most(decimals: list[int | None]) -> int | None:
    """The larger number of decimals; None, which is without limit, is the largest."""
    known = [k for k in decimals if k is not None]
    return max(known) if known and len(known) == len(decimals) else None


def _kind_of_cells(d: int, schema: Schema) -> str:
    """What the cells of a column are, for an error; categories may be numbers, too."""
    kind = schema.kinds[d]
    if d in schema.clocks:
        return "dates or times"
    is_of_numbers = kind == "category" and kinds_of(schema.levels[d]) <= {"real", "boolean"}
    return "numbers as categories" if is_of_numbers else _KINDS.get(kind, "nothing")


def _united_levels(d: int, parts: Sequence[Schema]) -> np.ndarray:
    levels = [schema.levels[d] for schema in parts]
    if len(parts) == 1 or (levels[0].tolist() == levels[1].tolist()):
        return levels[0]
    if not all(_lists_levels(d, schema) for schema in parts):
        return np.union1d(*levels)
    if any(d in schema.ordered for schema in parts):
        raise ValueError(
            f"Column {parts[0].label(d)!r} has ordered categories {first_few(levels[1])}, but they were "
            f"{first_few(levels[0])} before. Give it one dtype everywhere."
        )
    together = list(dict.fromkeys([*levels[0].tolist(), *levels[1].tolist()]))
    return np.fromiter(together, np.result_type(*levels), len(together))


def _lists_levels(d: int, schema: Schema) -> bool:
    """Whether the dtype of a column lists its levels."""
    if schema.names is None:
        return False
    return columns_of(schema.template, schema.names)[d].declared_levels() is not None


def _united_frame(sources: list[list[Schema]], first: Schema, second: Schema, levels: dict[int, np.ndarray]) -> Any:
    """The first frame without rows, with the dtypes of the second where these are wider, or alone say a kind."""
    frame, columns = first.template, {}
    pairs = zip(*(columns_of(schema.template, first.names) for schema in (first, second)), strict=True)
    for d, (own, new) in enumerate(pairs if frame is not second.template else ()):
        column = own.united(new, levels.get(d)) if len(sources[d]) == 2 else None
        columns[d] = new.native if sources[d][0] is second else column
    columns = {d: column for d, column in columns.items() if column is not None}
    return replace_columns(frame, columns) if columns else frame
