"""What a start writes into the encoder: units, the linear path, and what conditions let expect."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .._tables.columns import Columns
from ..model import LatentVariableModel
from ..posteriors.base import HeadInit
from .indicators import per_indicator, sums
from .linear_gaussian import LinearGaussian
from .regression import Regressors

__all__ = ["set_encoder_units", "write_encoder", "write_expectations"]


def set_encoder_units(model: LatentVariableModel, columns: Columns, mean: np.ndarray, unit: np.ndarray) -> None:
    """Fill missing numbers with the mean; shift and divide those that are large."""
    encoder: Any = model.encoder  # its buffers are of no declared type
    if not encoder:
        return
    numbers = per_indicator(columns, _read_as_numbers(columns))
    mean, unit = mean[numbers], unit[numbers]
    large = columns.has_units("scale")[_read_as_numbers(columns)] | (unit > 1)
    encoder.fill.copy_(torch.from_numpy(mean))
    encoder.center.copy_(torch.from_numpy(np.where(large, mean, 0.0)))
    encoder.unit.copy_(torch.from_numpy(np.where(large, unit, 1.0)))


def write_encoder(
    model: LatentVariableModel,
    columns: Columns,
    projection: np.ndarray,
    covariance: np.ndarray,
    mean: np.ndarray,
    start: Callable[[np.ndarray, np.ndarray, np.ndarray], HeadInit],
) -> tuple[np.ndarray, np.ndarray]:
    """What `start` makes of the code N(projection (x - mean), covariance): x are scaled numbers, and indicators."""
    encoder: Any = model.encoder
    numbers, levels = (per_indicator(columns, a) for a in (_read_as_numbers(columns), ~columns.is_number))
    encoder.fill.copy_(torch.from_numpy(mean[numbers]))
    center, size = (buffer.cpu().double().numpy() for buffer in (encoder.center, encoder.unit))
    projection = projection.copy()
    projection[:, numbers] *= size
    constant = projection[:, numbers] @ ((center - mean[numbers]) / size)
    weight, bias, basis, offset = start(constant, projection, covariance)
    encoder.affine.weight.copy_(torch.from_numpy(weight[:, numbers]))
    encoder.affine.bias.copy_(torch.from_numpy(bias))
    if not columns.is_number.all():
        # An average row adds nothing, and a missing category is one.
        average = sums(columns, (weight * mean).T)[~columns.is_number]
        owner = np.repeat(np.arange(len(average)), columns.n_levels[~columns.is_number])
        encoder.table[:-1].copy_(torch.from_numpy(weight[:, levels].T - average[owner]))
        encoder.table[-1].zero_()
    return basis, offset


def write_expectations(
    model: LatentVariableModel, columns: Columns, solution: LinearGaussian, regressors: Regressors, unit: np.ndarray
) -> None:
    """Tell the encoder what the conditions let expect: of numbers first, then of indicators."""
    if solution.slopes is None:
        return
    encoder: Any = model.encoder
    if solution.log_scales is not None:
        log_scales = torch.from_numpy(solution.log_scales @ regressors.T.T)
        encoder.log_scale.copy_(log_scales[torch.from_numpy(per_indicator(columns, _read_as_numbers(columns)))])
    expected = unit[:, None] * solution.slopes @ regressors.T.T
    numbers, levels = (per_indicator(columns, a) for a in (_read_as_numbers(columns), ~columns.is_number))
    encoder.expected.copy_(torch.from_numpy(np.concatenate([expected[numbers], expected[levels]])))


def _read_as_numbers(columns: Columns) -> np.ndarray:
    """Which columns the encoder reads as numbers, (D,) bool."""
    return columns.is_number & ~columns.is_given
