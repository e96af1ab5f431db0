"""Parameters that name columns by their position, for a table with a further column at its end."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from ..estimator import VAETransformer

__all__ = ["for_one_more_column", "with_one_more"]


def for_one_more_column(model: VAETransformer, D: int) -> dict[str, Any]:
    """Parameters of the model, changed so that they mean the same for D columns when one more follows them.

    Positions from the end, masks and lists of weights need a change; what cannot be read is left for `fit` to refuse.
    """
    parameters = {"conditions": _from_start(model.conditions, D), "likelihood": model.likelihood}
    if isinstance(model.likelihood, list):
        parameters["likelihood"] = [
            (entry[0], _from_start(entry[1], D)) if isinstance(entry, tuple) and len(entry) == 2 else entry
            for entry in model.likelihood
        ]
    parameters["bounds"] = with_one_more(model.bounds, D, 1.0)
    return parameters | {"column_weights": with_one_more(model.column_weights, D, 1.0)}


def with_one_more(values: Any, D: int, last: float) -> Any:
    """A dict of column -> value, or D numbers, with another one for the column at the end; anything else as it is."""
    if isinstance(values, Mapping):
        return {_from_start(key, D): value for key, value in values.items()}
    return [*values, last] if hasattr(values, "__len__") and len(values) == D else values


def _from_start(key: Any, D: int) -> Any:
    """The same of D columns by positions from the start: a position, a slice, a mask, or a list of names and such."""
    if isinstance(key, Integral) and not isinstance(key, bool):
        return int(key) + D if -D <= int(key) < 0 else key
    if isinstance(key, slice) and not isinstance(key.start, str) and not isinstance(key.stop, str):
        return list(range(D)[key])
    if isinstance(key, (str, Mapping)) or not hasattr(key, "__iter__"):
        return key
    keys = list(key)
    if len(keys) == D and all(isinstance(k, (bool, np.bool_)) for k in keys):
        return np.flatnonzero(keys).tolist()
    return [_from_start(k, D) for k in keys]
