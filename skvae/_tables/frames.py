"""Columns of pandas, polars, numpy and every other eager library that narwhals reads, behind one face.

The only module that knows data frames. Cells pass between dtypes and libraries as plain Python values in an object
array, None for missing: exact for integers that no float can hold.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import repeat
from numbers import Integral, Real
from typing import Any

import narwhals as nw
import numpy as np

from .cells import gone, kind_of, kinds_of, level_array, objects
from .numbers import as_decimal, decimal_dtype, decimal_range, float_limits, integer_range, n_decimals

__all__ = [
    "TOO_LARGE",
    "Column",
    "as_frame",
    "frame_like",
    "is_lazy_frame",
    "is_series",
    "native_frame",
    "readable",
    "refuse_duplicate_names",
    "replace_columns",
    "without_rows",
]

_STORAGE = {"b": "boolean", "i": "integer", "u": "integer", "f": "float", "m": "time", "M": "time"}
#: What an error says of a column with a cell that no float64 holds.
TOO_LARGE = "holds a whole number that is too large for float64. Divide the column, or take its logarithm."
_NUMBERS = {"boolean": bool, "integer": int, "float": float, "decimal": Decimal}
_DTYPES: dict[str, tuple[Any, ...]] = {
    "decimal": (nw.Decimal,),
    "boolean": (nw.Boolean,),
    "category": (nw.Categorical, nw.Enum),
    "time": (nw.Date, nw.Datetime, nw.Duration),
}
_DAYS_OF_NANOSECONDS = 2**63 // (86_400 * 10**9)


class Column:
    """One column of any table.

    Parameters
    ----------
    values : ndarray (n,) or narwhals Series
    label : str
        The name that errors use.

    Attributes
    ----------
    storage : {"integer", "float", "decimal", "boolean", "category", "time", "cells"}
        How the dtype keeps the cells; "cells": as strings, as objects, or in a way that narwhals does not know.
    """

    def __init__(self, values: Any, label: Any) -> None:
        self.values, self.label = values, label
        self.is_array = isinstance(values, np.ndarray)
        self.native = nw.to_native(values, pass_through=True)
        self.is_pandas = nw.dependencies.is_pandas_series(self.native)
        self.storage = self._storage()

    def _storage(self) -> str:
        dtype = self.values.dtype
        if self.is_array or dtype == nw.Unknown:  # pandas' sparse dtypes have numpy's letter too
            own = self.native.dtype if self.is_pandas else dtype
            return "time" if str(own).startswith("period") else _STORAGE.get(getattr(own, "kind", "O"), "cells")
        if dtype.is_integer() or dtype.is_float():
            return "integer" if dtype.is_integer() else "float"
        return next((name for name, own in _DTYPES.items() if dtype in own), "cells")

    @property
    def is_plain(self) -> bool:
        """Whether numpy reads the column as it is: its ints and floats, in pandas of its own dtypes or sparse ones."""
        if self.is_pandas and not (
            isinstance(self.native.dtype, np.dtype) or str(self.native.dtype).startswith("Sparse")
        ):
            return False
        return self.storage in ("integer", "float") and self.number_type is not int

    @property
    def holds_numbers(self) -> bool:
        """Whether the dtype says that the cells are numbers or bools."""
        return self.storage in _NUMBERS

    @property
    def holds_times(self) -> bool:
        """Whether the cells are dates, times, durations or periods, by the dtype or one by one."""
        return self.storage == "time" or (self.storage == "cells" and kinds_of(self.cells()) == {"temporal"})

    @property
    def holds_objects(self) -> bool:
        """Whether the dtype says that the cells are any Python objects."""
        return self.native.dtype == object if self.is_pandas or self.is_array else self.values.dtype == nw.Object

    @property
    def number_type(self) -> type:
        """The type of the numbers in a real column: numpy's, nullable or not, `int` for wider ones, or `Decimal`."""
        if self.storage == "integer":
            limits = integer_range(self.values.dtype) or (0, 0)
            return int if limits[1] >= 2**64 else getattr(np, str(self.values.dtype).lower(), np.int64)
        if self.storage == "float":
            return getattr(np, str(self.values.dtype).lower(), np.float64)
        is_decimal = self.storage == "decimal" or not self.holds(Real)
        return int if self.holds(Integral) else Decimal if is_decimal and self.holds(Integral, Decimal) else np.float64

    # Table -> numbers and Python values

    def numbers(self) -> np.ndarray:
        """The column as float64 (n,), NaN for missing."""
        if self.storage not in _NUMBERS:
            return self._numbers_from_cells()
        if self.is_pandas:
            return self.native.to_numpy(dtype=np.float64, na_value=np.nan)
        if self.is_array:
            return self.values.astype(np.float64)
        if self.values.implementation.is_pyarrow():
            # Its safe cast raises for whole numbers above 2^53, and that of decimals is wrong in the last bit.
            numbers = self.native.cast("string") if self.storage == "decimal" else self.native
            return numbers.cast("float64", safe=False).to_numpy()
        return self.values.cast(nw.Float64).to_numpy()

    def _numbers_from_cells(self) -> np.ndarray:
        cells = self.cells()
        if wrong := kinds_of(cells) - {"real", "boolean"}:
            example = next(c for c in cells if kind_of(type(c)) in wrong)
            raise ValueError(
                f"Column {self.label!r} held numbers or bools when the model was fitted; now it holds {example!r}. "
                "Convert the column, or fit anew."
            )
        try:
            return cells.astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"Column {self.label!r} {TOO_LARGE}") from error

    def missing(self) -> np.ndarray:
        """Which cells are NaN, None, NA or null, (n,) bool."""
        if self.storage in _NUMBERS:
            return np.isnan(self.numbers())
        return gone(self.values) if self.is_array else self.values.is_null().to_numpy()

    def cells(self) -> np.ndarray:
        """Python values (n,) of dtype object, None for missing; a copy."""
        if self.is_pandas:
            cells = self.native.to_numpy(dtype=object, copy=True)
        else:
            cells = self.values.astype(object) if self.is_array else objects(self.values.to_list())
        cells[self.missing()] = None
        return cells

    def category_indices(self, levels: np.ndarray) -> np.ndarray:
        """Each cell's position in `levels` (C,), compared by value; float64 (n,), NaN for missing and for others."""
        position = dict(zip(levels.tolist(), range(len(levels)), strict=True))
        if self.is_pandas and self.storage == "category" and self.declared_levels() is not None:
            own = [position.get(level, np.nan) for level in self.declared_levels()]
            # pandas has -1 for a missing cell, which is the last entry here.
            return np.array([*own, np.nan])[self.native.cat.codes.to_numpy()]
        cells = self.cells()
        try:
            return np.fromiter(map(position.get, cells, repeat(np.nan)), np.float64, len(cells))
        except TypeError as error:
            raise ValueError(f"Column {self.label!r} holds cells that are no categories: {error}.") from error

    # What a column is

    def kind(self) -> str:
        """Whether the column is "real", "boolean", "category" or "empty", by its dtype or else by its cells."""
        if self.storage in (*_NUMBERS, "category"):
            return {"integer": "real", "float": "real", "decimal": "real"}.get(self.storage, self.storage)
        kinds = {"temporal"} if self.storage == "time" else kinds_of(self.cells())
        if kinds == {"temporal"}:
            return "real"
        if len(kinds) > 1 or kinds - {"real", "boolean", "category"}:
            raise ValueError(self._why_no_kind(kinds))
        return kinds.pop() if kinds else "empty"

    def _why_no_kind(self, kinds: set[str]) -> str:
        types = ", ".join(sorted({type(c).__name__ for c in self.cells() if c is not None}))
        holds = f"Column {self.label!r} holds cells of"
        if kinds <= {"real", "boolean", "category", "temporal"}:
            return f"{holds} several types: {types}. Convert them to one, e.g. all to str."
        return f"{holds} type {types}, not numbers, bools, strings or dates. Convert it or drop it."

    def holds(self, *types: type) -> bool:
        """Whether every cell that is there is of one of the types."""
        return all(issubclass(t, (*types, type(None))) for t in set(map(type, self.cells())))

    @property
    def scale(self) -> int:
        """Digits after the point of a column of decimals: those of its dtype, else as many as its cells need."""
        dtype = decimal_dtype(self.dtype)
        return n_decimals(c for c in self.cells() if c is not None) if dtype is None else dtype.scale

    def declared_levels(self) -> Any:
        """The levels that a category dtype lists itself, in its order; None where it lists none."""
        if self.storage != "category":
            return None
        if self.is_pandas:
            return getattr(self.native.dtype, "categories", None)
        return self.values.dtype.categories if self.values.dtype == nw.Enum else None

    def levels(self) -> np.ndarray:
        """Levels (C,): those of the dtype, also the unobserved ones, else the distinct observed values, sorted."""
        declared = self.declared_levels()
        return level_array(sorted(set(self.cells()) - {None}) if declared is None else declared)

    @property
    def is_ordered(self) -> bool:
        """Whether the dtype says that its levels have an order: pandas' ordered categories, polars' Enum."""
        if self.storage != "category":
            return False
        return bool(getattr(self.native.dtype, "ordered", False)) if self.is_pandas else self.values.dtype == nw.Enum

    # Two columns -> one

    def united(self, other: "Column", levels: Any = None) -> Any:
        """A native column without rows for the cells of this column and another's; None where this one's dtype will do.

        Parameters
        ----------
        other : Column
            Of the same library and kind.
        levels : ndarray (C,), optional
            Of both, where they are categories.
        """
        if self.dtype == other.dtype:
            return None
        if self.declared_levels() is not None:
            return self._declaring(levels) if other.declared_levels() is not None else other.native
        if self.storage == other.storage == "decimal":
            return other.native if other.scale > self.scale else None
        if {self.storage, other.storage} == {"integer"} and int in (self.number_type, other.number_type):
            return None if self.number_type is int else other.native
        if {self.storage, other.storage} <= {"integer", "float"} and int not in (self.number_type, other.number_type):
            both = np.promote_types(self.number_type, other.number_type)
            if both == self.number_type:
                return None
            return other.native if both == other.number_type else self.series(np.empty(0, both))
        return None

    @property
    def dtype(self) -> Any:
        return self.native.type if hasattr(self.native, "type") else self.native.dtype

    def _declaring(self, levels: Any) -> Any:
        if self.is_pandas:
            import pandas as pd

            return pd.Series([], dtype=pd.CategoricalDtype(pd.Index(levels), self.is_ordered))
        dtype = nw.Enum(levels.tolist())
        return nw.new_series(self.values.name, [], dtype, backend=self.values.implementation).to_native()

    # Python values -> table

    def hold(self, values: np.ndarray) -> Any:
        """A native column like this one that holds `values`, in its dtype where that can hold them exactly.

        Parameters
        ----------
        values : ndarray (n,)
            Numbers, bools, or Python values with None for missing.
        """
        return self.like(values) if values.dtype != object or self.admits(values) else self._widened(values)

    def replaced(self, where: np.ndarray, cells: np.ndarray) -> Any:
        """The native column, not of pandas, with cells `where` (n,) replaced; the others keep their nanoseconds."""
        new = np.full(len(where), None)
        new[where] = cells
        is_kept = nw.new_series("", ~where, backend=self.values.implementation)
        return self.values.zip_with(is_kept, nw.from_native(self.hold(new), series_only=True)).to_native()

    def admits(self, cells: np.ndarray) -> bool:
        """Whether the dtype can hold these cells (n,), None for missing, exactly."""
        if self.holds_objects:
            return True
        observed = [c for c in cells if c is not None]
        if self.storage == "time":
            return kinds_of(observed) <= {"temporal"}
        if decimal_dtype(self.dtype) is not None:
            return kinds_of(observed) <= {"real", "boolean"} and self._admits_decimals(observed)
        is_numpy = self.is_pandas and isinstance(self.native.dtype, np.dtype)
        if is_numpy and self.storage in ("integer", "boolean") and len(observed) < len(cells):
            return False
        if self.storage in _NUMBERS:
            return kinds_of(observed) <= {"real", "boolean"} and self._admits_numbers(observed)
        levels = self.declared_levels()
        return kinds_of(observed) <= self._kinds_of_values if levels is None else set(observed) <= set(levels)

    @property
    def _kinds_of_values(self) -> set[str]:
        """Kinds of cells that a column of strings, or a dictionary of pyarrow, can hold."""
        values = getattr(getattr(self.dtype, "pyarrow_dtype", self.dtype), "value_type", "string")
        return {"category"} if "string" in str(values) else {"boolean"} if str(values) == "bool" else {"real"}

    def _admits_numbers(self, observed: list) -> bool:
        if self.storage == "boolean":
            return set(observed) <= {0, 1}
        if self.storage == "float":
            exact = objects(observed)
            with np.errstate(over="ignore"):
                return bool(np.all(exact.astype(self.number_type).astype(object) == exact))
        low, high = integer_range(self.values.dtype) or (-(2**63), 2**63 - 1)
        return all(low <= c <= high and c == int(c) for c in observed)

    def _admits_decimals(self, observed: list) -> bool:
        (low, high), k = decimal_range(decimal_dtype(self.dtype)), self.scale
        return all(low <= c <= high and as_decimal(c, k) == c for c in map(as_decimal, observed))

    def within(self, values: np.ndarray) -> np.ndarray:
        """Numbers (n,) no further out than a dtype of decimals, of wide whole numbers or of nanoseconds can hold."""
        if getattr(self.values.dtype, "time_unit", None) == "ns":
            return np.clip(values, -_DAYS_OF_NANOSECONDS, _DAYS_OF_NANOSECONDS)
        if decimal_dtype(self.dtype) is None and self.number_type is not int:
            return values
        limits = float_limits(self.dtype)
        return values if limits is None else np.clip(values, *limits)

    def like(self, values: np.ndarray) -> Any:
        """A native column of this one's dtype."""
        if decimal_dtype(self.dtype) is not None:
            values = objects([c if c is None else as_decimal(c, self.scale) for c in values.tolist()])
        elif values.dtype == object and self.storage in _NUMBERS:
            cast = _NUMBERS[self.storage]
            values = objects([c if c is None else cast(c) for c in values])
        if self.is_pandas:
            return _pandas_array(values, self.native.dtype)
        if self.storage == "category" and self.values.implementation.is_pyarrow():
            return _arrow_array(values, self.dtype)
        if self.storage == "integer" and values.dtype == object:  # else polars takes 64 bits by the first cells
            return nw.new_series(
                self.values.name, values.tolist(), self.values.dtype, backend=self.values.implementation
            ).to_native()
        series = self.series(values)
        return series if self.values.dtype == nw.Object else series.cast(self.dtype)

    def series(self, values: Any) -> Any:
        """A native column of the values' own dtype."""
        if self.is_pandas:
            return values
        values = values.tolist() if values.dtype == object else values
        return nw.new_series(self.values.name, values, backend=self.values.implementation).to_native()

    def _widened(self, cells: np.ndarray) -> Any:
        if kinds_of(cells) <= {"real", "boolean"}:
            return self.series(cells.astype(np.float64))
        if not self.is_pandas or self.storage != "category":
            return self.series(cells)
        new = [c for c in dict.fromkeys(cells) if c is not None and c not in self.declared_levels()]
        return _pandas_array(cells, self.native.cat.add_categories(new).dtype)


def _pandas_array(values: np.ndarray, dtype: Any) -> Any:
    """A pandas array (n,); categories by their indices, since pandas would make unknown ones missing."""
    import pandas as pd

    if isinstance(dtype, pd.ArrowDtype) and hasattr(dtype.pyarrow_dtype, "value_type"):  # numpy's numbers it refuses
        values = objects(values.tolist())
    if not isinstance(dtype, pd.CategoricalDtype):
        series = pd.Series(values, dtype=dtype)
        if not isinstance(dtype, np.dtype):
            return series.array
        return series.values  # noqa: PD011 - a frame would read .array of objects anew
    index_of = {level: c for c, level in enumerate(dtype.categories)} | {None: -1}
    indices = np.fromiter(map(index_of.__getitem__, values), dtype=np.int64, count=len(values))
    return pd.Categorical.from_codes(indices, dtype=dtype)


def _arrow_array(values: np.ndarray, dtype: Any) -> Any:
    """A chunked array of pyarrow; a dictionary from Python values, since pyarrow has no cast to one of numbers."""
    import pyarrow as pa

    return pa.chunked_array([pa.array(values.tolist(), dtype)])


def as_frame(X: Any) -> Any:
    """X as a narwhals frame, or None where it is no eager frame."""
    native = nw.to_native(X, pass_through=True)
    if not nw.dependencies.is_into_dataframe(native):
        return None
    refuse_duplicate_names(native)
    return nw.from_native(native, eager_only=True)


def refuse_duplicate_names(X: Any, name: str = "X") -> None:
    """Raise where two columns of an eager frame have one name, since neither narwhals nor scikit-learn reads those.

    Parameters
    ----------
    X : object
        Anything but a frame passes.
    name : str
        The parameter, for the error.
    """
    native, remedy = nw.to_native(X, pass_through=True), "Rename or drop them"
    if nw.dependencies.is_pandas_like_dataframe(native):
        if native.columns.is_unique:  # pandas keeps the answer
            return
        names = list(native.columns[native.columns.duplicated()].unique())
        remedy += ": df.columns = [...] gives new names, df.loc[:, ~df.columns.duplicated()] keeps the first of each"
    elif nw.dependencies.is_pyarrow_table(native):
        names = sorted({column for column in native.column_names if native.column_names.count(column) > 1})
        remedy += ": table.rename_columns([...]) gives new names"
    else:
        return
    if names:
        raise ValueError(f"{name} has several columns of the same name: {names}. {remedy}.")


def is_lazy_frame(X: Any) -> bool:
    """Whether X is a frame whose rows are computed only when asked for: dask, Spark, polars' LazyFrame, a relation."""
    native = nw.to_native(X, pass_through=True)
    if nw.dependencies.is_into_dataframe(native):  # narwhals does not read one with duplicate names, see above
        return False
    return isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame)


def native_frame(X: Any) -> Any:
    """A frame of narwhals as what it wraps, a pyarrow RecordBatch as a table; anything else as it is."""
    native = nw.to_native(X, pass_through=True)
    if type(native).__name__ != "RecordBatch":
        return native
    import pyarrow as pa

    return pa.Table.from_batches([native])


def is_series(X: Any) -> bool:
    """Whether X is one column of a library of frames, or an index of pandas."""
    native = nw.to_native(X, pass_through=True)
    is_arrow = type(native).__module__ == "pyarrow.lib" and hasattr(native, "null_count")
    return is_arrow or nw.dependencies.is_into_series(native) or nw.dependencies.is_pandas_index(native)


def readable(X: Any) -> Any:
    """X as scikit-learn reads it: no sparse columns of pandas, NA among objects, or ints of 128 bits."""
    if nw.dependencies.is_pandas_dataframe(X):
        if all(hasattr(dtype, "fill_value") for dtype in X.dtypes):
            return X.sparse.to_dense() if any(dtype.fill_value != 0 for dtype in X.dtypes) else X
        return X.astype(object).where(X.notna(), None) if any(dtype.kind == "O" for dtype in X.dtypes) else X
    if nw.dependencies.is_polars_dataframe(X):
        wide = [name for name, dtype in X.schema.items() if str(dtype) in ("Int128", "UInt128")]
        return nw.from_native(X).with_columns(nw.col(*wide).cast(nw.Float64)).to_native() if wide else X
    return X


def without_rows(frame: Any) -> Any:
    """A native frame of the same columns without rows; nothing in it keeps the rows alive, as a slice would."""
    native = frame.to_native()
    if nw.dependencies.is_pandas_dataframe(native):
        import pandas as pd

        empty = pd.DataFrame({d: pd.Series([], dtype=dtype) for d, dtype in enumerate(native.dtypes)})
        empty.columns = native.columns
        return empty
    if hasattr(native, "clear"):
        return native.clear()
    return frame.filter([False] * len(frame)).to_native() if len(frame) else native


def frame_like(template: Any, columns: Sequence, index: Any = None) -> Any:
    """A native frame with the names and the library of `template`.

    Parameters
    ----------
    columns : list of native columns (n,)
    index : pandas.Index, optional
    """
    if nw.dependencies.is_pandas_dataframe(template):
        import pandas as pd

        series = [pd.Series(column, index=index, dtype=column.dtype) for column in columns]  # else objects become str
        frame = pd.DataFrame(dict(enumerate(series)), index=index)
        frame.columns = template.columns
        return frame
    names = nw.from_native(template, eager_only=True).columns
    named = zip(names, columns, strict=True)
    return nw.from_dict({name: nw.from_native(column, series_only=True) for name, column in named}).to_native()


def replace_columns(frame: Any, columns: dict[int, Any]) -> Any:
    """A copy of the native frame in which some columns, {position: native column}, are others."""
    if nw.dependencies.is_pandas_dataframe(frame):
        import pandas as pd

        frame = frame.copy()
        for d, column in columns.items():
            frame.isetitem(d, pd.Series(column, index=frame.index, dtype=column.dtype))
        return frame
    frame = nw.from_native(frame, eager_only=True)
    new = [nw.from_native(c, series_only=True).alias(frame.columns[d]) for d, c in columns.items()]
    return frame.with_columns(*new).to_native()
