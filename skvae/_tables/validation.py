"""Tables as scikit-learn validates them: a float array with one number per cell, its columns checked by name."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from .._utils.arrays import accepted_dtypes, as_tensor, like, torch_float
from .encoding import encode
from .lazy import refuse_lazy
from .schema import Schema

__all__ = ["validated"]


def validated(estimator: BaseEstimator, schema: Schema, X: Any, reset: bool = False) -> Any:
    """Give X as scikit-learn validates it; see `encode` for tables with categories.

    Parameters
    ----------
    estimator : BaseEstimator
        Holds number and names of the columns; `reset` sets them.
    schema : Schema
        Of the fitted table.
    X : table of shape (n, D)
    reset : bool, default=False
    """
    refuse_lazy(X)
    rules = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"}
    if schema.is_plain or schema.is_numeric:
        X = validate_data(estimator, X, dtype=accepted_dtypes(X), reset=reset, **rules)
        return X if schema.is_plain else like(as_tensor(encode(schema, X)).to(torch_float(X.dtype)), X)
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return check_array(encode(schema, X), dtype=np.float64, estimator=estimator, input_name="X", **rules)
