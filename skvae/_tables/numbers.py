"""Types of numbers in real columns: those of numpy, whole numbers of any size, decimals; what each can hold.

The model computes with float64. A column whose type holds more digits than that keeps its observed cells as they are,
and its draws are the float64 in that type.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from numbers import Integral
from typing import Any

import numpy as np

__all__ = [
    "NUMBER_TYPES",
    "as_decimal",
    "decimal_dtype",
    "decimal_range",
    "float_limits",
    "integer_range",
    "n_decimals",
    "widest",
]

#: Every type by its name: `int` and `Decimal` are Python's, for columns of objects and for wider dtypes.
NUMBER_TYPES: dict[str, type] = {
    t.__name__: t
    for t in (
        *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, int),
        *(np.float16, np.float32, np.float64, np.longdouble, Decimal),
    )
}
_EXACT = Context(prec=700)  # digits: more than a float64 has before and after the point


def integer_range(dtype: Any) -> tuple[int, int] | None:
    """The least and the largest whole number of a dtype by its name, such as int8 or UInt128; None for others."""
    name = re.fullmatch(r"(u?)int(\d+)", str(dtype).lower())
    if name is None:
        return None
    is_unsigned, bits = bool(name[1]), int(name[2])
    return (0, 2**bits - 1) if is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def decimal_dtype(dtype: Any) -> Any:
    """The dtype of decimals of polars or pyarrow, with `precision` and `scale`; None for others."""
    dtype = getattr(dtype, "pyarrow_dtype", dtype)  # of pandas
    return dtype if hasattr(dtype, "precision") and hasattr(dtype, "scale") else None


def decimal_range(dtype: Any) -> tuple[Decimal, Decimal]:
    """The least and the largest number of a dtype of decimals."""
    n_digits = dtype.precision or 38
    most = Decimal((0, (9,) * n_digits, -dtype.scale))
    return most.copy_negate(), most


def float_limits(dtype: Any) -> tuple[float, float] | None:
    """The least and the largest float64 that a dtype of decimals or of whole numbers can hold; None for others."""
    decimals = decimal_dtype(dtype)
    limits: Any = integer_range(dtype) if decimals is None else decimal_range(decimals)
    return None if limits is None else (_towards_zero(limits[0]), _towards_zero(limits[1]))


def _towards_zero(limit: Any) -> float:
    nearest = float(limit)
    return nearest if Decimal(nearest).copy_abs() <= Decimal(limit).copy_abs() else float(np.nextafter(nearest, 0))


def as_decimal(value: Any, k: int | None = None) -> Decimal:
    """A number as the decimal that is written like it, with k digits after the point, if k is given."""
    if not isinstance(value, Decimal):
        value = Decimal(int(value) if isinstance(value, Integral) else repr(float(value)))
    return value if k is None else value.quantize(Decimal(1).scaleb(-k), context=_EXACT) + Decimal(0)


def n_decimals(cells: Iterable) -> int:
    """The smallest number of digits after the point that writes every finite decimal exactly."""
    finite = (number.normalize(_EXACT) for number in map(as_decimal, cells) if number.is_finite())
    return max([0, *(-int(number.as_tuple().exponent) for number in finite)])


def widest(types: Sequence[type]) -> type:
    """The type that holds the numbers of several."""
    if all(issubclass(t, np.generic) for t in types):
        return np.result_type(*types).type
    are_whole = [t is int or issubclass(t, np.integer) for t in types]
    if all(are_whole):
        return int
    return Decimal if all(whole or t is Decimal for t, whole in zip(types, are_whole, strict=True)) else np.float64
