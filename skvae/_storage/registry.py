"""Components <-> plain data: the name of a class of this package and the parameters, never a path to import.

A name in a file is looked up among the classes that exist already, so that a file can name nothing else. Components of
the user's own are no names here: whoever keeps a model has them as objects, or asks for the classes.
"""

import hashlib
import inspect
import re
from typing import Any

from sklearn import config_context
from sklearn.base import BaseEstimator
from torch import nn

from .._utils.component import Component
from .._utils.documented import Documented

__all__ = ["built_in", "described", "fingerprint", "is_built_in", "made"]

_KEYS = {"component", "parameters"}


def built_in():
    """Name -> class: every scikit-learn object of this package but the estimator itself."""
    found = {}
    waiting = [BaseEstimator]
    while waiting:
        classes = [c for c in waiting.pop().__subclasses__() if c.__module__.startswith("skvae.")]
        waiting += classes
        bases = (Component, Documented)
        found |= {c.__name__: c for c in classes if not (hasattr(c, "fit") or inspect.isabstract(c) or c in bases)}
    return found


def is_built_in(value):
    """Whether a value is a component of this package, and no subclass of the user's."""
    return isinstance(value, BaseEstimator) and built_in().get(type(value).__name__) is type(value)


def described(value):
    """The value with each built-in component in it, and in its lists and parameters, as a dict of plain data."""
    if is_built_in(value):
        return {"component": type(value).__name__, "parameters": described(value.get_params(deep=False))}
    return _map(described, value)


def made(value):
    """The inverse of `described`.

    Raises
    ------
    ValueError
        A component that this package does not have, or a parameter that it does not take.
    """
    if not (isinstance(value, dict) and set(value) == _KEYS):
        return _map(made, value)
    name, parameters = value["component"], made(value["parameters"])
    if name not in built_in():
        raise ValueError(f"skvae has no component {name!r}.")
    if unknown := set(parameters) - set(inspect.signature(built_in()[name]).parameters):
        raise ValueError(f"The component {name!r} of skvae takes no parameters {sorted(unknown)}.")
    return built_in()[name](**parameters)


def fingerprint(value: Any) -> str:
    """A parameter as text that is the same after pickling: no addresses, but hashes of functions and modules."""
    with config_context(print_changed_only=True):
        text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    parameters = value.get_params().values() if isinstance(value, BaseEstimator) else [value]
    return text + "".join(_digest(p) for p in parameters if inspect.isfunction(p) or isinstance(p, nn.Module))


def _digest(value: Any) -> str:
    """A hash of a function's code and the values that it is made with, or of a module's weights."""
    if inspect.isfunction(value):
        code, enclosed = value.__code__, [cell.cell_contents for cell in value.__closure__ or ()]
        constants = [sorted(c, key=repr) if isinstance(c, frozenset) else c for c in code.co_consts]  # in any order
        known = constants, code.co_names, value.__defaults__, value.__kwdefaults__, enclosed
        content = code.co_code + re.sub(r" at 0x[0-9a-f]+", "", repr(known)).encode()
    else:
        content = b"".join(tensor.detach().cpu().numpy().tobytes() for tensor in value.state_dict().values())
    return f" #{hashlib.sha256(content).hexdigest()[:12]}"


def _map(function, value):
    """Apply the function to the entries of a list, tuple or dict; other values are as they are."""
    if type(value) in (list, tuple):
        return type(value)(map(function, value))
    return {key: function(entry) for key, entry in value.items()} if type(value) is dict else value
