"""Likelihoods p(x given z): columns grouped by family, so that 784 equal columns cost one distribution.

Shapes: raw (S, B, R) from the decoder, x (B, D), log-prob (S, B, D).
"""

import math
from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import pad
from torch.types import _size

from ..distributions.discrete import CategoryIndex
from .base import Family, FamilyHead

__all__ = ["ColumnLikelihood", "Columnwise", "Groups", "observed_log_prob"]

#: Each family and the columns it describes.
Groups: TypeAlias = list[tuple[Family, Sequence[int]]]

_NARROW = 64  # most levels of a category that shares a softmax with others


class ColumnLikelihood(nn.Module):
    """Raw decoder numbers -> one distribution over the columns.

    Parameters
    ----------
    groups : list of (Family, list of int)
        Each family and the columns it describes; every column stands in exactly one group.
    """

    order: Tensor

    def __init__(self, groups: Groups) -> None:
        super().__init__()
        groups = _wide_ones_last(groups)
        heads = [FamilyHead(family, len(columns)) for family, columns in groups]
        self.heads = nn.ModuleList(heads)
        self.families = [family for family, _ in groups]
        self.columns = [list(columns) for _, columns in groups]
        self.wide = [family.n_raw for family, _ in groups if _is_wide(family)]
        self.sizes = [head.n_raw for head in heads if not _is_wide(head.family)]
        self.n_plain = sum(self.sizes)
        self.softmaxes = _together(self.families)
        order = torch.tensor([d for group in self.softmaxes for i in group for d in self.columns[i]])
        self.register_buffer("order", order, persistent=False)

    @property
    def categories(self) -> list[int | None]:
        """The number of categories of each nominal column, None for others, (D,)."""
        categories: list[int | None] = [None] * len(self.order)
        for family, columns in zip(self.families, self.columns, strict=True):
            for d in columns:
                categories[d] = family.n_raw if family.nominal else None
        return categories

    def forward(self, raw: list[Tensor]) -> Distribution:
        """p(x given z) with batch shape (S, B, D).

        Parameters
        ----------
        raw : list of Tensor
            Plain numbers (S, B, R), and the logits (S, B, C) of each wide category.
        """
        plain, *wide = raw
        if len(self.heads) == 1:
            return self.heads[0](*(wide or [plain]))
        raws = [*plain.split(self.sizes, -1), *wide]
        return Columnwise([self._part(group, raws) for group in self.softmaxes], self.order)

    def _part(self, group: list[int], raws: Sequence[Tensor]) -> Distribution:
        if len(group) == 1:
            return self.heads[group[0]](raws[group[0]])
        logits = [self.families[i].split(raws[i], len(self.columns[i]))[0] for i in group]
        most = max(block.shape[-1] for block in logits)
        padded = [pad(block, (0, most - block.shape[-1]), value=-torch.inf) for block in logits]
        return CategoryIndex(torch.cat(padded, -2))

    def parts(self, p: Distribution) -> list[tuple[Family, list[int], Distribution]]:
        """p(x given z) as (Family, columns, distribution of these columns), where families agree in kind."""
        parts = p.parts if isinstance(p, Columnwise) else [p]
        columns = [[d for i in group for d in self.columns[i]] for group in self.softmaxes]
        families = [self.families[group[0]] for group in self.softmaxes]
        return list(zip(families, columns, parts, strict=True))

    def push(self, p: Distribution, u: Tensor) -> Tensor:
        """Values (Q, ..., D) of the columns on the line at standard normal noise u (Q,); others at their mean."""
        u = u.reshape(-1, *[1] * len(p.batch_shape))
        values = [
            family.push(part, u) if family.units == "standard" else part.mean.expand(len(u), *part.batch_shape)
            for family, _, part in self.parts(p)
        ]
        return values[0] if len(values) == 1 else torch.cat(values, -1).index_select(-1, self.order.argsort())

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Raw affine map (weight (R, K), bias (R,)) of x = mean + loadings z + noise; sets the heads' own numbers.

        The arguments count indicators: one for each level of a category.
        """
        widths = np.array([C or 1 for C in self.categories])
        first = widths.cumsum() - widths
        weights, biases = [], []
        for head, columns in zip(cast("list[FamilyHead]", self.heads), self.columns, strict=True):
            own = np.concatenate([np.arange(first[d], first[d] + widths[d]) for d in columns])
            numbers = mean[own], loadings[own], noise[own], resolution[own]
            weight, bias, own_numbers = head.family.start(*numbers)
            weights.append(torch.from_numpy(weight))
            biases.append(torch.from_numpy(bias))
            for parameter, number in zip(head.own, own_numbers, strict=True):
                parameter.copy_(torch.from_numpy(number))
        return torch.cat(weights), torch.cat(biases)


def observed_log_prob(p: Distribution, x: Tensor, mask: Tensor | None) -> Tensor:
    """log p_d(x_d given z) of every cell, 0 where missing, (S, B, D)."""
    log_px = p.log_prob(x)
    return log_px if mask is None else torch.where(mask, log_px, 0.0)


def _is_wide(family: Family) -> bool:
    return family.nominal and family.n_raw > _NARROW


def _wide_ones_last(groups: Groups) -> Groups:
    """The groups (family, columns) with each wide category on its own, behind all others."""
    wide = [(family, [d]) for family, columns in groups if _is_wide(family) for d in columns]
    return [group for group in groups if not _is_wide(group[0])] + wide


def _together(families: list[Family]) -> list[list[int]]:
    """Which families make one distribution: categories of up to 4, 16 and 64 levels share a padded softmax each.

    A softmax per number of levels costs eight kernels and more each, which on a table like adult is half of a step.
    """
    groups: dict[int | str, list[int]] = {}
    for i, family in enumerate(families):
        shares = family.shares_softmax and not _is_wide(family)
        groups.setdefault(math.ceil(math.log(family.n_raw, 4)) if shares else f"alone {i}", []).append(i)
    return list(groups.values())


class Columnwise(Distribution):
    """Independent columns of several families, in the table's order.

    Parameters
    ----------
    parts : list of Distribution, batch shapes (..., n_1), (..., n_2), ...
    order : LongTensor (D,)
        The table's column number of each column of the concatenated parts.
    """

    arg_constraints = {}

    def __init__(self, parts: Sequence[Distribution], order: Tensor) -> None:
        self.parts = parts
        self.order = order
        self.inverse = order.argsort()
        super().__init__(parts[0].batch_shape[:-1] + order.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x_d given z) for every column, (S, B, D)."""
        values = value.index_select(-1, self.order).split([p.batch_shape[-1] for p in self.parts], -1)
        return self._in_table_order([p.log_prob(v) for p, v in zip(self.parts, values, strict=True)])

    @property
    def mean(self) -> Tensor:
        """E[x_d given z]."""
        return self._in_table_order([p.mean for p in self.parts])

    @property
    def mode(self) -> Tensor:
        """The most probable value of each column."""
        return self._in_table_order([p.mode for p in self.parts])

    @property
    def variance(self) -> Tensor:
        """Var[x_d given z]."""
        return self._in_table_order([p.variance for p in self.parts])

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Differentiable draws, where every part has them."""
        return self._in_table_order([p.rsample(sample_shape) for p in self.parts])

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """x ~ p(x given z)."""
        return self._in_table_order([p.sample(sample_shape) for p in self.parts])

    def _in_table_order(self, tensors: list[Tensor]) -> Tensor:
        return torch.cat(tensors, -1).index_select(-1, self.inverse)
