"""A fitted value -> plain data: numbers, strings, lists, dicts and numpy arrays.

Every field of `Fitted` is there under its name, but for `likelihoods`, which `columns` knows; `array_library` is there
besides. A new field whose value is plain needs no line here.
"""

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from sklearn import config_context

from .._inference.fitted import Fitted
from .._tables.calibration import Calibration
from .._tables.columns import Columns
from .._tables.schema import Schema
from .._tables.templates import describe, plain_level
from .._utils.arrays import convert, on_host
from .registry import get_config

__all__ = ["LIKE_X", "OPTIONAL", "arrays_of", "to_plain"]

#: Fields of `Fitted` that are arrays of the library of X, under Array API dispatch.
LIKE_X = tuple(f.name for f in fields(Fitted) if f.metadata.get("is_like_X"))

#: Fields that only some models have: of the others, a state has no word of them.
OPTIONAL = ("combinations", "calibration", "missingness", "mean_code")


def to_plain(fitted: Fitted, keep_optimizer: bool) -> dict[str, Any]:
    """Give every field of a fitted value as plain data."""
    state: dict[str, Any] = {f.name: getattr(fitted, f.name) for f in fields(fitted)}
    del state["likelihoods"]  # those of the columns
    for name in OPTIONAL:
        if state[name] is None:
            del state[name]
    state |= {
        "module": arrays_of(fitted.module.state_dict()),
        "history": _by_name(fitted.history),
        "schema": _schema_state(fitted.schema),
        "columns": _columns_state(fitted.columns),
        "ordering": {"shift": fitted.ordering.shift, "scale": fitted.ordering.scale},
        "config": {k: get_config(v) for k, v in fitted.config.items() if k != "likelihood"},
        "score_noise": fitted.score_noise.numpy(),
        "training_state": arrays_of(fitted.training_state) if keep_optimizer else None,
        **({} if fitted.calibration is None else {"calibration": _calibration_state(fitted.calibration)}),
        **({} if fitted.missingness is None else {"missingness": vars(fitted.missingness)}),
        "array_library": "torch" if isinstance(fitted.order, torch.Tensor) else "numpy",
    }
    with config_context(array_api_dispatch=not isinstance(fitted.order, (np.ndarray, torch.Tensor))):
        state |= {name: on_host(state[name]) for name in LIKE_X if state[name] is not None}
    return state


def arrays_of(tensors: Any) -> Any:
    """Turn the tensors in nested lists and dicts into numpy arrays."""
    return convert(tensors, torch.Tensor, lambda tensor: tensor.detach().cpu().numpy())


def _columns_state(columns: Columns) -> dict[str, Any]:
    return {
        "families": [[get_config(family), own] for family, own in columns.groups],
        "scaling": columns.scaling,
        "shift": columns.shift,
        "scale": columns.scale,
        "reach": columns.reach,
        "maps": [[d, _numbers(vars(scaling))] for d, scaling in columns.maps.items()],
    }


def _calibration_state(calibration: Calibration) -> dict[str, Any]:
    """Give the margins of all columns end to end, and the size of each."""
    return {
        "columns": calibration.columns,
        "made": calibration.made,
        "sizes": np.array([len(margin.levels) for margin in calibration.fitted], dtype=np.int64),
        "levels": np.concatenate([margin.levels for margin in calibration.fitted]),
        "values": np.concatenate([margin.values for margin in calibration.fitted]),
    }


def _schema_state(schema: Schema) -> dict[str, Any]:
    template = schema.description
    if template is None and schema.frame is not None:
        template = describe(schema.frame) or {"frame": schema.frame}  # of a dtype that we have no words for
    return {
        "names": schema.names,
        "library": schema.library,
        "kinds": schema.kinds,
        "levels": [[d, _plain_levels(levels)] for d, levels in schema.levels.items()],
        "ordered": sorted(schema.ordered),
        "integer": sorted(schema.integer),
        "decimals": [list(pair) for pair in schema.decimals.items()],
        "number_types": [[d, t.__name__] for d, t in schema.number_types.items()],
        **({"clocks": [[d, vars(clock)] for d, clock in schema.clocks.items()]} if schema.clocks else {}),
        **({"conditions": schema.conditions} if schema.conditions else {}),
        **({"exposures": schema.exposures} if schema.exposures else {}),
        **({"bounds": [[d, *ends] for d, ends in schema.bounds.items()]} if schema.bounds else {}),
        "is_plain": bool(schema.is_plain),
        "is_numeric": bool(schema.is_numeric),
        "template": template,
    }


def _plain_levels(levels: np.ndarray) -> list[Any] | np.ndarray:
    return [plain_level(level) for level in levels.tolist()] if levels.dtype == object else levels


def _by_name(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Give records as one array for each name, since hundreds of them are common.

    `names` are the names in each kind of record, `kinds` says of which kind each record is.
    """
    names: list[list[str]] = []
    values: dict[str, list[Any]] = {}
    for record in history:
        if list(record) not in names:
            names.append(list(record))
        for name, value in record.items():
            values.setdefault(name, []).append(value)
    kinds = np.array([names.index(list(record)) for record in history], dtype=np.int64)
    return {"names": names, "kinds": kinds, "values": {name: _packed(entries) for name, entries in values.items()}}


def _packed(values: list[Any]) -> list[Any] | np.ndarray:
    """Give bools, ints of 64 bits or floats as an array, anything else as it is."""
    kinds = set(map(type, values))
    if kinds in ({bool}, {float}) or (kinds == {int} and max(map(abs, values)) < 2**63):
        return np.array(values)
    return values


def _numbers(value: Any) -> Any:
    """Turn the numpy scalars in nested lists and dicts into Python numbers."""
    return convert(value, np.generic, lambda scalar: scalar.item())
