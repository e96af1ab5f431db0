"""A fitted estimator -> plain data."""

import numpy as np
import torch
from sklearn import config_context

from .._tables.templates import describe, plain_level
from .._utils.arrays import convert, on_host
from .registry import described

__all__ = []

#: Fitted attributes that are arrays of the library of X, under Array API dispatch.
_LIKE_X = ("order_", "signs_", "kl_per_component_", "noise_variance_")


#: Of the mixture behind `code_density_`.
_MIXTURE = ("n_components", "reg_covar", "random_state")


# ---------------------------------------------------------------- fitted -> plain


def _plain(estimator):
    """The fitted attributes of an estimator that are not plain, as plain data."""
    attributes = vars(estimator)
    config = {k: described(v) for k, v in estimator._model_config.items() if k != "likelihood"}
    ordering = {"shift": estimator._ordering.shift, "scale": estimator._ordering.scale}
    training_state = estimator._training_state if estimator.keep_optimizer else None
    state = {
        "module_": _arrays(estimator.module_.state_dict()),
        "history_": _by_name(estimator.history_),
        "likelihoods_": None,  # those of the columns
        "_schema": _schema_state(estimator._schema),
        "_columns": _columns_state(estimator._columns),
        "_ordering": ordering,
        "_model_config": config,
        "_score_noise": estimator._score_noise.numpy(),
        "_training_state": _arrays(training_state),
        "_array_library": "torch" if isinstance(estimator.order_, torch.Tensor) else "numpy",
    }
    with config_context(array_api_dispatch=not isinstance(estimator.order_, (np.ndarray, torch.Tensor))):
        state |= {name: on_host(attributes[name]) for name in _LIKE_X if name in attributes}
    if "code_density_" in attributes:
        state["code_density_"] = _mixture_state(estimator.code_density_)
    return state


def _arrays(tensors):
    """Tensors in nested lists and dicts as numpy arrays."""
    return convert(tensors, torch.Tensor, lambda tensor: tensor.detach().cpu().numpy())


def _columns_state(columns):
    return {
        "families": [[described(family), own] for family, own in columns.groups],
        "scaling": columns.scaling,
        "shift": columns.shift,
        "scale": columns.scale,
        "reach": columns.reach,
        "maps": [[d, {name: _item(value) for name, value in vars(bend).items()}] for d, bend in columns.maps.items()],
    }


def _schema_state(schema):
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
        "number_types": [[d, np.dtype(t).name] for d, t in schema.number_types.items()],
        "is_plain": bool(schema.is_plain),
        "is_numeric": bool(schema.is_numeric),
        "template": template,
    }


def _plain_levels(levels):
    return [plain_level(level) for level in levels.tolist()] if levels.dtype == object else levels


def _by_name(history):
    """Records as one array for each name, since hundreds of them are common; `names` are those of a kind of record."""
    names, values = [], {}
    for record in history:
        if list(record) not in names:
            names.append(list(record))
        for name, value in record.items():
            values.setdefault(name, []).append(value)
    kinds = np.array([names.index(list(record)) for record in history], dtype=np.int64)
    return {"names": names, "kinds": kinds, "values": {name: _packed(entries) for name, entries in values.items()}}


def _packed(values):
    """Bools, ints of 64 bits or floats as an array, anything else as it is."""
    kinds = set(map(type, values))
    if kinds in ({bool}, {float}) or (kinds == {int} and max(map(abs, values)) < 2**63):
        return np.array(values)
    return values


def _mixture_state(mixture):
    fitted = {k: v for k, v in vars(mixture).items() if k.endswith("_") and not k.startswith("_")}
    parameters = {name: getattr(mixture, name) for name in _MIXTURE}
    return {name: _item(value) for name, value in (parameters | fitted).items()}


def _item(value):
    """A numpy scalar as a Python number."""
    return value.item() if isinstance(value, np.generic) else value
