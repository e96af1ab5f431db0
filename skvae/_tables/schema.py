"""What a fitted table was: the names, kinds, categories, dtypes and decimals of its columns.

Between a table of any kind and the model stands a float array with one number per cell: a real column is its numbers, a
boolean one 0 and 1, a categorical one the indices 0..C-1 of its levels; a missing cell (NaN, None, NA, null) is NaN.
`encoding` reads any later table by value, whatever the dtypes of its columns are by then; `decoding` gives tables back
like the one that fit saw; `union` is the schema of two tables, one below the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse

from .clocks import CLOCK_KINDS, Clock
from .frames import Column, as_frame, without_rows
from .tables import array_on_host, as_array, columns_of, first_few, has_na, is_readable, kind_letter, label_of
from .templates import rebuild

__all__ = ["ColumnSchema", "Schema", "gathered", "is_category"]

_MOST_DECIMALS = 6


@dataclass(frozen=True, eq=False)
class Schema:
    """What a fitted table was; `learn` looks at one. The letters n and D are the rows and columns of a table.

    Attributes
    ----------
    names : list (D,), or None for an array
    library : str or None
        "pandas", "polars", ...; None for an array.
    kinds : list of {"real", "boolean", "category", "empty"} (D,)
        A column without any value, whose dtype does not say its kind either, is "empty": missing for ever.
    is_plain : bool
        Whether scikit-learn's own validation reads the table as it is: an array of numbers, a CSR, a frame of nothing
        but plain ints and floats.
    is_numeric : bool
        Whether the table was an array of numbers: scikit-learn may read it, before categories become indices.
    levels : dict of int to ndarray
        The levels of each categorical column, in the order of their indices.
    ordered : set of int
        Categorical columns whose levels have an order.
    integer : set of int
        Real columns that hold integers by their dtype or by the Python type of their cells.
    decimals : dict of int to (int or None)
        For each other real column the smallest number of decimals, at most 6, that writes what fit saw exactly; None if
        there is none. Arrays of numbers have no entry: their draws are not rounded.
    number_types : dict of int to type
        The type of the numbers in each real column, where it is known: one of `numbers.NUMBER_TYPES`.
    clocks : dict of int to Clock
        How the dates, times, durations and periods of real columns are numbers; these have neither type nor decimals.
    blank : set of int
        Float columns without any value; in a `union` they say nothing of their kind.
    conditions : list of int
        Columns that are given and not modelled, in the table's order; see `conditioned_on`.
    exposures : list of int
        Those of them that are exposures of counts; see `exposed_by`.
    bounds : dict of int to (float, float)
        Between which the numbers of some columns are made; see `bounds.bounded`.
    frame : native frame or None
        The fitted frame without rows.
    description : dict or None
        Of a schema that comes from a file: how to make the frame, see `templates.rebuild`.
    """

    names: list | None
    library: str | None
    kinds: list[str]
    is_plain: bool
    is_numeric: bool = False
    levels: dict[int, np.ndarray] = field(default_factory=dict)
    ordered: set[int] = field(default_factory=set)
    integer: set[int] = field(default_factory=set)
    decimals: dict[int, int | None] = field(default_factory=dict)
    number_types: dict[int, type] = field(default_factory=dict)
    clocks: dict[int, Clock] = field(default_factory=dict)
    blank: set[int] = field(default_factory=set)
    conditions: list[int] = field(default_factory=list)
    exposures: list[int] = field(default_factory=list)
    bounds: dict[int, tuple[float, float]] = field(default_factory=dict)
    frame: Any = None
    description: dict | None = None

    @classmethod
    def learn(cls, X: Any, categorical_features: Any = "auto", rows: np.ndarray | None = None) -> "Schema":
        """Look at a table.

        Parameters
        ----------
        X : table (n, D)
            A frame of any eager library that narwhals reads, ndarray, list of lists, CSR, tensor or Array API array.
        categorical_features : {"auto", "from_dtype"}, bool mask (D,), column numbers, column names, or None
            "from_dtype" takes pandas' category and polars' Categorical and Enum, "auto" columns of strings as well; the
            others exactly the columns that they name.
        rows : bool array (n,), optional
            The rows that count.
        """
        if (frame := as_frame(X)) is None:
            return _of_array(as_array(X), categorical_features, rows)
        return _of_frame(frame if rows is None else frame.filter(rows.tolist()), categorical_features)

    def conditioned_on(self, conditions: Any) -> "Schema":
        """The schema of which some columns are given.

        Parameters
        ----------
        conditions : bool mask (D,), column numbers, column names, one of these two, or None
        """
        if conditions is None or not self.kinds:  # a table without columns is for scikit-learn to refuse
            return self
        keys = [conditions] if isinstance(conditions, (str, Integral)) else conditions
        chosen = sorted(_named(keys, self.names, len(self.kinds), "conditions"))
        if not chosen or len(chosen) == len(self.kinds):
            what = "no column" if not chosen else f"every column, all {len(chosen)} feature(s),"
            raise ValueError(
                f"The 'conditions' parameter names {what} of X. Name those that are given, and leave at least one to "
                "be modelled; None gives no column."
            )
        return replace(self, conditions=chosen)

    def exposed_by(self, names: Sequence[Any]) -> "Schema":
        """The schema of which some conditions are exposures, by the names or positions that families have for them."""
        if not names or not self.kinds:
            return self
        chosen = sorted(_named(names, self.names, len(self.kinds), "exposure"))
        for d in chosen:
            if d not in self.conditions:
                raise ValueError(
                    f"The 'exposure' parameter of a likelihood names column {self.label(d)!r}, which is none of the "
                    "'conditions'. An exposure is given and not modelled: name it there, too."
                )
            if self.kinds[d] != "real":
                raise ValueError(
                    f"The 'exposure' parameter of a likelihood names column {self.label(d)!r}, which holds "
                    "categories or bools. An exposure is a positive number."
                )
            if d in self.clocks and self.clocks[d].kind != "duration":
                raise ValueError(
                    f"The 'exposure' parameter of a likelihood names column {self.label(d)!r}, which holds "
                    f"{CLOCK_KINDS[self.clocks[d].kind]}. An exposure is a positive number or a duration."
                )
        return replace(self, exposures=chosen)

    @property
    def n_levels(self) -> dict[int, int]:
        """Number of levels of each categorical column."""
        return {d: len(levels) for d, levels in self.levels.items()}

    @cached_property
    def template(self) -> Any:
        """The fitted frame without rows; None for an array.

        That of a schema from a file is made here and not before: only who wants a frame back needs its library.
        """
        if self.description is None or self.names is None:
            return self.frame
        return rebuild(self.description, self.names, self.levels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self._content() == other._content()

    def _content(self) -> tuple:
        dtypes = None
        if self.names is not None:
            dtypes = [str(column.dtype) for column in columns_of(self.template, self.names)]
        levels = {d: levels.tolist() for d, levels in self.levels.items()}
        numbers = self.ordered, self.integer, self.decimals, self.clocks
        given = self.conditions, self.exposures, self.bounds
        return self.names, self.library, self.kinds, levels, *numbers, dtypes, *given

    def label(self, d: int) -> Any:
        """The column's name, or "x3" for the fourth column of an array."""
        return label_of(self.names, d)


def is_category(schema: Schema, d: int) -> bool:
    """Whether a column that is given has levels, those of a category or of bools, and is no number."""
    return schema.kinds[d] in ("category", "boolean")


@dataclass(frozen=True, eq=False)
class ColumnSchema:
    """What is known of one column; `gathered` makes the fields of a `Schema` of it, where each is explained."""

    kind: str
    levels: np.ndarray | None = None
    is_ordered: bool = False
    is_integer: bool = False
    is_blank: bool = False
    number_type: type | None = None
    has_decimals: bool = False
    decimals: int | None = None
    clock: Clock | None = None


def gathered(columns: Sequence[ColumnSchema]) -> dict[str, Any]:
    """The fields of a `Schema` that say what its columns are."""
    numbered = list(enumerate(columns))
    return {
        "kinds": [column.kind for column in columns],
        "levels": {d: column.levels for d, column in numbered if column.levels is not None},
        "ordered": {d for d, column in numbered if column.is_ordered},
        "integer": {d for d, column in numbered if column.is_integer},
        "decimals": {d: column.decimals for d, column in numbered if column.has_decimals},
        "number_types": {d: column.number_type for d, column in numbered if column.number_type is not None},
        "clocks": {d: column.clock for d, column in numbered if column.clock is not None},
        "blank": {d for d, column in numbered if column.is_blank},
    }


def _of_frame(frame: Any, categorical_features: Any) -> Schema:
    names = list(frame.columns)
    columns = columns_of(frame, names)
    known = _learned(columns, _chosen(categorical_features, names, len(columns)))
    is_plain = all(column.levels is None for column in known) and all(column.is_plain for column in columns)
    library = frame.implementation.name.lower()
    return Schema(names, library, is_plain=is_plain, frame=without_rows(frame), **gathered(known))


def _of_array(X: Any, categorical_features: Any, rows: np.ndarray | None) -> Schema:
    letter, n_columns = kind_letter(X), X.shape[1] if len(X.shape) == 2 else 0
    if letter in "mM":
        raise ValueError(
            "X is an array of dates or durations. Give a frame with such columns, e.g. pandas.DataFrame(X)."
        )
    chosen = _chosen(categorical_features, None, n_columns) if n_columns else set()
    is_named = bool(chosen) and not isinstance(chosen, str)
    if is_named and sparse.issparse(X):
        raise ValueError(
            "The 'categorical_features' parameter names columns of a sparse table. One-hot columns of a CSR are "
            "Bernoulli already: leave them unnamed, or give a dense table with one column per category."
        )
    can_be_read = letter != "c" and (letter != "O" or is_readable(X))
    if n_columns and can_be_read and (is_named or letter in "UO"):
        known = _learned(columns_of(X if rows is None else array_on_host(X)[rows], None), chosen)
        is_plain = all(c.levels is None and c.clock is None for c in known) and not (letter == "O" and has_na(X))
    else:  # as it is, or for scikit-learn to refuse
        kind = "boolean" if letter == "b" else "real"
        known, is_plain = [ColumnSchema(kind, is_integer=letter in "iu")] * n_columns, True
    return Schema(None, None, is_plain=is_plain, is_numeric=letter not in "OU", **gathered(known))


def _learned(columns: list[Column], chosen: set[int] | str) -> list[ColumnSchema]:
    """What the cells and dtypes of columns say, of which some are chosen as categories."""
    kinds = [column.kind() for column in columns]
    is_chosen = [_is_chosen(d, column, kinds[d], chosen) for d, column in enumerate(columns)]
    if refused := [c.label for d, c in enumerate(columns) if kinds[d] == "category" and not is_chosen[d]]:
        raise ValueError(
            f"Columns {refused} hold strings or categories, but categorical_features does not make them "
            "categories. Name them there, use categorical_features='auto', cast them to a category dtype, or drop "
            "them."
        )
    for d, column in enumerate(columns):
        if is_chosen[d] and kinds[d] == "real" and column.holds_times:
            raise ValueError(
                f"The 'categorical_features' parameter names column {column.label!r}, which holds dates or durations. "
                "Leave it out: they are numbers inside. Or convert the column to strings."
            )
    return [
        _category(column) if is_chosen[d] else _numbers(column) if kinds[d] == "real" else ColumnSchema(kinds[d])
        for d, column in enumerate(columns)
    ]


def _is_chosen(d: int, column: Column, kind: str, chosen: set[int] | str) -> bool:
    if isinstance(chosen, str):
        return column.storage == "category" or (chosen == "auto" and kind == "category")
    return d in chosen


def _category(column: Column) -> ColumnSchema:
    levels = column.levels()
    if len(levels) == 0 and column.storage == "category":
        raise ValueError(f"Column {column.label!r} has a category dtype without any category. Drop the column.")
    if len(levels) == 0:
        return ColumnSchema("empty", is_ordered=column.is_ordered)
    return ColumnSchema("category", levels, is_ordered=column.is_ordered)


def _numbers(column: Column) -> ColumnSchema:
    if column.holds_times:
        clock = Clock.of(column)
        return ColumnSchema("real", is_blank=bool(column.missing().all()), clock=clock)
    if column.storage == "integer":
        return ColumnSchema("real", is_integer=True, number_type=column.number_type)
    if column.storage == "cells" and column.number_type is int:
        return ColumnSchema("real", is_integer=True, number_type=int)
    if column.is_array and column.storage != "cells":
        return ColumnSchema("real")
    numbers, dtype = column.numbers(), column.number_type
    is_blank, decimals = bool(np.isnan(numbers).all()), _decimals(numbers, np.float64 if dtype is Decimal else dtype)
    if dtype is Decimal and decimals is None:
        decimals = column.scale
    return ColumnSchema("real", is_blank=is_blank, number_type=dtype, has_decimals=True, decimals=decimals)


def _decimals(x: np.ndarray, dtype: type) -> int | None:
    """The smallest number of decimals, at most 6, with which every x (n,) of the given type is written exactly."""
    x = x[np.isfinite(x)]
    with np.errstate(over="ignore", invalid="ignore"):  # 10^k x of huge x
        return next((k for k in range(_MOST_DECIMALS + 1) if np.all(np.round(x, k).astype(dtype) == x)), None)


def _chosen(categorical_features: Any, names: list | None, n_columns: int) -> set[int] | str:
    """The set of the columns (int) that the parameter names, or its word: "auto" or "from_dtype"."""
    if isinstance(categorical_features, str) and categorical_features in ("auto", "from_dtype"):
        return categorical_features
    if categorical_features is None:
        return set()
    if isinstance(categorical_features, str) or not hasattr(categorical_features, "__iter__"):
        raise ValueError(
            "The 'categorical_features' parameter must be 'auto', 'from_dtype', None, a bool mask, or a list of column "
            f"numbers or names. Got {categorical_features!r} instead."
        )
    return _named(categorical_features, names, n_columns, "categorical_features")


def _named(keys: Any, names: list | None, n_columns: int, parameter: str) -> set[int]:
    """The columns that a parameter names by a bool mask, numbers or names."""
    keys = list(keys)
    if keys and all(isinstance(key, (bool, np.bool_)) for key in keys):
        if len(keys) != n_columns:
            raise ValueError(
                f"The bool mask in the {parameter!r} parameter has {len(keys)} entries, X {n_columns} columns."
            )
        return {d for d, key in enumerate(keys) if key}
    return {_position(key, names, n_columns, parameter) for key in keys}


def _position(key: Any, names: list | None, n_columns: int, parameter: str) -> int:
    is_int = isinstance(key, Integral) and not isinstance(key, (bool, np.bool_))
    if is_int and -n_columns <= key < n_columns:
        return int(key) % n_columns
    if names is not None and key in names:
        return names.index(key)
    has = f"the columns {first_few(names)}" if names is not None else f"{n_columns} columns without names"
    raise ValueError(f"The {parameter!r} parameter names the column {key!r}, but X has {has}.")
