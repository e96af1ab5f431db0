"""Frames without rows <-> plain data: names of dtypes, strings, bools and lists, with nothing of the library in them.

`describe` looks at such a frame, `rebuild` makes it again, in the same library and with the same dtypes and names. The
names of dtypes are looked up in tables, never in a library: what a file says is no attribute of anything. The levels of
category dtypes are left to the caller, who has them.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

from .frames import as_frame

__all__ = ["as_level", "check_description", "describe", "plain_level", "rebuild"]

_PANDAS = (
    *("bool", "object", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "boolean", "Int8", "Int16", "Int32", "Int64"),
    *("UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"),
    *(f"{name}64[{step}]" for name in ("datetime", "timedelta") for step in ("s", "ms", "us", "ns")),
)
#: What the description of a dtype or of labels is made of, by its kind.
_PARTS: dict[str, set[str]] = {
    "category": {"of", "ordered"},
    "interval": {"of", "closed"},
    "time": {"step", "zone"},
    "duration": {"step"},
    "period": {"of"},
    "string": {"storage", "has_nan"},
    "sparse": {"of", "fill"},
    "arrow": {"of"},
    "enum": set(),
    "decimal": {"precision", "scale"},
    "decimal256": {"precision", "scale"},
    "dictionary": {"of", "ordered"},
    "multi": {"names"},
    "range": {"names", "step"},
    "index": {"names", "dtype"},
}
_POLARS = (
    *("Boolean", "Int8", "Int16", "Int32", "Int64", "Int128", "UInt8", "UInt16", "UInt32", "UInt64", "Float32"),
    *("UInt128", "Float64", "String", "Categorical", "Null", "Object", "Date"),
)


def describe(frame: Any) -> dict | None:
    """The frame's library, dtypes and labels as plain data; None for a library or dtype that is not known here.

    Parameters
    ----------
    frame : native frame without rows
    """
    library = as_frame(frame).implementation.name.lower()
    if library == "pandas":
        return _described("pandas", map(_pandas_dtype, frame.dtypes), labels=_pandas_labels(frame.columns))
    if library == "polars":
        return _described("polars", map(_polars_dtype, frame.dtypes))
    if library == "pyarrow":
        return _described("pyarrow", map(_arrow_type, frame.schema.types))
    return None


def rebuild(description: dict, names: list, levels: dict[int, np.ndarray]) -> Any:
    """The frame that was described.

    Parameters
    ----------
    description : dict
    names : list (D,)
    levels : dict of int to ndarray
        Of the columns of a category dtype that lists them.
    """
    build = {"pandas": _pandas_frame, "polars": _polars_frame, "pyarrow": _arrow_frame}[description["library"]]
    try:
        return build(description, names, levels)
    except ImportError as error:
        raise ImportError(
            f"This VAETransformer was fitted to a table of {description['library']}, and gives such tables back: "
            f"pip install {description['library']}. Other methods do without, such as transform and score."
        ) from error


def check_description(description: dict, n_columns: int) -> None:
    """Raise a ValueError where a description, as it comes from a file, lacks a part; no library is asked.

    Parameters
    ----------
    description : dict
    n_columns : int
        D, of the table.
    """
    library, dtypes = description["library"], description["dtypes"]
    expected = {"library", "dtypes", *(["labels"] if library == "pandas" else [])}
    is_whole = library in ("pandas", "polars", "pyarrow") and set(description) == expected
    if not is_whole or not isinstance(dtypes, list) or len(dtypes) != n_columns:
        raise ValueError(f"its frame is {description!r:.200}, which is none of {n_columns} columns")
    for part in [*dtypes, *([description["labels"]] if library == "pandas" else [])]:
        _check_parts(part)


def _check_parts(part: Any) -> None:
    if isinstance(part, list):  # of a dictionary: of its indices and of its values
        for own in part:
            _check_parts(own)
    elif isinstance(part, dict):
        if set(part) != {"kind"} | _PARTS[part["kind"]] or part.get("names") == []:
            raise ValueError(f"a dtype of its frame is {part!r}")
        _check_parts(part.get("of", part.get("dtype", "")))
    elif not isinstance(part, str):
        raise ValueError(f"a dtype of its frame is {part!r}")


def plain_level(level: Any) -> Any:
    """A level of a category as plain data: decimals and those of ``pandas.cut`` are dicts, others plain already."""
    if isinstance(level, Decimal):
        return {"decimal": str(level)}
    if not hasattr(level, "closed_left"):  # as pandas' Interval has
        return level
    return {"left": level.left, "right": level.right, "closed": level.closed}


def as_level(level: Any) -> Any:
    """A level of a category from plain data: of a dict a decimal or a pandas Interval, else the value itself."""
    if not isinstance(level, dict):
        return level
    if "decimal" in level:
        return Decimal(level["decimal"])
    import pandas as pd

    return pd.Interval(level["left"], level["right"], level["closed"])


def _described(library: str, dtypes: Iterable, **more: Any) -> dict | None:
    dtypes = list(dtypes)
    return None if None in (*dtypes, *more.values()) else {"library": library, "dtypes": dtypes, **more}


# ---------------------------------------------------------------- pandas


def _pandas_dtype(dtype: Any) -> Any:
    """A pandas dtype as a name or a dict; None for others, such as those of extension packages."""
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        of = None if dtype.categories.dtype.kind in "mM" else _pandas_dtype(dtype.categories.dtype)
        return of and {"kind": "category", "of": of, "ordered": bool(dtype.ordered)}
    if isinstance(dtype, pd.IntervalDtype):
        of = _pandas_dtype(dtype.subtype)
        return of and {"kind": "interval", "of": of, "closed": dtype.closed}
    if isinstance(dtype, pd.StringDtype):
        return {"kind": "string", "storage": dtype.storage, "has_nan": dtype.na_value is not pd.NA}
    if isinstance(dtype, pd.PeriodDtype):
        return {"kind": "period", "of": str(dtype)[len("period[") : -1]}
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {"kind": "time", "step": dtype.unit, "zone": str(dtype.tz)}
    if isinstance(dtype, pd.SparseDtype):
        fill = dtype.fill_value.item() if isinstance(dtype.fill_value, np.generic) else dtype.fill_value
        return {"kind": "sparse", "of": str(dtype.subtype), "fill": fill}
    if isinstance(dtype, pd.ArrowDtype):
        of = _arrow_type(dtype.pyarrow_dtype)
        return of and {"kind": "arrow", "of": of}
    return str(dtype) if str(dtype) in _PANDAS else None


def _as_pandas_dtype(description: Any, levels: Any = None) -> Any:
    import pandas as pd

    if isinstance(description, str):
        return pd.api.types.pandas_dtype(_PANDAS[_PANDAS.index(description)])
    kind = description["kind"]
    if kind == "category":
        categories = pd.Index(levels, dtype=_as_pandas_dtype(description["of"]))
        return pd.CategoricalDtype(categories, ordered=description["ordered"])
    if kind == "interval":
        return pd.IntervalDtype(_as_pandas_dtype(description["of"]), description["closed"])
    if kind == "string":
        # The argument na_value is younger than pandas 2.1.
        missing = {"na_value": np.nan} if description["has_nan"] else {}
        return pd.StringDtype(description["storage"], **missing)
    if kind == "period":
        return pd.PeriodDtype(description["of"])
    if kind == "time":
        return pd.DatetimeTZDtype(description["step"], description["zone"])
    if kind == "sparse":
        return pd.SparseDtype(_as_pandas_dtype(description["of"]), description["fill"])
    return pd.ArrowDtype({"arrow": _as_arrow_type}[kind](description["of"]))


def _pandas_labels(columns: Any) -> dict | None:
    """What is to be known of the index of the columns beside the names of these."""
    import pandas as pd

    if isinstance(columns, pd.MultiIndex):
        return {"kind": "multi", "names": list(columns.names)}
    if isinstance(columns, pd.RangeIndex):
        return {"kind": "range", "names": list(columns.names), "step": columns.step}
    dtype = _pandas_dtype(columns.dtype)
    is_known = dtype is not None and not isinstance(columns, pd.CategoricalIndex)
    return {"kind": "index", "names": list(columns.names), "dtype": dtype} if is_known else None


def _as_pandas_labels(description: dict, names: list) -> Any:
    import pandas as pd

    if description["kind"] == "multi":
        return pd.MultiIndex.from_tuples(names, names=description["names"])
    name = description["names"][0]
    if description["kind"] == "range":
        step = description["step"]
        return pd.RangeIndex(names[0], names[0] + step * len(names), step, name=name)
    return pd.Index(names, dtype=_as_pandas_dtype(description["dtype"]), name=name)


def _pandas_frame(description: dict, names: list, levels: dict[int, np.ndarray]) -> Any:
    import pandas as pd

    dtypes = [_as_pandas_dtype(dtype, levels.get(d)) for d, dtype in enumerate(description["dtypes"])]
    frame = pd.DataFrame({d: pd.Series([], dtype=dtype) for d, dtype in enumerate(dtypes)})
    frame.columns = _as_pandas_labels(description["labels"], names)
    return frame


# ---------------------------------------------------------------- polars


def _polars_dtypes() -> dict[str, Any]:
    """Those without parameters, by name; an older polars lacks some."""
    import polars as pl

    return {name: getattr(pl, name) for name in _POLARS if hasattr(pl, name)}


def _polars_dtype(dtype: Any) -> Any:
    import polars as pl

    if isinstance(dtype, pl.Enum):
        return {"kind": "enum"}
    if isinstance(dtype, pl.Datetime):
        return {"kind": "time", "step": dtype.time_unit, "zone": dtype.time_zone or ""}
    if isinstance(dtype, pl.Duration):
        return {"kind": "duration", "step": dtype.time_unit}
    if isinstance(dtype, pl.Decimal):
        return {"kind": "decimal", "precision": dtype.precision, "scale": dtype.scale}
    plain = _polars_dtypes().get(str(dtype))
    return str(dtype) if plain is not None and dtype == plain() else None


def _as_polars_dtype(description: Any, levels: Any) -> Any:
    import polars as pl

    if isinstance(description, str):
        return _polars_dtypes()[description]
    if description["kind"] == "enum":
        return pl.Enum(levels.tolist())
    if description["kind"] == "time":
        return pl.Datetime(description["step"], description["zone"] or None)
    if description["kind"] == "duration":
        return pl.Duration(description["step"])
    return {"decimal": pl.Decimal}[description["kind"]](description["precision"], description["scale"])


def _polars_frame(description: dict, names: list, levels: dict[int, np.ndarray]) -> Any:
    import polars as pl

    dtypes = [_as_polars_dtype(dtype, levels.get(d)) for d, dtype in enumerate(description["dtypes"])]
    return pl.DataFrame(schema=dict(zip(names, dtypes, strict=True)))


# ---------------------------------------------------------------- pyarrow


def _arrow_types() -> dict[str, Any]:
    """Those without parameters, by name."""
    import pyarrow as pa

    types = (
        *(pa.null(), pa.bool_(), pa.string(), pa.large_string(), pa.float16(), pa.float32(), pa.float64()),
        *(pa.date32(), pa.date64()),
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    )
    return {str(t): t for t in types}


def _arrow_type(t: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(t):
        parts = [_arrow_type(t.index_type), _arrow_type(t.value_type)]
        return None if None in parts else {"kind": "dictionary", "of": parts, "ordered": bool(t.ordered)}
    if pa.types.is_timestamp(t):
        return {"kind": "time", "step": t.unit, "zone": t.tz or ""}
    if pa.types.is_duration(t):
        return {"kind": "duration", "step": t.unit}
    if pa.types.is_decimal128(t) or pa.types.is_decimal256(t):
        kind = "decimal" if pa.types.is_decimal128(t) else "decimal256"
        return {"kind": kind, "precision": t.precision, "scale": t.scale}
    return str(t) if str(t) in _arrow_types() else None


def _as_arrow_type(description: Any) -> Any:
    import pyarrow as pa

    if isinstance(description, str):
        return _arrow_types()[description]
    if description["kind"] == "dictionary":
        return pa.dictionary(*map(_as_arrow_type, description["of"]), ordered=description["ordered"])
    if description["kind"] == "time":
        return pa.timestamp(description["step"], description["zone"] or None)
    if description["kind"] == "duration":
        return pa.duration(description["step"])
    make = {"decimal": pa.decimal128, "decimal256": pa.decimal256}
    return make[description["kind"]](description["precision"], description["scale"])


def _arrow_frame(description: dict, names: list, levels: dict[int, np.ndarray]) -> Any:
    import pyarrow as pa

    types = map(_as_arrow_type, description["dtypes"])
    return pa.schema(list(zip(names, types, strict=True))).empty_table()
