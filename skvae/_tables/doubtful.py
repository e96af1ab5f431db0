"""Columns that are fitted as categories and look like something else: identifiers, and numbers that are strings."""

import numpy as np

from .._utils.user_warnings import warn_user
from .cells import kinds_of
from .schema import Schema
from .selection import RowSelection, column
from .tables import columns_of

__all__ = ["warn_of_doubtful_columns"]

_FEW = 10  # levels of a small table, each of which may well be a category
_MOST_LEVELS = 0.5  # per cell
_MOST_NUMBERS = 0.9  # of the cells


def warn_of_doubtful_columns(
    schema: Schema, X: RowSelection, weight: np.ndarray, goes_by_type: bool, n_rows: int | None = None
) -> None:
    """Warn of categories with nearly as many levels as rows, and of strings that are numbers, once for each column.

    Parameters
    ----------
    schema : Schema
    X : RowSelection (n, D)
        One number per cell, category indices among them.
    weight : ndarray (n,)
    goes_by_type : bool
        Whether strings are categories for want of anything that says so.
    n_rows : int, optional
        Rows of the whole table, where X is a sample of it.
    """
    counts = weight * max(1.0, len(weight) / weight.sum()) if weight.sum() else weight
    for d, levels in schema.levels.items():
        told = goes_by_type and not _is_declared(schema, d) and _warn_of_numbers(schema, d, levels, X, counts)
        if not told:
            _warn_of_identifier(schema, d, levels, X, counts, n_rows)


def _is_declared(schema: Schema, d: int) -> bool:
    """Whether the dtype says that the column holds categories."""
    return schema.names is not None and columns_of(schema.template, schema.names)[d].storage == "category"


def _warn_of_numbers(schema: Schema, d: int, levels: np.ndarray, X: RowSelection, counts: np.ndarray) -> bool:
    if kinds_of(levels) != {"category"}:
        return False
    are_numbers = np.array([_is_number(level) for level in levels])
    if not are_numbers.any():
        return False
    cells, counts = _present(X, d, counts)
    share = are_numbers[cells] @ counts / max(counts.sum(), 1e-300)
    if share <= _MOST_NUMBERS:
        return False
    others = [level for level, is_number in zip(levels.tolist(), are_numbers, strict=True) if not is_number]
    warn_user(
        f"Column {schema.label(d)!r} holds strings that are numbers, such as {levels[are_numbers][0]!r}"
        f"{f', beside {others[0]!r}' if others else ''}, and is fitted as {len(levels)} categories. "
        "Convert it to numbers, e.g. by pandas.to_numeric(..., errors='coerce'); if it does hold categories, name it "
        "in categorical_features or give it a category dtype."
    )
    return True


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _warn_of_identifier(
    schema: Schema, d: int, levels: np.ndarray, X: RowSelection, counts: np.ndarray, n_rows: int | None
) -> None:
    if len(levels) <= max(_FEW, _MOST_LEVELS * (n_rows or 0)):
        return
    n_levels, n_cells = len(levels), n_rows
    if n_cells is None:  # a dtype may list levels that no row has
        cells, counts = _present(X, d, counts)
        n_levels, n_cells = len(np.unique(cells)), round(counts.sum())
    if n_levels > max(_FEW, _MOST_LEVELS * n_cells):
        warn_user(
            f"Column {schema.label(d)!r} has {n_levels} levels in {n_cells} rows, as names and identifiers have. "
            "The model cannot learn from them, and sample gives out real ones. Drop the column, or leave it out of "
            f"made rows: sample(..., without={schema.label(d)!r})."
        )


def _present(X: RowSelection, d: int, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Category indices of the cells of a column that are there, and how often they are, (m,) each."""
    cells = column(X, d)
    is_there = ~np.isnan(cells)
    return cells[is_there].astype(np.int64), counts[is_there]
