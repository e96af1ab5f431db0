"""Components <-> plain data: the name of a class of this package and the parameters, never a path to import.

A name in a file is looked up among the classes that exist already, so that a file can name nothing else. Components of
the user's own have no names here: a pickle holds them as objects, and `load` asks for their classes.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from sklearn import config_context
from sklearn.base import BaseEstimator
from torch import nn

from .._utils.documented import Documented

__all__ = ["built", "built_in", "fingerprint", "from_config", "get_config", "is_built_in"]

_KEYS = {"component", "parameters"}
#: In the place of a component's name, for a dict of the user's that has these keys itself.
_DICT = "dict"


def built_in() -> dict[str, type]:
    """Give every component of this package by the name of its class: all that has a page, but for the estimator."""
    found: dict[str, type] = {}
    waiting: list[type] = [Documented]
    while waiting:
        subclasses: list[type] = waiting.pop().__subclasses__()
        ours = [c for c in subclasses if c.__module__.startswith("skvae.")]
        waiting += ours
        found |= {c.__name__: c for c in ours if _is_component(c)}
    return found


def _is_component(ours: type) -> bool:
    is_base = inspect.isabstract(ours) or ours.__module__.startswith(("skvae._utils.", "skvae._fitting."))
    return not is_base and not hasattr(ours, "fit")


def is_built_in(value: Any) -> bool:
    """Whether a value is a component of this package, and not of a user's subclass."""
    return isinstance(value, BaseEstimator) and built_in().get(type(value).__name__) is type(value)


def get_config(value: Any) -> Any:
    """Give a value in which each built-in component, at any depth, is a dict of its class's name and parameters.

    Examples
    --------
    >>> from skvae import Gaussian
    >>> from skvae._storage.registry import get_config
    >>> get_config([(Gaussian(noise=1.0, background=0), ["age"])])
    [({'component': 'Gaussian', 'parameters': {'background': 0, 'floor': 0.001, 'noise': 1.0}}, ['age'])]
    """
    if is_built_in(value):
        return {"component": type(value).__name__, "parameters": _map(get_config, value.get_params(deep=False))}
    config = _map(get_config, value)
    is_ambiguous = type(value) is dict and set(value) == _KEYS
    return {"component": _DICT, "parameters": config} if is_ambiguous else config


def from_config(config: Any) -> Any:
    """Invert `get_config`.

    Raises
    ------
    ValueError
        If a component is not one of this package, or does not take a parameter.
    """
    if not (type(config) is dict and set(config) == _KEYS):
        return _map(from_config, config)
    parameters = _map(from_config, config["parameters"])
    return parameters if config["component"] == _DICT else built(config["component"], parameters)


def built(name: str, parameters: Mapping[str, Any]) -> Any:
    """Build a component of this package by the name of its class."""
    classes = built_in()
    if name not in classes:
        raise ValueError(f"skvae has no component {name!r}.")
    if unknown := set(parameters) - set(inspect.signature(classes[name]).parameters):
        raise ValueError(f"The component {name!r} of skvae takes no parameters {sorted(unknown)}.")
    return classes[name](**parameters)


def fingerprint(value: Any) -> str:
    """Give a parameter as text that is the same after pickling: no addresses, but hashes of functions and modules."""
    with config_context(print_changed_only=True):
        text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    parameters = value.get_params().values() if isinstance(value, BaseEstimator) else [value]
    return text + "".join(_digest(p) for p in parameters if inspect.isfunction(p) or isinstance(p, nn.Module))


def _digest(value: Any) -> str:
    """Hash a function's code and the values that it is made with, or a module's weights."""
    if inspect.isfunction(value):
        code, enclosed = value.__code__, [cell.cell_contents for cell in value.__closure__ or ()]
        constants = [sorted(c, key=repr) if isinstance(c, frozenset) else c for c in code.co_consts]  # in any order
        known = constants, code.co_names, value.__defaults__, value.__kwdefaults__, enclosed
        content = code.co_code + re.sub(r" at 0x[0-9a-f]+", "", repr(known)).encode()
    else:
        content = b"".join(tensor.detach().cpu().numpy().tobytes() for tensor in value.state_dict().values())
    return f" #{hashlib.sha256(content).hexdigest()[:12]}"


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the entries of a list, tuple or dict; other values stay as they are."""
    if type(value) in (list, tuple):
        return type(value)(map(function, value))
    return {key: function(entry) for key, entry in value.items()} if type(value) is dict else value
