"""Inputs of the models of the label: moments of a row's posterior, and its columns as numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference.fitted import Fitted
from .._inference.reading import over_chunks
from .._tables.canonical import distinct, row_hash
from .._tables.selection import RowSelection
from .._utils.arrays import on_host
from ..model import LatentVariableModel

__all__ = ["columns_of_rows", "distinct_rows", "moments_of_rows", "per_chunk"]

_HASH_OF_LABEL = np.uint64(0x9E3779B97F4A7C15)  # times the label: rows that differ in it alone are different


def distinct_rows(table: Any, label: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of rows that differ in cells or label, in an order by their content alone, and the sums of weights."""
    rows = RowSelection(table)
    first = row_hash(rows, seed=1) + (label + 1).astype(np.uint64) * _HASH_OF_LABEL
    return distinct(first, row_hash(rows, seed=2), weight)


def moments_of_rows(fitted: Fitted, table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the code of each row, (n, K) each, with the order and signs of `transform`."""

    def moments(module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
        return torch.cat(_moments(fitted, module, x, mask), 1)

    both = on_host(over_chunks(fitted, table, moments, len(fitted.score_noise))).astype(np.float64)
    return both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]


def columns_of_rows(fitted: Fitted, table: Any) -> np.ndarray:
    """Columns in model space, (n, P): a category as one per level, and a missing number as its decoded mean.

    A missing category is NaN.
    """

    def columns(module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
        return _columns(fitted, module, x, mask).mean(0)

    return on_host(over_chunks(fitted, table, columns, len(fitted.score_noise))).astype(np.float64)


def per_chunk(fitted: Fitted, table: Any, function: Any) -> np.ndarray:
    """Numbers per row of function(e, v, columns), of numpy arrays (B, K), (B, K) and (S, B, P), chunk by chunk."""

    def numbers(module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
        seen = (*_moments(fitted, module, x, mask), _columns(fitted, module, x, mask))
        return torch.from_numpy(function(*(t.cpu().double().numpy() for t in seen)))

    return on_host(over_chunks(fitted, table, numbers, len(fitted.score_noise)))


def _moments(fitted: Fitted, module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and variance over frozen draws of z, which are exact for normal codes, (B, K) each."""
    z = module.posterior.push(module.encode(x, mask), fitted.score_noise.to(x))
    order, signs = fitted.output_map(z)
    mean, variance = z.mean(0), z.var(0, correction=0)
    return mean.index_select(1, order) * signs, variance.index_select(1, order)


def _columns(fitted: Fitted, module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
    """The columns of a chunk, (S, B, P), missing numbers decoded from draws of z; S is 1 where nothing is missing.

    Columns of `conditions` are those that the networks see, after the others.
    """
    given = module.given(x, mask)
    x = x[None]
    if mask is not None:
        z = module.posterior.push(module.encode(x[0], mask), fitted.score_noise.to(x))
        mean = module.decode(z, given).mean.nan_to_num(torch.nan, torch.nan, torch.nan)
        x = torch.where(mask, x, torch.where(torch.from_numpy(fitted.columns.is_number).to(x.device), mean, torch.nan))
    parts = []
    for d, n_levels in enumerate(fitted.columns.n_levels.tolist()):
        if fitted.columns.is_given[d]:
            continue
        column = x[..., d, None]
        is_level = (column == torch.arange(n_levels, device=x.device)).to(x).masked_fill(column.isnan(), torch.nan)
        parts.append(column if fitted.columns.is_number[d] else is_level)
    c = None if given is None or module.conditions is None else module.conditions(given)
    return torch.cat(parts if c is None else [*parts, c.expand(len(x), -1, -1)], -1)
