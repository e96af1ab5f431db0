"""Missing cells of the rows of a table, chunk by chunk: exactly under linear models, else from weighted codes."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._tables.canonical import copy_numbers
from .._utils.arrays import on_host
from .._utils.random import exclusive
from ..model import LatentVariableModel
from .decoded import InDataSpace
from .fitted import IMPUTATION_STREAM, Fitted
from .imputation import (
    SHARE_OF_THE_PRIOR,
    Draws,
    effective_size,
    expected_values,
    linear_codes,
    weighted_draws,
)
from .reading import over_chunks
from .row_noise import own_cells, own_choices, own_linear_cells, own_noise

__all__ = ["imputed_tables"]

_CELLS = 1 << 20  # of a chunk: with hundreds of draws per row, smaller ones are mostly overhead
_POOL = 32  # times as many draws of the prior as each row takes: few rows share one
_FEW_NODES = 21  # per code, of the means in data space that are averaged over many codes


def imputed_tables(
    fitted: Fitted,
    table: Any,
    n_draws: int | None,
    n_importance_samples: int,
    seed: int,
    told: Callable[[int], object],
) -> tuple[np.ndarray, np.ndarray]:
    """Values (n_draws or 1, n, D) of rows in data space, and the effective sample size of each, (n,).

    `told` is called with the number of rows of each chunk.
    """
    fitted.columns.check_support(on_host(table))
    n_tables = n_draws or 1
    if not table.shape[0]:
        return np.zeros((n_tables, 0, table.shape[1])), np.zeros(0)
    copies = iter(copy_numbers(on_host(table)))  # the chunks come in order
    is_linear = fitted.not_linear is None and not fitted.parts.lacks("score")
    n_samples = n_tables if is_linear else n_importance_samples * (_FEW_NODES if fitted.columns.maps else 1)
    with exclusive(seed, device=fitted.device), torch.no_grad():
        own = _linear_cells if is_linear else _weighted_cells
        function = own(fitted, n_draws, n_importance_samples, seed, copies)
        parts = over_chunks(fitted, table, function, n_samples, True, torch.float32, told, n_cells=_CELLS)
        numbers = on_host(parts)
    values = numbers[:, :-1].reshape(len(numbers), n_tables, -1).transpose(1, 0, 2)
    return values.astype(np.float64), numbers[:, -1]


def _weighted_cells(
    fitted: Fitted, n_draws: int | None, n_samples: int, seed: int, copies: Iterator[int]
) -> Callable[..., Tensor]:
    """A function that gives values (B, n_tables * D) of a chunk of rows and, last, the size that weights are worth."""
    n_prior = int(SHARE_OF_THE_PRIOR * n_samples)
    pool = fitted.module.prior(fitted.module.encode).sample((_POOL * n_prior,))

    def cells(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: Any) -> Tensor:
        u = own_noise(fitted, rows, x, n_samples - n_prior, seed, IMPUTATION_STREAM)
        z_prior = own_choices(fitted, rows, pool, n_prior, seed, IMPUTATION_STREAM, 1).to(x)
        draws = _draws_given(fitted, module, x, mask, u, z_prior)
        size = effective_size(draws).cpu().double()
        if n_draws is None:
            p = InDataSpace(draws.p, module.likelihood, fitted.columns, n_nodes=_FEW_NODES)
            values = expected_values(p, draws.w)[None]
        else:
            own, given = _first(copies, len(x)), module.given(x, mask)
            values = own_cells(fitted, module, draws, given, rows, own, n_draws, seed, IMPUTATION_STREAM, 2)
        return torch.cat([values.transpose(0, 1).flatten(1), size[:, None]], 1)

    return cells


def _linear_cells(
    fitted: Fitted, n_draws: int | None, n_samples: int, seed: int, copies: Iterator[int]
) -> Callable[..., Tensor]:
    """Do the same for linear Gaussian models: exactly, so that no draw is lost to weights."""

    def cells(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: Any) -> Tensor:
        q = linear_codes(module, x, mask)
        if n_draws is None:
            values = fitted.in_data_space(module, q.loc[None]).mean
        else:
            own = _first(copies, len(x))
            values = own_linear_cells(fitted, module, q, rows, own, n_draws, seed, IMPUTATION_STREAM)
        size = values.new_full((len(x), 1), n_samples)
        return torch.cat([values.transpose(0, 1).flatten(1), size], 1)

    return cells


def _first(copies: Iterator[int], n: int) -> np.ndarray:
    return np.fromiter(islice(copies, n), dtype=np.int64)


def _draws_given(
    fitted: Fitted, module: LatentVariableModel, x: Tensor, mask: Tensor | None, u: Tensor, z_prior: Tensor
) -> Draws:
    """Weighted codes of rows, from noise u and draws z_prior of the prior; without a density the centre alone."""
    if fitted.parts.lacks("score"):
        z = module.center(x, mask)[None]
        return Draws(z, z.new_zeros(z.shape[:2]), module.decode(z, module.given(x, mask)))
    return weighted_draws(module, x, mask, u, z_prior)
