"""Base noise of importance weights: each row has its own draws, which depend on its standardised cells only.

Draws that all rows share would leave an error in the mean over a table that more rows do not average out. The key of a
row is a hash of its cells in model space, so that neither other rows, their order nor the container matter.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from .._tables.canonical import content_hash
from .._utils.arrays import on_host
from .._utils.random import row_choices, row_normals, row_uniforms, seed_global
from ..model import LatentVariableModel
from ..posteriors.conditioning import push_joint
from .fitted import Fitted
from .imputation import Draws

__all__ = ["own_cells", "own_choices", "own_linear_cells", "own_noise"]

_COPY = np.uint64(0xD1342543DE82EF95)  # times the number of a copy: equal rows have draws of their own


def own_noise(fitted: Fitted, rows: Any, x: Tensor, n_samples: int, *seed: int) -> Tensor:
    """Base noise u (S, B, n_noise), of x's type and device, of rows (B, D) in data space."""
    return row_normals(_keys(fitted, rows, x, *seed), n_samples, fitted.module.n_noise).to(x)


def own_choices(fitted: Fitted, rows: Any, z: Tensor, n_samples: int, *seed: int) -> Tensor:
    """S of the codes z (M, K) for each of the rows (B, D) in data space: (S, B, K)."""
    return z[row_choices(_keys(fitted, rows, z, *seed), n_samples, len(z)).to(z.device)]


def own_cells(
    fitted: Fitted,
    module: LatentVariableModel,
    draws: Draws,
    given: Tensor | None,
    rows: Any,
    copy: np.ndarray,
    n_draws: int,
    *seed: int,
) -> Tensor:
    """Cells x ~ p(x | z) in data space, (n_draws, B, D) float64, of codes z that are drawn by their weights.

    Samplers of torch.distributions take no noise, and what they give a row depends on its place in the batch: each row
    is drawn by itself, from a seed of its own.

    Parameters
    ----------
    draws : Draws
        Of the rows.
    given : Tensor (B, n_given), optional
        Their conditions.
    rows : ndarray or CSR (B, D)
        In data space.
    copy : int ndarray (B,)
        How many rows before this one are equal to it.
    """
    keys = _keys_of_copies(fitted, rows, copy, *seed)
    z = draws.resampled(row_uniforms(keys, n_draws).to(draws.w))
    cells = []
    for b, key in enumerate(keys.numpy().view("uint64").tolist()):
        seed_global(fitted.device, key)
        known = None if given is None else given[b : b + 1]
        cells.append(fitted.in_data_space(module, z[:, b : b + 1], known).sample())
    return torch.cat(cells, 1)


def own_linear_cells(
    fitted: Fitted,
    module: LatentVariableModel,
    q: MultivariateNormal,
    rows: Any,
    copy: np.ndarray,
    n_draws: int,
    *seed: int,
) -> Tensor:
    """Do the same for normal codes q, batch shape (B,), under a linear model with Gaussian noise."""
    noise = row_normals(_keys_of_copies(fitted, rows, copy, *seed), n_draws, module.width + rows.shape[1])
    of_codes, of_cells = noise.split([module.width, rows.shape[1]], -1)
    p = fitted.in_data_space(module, push_joint(q, of_codes.to(q.loc)))
    return p.mean + p.stddev * of_cells


def _keys_of_copies(fitted: Fitted, rows: Any, copy: np.ndarray, *seed: int) -> Tensor:
    """An int64 key of each row and of how many equal rows come before it, (B,)."""
    keys = _hash(fitted, rows, *seed) + copy.astype(np.uint64) * _COPY
    return torch.from_numpy(keys.view("int64"))


def _keys(fitted: Fitted, rows: Any, tensor: Tensor, *seed: int) -> Tensor:
    """An int64 key of each row, (B,), on the tensor's device if that has float64 numbers."""
    keys = torch.from_numpy(_hash(fitted, rows, *seed).view("int64"))
    return keys.to("cpu" if tensor.device.type == "mps" else tensor.device)


def _hash(fitted: Fitted, rows: Any, *seed: int) -> np.ndarray:
    return content_hash(fitted.columns.working_array(on_host(rows)), seed)
