"""What a state may ask for: no more memory than a multiple of its own size, whichever of its fields asks.

A state is what somebody wrote, and a width, a count or the end of a range cost nothing to write down. So the bytes of a
state are counted first, and then the module is built inside a `Budget`, which looks at each call of torch beforehand.
"""

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, linear
from torch.overrides import TorchFunctionMode

__all__ = ["Budget", "n_bytes"]

_MULTIPLE = 64  # of the bytes of a state, for its module; what `fit` has made needs a tenth of that
_OF_A_CALL = 64  # bytes
_OF_A_TENSOR = 2048  # with Python's objects around it
_OF_A_NUMBER = 8
_FOR_OWN = 1 << 28  # bytes more where code of the user's builds a part, which may well hold what is not stored


def n_bytes(state: Any) -> int:
    """Give the bytes of plain data: those of arrays and strings, and one for anything else.

    Raises
    ------
    ValueError
        There is a range, or an array with a side that is longer than all of the data: they take less than they stand
        for.
    """
    arrays: dict[int, np.ndarray] = {}
    total = _counted(state, arrays) + sum(array.nbytes for array in arrays.values())
    for array in arrays.values():
        if max(array.shape, default=0) > total:
            raise ValueError(f"it has an array of shape {array.shape} in {total} bytes")
    return total


def _counted(value: Any, arrays: dict[int, np.ndarray]) -> int:
    """Give the bytes of all but the arrays, which are put aside."""
    if isinstance(value, range):
        raise ValueError(f"it has {value!r} in the place of a list")
    if isinstance(value, np.ndarray):
        arrays[id(value)] = value
        value = value.ravel().tolist() if value.dtype == object else None
    if isinstance(value, (str, bytes)):
        return len(value)
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    return 1 + sum(_counted(part, arrays) for part in parts)


class Budget(TorchFunctionMode):
    """Inside the block torch gives tensors of so many bytes in all; a call that asks for more is a ValueError.

    It is one before the call allocates anything. Counted are tensors whose size is given by numbers, and those that are
    larger than what they are made of.

    Parameters
    ----------
    n_bytes : int
        Of the state whose module is built.
    has_own : bool
        Whether code of the user's builds a part of it.
    """

    def __init__(self, n_bytes: int, has_own: bool) -> None:
        super().__init__()
        self._left = _MULTIPLE * n_bytes + _FOR_OWN * has_own
        self._message = f"its networks ask for more memory than {_MULTIPLE} times the {n_bytes} bytes that are there"

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count what a function is about to give, and call it."""
        kwargs = kwargs or {}
        self._left -= _OF_A_CALL + _OF_A_TENSOR * (func in _SIZED) + _OF_A_NUMBER * _expected(func, args, kwargs)
        if self._left < 0:
            raise ValueError(self._message)
        return func(*args, **kwargs)


def _expected(func: Callable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Give how many numbers a call makes, where it makes more than each of its tensors has."""
    if func in _SIZED:
        return _SIZED[func](*args, **kwargs)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    if len(tensors) < 2:
        return 0
    largest = max(tensor.numel() for tensor in tensors)
    n = _PRODUCTS[func](*tensors[:2]) if func in _PRODUCTS else _broadcast(tensors)
    return n if n > largest else 0


def _broadcast(tensors: list[Tensor]) -> int:
    try:
        return math.prod(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))
    except RuntimeError:  # of a function that does not broadcast
        return 0


def _numbers(*sizes: Any, **named: Any) -> int:
    """Give the product of sizes, which come one by one or in one tuple."""
    sizes = (*sizes, *named.get("size", ()))
    flat = [n for size in sizes for n in (size if isinstance(size, (tuple, list)) else [size])]
    return math.prod(int(n) for n in flat if isinstance(n, Integral))


_SIZED: dict[Callable, Callable[..., int]] = {
    **dict.fromkeys((torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.tril_indices), _numbers),
    **dict.fromkeys((torch.randperm, Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones), _numbers),
    torch.full: lambda size, *_, **__: _numbers(size),
    torch.eye: lambda n, m=None, **_: n * (n if m is None else m),
    torch.arange: lambda start, end=0, step=1, **_: int(abs((end - start) / step)),
    interpolate: lambda planes, size, *_, **__: planes.shape[:-2].numel() * _numbers(size),
    Tensor.to: lambda tensor, *_, **__: tensor.numel(),  # of a family's own numbers, which numpy has made
    Tensor.repeat: lambda tensor, *sizes: tensor.numel() * _numbers(*sizes),
}
_PRODUCTS: dict[Callable, Callable[[Tensor, Tensor], int]] = {
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__), lambda a, b: a.shape[:-1].numel() * b.shape[-1]),
    linear: lambda x, weight: x.shape[:-1].numel() * len(weight),
    torch.conv2d: lambda planes, weight: planes.numel() // planes.shape[-3] * len(weight),
}
