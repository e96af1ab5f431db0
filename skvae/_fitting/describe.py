"""From a trained model to `Fitted`: order, signs and information of its components, and noise."""

from typing import Any

import numpy as np
import torch

from .._inference import evaluation
from .._inference.decoded import InDataSpace
from .._inference.fitted import Fitted
from .._inference.summaries import Inspected, information, inspected, weighted_mean
from .._tables.columns import Columns
from .._tables.sampling import draw_positions
from .._tables.selection import dense
from .._utils.arrays import as_tensor, like
from .plan import Plan
from .prepare import Prepared
from .start import Progress, Start

__all__ = ["describe"]

MAX_CELLS_WITHOUT = 4_000_000
MOST_COMBINATIONS = 10_000  # of conditions, which a fitted model keeps


def describe(
    plan: Plan,
    prepared: Prepared,
    start: Start,
    progress: Progress,
    order: Any = None,
    signs: Any = None,
    combinations: Any = None,
) -> Fitted:
    """Describe a trained model by the sample of prepared rows.

    Parameters
    ----------
    plan : Plan
    prepared : Prepared
    start : Start
        The model, with its module trained.
    progress : Progress
    order, signs : array or None
        The output map of an earlier fit, where it is frozen.
    combinations : ndarray or None
        Those of an earlier fit, likewise.
    """
    seen = inspected(start.module, start.columns, start.device, *prepared.sample)
    mean_code = _mean_code(seen, start)
    importance = _importance(plan, seen, start)
    if order is None:
        descending = importance.argsort(descending=True, stable=True)
        widths = torch.tensor(start.module.widths, device=descending.device)[descending]
        descending = descending[widths.argsort(descending=True, stable=True)]  # a class stands before the codes in it
        order = like(descending, prepared.table)
        module_signs = torch.tensor(start.module_signs, dtype=seen.x.dtype, device=descending.device)
        signs = like(module_signs[descending], prepared.table)
    has_kl = not (plan.parts.lacks("codes") or plan.parts.lacks("score"))
    combinations = _combinations(prepared, start) if combinations is None else combinations
    kl = like(importance[as_tensor(order).to(importance.device)], prepared.table) if has_kl else None
    return Fitted(
        schema=prepared.basis.schema,
        columns=start.columns,
        ordering=prepared.basis.ordering,
        seed=start.seed,
        config=start.config,
        made_of=start.made_of,
        device=start.device,
        score_noise=start.score_noise,
        module_signs=start.module_signs,
        training_state=progress.training_state,
        prior_is_fitted=False,
        combinations=combinations,
        mean_code=None if mean_code is None else mean_code.cpu().double().numpy(),
        n_features_in=prepared.n_features_in,
        feature_names_in=prepared.feature_names_in,
        module=start.module,
        init=start.init,
        n_iter=progress.n_iter,
        best_iter=progress.best_iter,
        history=progress.history,
        order=order,
        signs=signs,
        kl_per_component=kl,
        noise_variance=like(_noise_variance(seen, mean_code, start.columns), prepared.table),
        likelihoods={start.columns.label(d): family for d, family in enumerate(start.columns.families)},
    )


def _importance(plan: Plan, seen: Inspected, start: Start) -> torch.Tensor:
    """KL of each component where q has a density; else what log p(x given z) loses without it; 0 without an encoder."""
    module, x, mask, w = seen
    if plan.parts.lacks("codes"):
        return torch.zeros(module.n_components)
    if not plan.parts.lacks("score"):
        return information(module, x, mask, w, start.score_noise)
    n = max(1, MAX_CELLS_WITHOUT // (x.shape[1] * module.width))
    with torch.no_grad():
        mask = None if mask is None else mask[:n]
        return evaluation.reconstruction_loss_without_component(module, x[:n], mask).mean(0)


def _combinations(prepared: Prepared, start: Start) -> np.ndarray | None:
    """Conditions of the rows of the sample and how often each combination comes, (m, G + 1); None without conditions.

    Of more than 10 000 rows, those of 10 000 that are drawn by weight.
    """
    given, (X, weight) = start.columns.given, prepared.sample
    if not given:
        return None
    positions = np.arange(len(weight))
    if len(weight) > MOST_COMBINATIONS:
        positions = np.sort(draw_positions(weight, MOST_COMBINATIONS, np.random.default_rng(start.seed)))
        weight = np.ones(len(weight))
    cells = dense(X.take(positions)).astype(np.float64)[:, given]
    combinations, place = np.unique(cells, axis=0, return_inverse=True)
    return np.column_stack([combinations, np.bincount(place.ravel(), weight[positions], len(combinations))])


def _mean_code(seen: Inspected, start: Start) -> torch.Tensor | None:
    """Mean of the codes, (n_codes,); None without an encoder."""
    module, x, mask, w = seen
    if not module.posterior:
        return None
    with torch.no_grad():
        return weighted_mean(module.center, module, x, mask, w, len(start.score_noise))


def _noise_variance(seen: Inspected, mean_code: torch.Tensor | None, columns: Columns) -> torch.Tensor:
    """Variance of each column at the mean of the codes, in data space, (D,): with conditions, its mean over theirs."""
    module, x, mask, w = seen
    with torch.no_grad():
        center = (x.new_zeros(module.width) if mean_code is None else mean_code)[None]

        def variance(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
            p = module.decode(center.expand(1, len(x), -1), module.given(x, mask))
            return InDataSpace(p, module.likelihood, columns).variance[0].to(x)

        if module.conditions is not None:
            return weighted_mean(variance, module, x, mask, w, 1)
        return InDataSpace(module.decode(center[None]), module.likelihood, columns).variance[0, 0]
