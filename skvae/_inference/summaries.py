"""Means of a model's numbers over a table, estimated by a random subset of its rows."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._tables.columns import Columns
from .._tables.selection import RowSelection
from ..model import LatentVariableModel
from . import evaluation
from .fitted import inference_dtype
from .precision import in_precision

__all__ = ["LIVE", "Inspected", "by_row", "information", "inspected", "mean_bound", "weighted_mean"]

LIVE = 0.05  # nats: a component with less information is switched off
_ROWS_WITH_ALL_DRAWS = 2000


class Inspected(NamedTuple):
    """A module in float64, where the device has it, rows in model space, and their weights, which sum to one."""

    module: LatentVariableModel
    x: Tensor
    mask: Tensor | None
    w: Tensor


def inspected(module: LatentVariableModel, columns: Columns, device: str, X: RowSelection, weight: Any) -> Inspected:
    """Read at most 10 000 of the rows, which are sorted by hash: a random subset."""
    dtype = inference_dtype(device, np.dtype("float64"))
    n_rows = min(10_000, max(1, 10_000_000 // X.shape[1]))
    x, mask = columns.tensors(X.take(slice(n_rows)), device, dtype)
    w = torch.as_tensor(weight[:n_rows] / weight[:n_rows].sum(), dtype=dtype, device=device)
    return Inspected(in_precision(module, dtype), x, mask, w)


def weighted_mean(
    function: Callable, module: LatentVariableModel, x: Tensor, mask: Any, w: Tensor, n_samples: int
) -> Any:
    """Give the mean of function(x, mask) over rows of weights w, without gradients, chunk by chunk."""
    step = evaluation.chunk_rows(module, n_samples)
    masks = [None] * len(x) if mask is None else mask.split(step)
    with torch.no_grad():  # a sum, since small results that stay would fragment the heap
        return sum(share @ function(*pair) for share, *pair in zip(w.split(step), x.split(step), masks, strict=False))


def by_row(function: Callable, module: LatentVariableModel, x: Tensor, mask: Any, n_samples: int) -> np.ndarray:
    """Give function(x, mask) of each row, (n,), without gradients, chunk by chunk."""
    step = evaluation.chunk_rows(module, n_samples)
    values = np.empty(len(x))
    with torch.no_grad():  # written where they belong at once, since small results that stay would fragment the heap
        for begin in range(0, len(x), step):
            chunk = slice(begin, begin + step)
            values[chunk] = function(x[chunk], None if mask is None else mask[chunk]).cpu()
    return values


def information(module: LatentVariableModel, x: Tensor, mask: Tensor | None, w: Tensor, u: Tensor) -> Tensor:
    """Give the mean KL of each component to the prior, (n,)."""
    u = u.to(x)

    def kl(x: Tensor, mask: Tensor | None) -> Tensor:
        return evaluation.kl_per_component(module, x, mask, u)

    return weighted_mean(kl, module, x, mask, w, len(u))


def mean_bound(
    module: LatentVariableModel,
    x: Tensor,
    mask: Tensor | None,
    w: Tensor,
    u: Tensor,
    n_with_draws: int = _ROWS_WITH_ALL_DRAWS,
) -> float:
    """Give the weighted mean of the evidence lower bound over rows, in nats in model space.

    Of many rows only the first `n_with_draws`, a random subset, take all draws. They tell by how much the mean over
    draws differs from the value at the centre of the posterior, which is what all rows take (a control variate): for
    normal columns under a linear decoder the difference is one for all complete rows, so that nothing is lost.
    """
    u = u.to(x)
    first = slice(n_with_draws)

    def mean(u: Tensor, rows: slice) -> float:
        def bound(x: Tensor, mask: Tensor | None) -> Tensor:
            return evaluation.elbo(module, x, mask, u)

        shares = w[rows] / w[rows].sum()
        return float(weighted_mean(bound, module, x[rows], None if mask is None else mask[rows], shares, len(u)))

    if len(x) <= n_with_draws:
        return mean(u, first)
    center = torch.zeros_like(u[:1])
    return mean(center, slice(None)) + mean(u, first) - mean(center, first)
