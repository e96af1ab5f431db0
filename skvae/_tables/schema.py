"""Tables of any kind <-> a float array with one number per column.

A real column is its numbers, a boolean one 0 and 1, a categorical one the codes 0..C-1 of its levels; a missing cell
(NaN, None, NA, null) is NaN. `Schema` remembers what the fitted table was: `encode` reads any later table by value,
whatever the dtypes of its columns are by then; `means`, `draws` and `fill` give tables back like the one that fit saw.
"""

import copy
import sys
from collections.abc import Hashable
from numbers import Integral

import numpy as np
import torch
from scipy import sparse

from .._utils.arrays import like, on_host
from .frames import Column, as_frame, frame_like, kinds_of, replace_columns, without_rows
from .selection import dense
from .templates import rebuild

__all__ = ["Schema"]

_MOST_DECIMALS = 6


class Schema:
    """What a fitted table was: names, kinds, categories, dtypes and decimals of its columns.

    `learn` makes one; the letters n and D are the rows and columns of a table.

    Attributes
    ----------
    names : list (D,), or None for an array
    library : str or None
        "pandas", "polars", ...; None for an array.
    kinds : list of {"real", "boolean", "category", "empty"} (D,)
        A column without any value, whose dtype does not tell its kind either, is "empty": missing for ever.
    levels : dict of int to ndarray
        The levels of each categorical column, in the order of their codes.
    n_levels : dict of int to int
    ordered : set of int
        Categorical columns whose levels have an order.
    integer : set of int
        Real columns that hold integers by their dtype or by the Python type of their cells.
    decimals : dict of int to (int or None)
        For each other real column the smallest number of decimals, at most 6, that writes what fit saw exactly; None if
        there is none. Arrays of numbers have no entry: their draws are not rounded.
    blank : set of int
        Float columns without any value; in a `union` they say nothing of their kind.
    is_plain : bool
        Whether scikit-learn's own validation reads the table as it is: an array of numbers, a CSR, a frame of nothing
        but plain ints and floats.
    """

    _template_description = None  # of a loaded schema, see `template`

    @classmethod
    def learn(cls, X, categorical_features="auto", rows=None):
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
        schema = cls()
        schema.names, schema.library, schema._template = None, None, None
        schema.levels, schema.ordered, schema.integer, schema.decimals = {}, set(), set(), {}
        schema._number_type, schema._is_numeric, schema.blank = {}, False, set()
        if (frame := as_frame(X)) is not None:
            frame = frame if rows is None else frame.filter(rows.tolist())
            schema._learn_frame(frame, categorical_features)
        else:
            schema._learn_array(_as_array(X), categorical_features, rows)
        return schema

    @property
    def is_numeric(self):
        """Whether fit saw an array of numbers: scikit-learn may read it, before categories become codes."""
        return self.names is None and self._is_numeric

    @property
    def n_levels(self):
        """Number of levels of each categorical column."""
        return {d: len(levels) for d, levels in self.levels.items()}

    @property
    def template(self):
        """The fitted frame without rows; None for an array.

        That of a loaded schema is made here and not before: only who wants a frame back needs its library.
        """
        if self._template is None and self._template_description is not None:
            self._template = rebuild(self._template_description, self.names, self.levels)
        return self._template

    def __eq__(self, other):
        return isinstance(other, Schema) and self._content() == other._content()

    __hash__ = None

    def _content(self):
        dtypes = None if self.names is None else [str(column.native.dtype) for column in self._columns(self.template)]
        levels = {d: levels.tolist() for d, levels in self.levels.items()}
        return self.names, self.library, self.kinds, levels, self.ordered, self.integer, self.decimals, dtypes

    def label(self, d):
        """The column's name, or "x3" for the fourth column of an array."""
        return self.names[d] if self.names is not None else f"x{d}"

    # Learning

    def _learn_frame(self, frame, categorical_features):
        self.names, self.library = list(frame.columns), frame.implementation.name.lower()
        self._template = without_rows(frame)
        columns = self._columns(frame)
        self._learn_columns(columns, _chosen(categorical_features, self.names, len(columns)))
        self.is_plain = not self.levels and all(column.is_plain for column in columns)

    def _learn_array(self, X, categorical_features, rows):
        letter, n_columns = _letter(X), X.shape[1] if len(X.shape) == 2 else 0
        if letter in "mM":
            raise ValueError(
                "X holds dates or times. Convert them to numbers first, e.g. days since a date, or drop these columns."
            )
        chosen = _chosen(categorical_features, None, n_columns) if n_columns else set()
        is_named = bool(chosen) and not isinstance(chosen, str)
        if is_named and sparse.issparse(X):
            raise ValueError(
                "The 'categorical_features' parameter names columns of a sparse table. One-hot columns of a CSR are "
                "Bernoulli already: leave them unnamed, or give a dense table with one column per category."
            )
        is_readable = letter != "c" and (letter != "O" or _is_readable(X))
        if n_columns and is_readable and (is_named or letter in "UO"):
            self._learn_columns(self._columns(X if rows is None else _on_host(X)[rows]), chosen)
            self.is_plain = not self.levels and not (letter == "O" and _holds_na(X))
        else:  # as it is, or for scikit-learn to refuse
            self.kinds, self.is_plain = ["boolean" if letter == "b" else "real"] * n_columns, True
            self.integer = set(range(n_columns)) if letter in "iu" else set()
        self._is_numeric = letter not in "OU"

    def _learn_columns(self, columns, chosen):
        self.kinds = [column.kind() for column in columns]
        is_chosen = [self._is_chosen(d, column, chosen) for d, column in enumerate(columns)]
        if refused := [c.label for d, c in enumerate(columns) if self.kinds[d] == "category" and not is_chosen[d]]:
            raise ValueError(
                f"Columns {refused} hold strings or categories, but categorical_features does not make them "
                "categories. Name them there, use categorical_features='auto', cast them to a category dtype, or drop "
                "them."
            )
        for d, column in enumerate(columns):
            if is_chosen[d]:
                self._learn_levels(d, column)
            elif self.kinds[d] == "real":
                self._learn_digits(d, column)

    def _is_chosen(self, d, column, chosen):
        if isinstance(chosen, str):
            return column.storage == "category" or (chosen == "auto" and self.kinds[d] == "category")
        return d in chosen

    def _learn_levels(self, d, column):
        levels = column.levels()
        if len(levels) == 0 and column.storage == "category":
            raise ValueError(f"Column {column.label!r} has a category dtype without any category. Drop the column.")
        self.kinds[d] = "category" if len(levels) else "empty"
        if len(levels):
            self.levels[d] = levels
        if column.is_ordered:
            self.ordered.add(d)

    def _learn_digits(self, d, column):
        if column.storage == "integer" or (column.storage == "cells" and column.holds(Integral)):
            self.integer.add(d)
            self._number_type[d] = column.number_type if column.storage == "integer" else np.int64
        elif not isinstance(column.values, np.ndarray) or column.storage == "cells":
            numbers = column.numbers()
            self._number_type[d] = column.number_type
            self.decimals[d] = _decimals(numbers, column.number_type)
            if np.isnan(numbers).all():
                self.blank.add(d)

    # Two tables

    def union(self, other):
        """The schema of two tables, one below the other, that have the same columns.

        Levels that no dtype lists are sorted, others keep their order; a column without any value in one table is what
        it is in the other; integer is what is integer in both.

        Parameters
        ----------
        other : Schema

        Raises
        ------
        ValueError
            Other columns, or a column of another kind.
        """
        if self._shape() != other._shape():
            raise ValueError(f"X has {other._told_shape()}, but there were {self._told_shape()} before.")
        both = copy.copy(self)
        both.levels, both.ordered, both.integer, both.decimals = {}, set(), set(), {}
        both._number_type, both.blank, both.kinds = {}, set(), list(self.kinds)
        both.is_plain = self.is_plain and other.is_plain
        both._is_numeric = self._is_numeric and other._is_numeric
        telling = [self._that_tell(d, other) for d in range(len(self.kinds))]
        for d, parts in enumerate(telling):
            both._unite(d, parts)
        if self.names is not None:
            both._template = both._united_template(telling, other)
        return both

    def _shape(self):
        return self.library, len(self.kinds), self.names

    def _told_shape(self):
        if self.names is None:
            return f"{len(self.kinds)} columns without names"
        return f"the {len(self.kinds)} columns {_some(self.names)} of {self.library}"

    def _that_tell(self, d, other):
        """The two schemas, or one of them where the other has seen no value of the column."""
        parts = [s for s in (self, other) if s.kinds[d] != "empty" and d not in s.blank]
        return parts or [other if self.kinds[d] == "empty" else self]

    def _unite(self, d, parts):
        """What is known of column d in one or two parts of the table."""
        kinds = {self._kind_of_cells(d, s) for s in parts}
        if len(kinds) > 1:
            first, second = (self._kind_of_cells(d, s) for s in parts)
            raise ValueError(f"Column {self.label(d)!r} holds {second}, but it held {first} before. Convert it to one.")
        self.kinds[d] = parts[0].kinds[d]
        if self.kinds[d] == "category":
            self.levels[d] = self._united_levels(d, parts)
        for name in ("ordered", "integer", "blank"):
            if all(d in getattr(s, name) for s in parts):
                getattr(self, name).add(d)
        if types := [s._number_type[d] for s in parts if d in s._number_type]:
            self._number_type[d] = np.result_type(*types).type
        decimals = [s.decimals[d] for s in parts if d in s.decimals]
        if decimals and d not in self.integer:
            self.decimals[d] = None if None in decimals else max(decimals)

    def _kind_of_cells(self, d, schema):
        """What the cells of a column are, for an error; categories may be numbers, too."""
        names = {"real": "numbers", "boolean": "bools", "category": "strings or categories"}
        kind = schema.kinds[d]
        is_of_numbers = kind == "category" and kinds_of(schema.levels[d]) <= {"real", "boolean"}
        return "numbers as categories" if is_of_numbers else names.get(kind, "nothing")

    def _united_levels(self, d, parts):
        levels = [s.levels[d] for s in parts]
        if len(parts) == 1 or (levels[0].tolist() == levels[1].tolist()):
            return levels[0]
        if not all(s._declares(d) for s in parts):
            return np.union1d(*levels)
        if any(d in s.ordered for s in parts):
            raise ValueError(
                f"Column {self.label(d)!r} has ordered categories {_some(levels[1])}, but they were {_some(levels[0])} "
                "before. Give it one dtype everywhere."
            )
        together = list(dict.fromkeys([*levels[0].tolist(), *levels[1].tolist()]))
        return np.fromiter(together, np.result_type(*levels), len(together))

    def _declares(self, d):
        """Whether the dtype of a column lists its levels."""
        return self.names is not None and self._columns(self.template)[d].declared_levels() is not None

    def _united_template(self, telling, other):
        """The template with the dtypes of the other's columns where these are wider, or alone tell a kind."""
        template, columns = self.template, {}
        pairs = zip(self._columns(template), self._columns(other.template), strict=True)
        for d, (own, new) in enumerate(pairs if template is not other.template else ()):
            column = own.united(new, self.levels.get(d)) if len(telling[d]) == 2 else None
            columns[d] = new.native if telling[d][0] is other else column
        columns = {d: column for d, column in columns.items() if column is not None}
        return replace_columns(template, columns) if columns else template

    def recoded(self, rows, old):
        """Rows that `old` has encoded, float64 (n, D), in the codes of this schema, which is a union with it."""
        for d, levels in old.levels.items():
            if levels.tolist() != self.levels[d].tolist():
                rows = rows.copy()
                codes = np.append(Column(levels, self.label(d)).codes(self.levels[d]), np.nan)
                rows[:, d] = codes[np.nan_to_num(rows[:, d], nan=-1).astype(np.int64)]
        return rows

    # Table -> numbers

    def _columns(self, X):
        """The columns of any table, with their labels."""
        frame = as_frame(X)
        columns = frame.iter_columns() if frame is not None else _on_host(X).T
        return [Column(values, self.label(d)) for d, values in enumerate(columns)]

    def _stack(self, X, function, dtype):
        """function(d, column) of every column, side by side (n, D)."""
        columns = [function(d, column) for d, column in enumerate(self._columns(X))]
        return np.stack(columns, axis=1).astype(dtype, copy=False)

    def encode(self, X):
        """One number per cell, float64 (n, D): NaN where it is missing, or a category that fit has not seen.

        Columns are taken by position; their names are scikit-learn's to check.
        """
        if as_frame(X) is None and self.names is None and self.is_plain:
            return np.array(_on_host(X), dtype=np.float64)
        return self._stack(X, self._encode_column, np.float64)

    def _encode_column(self, d, column):
        if self.kinds[d] == "category":
            return column.codes(self.levels[d])
        numbers = column.numbers()
        if self.kinds[d] == "boolean" and not np.all((numbers == 0) | (numbers == 1) | np.isnan(numbers)):
            raise ValueError(
                f"Column {column.label!r} held bools when the model was fitted; now it holds other numbers."
            )
        return numbers if self.kinds[d] != "empty" else np.full(len(numbers), np.nan)

    def missing(self, X):
        """Which cells are missing in the table itself, (n, D) bool; a category that fit has not seen is not."""
        return self._stack(X, lambda _, column: column.missing(), bool)

    def row(self, given):
        """One row of given cells, float64 (1, D); all others are missing.

        Parameters
        ----------
        given : dict
            Values by column name, or by column number where fit saw an array.
        """
        if not isinstance(given, dict) or not given:
            raise ValueError("'given' must be a dict of column names and values with at least one entry.")
        row = np.full((1, len(self.kinds)), np.nan)
        for key, value in given.items():
            d = self._position(key)
            row[0, d] = self._encode_value(d, value)
        return row

    def _position(self, key):
        known = range(len(self.kinds)) if self.names is None else self.names
        if key not in known or (self.names is None and not isinstance(key, Integral)):
            what = "column names" if self.names is not None else "column numbers, since fit saw an array without names"
            raise ValueError(f"'given' names the column {key!r}, which fit has not seen. Use {what}: {_some(known)}.")
        return known.index(key)

    def _encode_value(self, d, value):
        kind, column = self.kinds[d], f"'given' has {value!r} for column {self.label(d)!r}"
        if kind == "empty":
            raise ValueError(f"{column}, which had no value at all in fit. Leave it out.")
        if kind == "category":
            codes = {level: c for c, level in enumerate(self.levels[d].tolist())}
            if not isinstance(value, Hashable) or value not in codes:
                raise ValueError(f"{column}, a category that fit has not seen. Known are {_some(codes)}.")
            return codes[value]
        is_number = kinds_of([value]) in ({"real"}, {"boolean"})
        if kind == "boolean" and not (is_number and value in (0, 1)):
            raise ValueError(f"{column}, which holds bools. Use True or False.")
        if not (is_number and abs(value) <= sys.float_info.max):
            raise ValueError(f"{column}, which holds numbers. Use a finite number.")
        if d in self.integer and self.names is not None and value != int(value):
            raise ValueError(f"{column}, which holds whole numbers. Use one.")
        return float(value)

    # Numbers -> table

    def means(self, values, index=None):
        """A table of expected values: real and boolean columns as floats, categories as the levels of the given codes.

        Parameters
        ----------
        values : float array (n, D)
            Returned as it is where fit saw an array without categories.
        index : pandas.Index, optional
            Of the pandas frame.
        """
        return self._table(values, index, as_floats=True)

    def draws(self, values, index=None, exact=()):
        """A table as fit saw it, every column in its own dtype: ints rounded, floats to the decimals that fit saw.

        Parameters
        ----------
        values : float array (n, D)
            Returned as it is where fit saw an array without categories.
        index : pandas.Index, optional
            Of the pandas frame.
        exact : collection of int
            Float columns that are not rounded.
        """
        return self._table(values, index, as_floats=False, exact=exact)

    def _draw(self, d, values, is_exact=False):
        """One column of draws (n,) as numbers, or as an object array with None where it is missing."""
        gone = np.isnan(values) | (self.kinds[d] == "empty")
        if gone.any():
            cells = np.full(len(values), None)
            cells[~gone] = self._draw(d, values[~gone], is_exact) if not gone.all() else None
            return cells
        if self.kinds[d] == "category":
            return self.levels[d][values.astype(np.int64)]
        if self.kinds[d] == "boolean":
            return values >= 0.5
        if d in self.integer:
            return self._draw_integers(d, values)
        k = None if is_exact else self.decimals.get(d)
        return (values if k is None else np.round(values, k) + 0.0).astype(self._number_type[d], copy=False)

    def _draw_integers(self, d, values):
        info = np.iinfo(self._number_type[d])
        below = np.nextafter(float(info.max), 0) if float(info.max) > info.max else info.max  # 2^63 is no int64
        return np.clip(np.rint(values.astype(np.float64)), info.min, below).astype(info.dtype)

    def _draw_cells(self, values):
        """Draws as an object array (n, D), NaN for missing: numpy's own way to say so."""
        cells = np.empty(values.shape, dtype=object)
        for d in range(values.shape[1]):
            cells[:, d] = self._draw(d, values[:, d])
        cells[np.equal(cells, None)] = np.nan
        return cells

    def _table(self, values, index, as_floats, exact=()):
        if self.names is None:
            return values if self.is_plain else self._array(values, as_floats)
        columns = []
        for d, fitted in enumerate(self._columns(self.template)):
            is_float = as_floats and self.kinds[d] in ("real", "boolean")
            columns.append(
                fitted.series(values[:, d]) if is_float else fitted.hold(self._draw(d, values[:, d], d in exact))
            )
        return frame_like(self.template, columns, index)

    def _array(self, values, as_floats):
        if not isinstance(values, np.ndarray):  # of an Array API library, and to stay there
            return like(torch.from_numpy(self._array(on_host(values), as_floats)), values)
        table = values.astype(np.result_type(values, np.float32)) if self._is_numeric else self._draw_cells(values)
        for d, kind in enumerate(self.kinds):
            if self._is_numeric and kind == "category":
                table[:, d] = self._draw(d, values[:, d])
            elif not self._is_numeric and as_floats and kind in ("real", "boolean"):
                table[:, d] = values[:, d]
        return table

    def fill(self, X, values, where=None):
        """X with its missing cells replaced by draws; every other cell stays as it is, X itself is not written to.

        A column with a hole takes the dtype that fit saw if that holds all its cells exactly, else it keeps its own; so
        does a float column of whole numbers that fit saw as ints. Other columns are untouched.

        Parameters
        ----------
        X : table (n, D)
        values : float array (n, D)
        where : bool array (n, D), optional
            The cells to replace, if not the missing ones.

        Returns
        -------
        table : the library of X; an ndarray for a list
        """
        where = self.missing(X) if where is None else np.asarray(where, dtype=bool)
        if (frame := as_frame(X)) is None:
            return self._fill_array(X, values, where)
        fitted = [None] * len(self.kinds)
        if frame.implementation.name.lower() == self.library:
            fitted = self._columns(self.template)
        columns = {
            d: self._fill_column(d, column, fitted[d], values[:, d], where[:, d])
            for d, column in enumerate(self._columns(X))
        }
        return replace_columns(frame.to_native(), {d: column for d, column in columns.items() if column is not None})

    def _fill_column(self, d, column, fitted, values, where):
        """The native column with the cells `where` (n,) replaced, or None if it is to stay as it is."""
        has_holes = where.any() and self.kinds[d] != "empty"
        was_integer = fitted is not None and d in self.integer and column.storage == "float"
        if not has_holes and not was_integer:
            return None
        cells = column.cells()
        if has_holes:
            cells[where] = self._draw(d, values[where])
        if fitted is not None and fitted.admits(cells):
            return fitted.like(cells)
        return column.hold(cells) if has_holes else None

    def _fill_array(self, X, values, where):
        if sparse.issparse(X):
            X = X.tocsr(copy=True)
            X[where] = values[where]
            return X
        filled = np.array(_on_host(X))
        drawn = self.draws(values) if self.names is None else self._draw_cells(values)
        if not kinds_of(drawn[where]) <= {"real", "boolean"}:
            filled = filled.astype(object)
        filled[where] = drawn[where]
        return filled if isinstance(X, (np.ndarray, list, tuple)) else like(torch.from_numpy(filled), X)


def _decimals(x, dtype):
    """The smallest number of decimals, at most 6, with which every x (n,) of the given type is written exactly."""
    x = x[np.isfinite(x)]
    with np.errstate(over="ignore", invalid="ignore"):  # 10^k x of huge x
        return next((k for k in range(_MOST_DECIMALS + 1) if np.all(np.round(x, k).astype(dtype) == x)), None)


def _some(known):
    """The first few of many, for an error."""
    known = list(known)
    return ", ".join(map(repr, known[:8])) + (", ..." if len(known) > 8 else "")


def _as_array(X):
    """Lists as an ndarray in which numbers stay numbers beside strings; arrays of any library as they are.

    What numpy cannot read is an array without columns, and scikit-learn's to refuse.
    """
    if hasattr(X, "dtype") and hasattr(X, "shape"):
        return X
    try:
        array = np.asarray(X)
        return np.asarray(X, dtype=object) if array.dtype.kind in "US" else array
    except (TypeError, ValueError):
        return np.empty(0)


def _on_host(X):
    """An array of any library, or a list, as an ndarray."""
    return np.asarray(dense(on_host(_as_array(X))))


def _letter(X):
    """numpy's letter for the kind of dtype, for arrays of any library."""
    if isinstance(X.dtype, np.dtype):
        return X.dtype.kind
    name = str(X.dtype).rsplit(".", 1)[-1]
    return "b" if name == "bool" else name[0].replace("b", "f")  # bfloat16


def _is_readable(X):
    """Whether every cell of an object array is of a type that columns are made of; else scikit-learn refuses it."""
    return kinds_of(X.ravel()) <= {"real", "boolean", "category", "time"}


def _holds_na(X):
    """Whether an object array has cells that are pandas' NA, which float() does not read."""
    return any(t.__name__ == "NAType" for t in set(map(type, X.ravel())))


def _chosen(categorical_features, names, n_columns):
    """The set of the columns (int) that the parameter names, or its word: "auto" or "from_dtype"."""
    if isinstance(categorical_features, str) and categorical_features in ("auto", "from_dtype"):
        return categorical_features
    if isinstance(categorical_features, str) or not hasattr(categorical_features, "__iter__"):
        if categorical_features is None:
            return set()
        raise ValueError(
            "The 'categorical_features' parameter must be 'auto', 'from_dtype', None, a bool mask, or a list of column "
            f"numbers or names, not {categorical_features!r}."
        )
    keys = list(categorical_features)
    if keys and all(isinstance(key, (bool, np.bool_)) for key in keys):
        if len(keys) != n_columns:
            raise ValueError(
                f"The bool mask in the 'categorical_features' parameter has {len(keys)} entries, X {n_columns} columns."
            )
        return {d for d, key in enumerate(keys) if key}
    return {_position(key, names, n_columns) for key in keys}


def _position(key, names, n_columns):
    if isinstance(key, Integral) and not isinstance(key, (bool, np.bool_)) and -n_columns <= key < n_columns:
        return int(key) % n_columns
    if names is not None and key in names:
        return names.index(key)
    has = f"the columns {_some(names)}" if names is not None else f"{n_columns} columns without names"
    raise ValueError(f"The 'categorical_features' parameter names the column {key!r}, but X has {has}.")
