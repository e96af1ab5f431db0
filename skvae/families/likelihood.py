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
from .discrete import Constant
from .given import Given

__all__ = ["ColumnLikelihood", "Columnwise", "Groups", "observed_log_prob"]

#: Each family and the columns it describes.
Groups: TypeAlias = list[tuple[Family, Sequence[int]]]

_NARROW = 64  # most levels of a category that shares a softmax with others


class ColumnLikelihood(nn.Module):
    """Raw decoder numbers -> one distribution over the columns.

    Parameters
    ----------
    groups : list of (Family, list of int)
        Each family and the columns it describes; every column belongs to exactly one group.
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
        levels = {d: f.n_levels for f, own in groups if isinstance(f, Given) for d in own}
        self.given = sorted(levels)  # in this order their cells come, whatever their families are
        self.given_levels = [levels[d] for d in self.given]
        self.given_places = {d: g for g, d in enumerate(self.given)}
        #: Column -> place of its exposure among the given cells.
        self.exposures = {d: self.given_places[f.exposure] for f, own in groups for d in own if f.exposure is not None}

    @property
    def categories(self) -> list[int | None]:
        """The number of categories of each nominal column, None for others, (D,)."""
        categories: list[int | None] = [None] * len(self.order)
        for family, columns in zip(self.families, self.columns, strict=True):
            for d in columns:
                categories[d] = family.n_raw if family.nominal else None
        return categories

    @property
    def layout(self) -> tuple[int, Tensor] | None:
        """Of columns of one family beside constant ones: the raw numbers of all as if constant ones were of it, too.

        That is how many there are, and which of them the heads read, (R,). A net for images gives as many numbers for
        each column, in the order of the table: all first numbers, then all second ones.
        """
        others = [family for family in self.families if not isinstance(family, Constant)]
        if self.given or len(others) != 1 or len(self.families) != 2 or others[0].nominal:
            return None
        D, heads = len(self.order), zip(self.families, self.columns, strict=True)
        places = [k * D + d for family, columns in heads for k in range(family.n_raw) for d in columns]
        return others[0].n_raw * D, torch.tensor(places)

    @property
    def scaled(self) -> tuple[list[int], Tensor]:
        """The columns of which the net gives location and spread, and what their scales do to its plain numbers.

        That is of each number, (2, R), the place of the column whose scale multiplies it, and of the one whose squared
        scale does; behind the last for none.
        """
        own: list[int] = []
        places: list[list[tuple[int, int]]] = []
        plain = [(f, columns) for f, columns in zip(self.families, self.columns, strict=True) if not _is_wide(f)]
        most = sum(len(columns) for _, columns in plain)
        for family, columns in plain:
            numbers = [(most, most)] * (family.n_raw * len(columns))
            if family.location_scale and family.n_raw == 2 and family.units == "standard":
                of_columns = range(len(own), len(own) + len(columns))
                numbers = [(g, most) for g in of_columns] + [(most, g) for g in of_columns]
                own += columns
            places.append(numbers)
        found = torch.tensor([pair for numbers in places for pair in numbers], dtype=torch.long).reshape(-1, 2)
        return own, found.clamp(max=len(own)).T.contiguous()

    def forward(self, raw: list[Tensor], given: Tensor | None = None) -> Distribution:
        """p(x given z) with batch shape (S, B, D).

        Parameters
        ----------
        raw : list of Tensor
            Plain numbers (S, B, R), and the logits (S, B, C) of each wide category.
        given : Tensor (B, G), optional
            The cells of the columns that are given, in the table's order.
        """
        plain, *wide = raw
        if len(self.heads) == 1:
            return self.heads[0](*(wide or [plain]))
        raws = [*plain.split(self.sizes, -1), *wide]
        return Columnwise([self._part(group, raws, given) for group in self.softmaxes], self.order)

    def _part(self, group: list[int], raws: Sequence[Tensor], given: Tensor | None) -> Distribution:
        family = self.families[group[0]]
        if isinstance(family, Given):
            assert given is not None, "a model with conditions is given them"
            own = [self.given_places[d] for d in self.columns[group[0]]]
            return family.distribution(given[..., own].expand(*raws[group[0]].shape[:-1], -1))
        if len(group) == 1:
            return self.heads[group[0]](raws[group[0]], self._log_exposure(self.columns[group[0]], given))
        logits = [self.families[i].split(raws[i], len(self.columns[i]))[0] for i in group]
        most = max(block.shape[-1] for block in logits)
        padded = [pad(block, (0, most - block.shape[-1]), value=-torch.inf) for block in logits]
        return CategoryIndex(torch.cat(padded, -2))

    def _log_exposure(self, columns: list[int], given: Tensor | None) -> Tensor | None:
        """Of columns of one family, (B, 1)."""
        if given is None or columns[0] not in self.exposures:
            return None
        return given[..., [self.exposures[columns[0]]]].log()

    def parts(self, p: Distribution) -> list[tuple[Family, list[int], Distribution]]:
        """p(x given z) as (Family, columns, distribution of these columns), where families agree in kind."""
        parts = p.parts if isinstance(p, Columnwise) else [p]
        columns = [[d for i in group for d in self.columns[i]] for group in self.softmaxes]
        families = [self.families[group[0]] for group in self.softmaxes]
        return list(zip(families, columns, parts, strict=True))

    def mixed(self, p: Distribution, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The parts that p(x given z) is a mixture of: shares (..., D), values (Q, ..., D) at noise u (Q,).

        Columns that are not real numbers are given by their mean. One with fewer parts than others gets further parts
        with a share of 0.
        """
        u = u.reshape(-1, *[1] * len(p.batch_shape))
        columns = [
            family.parts(part, u)
            if family.units == "standard"
            else [(torch.ones_like(part.mean), part.mean.expand(len(u), *part.batch_shape))]
            for family, _, part in self.parts(p)
        ]
        return [
            self._side_by_side([_part_or_none(parts, k) for parts in columns]) for k in range(max(map(len, columns)))
        ]

    def _side_by_side(self, columns: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Shares and values (Q, ..., n) of columns by family -> (..., D) and (Q, ..., D), in the table's order."""
        shares = [share.expand(values.shape[1:]) for share, values in columns]
        if len(columns) == 1:
            return shares[0], columns[0][1]
        order = self.order.argsort()
        values = torch.cat([values for _, values in columns], -1)
        return torch.cat(shares, -1).index_select(-1, order), values.index_select(-1, order)

    def start(
        self,
        mean: np.ndarray,
        loadings: np.ndarray,
        noise: np.ndarray,
        resolution: np.ndarray,
        shares: dict[int, np.ndarray],
    ) -> tuple[Tensor, Tensor]:
        """Raw affine map (weight (R, K), bias (R,)) of x = mean + loadings z + noise; sets the heads' own numbers.

        The arguments count indicators: one for each level of a category; `shares` are those of the atoms of columns
        that have some, by column.
        """
        widths = np.array([C or 1 for C in self.categories])
        first = widths.cumsum() - widths
        weights, biases = [], []
        for head, columns in zip(cast("list[FamilyHead]", self.heads), self.columns, strict=True):
            own = np.concatenate([np.arange(first[d], first[d] + widths[d]) for d in columns])
            numbers = mean[own], loadings[own], noise[own], resolution[own]
            atoms = {"shares": np.stack([shares[d] for d in columns], 1)} if head.family.atoms else {}
            weight, bias, own_numbers = head.family.start(*numbers, **atoms)
            weights.append(torch.from_numpy(weight))
            biases.append(torch.from_numpy(bias))
            for parameter, number in zip(head.own, own_numbers, strict=True):
                parameter.copy_(torch.from_numpy(number))
        return torch.cat(weights), torch.cat(biases)


def observed_log_prob(p: Distribution, x: Tensor, mask: Tensor | None) -> Tensor:
    """log p_d(x_d given z) of every cell, 0 where missing, (S, B, D)."""
    log_px = p.log_prob(x)
    return log_px if mask is None else torch.where(mask, log_px, 0.0)


def _part_or_none(parts: list[tuple[Tensor, Tensor]], k: int) -> tuple[Tensor, Tensor]:
    """Part k, or the first one with a share of 0 where there is none."""
    share, values = parts[min(k, len(parts) - 1)]
    return (share, values) if k < len(parts) else (torch.zeros_like(share), values)


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
