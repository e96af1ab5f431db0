"""Plain data -> a fitted value. No class is imported by what the data say."""

import copy
import inspect
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .._inference.fitted import Fitted
from .._tables.calibration import Calibration, Margin
from .._tables.clocks import Clock
from .._tables.columns import Columns
from .._tables.missingness import Missingness
from .._tables.numbers import NUMBER_TYPES
from .._tables.scalings import SCALINGS, Scaling
from .._tables.schema import Schema
from .._tables.templates import as_level
from .._utils.arrays import convert, is_available
from .._utils.random import exclusive
from ..families.base import Family
from ..model import LatentVariableModel
from ..priors import StandardNormal
from .checks import (
    check,
    check_array,
    check_calibration,
    check_columns,
    check_config,
    check_fields,
    check_missingness,
    check_weights,
    has_own,
)
from .limits import Budget, n_bytes
from .registry import from_config
from .to_plain import LIKE_X, arrays_of

__all__ = ["from_plain"]


def from_plain(state: dict[str, Any]) -> Fitted:
    """Give the fitted value that plain data describe; what does not fit together is an error."""
    size = n_bytes(state)
    state = dict(state)
    library = state.pop("array_library")
    columns = _columns(_schema(state["schema"]), state["columns"])
    check_columns(columns)
    config = {**{k: from_config(v) for k, v in state["config"].items()}, "likelihood": columns.groups}
    check_config(config, state["module"], len(columns.families), len(state["order"]))
    device = state["device"] if is_available(state["device"]) else "cpu"
    state |= {
        "module": _module(config, state["module"], device, state["seed"], size),
        "history": _records(state["history"]),
        "likelihoods": {columns.label(d): family for d, family in enumerate(columns.families)},
        "schema": columns.schema,
        "columns": columns,
        "ordering": _ordering(columns, state["ordering"]),
        "config": config,
        "device": device,
        "score_noise": torch.from_numpy(state["score_noise"].copy()),
        "training_state": _tensors(state["training_state"]),
    }
    if "calibration" in state:
        state["calibration"] = _calibration(columns, state["calibration"])
    if "missingness" in state:
        check_missingness(columns, state["missingness"])
        state["missingness"] = Missingness(**state["missingness"])
    fitted = Fitted(**state)
    check_fields(fitted)
    if fitted.training_state is not None:
        check_weights(_as_trained(fitted), arrays_of(fitted.training_state["weights"]))
    return fitted if library == "numpy" else replace(fitted, **_tensors_of_library(fitted))


def _tensors(arrays: Any) -> Any:
    """Invert `arrays_of`; the tensors have memory of their own."""
    return convert(arrays, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def _tensors_of_library(fitted: Fitted) -> dict[str, Any]:
    """Give the fields that were torch's as tensors on the device; those of any other library stay numpy's."""
    arrays = {name: getattr(fitted, name) for name in LIKE_X}
    return {k: a if a is None else torch.from_numpy(a.copy()).to(fitted.device) for k, a in arrays.items()}


def _module(
    config: dict[str, Any], arrays: dict[str, np.ndarray], device: str, seed: int, size: int
) -> LatentVariableModel:
    """Build the module of a configuration with the stored weights, on the device; the whole state has `size` bytes.

    It is built with the seed of the fit: a user's network may draw what is neither a parameter nor a buffer.
    """
    parts = [config[name] for name in ("encoder", "decoder", "posterior", "prior", "objective")]
    families = [family for family, _ in config["likelihood"]]
    with exclusive(seed), Budget(size, has_own([*parts, *families])):
        module = LatentVariableModel(**config).float()
    check_weights(module, arrays)
    module.load_state_dict(_tensors(arrays))
    return module.to(device).eval()


def _as_trained(fitted: Fitted) -> LatentVariableModel:
    """The module as training knows it: without the weights of a prior that was fitted after it."""
    if not fitted.prior_is_fitted:
        return fitted.module
    module = copy.deepcopy(fitted.module)
    module.prior = StandardNormal().build(module.width)
    return module


def _columns(schema: Schema, state: dict[str, Any]) -> Columns:
    families = {d: family for family, own in _groups(state["families"]) for d in own}
    D = len(families)
    arrays = {name: state[name] for name in ("shift", "scale", "reach")}
    for name, array in arrays.items():
        check_array(name, array, (D,), np.float64)
    check(not state["maps"] or state["scaling"] in SCALINGS, f"its scaling is {state['scaling']!r}")
    maps = {d: _map(SCALINGS[state["scaling"]], numbers) for d, numbers in state["maps"]}
    return Columns(schema, [families[d] for d in range(D)], state["scaling"], maps=maps, **arrays)


def _calibration(columns: Columns, state: dict[str, Any]) -> Calibration:
    check_calibration(columns, state)
    ends = state["sizes"].cumsum()[:-1]
    margins = map(Margin, np.split(state["levels"], ends), np.split(state["values"], ends))
    return Calibration(state["columns"], state["made"], list(margins))


def _map(kind: type[Scaling], numbers: dict[str, Any]) -> Scaling:
    check(set(numbers) == set(inspect.signature(kind).parameters), f"a {kind.__name__} has only {sorted(numbers)}")
    return kind(**numbers)


def _groups(families: list[Any]) -> Iterator[tuple[Family, list[int]]]:
    for config, own in families:
        family = from_config(config)
        check(isinstance(family, Family), f"a column has the likelihood {family!r}")
        yield family, own


def _ordering(columns: Columns, state: dict[str, Any]) -> Columns:
    """Give shift and scale of all rows, by which a warm start sorts them: no more of them is used, and no map."""
    arrays = {name: state[name] for name in ("shift", "scale")}
    for name, array in arrays.items():
        check_array(name, array, columns.shift.shape, np.float64)
    return replace(columns, maps={}, **arrays)


def _schema(state: dict[str, Any]) -> Schema:
    template = state["template"]
    is_frame = template is not None and "frame" in template
    return Schema(
        **{name: state[name] for name in ("names", "library", "kinds", "is_plain", "is_numeric")},
        levels={d: _level_array(levels) for d, levels in state["levels"]},
        ordered=set(state["ordered"]),
        integer=set(state["integer"]),
        decimals=dict(state["decimals"]),
        clocks={d: Clock(**clock) for d, clock in state.get("clocks", [])},
        conditions=state.get("conditions", []),  # those without have no word of them
        exposures=state.get("exposures", []),
        bounds={d: (low, high) for d, low, high in state.get("bounds", [])},
        number_types={d: NUMBER_TYPES[name] for d, name in state["number_types"]},
        frame=template["frame"] if is_frame else None,
        description=None if is_frame else template,
    )


def _level_array(levels: Any) -> np.ndarray:
    if isinstance(levels, np.ndarray):
        return levels
    return np.fromiter(map(as_level, levels), dtype=object, count=len(levels))


def _records(state: dict[str, Any]) -> list[dict[str, Any]]:
    check_array("kinds", state["kinds"], (len(state["kinds"]),), np.int64)
    values = {name: deque(v.tolist() if isinstance(v, np.ndarray) else v) for name, v in state["values"].items()}
    records = [{name: values[name].popleft() for name in state["names"][kind]} for kind in state["kinds"].tolist()]
    check(not any(values.values()), "its history has values of no record")
    return records
