"""Plain data, components and arrays <-> one safetensors file: JSON in its header, arrays as its tensors, no code.

JSON has what it has names for: None, bools, ints, finite floats, strings, lists and dicts whose keys are strings.
Everything else is a dict with one key that begins with "$":

    {"$array": "_columns.shift"}                     the tensor of that name in the file
    {"$component": "ELBO", "parameters": {...}}      a class of this package, see `registry.py`
    {"$own": "MyPrior", "parameters": {...}}         a class of the user's, to be passed when the file is read
    {"$callable": "my_optimizer"}                    a function or class of the user's, too
    {"$tuple": [...]}, {"$set": [...]}, {"$dict": [[key, value], ...]}, {"$slice": [start, stop, step]},
    {"$float": "nan"}, {"$number": ["float32", 0.5]}, {"$cells": [shape, [...]]} (an array of objects or strings),
    {"$random_state": {...}}

Reading looks names up in tables of what exists already, and imports, evaluates and unpickles nothing.
"""

import json
import math
import os

import numpy as np

from .._utils.atomic import replacing
from .._utils.damage import damage_is_a_value_error
from .registry import is_built_in, made

__all__ = ["read", "write"]

_MARK = "skvae"


_NUMBERS = {np.dtype(t).name: t for t in (np.bool_, *np.sctypeDict.values()) if np.dtype(t).kind in "biuf"}


_TENSORS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
            "float64")  # fmt: skip


def write(path, state):
    """Write a dict of plain data, components and arrays as one file, wholly or not at all.

    Parameters
    ----------
    path : str or path-like
    state : dict

    Raises
    ------
    ValueError
        Something in the state has no words in such a file.
    OSError
        The file cannot be written; one that was there before stays as it was.
    """
    numpy_files = _safetensors("save").numpy
    writer = _Writer()
    text = json.dumps(writer.encode(state, ""), allow_nan=False)
    content = numpy_files.save(writer.arrays, metadata={"format": _MARK, "state": text})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read(path, check, components=None):
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
        No such file, or it names a component that was not passed.
    """
    safetensors = _safetensors("load")
    known = _by_name(components)
    with open(path, "rb"):  # else a missing file, or a folder, would be an error of safetensors' own
        pass
    with _damage_of(path, safetensors.SafetensorError):
        tree, arrays = _parts(safetensors, path)
    check(tree)
    if missing := sorted(_own_names(tree) - set(known)):
        raise ValueError(
            f"{path} holds a model with classes or functions that are not skvae's: {missing}. Pass them: "
            f"VAETransformer.load({str(path)!r}, components=[{', '.join(sorted(_own_names(tree)))}])."
        )
    with _damage_of(path):
        return _Reader(arrays, known).decode(tree)


def _parts(safetensors, path):
    """The JSON of a file and its arrays."""
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != _MARK:
            raise ValueError("its header has no mark of skvae")
        return json.loads(metadata["state"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _damage_of(path, *kinds):
    def message(error):
        return f"{path} is no file of VAETransformer.save, or it is damaged: {error!r}."

    return damage_is_a_value_error(message, *kinds)


def _own_names(tree):
    """The names of the user's own classes and functions in the JSON."""
    if isinstance(tree, list):
        return set().union(*map(_own_names, tree))
    if not isinstance(tree, dict):
        return set()
    names = {str(tree[tag]) for tag in ("$own", "$callable") if tag in tree}
    return names.union(*map(_own_names, tree.values()))


def _safetensors(verb):
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(f"VAETransformer.{verb} needs the package safetensors: pip install safetensors") from error
    return safetensors


def _by_name(components):
    """The user's classes and functions by name."""
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

    def __init__(self):
        self.arrays = {}
        self.own = {}

    def encode(self, value, path):
        """The JSON of a value at a path such as "_columns.shift"."""
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

    def _list(self, values, path):
        return [self.encode(value, f"{path}.{i}") for i, value in enumerate(values)]

    def _dict(self, values, path):
        prefix = f"{path}." if path else ""
        if all(type(key) is str and not key.startswith("$") for key in values):
            return {key: self.encode(value, prefix + key) for key, value in values.items()}
        return {"$dict": [[self.encode(k, path), self.encode(v, f"{prefix}{k}")] for k, v in values.items()]}

    def _array(self, array, path):
        if array.dtype.name not in _TENSORS:
            if array.dtype.kind not in "OU":
                raise _no_words(path, f"an array of type {array.dtype}")
            return {"$cells": [list(array.shape), self._list(array.ravel().tolist(), path)]}
        name = path
        while name in self.arrays:
            name += "'"
        self.arrays[name] = np.require(np.asarray(array), array.dtype.newbyteorder("="), "C")
        return {"$array": name}

    def _tagged(self, value, path):
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
        return self._component(value, path)

    def _component(self, value, path):
        if isinstance(value, type) or not hasattr(value, "get_params"):
            return {"$callable": self._own_name(value, path)}
        parameters = self.encode(value.get_params(deep=False), path)
        if is_built_in(value):
            return {"$component": type(value).__name__, "parameters": parameters}
        return {"$own": self._own_name(type(value), path), "parameters": parameters}

    def _own_name(self, value, path):
        """The name by which the user will pass a class or a function."""
        name = getattr(value, "__name__", None)
        if not callable(value) or name is None:
            raise _no_words(path, f"a {type(value).__name__}, {value!r:.80}")
        if name == "<lambda>":
            raise _no_words(path, "a lambda, which has no name to pass it by; define it with def")
        if self.own.setdefault(name, value) is not value:
            raise _no_words(path, f"a second thing of the name {name!r}")
        return name


def _no_words(path, what):
    return ValueError(
        f"VAETransformer.save has no words for {path}, {what}. Set another value, or keep the model with pickle or "
        "joblib."
    )


class _Reader:
    """JSON -> values."""

    def __init__(self, arrays, known):
        self.arrays = arrays
        self.known = known
        self.made = {
            "$array": self.arrays.__getitem__,
            "$float": {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.__getitem__,
            "$tuple": lambda entry: tuple(self.decode(entry)),
            "$set": lambda entry: set(self.decode(entry)),
            "$dict": lambda entry: {self.decode(key): self.decode(value) for key, value in entry},
            "$slice": lambda entry: slice(*self.decode(entry)),
            "$range": lambda entry: range(*entry),
            "$number": lambda entry: _NUMBERS[entry[0]](self.decode(entry[1])),
            "$cells": self._cells,
            "$random_state": self._random_state,
            "$callable": self.known.__getitem__,
        }

    def decode(self, value):
        """The value of JSON."""
        if isinstance(value, list):
            return [self.decode(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        tags = [key for key in value if key.startswith("$")]
        if not tags:
            return {key: self.decode(entry) for key, entry in value.items()}
        if tags == ["$component"]:
            return made({"component": value["$component"], "parameters": self.decode(value["parameters"])})
        if tags == ["$own"]:
            return self._own(value["$own"], self.decode(value["parameters"]))
        (tag,) = value
        return self.made[tag](value[tag])

    def _own(self, name, parameters):
        """A component of a class that was passed; no function is called on what a file says."""
        if not hasattr(self.known[name], "get_params"):
            raise ValueError(f"{name} is no class of components")
        return self.known[name](**parameters)

    def _cells(self, entry):
        shape, cells = entry[0], self.decode(entry[1])
        return np.fromiter(cells, dtype=object, count=len(cells)).reshape(shape)

    def _random_state(self, entry):
        state = np.random.RandomState()
        state.set_state(self.decode(entry))
        return state
