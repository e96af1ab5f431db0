"""Plain data -> a fitted estimator."""

import inspect
from collections import deque
from dataclasses import replace

import numpy as np
import torch

from .._tables.columns import Columns
from .._tables.scalings import SCALINGS
from .._tables.schema import Schema
from .._tables.templates import as_level
from .._utils.arrays import convert, is_available
from .._utils.random import exclusive
from ..families.base import Family
from ..model import LatentVariableModel
from ..networks.architectures import MLP
from ..objectives.base import Objective
from ..posteriors.base import Posterior
from ..priors.base import Prior
from .checks import _check, _check_array, _check_networks, _check_sizes, _check_weights
from .registry import made
from .to_plain import _LIKE_X, _MIXTURE

__all__ = []

#: Fitted attributes that are plain already, with their types.
_PLAIN = {
    **{"n_features_in_": int, "n_iter_": int, "best_iter_": int, "init_": str},
    **{"_seed": int, "_device": str, "_holes": list, "_signs": list, "_made_with": dict},
}


_NUMBER_TYPES = {
    np.dtype(t).name: t
    for t in (
        *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
        *(np.float16, np.float32, np.float64, np.longdouble),
    )
}


def _refuse_methods(estimator, state):
    """A state has no values in the place of methods, nor of what our classes own, such as the link of the repr."""
    owned = {name: inspect.getattr_static(type(estimator), name, None) for name in state}
    names = [name for name, value in owned.items() if callable(value) or hasattr(value, "__get__")]
    ours = [base for base in type(estimator).__mro__ if base.__module__.startswith(("skvae.", "sklearn."))]
    names += [name for name in state if any(name in vars(base) for base in ours)]
    _check(not names, f"it has values for {sorted(set(names))}")


def _tensors(arrays):
    """The inverse, in memory of their own."""
    return convert(arrays, np.ndarray, lambda array: torch.from_numpy(array.copy()))


# ---------------------------------------------------------------- plain -> fitted


def _fitted(state):
    """The fitted attributes that a state of format 2 describes."""
    for name, kind in _PLAIN.items():
        _check(type(state[name]) is kind, f"{name} is a {type(state[name]).__name__}")
    columns = _columns(_schema(state["_schema"]), state["_columns"])
    config = {**{k: made(v) for k, v in state["_model_config"].items()}, "likelihood": columns.groups}
    device = state["_device"] if is_available(state["_device"]) else "cpu"
    fitted = {
        "module_": _module(config, state["module_"], device, state["_seed"]),
        "history_": _records(state["history_"]),
        "likelihoods_": {columns.label(d): family for d, family in enumerate(columns.families)},
        "_schema": columns.schema,
        "_columns": columns,
        "_ordering": _ordering(columns, state["_ordering"]),
        "_model_config": config,
        "_device": device,
        "_score_noise": torch.from_numpy(state["_score_noise"].copy()),
        "_training_state": _tensors(state["_training_state"]),
    }
    if state["_training_state"] is not None:
        _check_weights(fitted["module_"], state["_training_state"]["weights"])
    if "code_density_" in state:
        fitted["code_density_"] = _mixture(state["code_density_"])
    fitted |= _of_library(state.pop("_array_library"), state, device)
    _check_sizes(state | fitted)
    return fitted


def _of_library(library, state, device):
    """Arrays that were torch's are torch's again; those of any other library stay numpy's."""
    arrays = {name: state[name] for name in _LIKE_X if name in state}
    return {k: torch.from_numpy(a.copy()).to(device) for k, a in arrays.items()} if library == "torch" else arrays


def _from_format_1(state):
    """Objects where format 2 has plain data, but for tensors."""
    config, device = dict(state["_model_config"]), state["_device"] if is_available(state["_device"]) else "cpu"
    if "network" in config:  # one MLP's parameters, for both
        config["encoder"] = config["decoder"] = MLP(**config.pop("network"))
    fitted = {
        "_model_config": config,
        "module_": _module(config, state["module_"], device, state["_seed"]),
        "_device": device,
        "_score_noise": torch.from_numpy(state["_score_noise"].copy()),
        "_training_state": _tensors(state["_training_state"]),
    }
    _check_sizes(state | fitted)
    return fitted


def _module(config, arrays, device, seed):
    """The module of a configuration with the stored weights, on the device.

    Built with the seed of the fit: a user's net may draw what is neither a parameter nor a buffer.
    """
    posterior, prior, objective = (config[name] for name in ("posterior", "prior", "objective"))
    _check(posterior is None or isinstance(posterior, Posterior), f"its posterior is {posterior!r}")
    _check(isinstance(prior, Prior), f"its prior is {prior!r}")
    _check(isinstance(objective, Objective), f"its objective is {objective!r}")
    _check_networks(config, arrays)
    with exclusive(seed):
        module = LatentVariableModel(**config).float()
    _check_weights(module, arrays)
    module.load_state_dict(_tensors(arrays))
    return module.to(device).eval()


def _columns(schema, state):
    families = {d: family for family, own in _groups(state["families"]) for d in own}
    D = len(families)
    arrays = {name: state[name] for name in ("shift", "scale", "reach")}
    for name, array in arrays.items():
        _check_array(name, array, (D,), np.float64)
    _check(not state["maps"] or state["scaling"] in SCALINGS, f"its scaling is {state['scaling']!r}")
    maps = {d: SCALINGS[state["scaling"]](**numbers) for d, numbers in state["maps"]}
    _check(all(type(d) is int and 0 <= d < D for d in maps), "it transforms columns that it does not have")
    return Columns(schema, [families[d] for d in range(D)], state["scaling"], maps=maps, **arrays)


def _groups(families):
    for description, own in families:
        family = made(description)
        _check(isinstance(family, Family), f"a column has the likelihood {family!r}")
        yield family, own


def _ordering(columns, state):
    """Units of all rows, by which a warm start sorts them: no more of them is used, and no map."""
    arrays = {name: state[name] for name in ("shift", "scale")}
    for name, array in arrays.items():
        _check_array(name, array, columns.shift.shape, np.float64)
    return replace(columns, maps={}, **arrays)


def _schema(state):
    template = state["template"]
    is_frame = template is not None and "frame" in template
    return Schema(
        **{name: state[name] for name in ("names", "library", "kinds", "is_plain", "is_numeric")},
        levels={d: _level_array(levels) for d, levels in state["levels"]},
        ordered=set(state["ordered"]),
        integer=set(state["integer"]),
        decimals=dict(state["decimals"]),
        number_types={d: _NUMBER_TYPES[name] for d, name in state["number_types"]},
        frame=template["frame"] if is_frame else None,
        description=None if is_frame else template,
    )


def _level_array(levels):
    if isinstance(levels, np.ndarray):
        return levels
    return np.fromiter(map(as_level, levels), dtype=object, count=len(levels))


def _records(state):
    values = {name: deque(v.tolist() if isinstance(v, np.ndarray) else v) for name, v in state["values"].items()}
    return [{name: values[name].popleft() for name in state["names"][kind]} for kind in state["kinds"].tolist()]


def _mixture(state):
    from sklearn.mixture import GaussianMixture  # takes a tenth of a second

    mixture = GaussianMixture(**{name: state[name] for name in _MIXTURE})
    fitted = {name: value for name, value in state.items() if name not in _MIXTURE}
    _refuse_methods(mixture, fitted)
    _check(all(name.endswith("_") for name in fitted), f"its mixture has {sorted(fitted)}")
    vars(mixture).update(fitted)
    n, K = mixture.means_.shape
    _check_array("weights_", mixture.weights_, (n,), np.float64)
    _check_array("precisions_cholesky_", mixture.precisions_cholesky_, (n, K, K), np.float64)
    return mixture
