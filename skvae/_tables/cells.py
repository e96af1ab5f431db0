"""Cells as Python values: which are missing, and of which kind they are."""

import datetime
from collections.abc import Collection, Iterable
from decimal import Decimal
from numbers import Real

import numpy as np

__all__ = ["gone", "kind_of", "kinds_of", "level_array", "objects"]

_TIMES = (datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)
_MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")  # the last is numpy.ma.masked


def objects(cells: Collection) -> np.ndarray:
    """Python values as an object array (n,)."""
    return np.fromiter(cells, dtype=object, count=len(cells))


def gone(cells: Collection) -> np.ndarray:
    """Which of the Python values (n,) are None, NA, NaT, masked or NaN."""
    by_type = {t: t.__name__ in _MISSING for t in set(map(type, cells))}
    is_missing = np.fromiter(map(by_type.__getitem__, map(type, cells)), bool, len(cells))
    if any(issubclass(t, (float, np.floating)) for t in by_type):
        is_missing |= np.fromiter((isinstance(c, (float, np.floating)) and c != c for c in cells), bool, len(cells))
    if Decimal in by_type:  # its signalling NaN cannot be compared
        is_missing |= np.fromiter((isinstance(c, Decimal) and c.is_nan() for c in cells), bool, len(cells))
    return is_missing


def kind_of(t: type) -> str:
    """The kind of column that cells of the Python type t make, or the type's name; "" for missing ones."""
    if issubclass(t, (bool, np.bool_)):
        return "boolean"
    if issubclass(t, (Real, Decimal)):
        return "real"
    if t.__name__ in _MISSING:
        return ""
    if issubclass(t, _TIMES) or t.__name__ == "Period":
        return "temporal"
    return "category" if issubclass(t, str) else t.__name__


def kinds_of(cells: Iterable) -> set[str]:
    """The kinds of the cells that are there, a set."""
    return {kind_of(t) for t in set(map(type, cells))} - {""}


def level_array(levels: Collection) -> np.ndarray:
    """Levels (C,): numbers or bools if they all are, else objects."""
    kinds = kinds_of(levels)
    return np.array(list(levels)) if kinds in ({"real"}, {"boolean"}) else objects(list(levels))
