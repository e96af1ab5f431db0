"""Groups that were asked for and hold no row."""

import numpy as np
import torch

from .._inference import evaluation
from .._inference.fitted import Fitted
from .._inference.summaries import inspected, weighted_mean
from .._utils.arrays import on_host
from .._utils.user_warnings import warn_user
from ..priors.learned import VampPrior
from .plan import MIN_ROWS_FOR_VALIDATION, Plan
from .prepare import Prepared

__all__ = ["warn_of_empty_groups"]


def warn_of_empty_groups(plan: Plan, prepared: Prepared, fitted: Fitted) -> None:
    """Warn of members and classes that are the most probable ones of no row.

    Members of a VampPrior are meant to share groups, and of few rows no share is known.
    """
    has_none = plan.single_pass or fitted.lacks("codes") or fitted.lacks("groups")
    if has_none or isinstance(fitted.parts.prior, VampPrior):
        return
    if prepared.sample[0].shape[0] < MIN_ROWS_FOR_VALIDATION:
        return
    sizes = _sizes(prepared, fitted)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        warn_user(
            f"{len(empty)} of {len(sizes)} groups hold no row: {', '.join(map(str, empty))}. Fewer are enough, e.g. "
            f"{len(sizes) - len(empty)}; prior=NormalMixture('auto') finds their number."
        )


def _sizes(prepared: Prepared, fitted: Fitted) -> np.ndarray:
    """Shares of rows that are in each group, (M,)."""
    module, x, mask, w = inspected(fitted.module, fitted.columns, fitted.device, *prepared.sample)
    u = fitted.score_noise.to(x)

    def labels(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        probabilities = evaluation.memberships(module, x, mask, u)
        return torch.nn.functional.one_hot(probabilities.argmax(1), probabilities.shape[1]).to(x)

    return on_host(weighted_mean(labels, module, x, mask, w, len(u)))
