"""Whether a stored state fits together; a ValueError says what does not."""

import inspect
from contextlib import AbstractContextManager
from dataclasses import fields
from itertools import pairwise
from typing import Any, get_origin

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator
from torch import nn

from .._inference.fitted import Fitted
from .._utils.damage import damage_is_a_value_error
from ..networks.base import Network
from .registry import is_built_in
from .to_plain import arrays_of

__all__ = [
    "FORMAT_VERSION",
    "check",
    "check_array",
    "check_fields",
    "check_networks",
    "check_version",
    "check_weights",
    "damage_of_state",
    "refuse_attributes_of_the_fit",
    "refuse_methods",
]

FORMAT_VERSION = 1
_DAMAGED = "This is no VAETransformer as skvae stores it, or it is damaged: {}."


def check_version(state: Any) -> None:
    """See to it that a state has a format that this release knows."""
    version = state.get("_format_version") if isinstance(state, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(_DAMAGED.format("it has no format version"))
    if version > FORMAT_VERSION:
        raise ValueError(
            f"This VAETransformer was stored by a newer skvae (format {version}, known up to {FORMAT_VERSION}). "
            "Upgrade skvae to load it."
        )


def damage_of_state() -> AbstractContextManager[None]:
    """Turn what goes wrong with a malformed state inside the block into a ValueError that says so."""

    def message(error: Exception) -> str:
        return _DAMAGED.format(f"{type(error).__name__}: {error}")

    return damage_is_a_value_error(message)


def check(holds: bool, what: str) -> None:
    """Raise a ValueError that says what is wrong, where something does not hold."""
    if not holds:
        raise ValueError(what)


def check_weights(module: nn.Module, arrays: dict[str, Any]) -> None:
    """See to it that arrays are all the weights of a module, with their shapes and types."""
    expected = arrays_of(module.state_dict())
    check(set(arrays) == set(expected), f"its weights are {sorted(arrays)}, not {sorted(expected)}")
    for name, array in expected.items():
        check_array(name, arrays[name], array.shape, array.dtype)


def check_array(name: str, array: Any, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """See to it that a value is an array of a shape and type."""
    check(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}")
    is_like = array.shape == shape and array.dtype == dtype
    check(is_like, f"{name} has shape {array.shape} and type {array.dtype}, not {shape} and {np.dtype(dtype)}")


def check_networks(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """See to it that networks are made for these columns, and ask for no memory that the stored weights do not fill."""
    n_stored = sum(array.size for array in arrays.values())
    families = [family for family, columns in config["likelihood"] for _ in columns]
    widest = [config["n_features"], config["n_components"]]
    for network in (config["encoder"], config["decoder"]):
        check(isinstance(network, Network), f"a network of it is {network!r}")
        network.check(families)
    for component in (config["encoder"], config["decoder"], config["prior"], config["posterior"]):
        parameters = component.get_params(deep=False) if is_built_in(component) else {}
        for name, value in parameters.items():
            sizes = list(value) if isinstance(value, (tuple, list)) else [value]
            widest += [a * b for a, b in pairwise(sizes)] if len(sizes) > 1 else []
            widest += sizes if name.startswith(("n_", "hidden_", "channels")) else []
        widest.append(parameters.get("kernel_size", 1) ** 2)
    check(all(type(n) is int and n >= 1 for n in widest[:2]), f"it has {widest[:2]} features and components")
    check(max(widest) <= n_stored, f"its networks have more weights than the {n_stored} that are there")


def check_fields(fitted: Fitted) -> None:
    """See to it that fields have their types, and that what belongs together has one size."""
    for f in fields(fitted):
        kind = get_origin(f.type) or f.type
        if kind in (int, str, list, dict):
            value = getattr(fitted, f.name)
            check(type(value) is kind, f"{f.name} is a {type(value).__name__}")
    module, columns = fitted.module, fitted.columns
    D, K = fitted.config["n_features"], module.n_components
    check(fitted.n_features_in == D, f"it has {fitted.n_features_in} features, not {D}")
    for name in ("families", "shift", "scale"):
        check(len(getattr(columns, name)) == D, f"{name} has another length than {D}")
    check(len(columns.schema.kinds) == D, f"its schema has {len(columns.schema.kinds)} columns, not {D}")
    sizes = {"signs": K, "module_signs": K, "noise_variance": D, "kl_per_component": K}
    for name, size in sizes.items():
        value = getattr(fitted, name)
        check(value is None or len(value) == size, f"{name} has another length than {size}")
    check(sorted(fitted.order.tolist()) == list(range(K)), f"order is no order of {K} components")
    noise = fitted.score_noise
    check(noise.ndim == 3 and noise.shape[1:] == (1, module.n_noise), f"the noise of scores is {tuple(noise.shape)}")


def refuse_attributes_of_the_fit(state: dict[str, Any]) -> None:
    """Refuse attributes that are read from the fit: one of the estimator's own would hide them unchecked."""
    names = {"fitted_", *(f"{f.name}_" for f in fields(Fitted) if f.metadata.get("is_attribute"))} & set(state)
    check(not names, f"it has values for {sorted(names)} outside its fit")


def refuse_methods(estimator: BaseEstimator, state: dict[str, Any]) -> None:
    """Refuse values in the place of methods, and of what our classes own, such as the link of the repr."""
    owned = {name: inspect.getattr_static(type(estimator), name, None) for name in state}
    names = [name for name, value in owned.items() if callable(value) or hasattr(value, "__get__")]
    ours = [base for base in type(estimator).__mro__ if base.__module__.startswith(("skvae.", "sklearn."))]
    names += [name for name in state if any(name in vars(base) for base in ours)]
    check(not names, f"it has values for {sorted(set(names))}")
