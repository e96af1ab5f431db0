"""Hashes of content: equal for equal content, also after it was stored and loaded, and for nothing else."""

import hashlib
from collections.abc import Iterable
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

__all__ = ["digest", "feed"]

#: Types whose repr is their content.
_BY_REPR = (
    *(type(None), bool, int, float, complex, bytes, bytearray, range, slice),
    *(date, time, timedelta, Decimal, Fraction, PurePath, torch.dtype, torch.device),
)
#: Methods by which a class itself decides what is pickled of an object.
_OF_PICKLING = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")


def digest(value: Any) -> str:
    """Give a hash of plain data, arrays and tensors, and of any object, as far as pickle surely gives it back.

    The order of a dict or a set does not count. Functions and classes count by their names; other objects by the name
    of their class and by their attributes, or by the name alone where the class itself decides what is pickled.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae._utils.digests import digest
    >>> digest({"a": 1, "b": np.zeros(3)}) == digest({"b": np.zeros(3), "a": 1})
    True
    >>> digest(np.zeros(3)) == digest(np.zeros((3, 1)))
    False
    """
    found = hashlib.sha256()
    feed(found, value)
    return found.hexdigest()[:20]


def feed(found: "hashlib._Hash", value: Any, within: tuple[int, ...] = ()) -> None:
    """Add a value to a hash; `within` are the ids of what it is a part of, since there may be circles."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        _add(found, "str", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (*_BY_REPR, np.generic)):  # the latter is a long double
        _add(found, type(value).__name__, repr(value).encode())
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        _add_array(found, value, within)
    elif id(value) in within:
        _add(found, "circle", b"")
    else:
        _add_parts(found, value, (*within, id(value)))


def _add(found: "hashlib._Hash", kind: str, content: Any) -> None:
    found.update(f"{kind} {len(content)} ".encode())
    found.update(content)


def _add_array(found: "hashlib._Hash", value: Any, within: tuple[int, ...]) -> None:
    array = _as_numpy(value) if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.hasobject or array.dtype.char in "gG":
        _add_list(found, f"cells {array.shape}", array.ravel().tolist(), within)  # a long double has bytes without use
        return
    own = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    _add(found, f"{own.dtype.str} {array.shape}", own.reshape(-1).view(np.uint8).data)


def _as_numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu().to_dense().resolve_conj().resolve_neg()
    has_numpys_type = not tensor.is_floating_point() or tensor.dtype in (torch.float16, torch.float32, torch.float64)
    return (tensor if has_numpys_type else tensor.double()).numpy()


def _add_parts(found: "hashlib._Hash", value: Any, within: tuple[int, ...]) -> None:
    kind = type(value).__name__
    if isinstance(value, (list, tuple)):
        _add_list(found, kind, value, within)
    elif isinstance(value, dict):
        _add_unordered(found, "dict", value.items(), within)
    elif isinstance(value, (set, frozenset)):
        _add_unordered(found, "set", value, within)
    elif isinstance(value, partial):
        _add_list(found, kind, [value.func, value.args, value.keywords], within)
    elif isinstance(getattr(value, "__qualname__", None), str):
        _add(found, "name", value.__qualname__.encode())
    else:
        _add_unordered(found, f"{type(value).__qualname__} object", _attributes(value).items(), within)


def _add_list(found: "hashlib._Hash", kind: str, parts: Any, within: tuple[int, ...]) -> None:
    _add(found, f"{kind} {len(parts)}", b"")
    for part in parts:
        feed(found, part, within)


def _add_unordered(found: "hashlib._Hash", kind: str, parts: Iterable[Any], within: tuple[int, ...]) -> None:
    digests = []
    for part in parts:
        own = hashlib.sha256()
        feed(own, part, within)
        digests.append(own.hexdigest())
    _add(found, kind, "".join(sorted(digests)).encode())


def _attributes(value: Any) -> dict[str, Any]:
    """Give what pickle surely gives back of an object."""
    if isinstance(value, np.random.RandomState):
        return value.get_state(legacy=False)
    if isinstance(value, nn.Module):
        return dict(value.state_dict())
    is_plain = all(getattr(type(value), name, None) in _plain_ways(name) for name in _OF_PICKLING)
    return dict(vars(value)) if is_plain and hasattr(value, "__dict__") else {}


def _plain_ways(name: str) -> tuple[Any, ...]:
    """Give a method of pickling as the classes have it that keep all attributes."""
    return getattr(object, name, None), getattr(BaseEstimator, name, None), None
