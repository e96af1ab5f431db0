"""Checks of arguments that several methods take."""

from numbers import Integral

import numpy as np

from .arrays import on_host

__all__ = ["check_count", "check_weight"]


def check_weight(sample_weight, n_rows):
    """One finite, non-negative weight per row, not all of them zero, as float64."""
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


def check_count(name, value, method):
    """A positive int."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(
            f"The {name!r} parameter of VAETransformer.{method} must be an int in the range [1, inf). "
            f"Got {value!r} instead."
        )
