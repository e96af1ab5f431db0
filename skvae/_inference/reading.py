"""The rows of a table through the model and back, chunk by chunk, in the precision of the table."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._tables.validation import validated
from .._utils.arrays import like, narrowed, on_host, torch_float
from .._utils.compat import check_same_namespace
from .._utils.progress import progress
from .._utils.threads import limited_threads
from ..model import LatentVariableModel
from . import evaluation
from .fitted import Fitted, fitted_of

__all__ = ["over_chunks", "per_row", "read", "read_table"]


def read_table(estimator: Any, X: Any, method: str) -> tuple[Fitted, Any]:
    """Give the fitted value of an estimator and the validated table, of the array library that `fit` saw."""
    fitted = fitted_of(estimator)
    table = validated(estimator, fitted.schema, X)
    check_same_namespace(X, estimator, attribute="order_", method=method)
    return fitted, table


def read(estimator: Any, X: Any, method: str) -> tuple[Fitted, LatentVariableModel, Tensor, Tensor | None]:
    """Give the rows of X, all at once, as (fitted, module, x, mask) in the precision of X."""
    fitted, table = read_table(estimator, X, method)
    dtype = fitted.inference_dtype(table.dtype)
    table = table if isinstance(table, Tensor) else on_host(table)
    return fitted, fitted.module_in(dtype), *fitted.columns.tensors(table, fitted.device, dtype)


def per_row(
    estimator: Any,
    X: Any,
    function: Callable[..., Tensor],
    method: str,
    n_samples: int = 1,
    check_support: bool = False,
    with_rows: bool = False,
) -> Any:
    """Apply function(module, x, mask) to chunks of rows, in the precision of X, and give the result X's type.

    With `with_rows` the function also takes the rows in data space.
    """
    fitted, table = read_table(estimator, X, method)
    if check_support and not fitted.columns.has_units("standard").all():
        fitted.columns.check_support(on_host(table))
    step = f"{type(estimator).__name__}.{method}"
    with progress(estimator.verbose, step, table.shape[0]) as told:
        values = over_chunks(fitted, table, function, n_samples, with_rows, told=told)
    return like(values, table)


def over_chunks(
    fitted: Fitted,
    X: Any,
    function: Callable[..., Tensor],
    n_samples: int,
    with_rows: bool = False,
    dtype: torch.dtype | None = None,
    told: Callable[[int], object] | None = None,
    n_cells: int | None = None,
) -> Tensor:
    """Do the same for a validated table and give a tensor.

    `dtype` is the precision, by default that of X; `told` is called with the number of rows of each chunk, of which the
    widest layer has `n_cells` cells.
    """
    table = X if isinstance(X, Tensor) else on_host(X)
    dtype = fitted.inference_dtype(X.dtype) if dtype is None else dtype
    step = evaluation.chunk_rows(fitted.module, n_samples, n_cells)
    values: Any = None  # its shape is that of the first part
    with limited_threads(table.shape[0] * fitted.module.work(n_samples)), torch.no_grad():
        module = fitted.module_in(dtype)
        for i in range(0, table.shape[0], step):
            rows = table[i : i + step]
            x, mask = fitted.columns.tensors(rows, fitted.device, dtype)
            part = function(module, x, mask, rows) if with_rows else function(module, x, mask)
            if values is None:
                values = part.new_empty((table.shape[0], *part.shape[1:]), dtype=torch_float(X.dtype))
            values[i : i + step] = narrowed(part, values.dtype)
            if told is not None:
                told(len(part))
    return values
