"""Tables as scikit-learn validates them: a float array with one number per cell, its columns checked by name."""

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from .._utils.arrays import accepted_dtypes, as_tensor, like, on_host, torch_float
from .encoding import encode, refuse_other_cells
from .frames import readable
from .given import refuse_exposures
from .intake import as_table
from .schema import Schema
from .selection import column

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
    table = _validated(estimator, schema, X, reset)
    _refuse_missing_conditions(schema, table)
    return table


def _validated(estimator: BaseEstimator, schema: Schema, X: Any, reset: bool) -> Any:
    X = as_table(X)
    rules = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"}
    if schema.is_plain or schema.is_numeric:
        try:
            X = validate_data(estimator, readable(X), dtype=accepted_dtypes(X), reset=reset, **rules)
        except Exception as error:  # each library has its own for cells that are no numbers, and none names the column
            refuse_other_cells(X, error)
            raise
        return X if schema.is_plain else like(as_tensor(encode(schema, X)).to(torch_float(X.dtype)), X)
    if (n_dimensions := getattr(X, "ndim", 2)) != 2:
        raise ValueError(f"Expected 2D array, got an array X of {n_dimensions} dimensions.")
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return check_array(encode(schema, X), dtype=np.float64, estimator=estimator, input_name="X", **rules)


def _refuse_missing_conditions(schema: Schema, table: Any) -> None:
    """Raise where a number that is given is missing; a category that is missing, or unknown, is a level of its own."""
    for d in schema.exposures:
        refuse_exposures(schema, d, column(table if issparse(table) else on_host(table), d))
    for d in schema.conditions:
        if schema.kinds[d] == "real" and np.isnan(column(table if issparse(table) else on_host(table), d)).any():
            raise ValueError(
                f"Column {schema.label(d)!r} has missing values (NaN), and the 'conditions' parameter says that it is "
                "given. Fill them, drop these rows, or make the column a category, of which missing is one more level."
            )
