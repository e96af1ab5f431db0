"""Tables of any kind - frames, arrays of any library, CSR, lists - as their columns, one after the other."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._utils.arrays import on_host
from .cells import kinds_of
from .frames import Column, as_frame
from .selection import dense

__all__ = ["array_on_host", "as_array", "columns_of", "first_few", "has_na", "is_readable", "kind_letter", "label_of"]


def columns_of(X: Any, names: list | None, positions: Iterable[int] | None = None) -> list[Column]:
    """The columns of any table, or those at some positions, labelled by the names of the fitted table."""
    frame = as_frame(X)
    if frame is not None and positions is not None:
        return [Column(frame[:, d], label_of(names, d)) for d in positions]
    columns = [
        Column(values, label_of(names, d))
        for d, values in enumerate(frame.iter_columns() if frame is not None else array_on_host(X).T)
    ]
    return columns if positions is None else [columns[d] for d in positions]


def label_of(names: list | None, d: int) -> Any:
    """The name of a column, or "x3" for the fourth column of an array."""
    return names[d] if names is not None else f"x{d}"


def as_array(X: Any) -> Any:
    """Lists as an ndarray in which numbers stay numbers beside strings; arrays of any library as they are.

    What numpy cannot read becomes an array without columns, which scikit-learn refuses.
    """
    if hasattr(X, "dtype") and hasattr(X, "shape"):
        return X
    try:
        array = np.asarray(X)
        return np.asarray(X, dtype=object) if array.dtype.kind in "US" else array
    except (TypeError, ValueError):
        return np.empty(0)


def array_on_host(X: Any) -> np.ndarray:
    """An array of any library, or a list, as an ndarray."""
    return np.asarray(dense(on_host(as_array(X))))


def kind_letter(X: Any) -> str:
    """numpy's letter for the kind of dtype, for arrays of any library."""
    if isinstance(X.dtype, np.dtype):
        return X.dtype.kind
    name = str(X.dtype).rsplit(".", 1)[-1]
    return "b" if name == "bool" else name[0].replace("b", "f")  # bfloat16


def is_readable(X: np.ndarray) -> bool:
    """Whether every cell of an object array is of a type that columns are made of; else scikit-learn refuses it."""
    return kinds_of(X.ravel()) <= {"real", "boolean", "category", "temporal", "time"}


def has_na(X: np.ndarray) -> bool:
    """Whether an object array has cells that are missing and that float() does not read."""
    return any(t.__name__ in ("NAType", "MaskedConstant") for t in set(map(type, X.ravel())))


def first_few(known: Iterable) -> str:
    """The first few of many names or levels, for the message of an error."""
    known = list(known)
    return ", ".join(map(repr, known[:8])) + (", ..." if len(known) > 8 else "")
