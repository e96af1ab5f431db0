"""Encoder and decoder: a linear path plus a net that is silent at the start (`gates.py`).

The linear path carries the closed-form initialisation; the net learns what is not linear.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from .architectures import MLP
from .base import Network
from .conditions import Conditions
from .gates import beside_linear_path

__all__ = ["LINEAR", "Decoder", "Encoder", "is_exporting"]

#: (deviation (B, R), P (B, K, K), P of a full row (K, K)) -> deviation
Condition: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

EMBEDDING_WIDTH = 8  # numbers that the encoder's net sees of one category
LINEAR = MLP(())  # no net
MOST_LOG_SCALE = 6.0  # of conditions: a factor of 400
BOTTLENECK = 6  # fewest numbers that the decoder's net gives for a category of many levels

# Before torch 2.7 nothing tells of an export, and an encoder exports for complete rows only.
is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


class Decoder(nn.Module):
    """z (S, B, K), beside conditions c (B, C) if there are any -> raw numbers: affine(z, c) + net(z, c).

    Where the net gives location and log squared scale of columns, conditions have a factor for each of these,
    s = exp(g'c), with g zero unless an initialisation sets it: what codes do to the location is multiplied by it, and
    so is the scale.

    A category of many levels has its logits from the code and a bottleneck of the net in one product, and stands in a
    tensor of its own: passing a thousand numbers per row through more hands costs more than all other columns do.

    Parameters
    ----------
    n_in : int
        K.
    n_plain : int
        R, raw numbers of all other columns.
    wide : list of int
        Levels C of each wide category.
    network : Network
    layout : (int, LongTensor (R,)), optional
        How many plain numbers the net gives, and which of them are those of the columns; R, in their order, by default.
    n_conditions : int
        C.
    scaled : LongTensor (2, R), optional
        Of each plain number, which scale multiplies it and which one's square; the largest place is none.
    """

    scaled: Tensor | None
    taken: Tensor | None

    def __init__(
        self,
        n_in: int,
        n_plain: int,
        wide: Sequence[int] = (),
        network: Network = LINEAR,
        layout: tuple[int, Tensor] | None = None,
        n_conditions: int = 0,
        scaled: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.n_codes, n_in = n_in, n_in + n_conditions
        self.register_buffer("scaled", scaled, persistent=False)
        if scaled is not None:
            self.log_scale = nn.Parameter(torch.zeros(int(scaled.max()), n_conditions))
        n_out, taken = (n_plain, None) if layout is None else layout
        self.register_buffer("taken", taken, persistent=False)
        self.sizes = [n_plain, *wide]
        self.affine = nn.Linear(n_in, sum(self.sizes))
        # Together with the code a multiple of 16: MKL's products are up to four times slower with other inner widths.
        self.bottleneck = math.ceil((n_in + BOTTLENECK) / 16) * 16 - n_in
        self.net = beside_linear_path(network, "decoder", n_in, n_out + self.bottleneck * len(wide))
        spread = [torch.randn(C, self.bottleneck) / self.bottleneck**0.5 for C in wide]
        self.spread = nn.ParameterList(spread if self.net else [])

    def tables(self) -> list[nn.Parameter]:
        """None: only an encoder looks categories up."""
        return []

    def of_conditions(self) -> list[nn.Parameter]:
        """The scales of conditions, where there are any."""
        return [] if self.scaled is None else [self.log_scale]

    def forward(self, z: Tensor, c: Tensor | None = None) -> list[Tensor]:
        """The two paths added: a list of the plain numbers (S, B, R) and the logits (S, B, C) of each wide category."""
        if c is not None:
            z = torch.cat([z, c.expand(*z.shape[:-1], -1)], -1)
        plain, *wide = (raw.unflatten(0, z.shape[:-1]) for raw in self._of_rows(z.flatten(0, -2)))
        return [plain if c is None or self.scaled is None else self._scaled(plain, c), *wide]

    def _scaled(self, plain: Tensor, c: Tensor) -> Tensor:
        """Plain numbers (S, B, R) in the scales of conditions, about what these expect of an average code."""
        assert self.scaled is not None
        log_scale = _log_scale(c, self.log_scale)
        none = torch.cat([log_scale, torch.zeros_like(log_scale[..., :1])], -1)
        multiplied, added = (none.index_select(-1, places) for places in self.scaled)
        weight, bias = self.affine.weight[: self.sizes[0], self.n_codes :], self.affine.bias[: self.sizes[0]]
        expected = linear(c, weight, bias)
        return expected + multiplied.exp() * (plain - expected) + 2 * added

    def _of_rows(self, z: Tensor) -> list[Tensor]:
        """As `forward` for z (S * B, K): matrix products over three dimensions would be cut to two one by one."""
        if len(self.sizes) == 1:
            if self.net is None:
                return [self.affine(z)]
            numbers = self.net(z)
            return [self.affine(z) + (numbers if self.taken is None else numbers.index_select(-1, self.taken))]
        weights, biases = self.affine.weight.split(self.sizes), self.affine.bias.split(self.sizes)
        if self.net is None:
            return [linear(z, *affine) for affine in zip(weights, biases, strict=True)]
        plain, *bottlenecks = self.net(z).split([self.sizes[0]] + [self.bottleneck] * len(self.spread), -1)
        wide = zip(bottlenecks, weights[1:], self.spread, biases[1:], strict=True)
        return [linear(z, weights[0], biases[0]) + plain] + [
            linear(torch.cat([z, bottleneck], -1), torch.cat([weight, spread], 1), bias)
            for bottleneck, weight, spread, bias in wide
        ]


def _log_scale(c: Tensor, slopes: Tensor) -> Tensor:
    """ln s of conditions c (B, C), (B, n), bounded where they are far from those of `fit`."""
    return linear(c, slopes).clamp(-MOST_LOG_SCALE, MOST_LOG_SCALE)


def _affine(n_in: int, n_out: int) -> nn.Linear:
    """nn.Linear; without inputs, where its constructor warns, a constant."""
    affine = nn.Linear(max(n_in, 1), n_out)
    if n_in == 0:
        affine.weight = nn.Parameter(torch.empty(n_out, 0))
    return affine


class Encoder(nn.Module):
    """x (B, D), mask (B, D) or None -> raw numbers (B, R): linear path + net.

    Numbers enter as they are, missing ones as the column's mean `fill`; columns that the model does not standardise,
    such as counts, are shifted by `center` and divided by `unit` first: a step of Adam moves every weight alike, and so
    would move the output by the size of the column. A category enters as a gather, of a row of `table` in the linear
    path (which is what a matrix does to its one-hot vector) and of a row of `embedding` in the MLP; a missing one as
    zeros. The MLP also sees which cells are missing, for the columns `incomplete` that had missing cells in `fit`.

    Where cells are missing, the linear path becomes Gaussian conditioning, t | x_obs ~ N(P^-1 h, P^-1) with

        P = I + sum over observed d of G_d,    h = sum over observed d of h_d(x_d),

    and `condition` of the posterior's head says what that does to its raw numbers. G_d (K, K) is w_d w_d' / psi_d of
    the closed-form initialisation, summed over the levels of a category, and stays as it is.

    With conditions, both paths see of a number its deviation x_d - b_d'c from what the conditions let expect, and the
    linear path sees the indicators of a category in the same way: what is missing is then filled with what is expected.
    The net also sees c. Columns that are given are no numbers and no categories here.

    A count x_d with an exposure e is taken for e counts of exposure 1: it enters G_d and h_d e times, and both paths
    see x_d - e m_d in place of the deviation x_d - m_d from what is expected at exposure 1. The net also sees ln e. For
    Poisson counts that is exact; what a negative binomial one says of ln m has an upper limit, whatever its exposure.

    Parameters
    ----------
    n_categories : list of int or None (D,)
        Number of categories of each nominal column; None for numbers.
    n_out, n_components : int
        R, and K of the linear model.
    condition : callable (deviation (B, R), P (B, K, K), P of a full row (K, K)) -> deviation, or None
    incomplete : list of int
    rescales : bool
    network : Network
    given : list of int
        The columns that are given.
    conditions : Conditions, optional
        What makes c (B, C) of their cells.
    has_scales : bool
        Whether deviations are divided by scales exp(g'c), as the decoder's are multiplied.
    exposures : dict of int -> int
        Place of the exposure of a column among the given ones, for columns that have one.
    """

    numbers: Tensor
    exposed: Tensor
    categories: Tensor
    incomplete: Tensor
    offset: Tensor
    fill: Tensor
    center: Tensor
    unit: Tensor
    precision: Tensor
    owner: Tensor

    def __init__(
        self,
        n_categories: Sequence[int | None],
        n_out: int,
        n_components: int,
        condition: Condition | None = None,
        incomplete: Sequence[int] = (),
        rescales: bool = False,
        network: Network = LINEAR,
        given: Sequence[int] = (),
        conditions: Conditions | None = None,
        has_scales: bool = False,
        exposures: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.has_scales, self.given, self.conditions = has_scales, list(given), conditions
        n_conditions = conditions.width if conditions else 0
        self.exposures = sorted(set(exposures.values()))
        exposed = [exposures.get(d, len(given)) for d in range(len(n_categories))]  # by the last one where by none
        self.register_buffer("exposed", torch.tensor(exposed), persistent=False)
        self.reads_rows = network.reads == "rows"
        self.condition = condition
        self.rescales = rescales  # two kernels a step that standardised tables do without
        numbers = [d for d, C in enumerate(n_categories) if C is None and d not in given]
        categories = [d for d, C in enumerate(n_categories) if C is not None]
        incomplete = [d for d in incomplete if d not in given]
        levels = torch.tensor([n_categories[d] for d in categories], dtype=torch.long)
        self.n_levels = int(levels.sum())
        index = {"numbers": numbers, "categories": categories, "incomplete": list(incomplete)}
        for name, columns in index.items():
            self.register_buffer(name, torch.tensor(columns, dtype=torch.long), persistent=False)
        self.register_buffer("offset", levels.cumsum(0) - levels, persistent=False)
        self.register_buffer("fill", torch.zeros(len(numbers)))
        self.register_buffer("center", torch.zeros(len(numbers)))
        self.register_buffer("unit", torch.ones(len(numbers)))
        self.register_buffer("precision", torch.zeros(len(n_categories), n_components, n_components))
        self.affine = _affine(len(numbers), n_out)
        if categories:  # the last row is that of a missing category
            self.table = nn.Parameter(torch.zeros(self.n_levels + 1, n_out))
            nn.init.normal_(self.table[:-1], std=len(n_categories) ** -0.5)
        if n_conditions:
            self.expected = nn.Parameter(torch.zeros(len(numbers) + self.n_levels, n_conditions))
            if has_scales:
                self.log_scale = nn.Parameter(torch.zeros(len(numbers), n_conditions))
            owner = torch.repeat_interleave(torch.arange(len(categories)), levels)
            self.register_buffer("owner", owner, persistent=False)
        n_seen = len(numbers) + EMBEDDING_WIDTH * len(categories) + len(incomplete)
        n_seen += n_conditions + len(self.exposures)
        self.net = beside_linear_path(network, "encoder", len(n_categories) if self.reads_rows else n_seen, n_out)
        self.has_embedding = bool(categories) and self.net is not None and not self.reads_rows
        if self.has_embedding:
            self.embedding = nn.Parameter(torch.randn(self.n_levels + 1, EMBEDDING_WIDTH))
            with torch.no_grad():
                self.embedding[-1] = 0.0

    def tables(self) -> list[nn.Parameter]:
        """The categories' part of the linear path, where there are any."""
        return [self.table] if len(self.categories) else []

    def of_conditions(self) -> list[nn.Parameter]:
        """What conditions let expect, where there are any: slopes (numbers + levels, C), of log scales (numbers, C)."""
        return [*([self.expected] if hasattr(self, "expected") else []), *([self.log_scale] if self.has_scales else [])]

    def given_cells(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The cells of the given columns, (B, G), NaN where one is missing."""
        cells = x[..., self.given]
        return cells if mask is None else torch.where(mask[..., self.given], cells, torch.nan)

    def times(self, x: Tensor, mask: Tensor | None) -> Tensor | None:
        """How many cells each one is taken for, (B, D): 0 where missing, its exposure where it has one; None for 1."""
        if not self.exposures:
            return mask
        given = self.given_cells(x, mask)
        times = torch.cat([given, torch.ones_like(given[:, :1])], -1).index_select(-1, self.exposed)
        return times if mask is None else torch.where(mask, times, 0.0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Raw numbers of the posterior: the sum of the two paths."""
        given = None if self.conditions is None else self.given_cells(x, mask)
        c = None if self.conditions is None else self.conditions(given)
        of_numbers, of_levels = (None, None) if c is None else self._expected(c)
        times = self.times(x, mask)
        numbers = self._numbers(x, mask, of_numbers, c, times)
        from_table, embedded = self._looked_up(x, mask, of_levels)
        raw = self.affine(numbers)
        if from_table is not None:
            raw = raw + from_table
        if times is not None and self.condition:
            raw = self._conditioned(raw, times)
        if self.net is None:
            return raw
        if self.reads_rows:
            return raw + self.net(x, mask)
        log_exposures = [given[:, self.exposures].log()] if given is not None and self.exposures else []
        others = [*([] if c is None else [c]), *log_exposures]
        return raw + self.net(self._seen(numbers, embedded, mask, others))

    def _expected(self, c: Tensor) -> Sequence[Tensor]:
        """Numbers (B, columns of numbers) and indicators (B, levels) that the conditions let expect."""
        return linear(c, self.expected).split([len(self.numbers), self.n_levels], -1)

    def _numbers(
        self, x: Tensor, mask: Tensor | None, expected: Tensor | None, c: Tensor | None, times: Tensor | None
    ) -> Tensor:
        """(B, columns of numbers), less what is expected, missing ones filled."""
        if len(self.numbers) < x.shape[-1]:
            x = x.index_select(-1, self.numbers)
            mask = None if mask is None else mask.index_select(-1, self.numbers)
        x = x if expected is None else x - expected
        if c is not None and self.has_scales:
            x = self.fill + (x - self.fill) * (-_log_scale(c, self.log_scale)).exp()
        if self.exposures and times is not None:
            mean = self.fill if expected is None else self.fill + expected
            x = x + (1 - times.index_select(-1, self.numbers)) * mean
        x = x if mask is None else torch.where(mask, x, self.fill)
        return (x - self.center) / self.unit if self.rescales else x

    def _looked_up(
        self, x: Tensor, mask: Tensor | None, expected: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Categories' part of the linear path (B, R), and what the net sees of them (B, category columns * width)."""
        if not len(self.categories):
            return None, None
        rows = x.index_select(-1, self.categories).long() + self.offset
        observed = None if mask is None else mask.index_select(-1, self.categories)
        if observed is not None:
            rows = torch.where(observed, rows, self.n_levels)
        if not self.has_embedding:
            from_table = embedding(rows, self.table, padding_idx=self.n_levels).sum(-2)
            return self._deviation(from_table, observed, expected), None
        both = torch.cat([self.table, self.embedding], -1)  # one gather for both
        found = embedding(rows, both, padding_idx=self.n_levels)
        from_table, embedded = found.split([self.table.shape[1], EMBEDDING_WIDTH], -1)
        return self._deviation(from_table.sum(-2), observed, expected), embedded.flatten(-2)

    def _deviation(self, from_table: Tensor, observed: Tensor | None, expected: Tensor | None) -> Tensor:
        """Categories' part of the linear path, less that of the indicators that are expected of observed ones."""
        if expected is None:
            return from_table
        if observed is not None:
            expected = torch.where(observed.index_select(-1, self.owner), expected, 0.0)
        return from_table - expected @ self.table[:-1]

    def _conditioned(self, raw: Tensor, times: Tensor) -> Tensor:
        """Replace the mean of an incomplete row, and what the head knows of its spread, by those given the rest."""
        if is_exporting():  # no graph can ask which rows are incomplete, and the others keep every digit
            return torch.where((times == 1).all(-1, keepdim=True), raw, self._given_observed(raw, times))
        if not times.is_cuda:  # there a look at which rows are incomplete would have to wait for the device
            rows = (times != 1).any(-1).nonzero()[:, 0]
            if 2 * len(rows) < len(times):
                return raw.index_copy(0, rows, self._given_observed(raw[rows], times[rows])) if len(rows) else raw
        return self._given_observed(raw, times)

    def _given_observed(self, raw: Tensor, times: Tensor) -> Tensor:
        empty = (self.fill - self.center) / self.unit if self.rescales else self.fill
        base = self.affine(empty)
        with torch.autocast(raw.device.type, enabled=False):  # bfloat16 would leave no digits of P
            deviation = (raw - base).to(self.precision.dtype)
            assert self.condition is not None
            given = self.condition(deviation, self.precision_given(times), self._full_precision())
        return base + given.to(raw.dtype)

    def precision_given(self, times: Tensor) -> Tensor:
        """P of the codes of rows with cells taken for `times` (B, D), by the closed-form initialisation: (B, K, K)."""
        unit = torch.eye(self.precision.shape[-1]).to(self.precision)
        return unit + (times.to(unit.dtype) @ self.precision.flatten(1)).unflatten(-1, unit.shape)

    def _full_precision(self) -> Tensor:
        return torch.eye(self.precision.shape[-1]).to(self.precision) + self.precision.sum(0)

    def _seen(self, numbers: Tensor, embedded: Tensor | None, mask: Tensor | None, others: Sequence[Tensor]) -> Tensor:
        """What a net that reads features sees: numbers, embeddings, which cells are missing, and conditions."""
        parts = [numbers] if embedded is None else [numbers, embedded]
        if len(self.incomplete):
            is_missing = numbers.new_zeros(numbers.shape[0], len(self.incomplete))
            parts.append(is_missing if mask is None else (~mask.index_select(-1, self.incomplete)).to(numbers.dtype))
        parts += others
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)
