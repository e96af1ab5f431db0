"""Likelihoods p(x given z): columns grouped by family, so that 784 equal columns cost one distribution.

Shapes: raw (S, B, R) from the decoder, x (B, D), log-prob (S, B, D).
"""

import numpy as np
import torch
from torch import nn
from torch.distributions import Distribution

from ._arrays import on_host
from .family import FamilyHead

__all__ = ["ColumnLikelihood", "Columnwise", "InDataUnits"]


class ColumnLikelihood(nn.Module):
    """Raw decoder numbers -> one distribution over the columns.

    Parameters
    ----------
    groups : list of (Family, list of int)
        Each family and the columns it describes; every column stands in exactly one group.
    """

    def __init__(self, groups):
        super().__init__()
        self.heads = nn.ModuleList(FamilyHead(family, len(columns)) for family, columns in groups)
        self.columns = [list(columns) for _, columns in groups]
        self.sizes = [head.n_raw for head in self.heads]
        self.n_raw = sum(self.sizes)
        order = torch.tensor([d for columns in self.columns for d in columns])
        self.register_buffer("order", order, persistent=False)

    def forward(self, raw):
        """p(x given z) with batch shape (S, B, D)."""
        if len(self.heads) == 1:
            return self.heads[0](raw)
        parts = [head(part) for head, part in zip(self.heads, raw.split(self.sizes, -1), strict=True)]
        return Columnwise(parts, self.order)

    def start(self, mean, loadings, noise, resolution):
        """Raw affine map (weight (R, K), bias (R,)) of x = mean + loadings z + noise; sets the heads' own numbers."""
        weights, biases = [], []
        for head, columns in zip(self.heads, self.columns, strict=True):
            numbers = mean[columns], loadings[columns], noise[columns], resolution[columns]
            weight, bias, own = head.family.start(*numbers)
            weights.append(torch.from_numpy(weight))
            biases.append(torch.from_numpy(bias))
            for parameter, number in zip(head.own, own, strict=True):
                parameter.copy_(torch.from_numpy(number))
        return torch.cat(weights), torch.cat(biases)


class Columnwise(Distribution):
    """Independent columns of several families, in the table's order.

    Parameters
    ----------
    parts : list of Distribution, batch shapes (..., n_1), (..., n_2), ...
    order : LongTensor (D,)
        The table's column number of each column of the concatenated parts.
    """

    arg_constraints = {}

    def __init__(self, parts, order):
        self.parts = parts
        self.order = order
        self.inverse = order.argsort()
        super().__init__(parts[0].batch_shape[:-1] + order.shape, validate_args=False)

    def log_prob(self, value):
        """log p(x_d given z) for every column, (S, B, D)."""
        values = value.index_select(-1, self.order).split([p.batch_shape[-1] for p in self.parts], -1)
        return self._in_table_order([p.log_prob(v) for p, v in zip(self.parts, values, strict=True)])

    @property
    def mean(self):
        """E[x_d given z]."""
        return self._in_table_order([p.mean for p in self.parts])

    @property
    def mode(self):
        """The most probable value of each column."""
        return self._in_table_order([p.mode for p in self.parts])

    @property
    def variance(self):
        """Var[x_d given z]."""
        return self._in_table_order([p.variance for p in self.parts])

    def rsample(self, sample_shape=torch.Size()):  # noqa: B008 - torch's own signature
        """Differentiable draws, where every part has them."""
        return self._in_table_order([p.rsample(sample_shape) for p in self.parts])

    def sample(self, sample_shape=torch.Size()):  # noqa: B008 - torch's own signature
        """x ~ p(x given z)."""
        return self._in_table_order([p.sample(sample_shape) for p in self.parts])

    def _in_table_order(self, tensors):
        return torch.cat(tensors, -1).index_select(-1, self.inverse)


class InDataUnits(Distribution):
    """p(x given z) over the columns in the units of the table: what `VAETransformer.decode` returns.

    Parameters
    ----------
    p : Distribution, batch shape (..., D)
        In the model's units.
    shift, scale : Tensor (D,)
        x in data units is scale * x + shift.
    """

    arg_constraints = {}

    def __init__(self, p, shift, scale):
        self.p = p
        self.shift = shift
        self.scale = scale
        super().__init__(p.batch_shape, validate_args=False)

    @property
    def mean(self):
        """E[x_d given z]."""
        return self.p.mean * self.scale + self.shift

    @property
    def mode(self):
        """The most probable value of each column."""
        return self.p.mode * self.scale + self.shift

    @property
    def variance(self):
        """Var[x_d given z]."""
        return self.p.variance * self.scale.square()

    def log_prob(self, value):
        """log p(x_d given z) for every column, in nats; 0 for a missing cell (NaN)."""
        value = torch.from_numpy(np.array(on_host(value), dtype=np.float64)).to(
            self.scale
        )  # a copy: frames are read only
        x = (value - self.shift) / self.scale
        missing = x.isnan()
        return torch.where(missing, 0.0, self.p.log_prob(x.nan_to_num(0.0)) - self.scale.log())

    def sample(self, sample_shape=torch.Size()):  # noqa: B008 - torch's own signature
        """x ~ p(x given z)."""
        return self.p.sample(sample_shape) * self.scale + self.shift
