"""Families around the main training: richer ones for nets, and afterwards a background that forgives wild cells.

A background of the last kind explains what the trained model cannot, and neither mean nor encoder hears of it. Of a
column of which most cells are one value it would take the others for wild ones, and the codes would forget them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from .._inference import evaluation
from .._inference.fitted import SCORE_STREAM
from .._inference.summaries import Inspected, by_row, inspected
from .._storage.registry import fingerprint
from .._tables.columns import FARTHEST, Columns
from .._tables.ties import atoms
from .._utils.random import exclusive, torch_generator
from ..distributions.contaminated import StudentT3
from ..families import ContaminatedGaussian, Family
from ..families.base import FamilyHead
from ..families.recipes import log_excess
from ..model import LatentVariableModel
from .comparison import surely_higher
from .plan import Plan
from .prepare import RowsAndWeights
from .start import Start

__all__ = ["columns_in_training", "fit_background", "forgiving"]

_MOST_CELLS = 1 << 17
_STEPS = 30  # of EM
_LEAST, _FIRST, _MOST = 1e-4, 1e-3, 0.05  # of the cells of a column: more are no exceptions
_LOG_ODDS = -3  # among the numbers that a ContaminatedGaussian owns
_MARGIN = 0.25  # of a column's range
_FINE = 1e-3  # noise variance, in model space: values that lie closer are no grid


def columns_in_training(columns: Columns, rows: RowsAndWeights, is_alike: bool) -> Columns:
    """Give the columns with the families that nets are trained with.

    Parameters
    ----------
    columns : Columns
    rows : (RowSelection, ndarray)
    is_alike : bool
        Whether the network takes columns of one family, as one for images does: an atom in one then counts for all.
    """
    X, weight = rows
    is_open = [family.in_training(has_atom=False) is not family for family in columns.families]
    if not any(is_open):
        return columns
    has_atom = atoms(X.mapped(columns.working_array), weight, _FINE)
    has_atom |= is_alike and bool(has_atom.any())

    def in_training(d: int, family: Family) -> Family:
        if d in columns.maps:
            return family  # the image of a heavy tail under exp has no mean
        return family.in_training(has_atom=bool(has_atom[d]))

    return _replaced(columns, in_training)


def _replaced(columns: Columns, new_of: Callable[[int, Family], Family]) -> Columns:
    """The columns with other families; those that share one and agree on the new one share that, too."""
    agreed: dict[tuple[int, str], Family] = {}
    families = []
    for d, family in enumerate(columns.families):
        new = new_of(d, family)
        families.append(family if new is family else agreed.setdefault((id(family), repr(new)), new))
    return replace(columns, families=families)


def forgiving(plan: Plan, start: Start, rows: RowsAndWeights, valid: RowsAndWeights) -> Start:
    """Give a trained model that a few wild cells in a row cost tens of nats, and no more.

    A column that has one variance for all rows gets a background. Share and variance are fitted by EM to draws of q,
    with codes and network as they are; where held-out rows are not better for that by more than one standard error, the
    variance stays and the share is 1e-4, which costs a usual cell nothing. And the encoder reads no cell that lies a
    quarter of the column's range outside of it: to it, such a cell is missing. Nor does it place a code more than a
    quarter of a component's range outside of the codes of these rows: the decoder has seen none there, and what such a
    code cannot explain costs less as cells that the background takes than as a distance under the prior.

    Parameters
    ----------
    plan : Plan
    start : Start
        After training.
    rows, valid : (RowSelection, ndarray)
        That it was trained on, and held-out ones.
    """
    maps = start.columns.maps
    columns = _replaced(start.columns, lambda d, family: (d not in maps and family.with_background()) or family)
    if not any(family.heavy_tails for family in columns.families):
        return start
    seen = inspected(start.module, start.columns, start.device, *rows)
    config = {
        **start.config,
        "likelihood": columns.groups,
        "reach": _reach(columns, seen),
        "code_reach": _code_reach(seen),
    }
    least = _with(columns, config, start, seen, 0)
    if columns.families == start.columns.families:
        return least
    fitted = _with(columns, config, start, seen, _STEPS)
    bounds, least_bounds = _bounds(fitted, valid), _bounds(least, valid)
    is_better = surely_higher(bounds, least_bounds, valid[1][: len(bounds)])
    return fitted if plan.processes.broadcast(is_better) else least


def _reach(columns: Columns, seen: Inspected) -> tuple[list[float], list[float]]:
    """What the encoder reads of each column with heavy tails, everything of the others."""
    far = torch.full_like(seen.x[:1], FARTHEST)
    x = seen.x if seen.mask is None else torch.where(seen.mask, seen.x, seen.x.new_tensor(torch.nan))
    low = torch.where(x.isnan(), far, x).amin(0)
    high = torch.where(x.isnan(), -far, x).amax(0)
    margin = _MARGIN * (high - low)
    is_bounded = torch.tensor([family.heavy_tails for family in columns.families], device=low.device) & (high >= low)
    low, high = torch.where(is_bounded, low - margin, -far[0]), torch.where(is_bounded, high + margin, far[0])
    return low.tolist(), high.tolist()


def _code_reach(seen: Inspected) -> tuple[list[float], list[float]] | None:
    """Where the encoder places codes, for posteriors whose first numbers are locations."""
    module = seen.module
    if module.posterior.condition is None:
        return None
    step = evaluation.chunk_rows(module, 1)
    masks = [None] * len(seen.x) if seen.mask is None else seen.mask.split(step)
    with torch.no_grad():
        raw = [module.raw_code(*pair) for pair in zip(seen.x.split(step), masks, strict=False)]
    low, high = torch.cat(raw)[:, : module.n_components].aminmax(dim=0)
    margin = _MARGIN * (high - low)
    return (low - margin).tolist(), (high + margin).tolist()


def _with(columns: Columns, config: dict[str, Any], start: Start, seen: Inspected, n_steps: int) -> Start:
    """The model of a new configuration, with what the old one knows, and backgrounds after so many steps of EM."""
    with exclusive(start.seed):
        module = LatentVariableModel(**config).float().eval().to(start.device)
    shared = {k: v for k, v in start.module.state_dict().items() if not k.startswith("likelihood.")}
    module.load_state_dict(shared, strict=False)
    pairs: Any = zip(start.module.likelihood.heads, module.likelihood.heads, strict=True)
    new = []
    for old, head in pairs:
        if fingerprint(head.family) == fingerprint(old.family):
            head.load_state_dict(old.state_dict())
        else:
            new.append((old, head))
    with torch.no_grad():
        _fit(seen, new, start, n_steps)
        for head in cast("list[FamilyHead]", module.likelihood.heads):
            if isinstance(head.family, ContaminatedGaussian):
                head.own[_LOG_ODDS].clamp_(min=logit(_LEAST))
    return replace(start, columns=columns, config=config, module=module)


def _fit(seen: Inspected, heads: list[tuple[FamilyHead, FamilyHead]], start: Start, n_steps: int) -> None:
    """Set the own numbers of the new head of each pair of old and new ones."""
    if not heads:
        return
    n = max(1, min(len(seen.x), _MOST_CELLS // seen.x.shape[1]))
    x, mask, w = seen.x[:n], None if seen.mask is None else seen.mask[:n], seen.w[:n]
    generator = torch_generator("cpu", start.seed, SCORE_STREAM)
    u = torch.randn(1, n, seen.module.n_noise, generator=generator, dtype=torch.float64).to(x)
    z = seen.module.posterior.push(seen.module.encode(x, mask), torch.cat([u, -u]))
    p = seen.module.decode(z, seen.module.given(x, mask))
    loc, variance = p.mean, p.variance[0, 0]
    likelihood = start.module.likelihood
    columns_of = dict(zip(likelihood.heads, likelihood.columns, strict=True))
    for plain, finer in heads:
        own = columns_of[plain]
        weight = w[:, None].expand(-1, len(own)) if mask is None else w[:, None] * mask[:, own]
        floor = plain.own[1].to(x)
        numbers = fit_background(x[:, own], weight / weight.sum(0), loc[..., own], variance[own], floor, n_steps)
        log_variance = log_excess(numbers[0].cpu().numpy(), floor.cpu().numpy())
        for parameter, number in zip(finer.own, (torch.from_numpy(log_variance), floor, *numbers[1:]), strict=True):
            parameter.copy_(number)


def fit_background(
    x: Tensor, weight: Tensor, loc: Tensor, variance: Tensor, floor: Tensor, n_steps: int
) -> tuple[Tensor, ...]:
    """Fit a contaminated normal to cells x (n, m) about locations loc (S, n, m) by EM.

    Parameters
    ----------
    x, weight : Tensor (n, m)
        Cells, and their weights, which sum to one in each column.
    loc : Tensor (S, n, m)
        Locations for S draws of each row's code.
    variance, floor : Tensor (m,)
        Where the climb begins, and the smallest one.
    n_steps : int
        Without any, the variance stays and the share is the least one.

    Returns
    -------
    variance, log_odds, center, spread : Tensor (m,)
    """
    center = (weight * x).sum(0)
    spread = (weight * (x - center).square()).sum(0).sqrt().clamp(min=floor.sqrt())
    background = StudentT3(center, spread).log_prob(x)
    squares = (x - loc).square()
    share = torch.full_like(center, _FIRST if n_steps else _LEAST)
    for _ in range(n_steps):
        usual = -0.5 * (squares / variance + (2 * torch.pi * variance).log())
        is_usual = torch.sigmoid(usual - background - share.logit())
        share = 1 - (weight * is_usual).mean(0).sum(0)
        variance = (weight * is_usual * squares).mean(0).sum(0) / (1 - share)
        share, variance = share.clamp(_LEAST, _MOST), torch.maximum(variance, floor)
    return variance, share.logit(), center, spread


def _bounds(start: Start, rows: RowsAndWeights) -> np.ndarray:
    """The bound of each row, of at most those that `inspected` reads."""
    module, x, mask, _ = inspected(start.module, start.columns, start.device, *rows)
    u = start.score_noise.to(x)
    return by_row(lambda x, mask: evaluation.elbo(module, x, mask, u), module, x, mask, len(u))
