"""Plain data, components and arrays <-> one safetensors file: JSON in its header, arrays as its tensors, no code.

The header also holds a digest of all bytes of the file, those of the digest itself as zeros.

JSON has what it has names for: None, bools, ints, finite floats, strings, lists and dicts whose keys are strings.
Everything else is a dict with one key that begins with "$":

    {"$array": "_learned.columns.shift"}             the tensor of that name in the file
    {"$own": "MyPrior", "parameters": {...}}         a component of the user's, whose class is passed on reading
    {"$callable": "my_optimizer"}                    a function or class of the user's, passed too
    {"$component": "Gaussian", "parameters": {...}}  a component of this package, inside one of the user's
    {"$tuple": [...]}, {"$set": [...]}, {"$dict": [[key, value], ...]}, {"$slice": [start, stop, step]},
    {"$float": "nan"}, {"$number": ["float32", 0.5]}, {"$cells": [shape, [...]]} (an array of objects or strings),
    {"$random_state": {...}}, {"$time": ["date", "2024-02-29"]} (of Python, numpy or pandas, see `times`)

Reading looks names up in tables of what exists already, and imports, evaluates and unpickles nothing.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from .._utils.atomic import replacing
from .._utils.damage import damage_is_a_value_error
from .._utils.extras import needed_by
from .registry import built, is_built_in
from .times import as_time, plain_time

__all__ = ["read", "write"]

_MARK = "skvae"  # in the header's metadata
_NO_DIGEST = "0" * 64  # in the place of the digest, when it is taken of all bytes of the file
_NUMBERS = {np.dtype(t).name: t for t in (np.bool_, *np.sctypeDict.values()) if np.dtype(t).kind in "biuf"}
_TENSORS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
            "float64")  # fmt: skip


def write(path: str | os.PathLike, state: dict[str, Any]) -> None:
    """Write a dict of plain data, components and arrays as one file, wholly or not at all.

    Parameters
    ----------
    path : str or path-like
    state : dict

    Raises
    ------
    ValueError
        If something in the state cannot be written.
    OSError
        If the file cannot be written; one that was there before stays as it was.
    """
    numpy_files = _safetensors("save").numpy
    writer = _Writer()
    text = json.dumps(writer.encode(state, ""), allow_nan=False)
    content = numpy_files.save(writer.arrays, metadata={"format": _MARK, "state": text, "digest": _NO_DIGEST})
    digest = hashlib.sha256(content).hexdigest()
    at = content.index(_in_header(_NO_DIGEST)) + len(_in_header("")) - 1
    with replacing(path) as file:
        for part in (content[:at], digest.encode(), memoryview(content)[at + len(digest) :]):
            file.write(part)


def read(
    path: str | os.PathLike, check: Callable[[Any], None], components: Iterable[Callable] | None = None
) -> dict[str, Any]:
    """Read what `write` has written.

    Parameters
    ----------
    path : str or path-like
    check : callable
        Called with the state before anything in it is made; raises where it is not to be read.
    components : list of classes and functions, optional
        The user's own, found by their ``__name__``.

    Returns
    -------
    state : dict

    Raises
    ------
    ValueError
        If `write` did not write the file, or if it names a component that was not passed.
    """
    safetensors = _safetensors("load")
    known = _by_name(components)
    with open(path, "rb") as file, _damage_of(path, safetensors.SafetensorError):
        state, content = _checked(file)
        tree, arrays = json.loads(state), safetensors.numpy.load(content)
    check(tree)
    own = set(_own_names(tree))
    if missing := sorted(own - set(known)):
        raise ValueError(
            f"{path} holds a model with classes or functions that are not skvae's: {missing}. Pass them: "
            f"VAETransformer.load({str(path)!r}, components=[{', '.join(sorted(own))}])."
        )
    with _damage_of(path):
        state = _Reader(arrays, known).decode(tree)
        if arrays:
            raise ValueError(f"nothing in it speaks of its tensors {sorted(arrays)}")
        return state


def _checked(file: BinaryIO) -> tuple[str, bytes]:
    """Give the JSON of a state and all bytes of its file, after a look at its mark and its digest."""
    n_header = int.from_bytes(file.read(8), "little")
    if n_header > os.fstat(file.fileno()).st_size:
        raise ValueError("its header is longer than the file")
    metadata = json.loads(file.read(n_header)).get("__metadata__", {})
    if metadata.get("format") != _MARK:
        raise ValueError("its header has no mark of skvae")
    file.seek(0)
    content = file.read()
    at = content.find(_in_header(metadata["digest"])) + len(_in_header("")) - 1
    found = hashlib.sha256(content[:at] + _NO_DIGEST.encode())
    found.update(memoryview(content)[at + len(_NO_DIGEST) :])
    if found.hexdigest() != metadata["digest"]:
        raise ValueError("its digest is not that of its content, which has changed")
    return metadata["state"], content


def _in_header(digest: str) -> bytes:
    """Give a digest as it stands in the header, and nowhere else: inside of a string each quote has a backslash."""
    return f'"digest":"{digest}"'.encode()


def _damage_of(path: str | os.PathLike, *kinds: type[Exception]) -> AbstractContextManager[None]:
    def message(error: Exception) -> str:
        return f"{path} is no file of VAETransformer.save, or it is damaged: {error!r}."

    return damage_is_a_value_error(message, *kinds)


def _own_names(tree: Any) -> Iterator[str]:
    """Give the names of the user's own classes and functions in the JSON."""
    if isinstance(tree, dict):
        yield from (str(tree[tag]) for tag in ("$own", "$callable") if tag in tree)
        tree = tree.values()
    elif not isinstance(tree, list):
        return
    for part in tree:
        if isinstance(part, (dict, list)):
            yield from _own_names(part)


def _safetensors(method: str) -> ModuleType:
    """Import safetensors, which a method of the estimator needs."""
    with needed_by(f"VAETransformer.{method}", "safetensors", extra="save"):
        import safetensors
        import safetensors.numpy
    return safetensors


def _by_name(components: Any) -> dict[str, Callable]:
    """Give the user's classes and functions by name."""
    components = [] if components is None else components
    is_list = isinstance(components, (list, tuple, set))
    if not is_list or not all(callable(c) and hasattr(c, "__name__") for c in components):
        raise ValueError(
            "The 'components' parameter of VAETransformer.load must be a list of classes and functions, e.g. "
            f"components=[MyPrior, my_optimizer]. Got {components!r} instead."
        )
    return {c.__name__: c for c in components}


class _Writer:
    """Values -> JSON; arrays are put aside under their path."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.own: dict[str, Any] = {}

    def encode(self, value: Any, path: str) -> Any:
        """Give the JSON of a value at a path such as "_learned.columns.shift"."""
        kind = type(value)
        if value is None or kind in (bool, int) or isinstance(value, str):
            return value if kind is not np.str_ else str(value)
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if kind is list:
            return self._list(value, path)
        if kind is dict:
            return self._dict(value, path)
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        return self._tagged(value, path)

    def _list(self, values: Iterable[Any], path: str) -> list[Any]:
        return [self.encode(value, f"{path}.{i}") for i, value in enumerate(values)]

    def _dict(self, values: dict[Any, Any], path: str) -> dict[str, Any]:
        prefix = f"{path}." if path else ""
        if all(type(key) is str and not key.startswith("$") for key in values):
            return {key: self.encode(value, prefix + key) for key, value in values.items()}
        return {"$dict": [[self.encode(k, path), self.encode(v, f"{prefix}{k}")] for k, v in values.items()]}

    def _array(self, array: np.ndarray, path: str) -> dict[str, Any]:
        if array.dtype.name not in _TENSORS:
            if array.dtype.kind not in "OU":
                raise _cannot_write(path, f"an array of type {array.dtype}")
            return {"$cells": [list(array.shape), self._list(array.ravel().tolist(), path)]}
        name = path
        while name in self.arrays:
            name += "'"
        self.arrays[name] = np.require(np.asarray(array), array.dtype.newbyteorder("="), "C")
        return {"$array": name}

    def _tagged(self, value: Any, path: str) -> dict[str, Any]:
        if type(value) is tuple:
            return {"$tuple": self._list(value, path)}
        if type(value) in (set, frozenset):
            return {"$set": self._list(sorted(value, key=repr), path)}
        if type(value) is slice:
            return {"$slice": self._list((value.start, value.stop, value.step), path)}
        if type(value) is range:
            return {"$range": [value.start, value.stop, value.step]}
        if isinstance(value, np.generic) and value.dtype.name in _NUMBERS:
            return {"$number": [value.dtype.name, self.encode(value.item(), path)]}
        if isinstance(value, np.random.RandomState):
            return {"$random_state": self.encode(value.get_state(legacy=False), path)}
        if (parts := plain_time(value)) is not None:
            return {"$time": parts}
        return self._component(value, path)

    def _component(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, type) or not hasattr(value, "get_params"):
            return {"$callable": self._own_name(value, path)}
        parameters = self.encode(value.get_params(deep=False), path)
        if is_built_in(value):
            return {"$component": type(value).__name__, "parameters": parameters}
        return {"$own": self._own_name(type(value), path), "parameters": parameters}

    def _own_name(self, value: Any, path: str) -> str:
        """Give the name by which the user will pass a class or a function."""
        name = getattr(value, "__name__", None)
        if not callable(value) or name is None:
            raise _cannot_write(path, f"a {type(value).__name__}, {value!r:.80}")
        if name == "<lambda>":
            raise _cannot_write(path, "a lambda, which has no name to pass it by; define it with def")
        if self.own.setdefault(name, value) is not value:
            raise _cannot_write(path, f"a second thing of the name {name!r}")
        return name


def _cannot_write(path: str, what: str) -> ValueError:
    return ValueError(
        f"VAETransformer.save cannot write {path}, {what}. Set another value, or store the model with pickle or joblib."
    )


class _Reader:
    """JSON -> values."""

    def __init__(self, arrays: dict[str, np.ndarray], known: dict[str, Callable]) -> None:
        self.arrays = arrays
        self.known = known
        self.readers: dict[str, Callable[[Any], Any]] = {
            "$array": self.arrays.pop,  # a second one of the name would take nothing in the file, and memory here
            "$float": {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.__getitem__,
            "$tuple": lambda entry: tuple(self.decode(entry)),
            "$set": lambda entry: set(self.decode(entry)),
            "$dict": lambda entry: {self.decode(key): self.decode(value) for key, value in entry},
            "$slice": lambda entry: slice(*self.decode(entry)),
            "$range": lambda entry: range(*entry),
            "$number": lambda entry: _NUMBERS[entry[0]](self.decode(entry[1])),
            "$cells": self._cells,
            "$random_state": self._random_state,
            "$time": as_time,
            "$callable": self.known.__getitem__,
        }

    def decode(self, value: Any) -> Any:
        """Give the value that JSON stands for."""
        if isinstance(value, list):
            return [self.decode(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        tags = [key for key in value if key.startswith("$")]
        if not tags:
            return {key: self.decode(entry) for key, entry in value.items()}
        if tags == ["$component"]:
            return built(value["$component"], self.decode(value["parameters"]))
        if tags == ["$own"]:
            return self._own(value["$own"], self.decode(value["parameters"]))
        (tag,) = value
        return self.readers[tag](value[tag])

    def _own(self, name: str, parameters: dict[str, Any]) -> Any:
        """Build a component of a class that was passed; no function is called because a file says so."""
        if not hasattr(self.known[name], "get_params"):
            raise ValueError(f"{name} is no class of components")
        return self.known[name](**parameters)

    def _cells(self, entry: list[Any]) -> np.ndarray:
        shape, cells = entry[0], self.decode(entry[1])
        return np.fromiter(cells, dtype=object, count=len(cells)).reshape(shape)

    def _random_state(self, entry: Any) -> np.random.RandomState:
        state = np.random.RandomState()
        state.set_state(self.decode(entry))
        return state
