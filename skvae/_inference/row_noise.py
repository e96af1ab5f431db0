"""Base noise of importance weights: each row has its own draws, which depend on its standardised cells only.

Draws that all rows share would leave an error in the mean over a table that more rows do not average out. The key of a
row is a hash of its cells in model space, so that neither other rows, their order nor the container matter.
"""

from typing import Any

import torch
from torch import Tensor

from .._tables.canonical import content_hash
from .._utils.arrays import on_host
from .._utils.random import row_choices, row_normals
from .fitted import Fitted

__all__ = ["own_choices", "own_noise"]


def own_noise(fitted: Fitted, rows: Any, x: Tensor, n_samples: int, *seed: int) -> Tensor:
    """Base noise u (S, B, n_noise), of x's type and device, of rows (B, D) in data space."""
    return row_normals(_keys(fitted, rows, x, *seed), n_samples, fitted.module.n_noise).to(x)


def own_choices(fitted: Fitted, rows: Any, z: Tensor, n_samples: int, *seed: int) -> Tensor:
    """S of the codes z (M, K) for each of the rows (B, D) in data space: (S, B, K)."""
    return z[row_choices(_keys(fitted, rows, z, *seed), n_samples, len(z)).to(z.device)]


def _keys(fitted: Fitted, rows: Any, tensor: Tensor, *seed: int) -> Tensor:
    """An int64 key of each row, (B,), on the tensor's device if that has float64 numbers."""
    keys = content_hash(fitted.columns.working_array(on_host(rows)), seed)
    return torch.from_numpy(keys.view("int64")).to("cpu" if tensor.device.type == "mps" else tensor.device)
