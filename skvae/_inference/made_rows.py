"""Rows that a model makes, in data space."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..model import LatentVariableModel
from .evaluation import chunk_rows
from .fitted import Fitted

__all__ = ["decoded_rows", "drawn_conditions", "drawn_rows", "maker"]


def maker(fitted: Fitted) -> LatentVariableModel:
    """Give the module that makes rows: a copy on the CPU in float64, so that a seed is good on every device."""
    return copy.deepcopy(fitted.module).cpu().double()


def drawn_conditions(fitted: Fitted, n_rows: int) -> np.ndarray | None:
    """Draw the conditions (n, G) of rows, in data space, from those of the fitted ones; None without conditions."""
    if fitted.combinations is None:
        return None
    count = torch.from_numpy(fitted.combinations[:, -1].copy())
    return fitted.combinations[torch.multinomial(count, n_rows, replacement=True).numpy(), :-1]


def decoded_rows(
    fitted: Fitted,
    module: LatentVariableModel,
    z: Tensor,
    cells: np.ndarray | None,
    told: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Draw x ~ p(x given z), (n, D), for codes z (n, K) in the module's own order and conditions `cells` (n, G).

    `told` is called with the number of rows of each chunk.
    """
    step = chunk_rows(module, 1)
    known = None if cells is None else fitted.columns.given_tensor(cells, torch.zeros(0, dtype=z.dtype))
    given = [None] * len(z) if known is None else known.split(step)
    rows = []
    for part, conditions in zip(z.split(step), given, strict=False):
        rows.append(fitted.in_data_space(module, part[None], conditions).sample()[0].numpy())
        if told is not None:
            told(len(rows[-1]))
    return np.concatenate(rows)


def drawn_rows(fitted: Fitted, module: LatentVariableModel, n_rows: int) -> np.ndarray:
    """Draw z ~ p(z) and x ~ p(x given z), (n, D), with the conditions of fitted rows."""
    cells = drawn_conditions(fitted, n_rows)
    return decoded_rows(fitted, module, module.prior(module.encode).sample((n_rows,)), cells)
