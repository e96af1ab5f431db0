"""Checks of parameters, and of arguments that several methods take."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from .arrays import on_host
from .compat import Interval, Intervals, validate_parameter_constraints

__all__ = ["COUNT", "NON_NEGATIVE", "POSITIVE", "SIZES", "check_count", "check_parameters", "check_weight"]

#: Constraints that many components have.
COUNT = Interval(Integral, 1, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
SIZES = Intervals(Integral, 1, None, closed="left", least=1)


def check_parameters(constraints: Mapping[str, Any], parameters: Mapping[str, Any], owner: str) -> None:
    """Raise a ValueError, in the words of scikit-learn, for the first parameter that its constraints do not allow.

    Parameters
    ----------
    constraints : dict of str -> list of constraints
        What each parameter may be, as scikit-learn's estimators say it in `_parameter_constraints`; intervals are those
        of `_utils/compat.py`, which hold no True or False. A parameter without constraints may be anything.
    parameters : dict of str -> value
    owner : str
        Whose parameters they are, e.g. "ELBO" or "VAETransformer.sample".
    """
    validate_parameter_constraints(constraints, parameters, owner)


def check_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """One finite, non-negative weight per row, not all of them zero, as float64."""
    if np.ma.is_masked(sample_weight):
        raise ValueError(
            "sample_weight has masked entries. Give every row a weight: 0 for those that should not count."
        )
    weight = np.asarray(on_host(sample_weight), dtype=np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have shape ({n_rows},), one weight per row. Got shape {weight.shape} instead."
        )
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(
            "sample_weight must be finite and non-negative. Drop the rows that should not count or give them weight 0."
        )
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all of sample_weight is zero.")
    return weight


def check_count(name: str, value: Any, method: str, owner: str = "VAETransformer") -> None:
    """Raise a ValueError where an argument of a method of an estimator is no positive int."""
    check_parameters({name: [COUNT]}, {name: value}, f"{owner}.{method}")
