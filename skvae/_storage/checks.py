"""Whether a stored state fits together."""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from .._tables.columns import Columns
from .._tables.schema import Schema
from ..networks.base import Network
from .registry import is_built_in
from .to_plain import _arrays

__all__ = ["FORMAT_VERSION", "checked_version"]

FORMAT_VERSION = 2


def checked_version(state):
    """The state's format; a ValueError for those of later releases."""
    version = state.get("_format_version", 1) if isinstance(state, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(_DAMAGED.format("it has no format version"))
    if version > FORMAT_VERSION:
        raise ValueError(
            f"This VAETransformer was stored by a newer skvae (format {version}, known up to {FORMAT_VERSION}). "
            "Upgrade skvae to load it."
        )
    return version


_DAMAGED = "This is no VAETransformer as skvae stores it, or it is damaged: {}."


@contextmanager
def _damage_is_a_value_error():
    """What goes wrong with a malformed state, said as such."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(_DAMAGED.format(f"{type(error).__name__}: {error}")) from error


def _check(holds, what):
    if not holds:
        raise ValueError(what)


def _check_weights(module, arrays):
    expected = _arrays(module.state_dict())
    _check(set(arrays) == set(expected), f"its weights are {sorted(arrays)}, not {sorted(expected)}")
    for name, array in expected.items():
        _check_array(name, arrays[name], array.shape, array.dtype)


def _check_array(name, array, shape, dtype):
    _check(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}")
    is_like = array.shape == shape and array.dtype == dtype
    _check(is_like, f"{name} has shape {array.shape} and type {array.dtype}, not {shape} and {np.dtype(dtype)}")


def _check_networks(config, arrays):
    """Networks that are made for these columns, and ask for no memory that the stored weights do not fill."""
    n_stored = sum(array.size for array in arrays.values())
    families = [family for family, own in config["likelihood"] for _ in own]
    widest = [config["n_features"], config["n_components"]]
    for network in (config["encoder"], config["decoder"]):
        _check(isinstance(network, Network), f"a network of it is {network!r}")
        network.check(families)
    for component in (config["encoder"], config["decoder"], config["prior"], config["posterior"]):
        parameters = component.get_params(deep=False) if is_built_in(component) else {}
        for name, value in parameters.items():
            sizes = list(value) if isinstance(value, (tuple, list)) else [value]
            widest += [a * b for a, b in pairwise(sizes)] if len(sizes) > 1 else []
            widest += sizes if name.startswith(("n_", "hidden_", "channels")) else []
        widest.append(parameters.get("kernel_size", 1) ** 2)
    _check(all(type(n) is int and n >= 1 for n in widest[:2]), f"it has {widest[:2]} features and components")
    _check(max(widest) <= n_stored, f"its networks have more weights than the {n_stored} that are there")


def _check_sizes(state):
    """What belongs together has one size."""
    module, columns = state["module_"], state["_columns"]
    D, K = state["_model_config"]["n_features"], module.n_components
    _check(isinstance(columns, Columns) and isinstance(columns.schema, Schema), "it has no columns")
    _check(state["n_features_in_"] == D, f"it has {state['n_features_in_']} features, not {D}")
    for name in ("families", "shift", "scale"):
        _check(len(getattr(columns, name)) == D, f"{name} has another length than {D}")
    _check(len(columns.schema.kinds) == D, f"its schema has {len(columns.schema.kinds)} columns, not {D}")
    _check(len(state["signs_"]) == K, f"signs_ has another length than {K}")
    _check(sorted(state["order_"].tolist()) == list(range(K)), f"order_ is no order of {K} components")
    noise = state["_score_noise"]
    _check(noise.ndim == 3 and noise.shape[1:] == (1, module.n_noise), f"the noise of scores is {noise.shape}")
