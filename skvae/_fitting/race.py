"""The race between closed-form initialisations."""

from .._inference.summaries import inspected, mean_bound
from .._starts import closed_form
from .._starts.standardized import Standardized
from .background import columns_in_training
from .plan import Plan
from .prepare import Basis, RowsAndWeights
from .start import Start, solve

__all__ = ["best_start"]

#: Rows that take all draws, fewer in wide tables: by how much draws change the bound of a linear model is nearly one
#: number for all rows.
_ROWS_WITH_DRAWS, _FEWEST, _CELLS_WITH_DRAWS = 256, 16, 1 << 19


def best_start(
    plan: Plan, basis: Basis, rows: RowsAndWeights, valid: RowsAndWeights | None, n_epochs: int, device: str
) -> Start:
    """Initialise a model as `init` says; "auto" solves every candidate and takes the best.

    The fit is then bit for bit that of ``init=init_``. What candidates ask of the rows is computed once for all, since
    it takes several passes over a large table.
    """
    columns = basis.columns.fitted_to(*rows)
    if n_epochs > 0 and valid is not None and plan.trains_nets:
        columns = columns_in_training(columns, rows, plan.given.decoder is not None)
    if plan.given.init != "auto":
        return solve(plan, basis, columns, plan.given.init, rows, device)
    seen = Standardized(columns, *rows)
    racers = [solve(plan, basis, columns, init, rows, device, seen) for init in closed_form.RACE]
    with plan.stopwatch("race"):
        return min(racers, key=lambda racer: _handicap(plan, racer, rows, valid))


def _handicap(plan: Plan, start: Start, rows: RowsAndWeights, valid: RowsAndWeights | None) -> float:
    """What the race minimises: minus the mean bound of all rows, corrected for those that were solved on.

    That is (m - n L - n' L') / (n + n'): L is the bound of the n rows that the candidate was solved on, L' that of n'
    held-out rows, and m the number of its additional parameters (Akaike 1974), D - 1 noise variances for factor
    analysis. A few held-out rows alone would choose by chance. A model without a score takes PCA.
    """
    if plan.parts.lacks("codes") or plan.parts.lacks("score"):
        return closed_form.RACE.index(start.init)
    n_more = 0 if start.init == "pca" else rows[0].shape[1] - 1
    parts = [rows] if valid is None else [rows, valid]
    counts = [max(weight.sum(), len(weight)) for _, weight in parts]
    n_with_draws = _CELLS_WITH_DRAWS // (len(start.score_noise) * rows[0].shape[1])
    n_with_draws = min(_ROWS_WITH_DRAWS, max(_FEWEST, n_with_draws))
    bounds = [
        mean_bound(*inspected(start.module, start.columns, start.device, *part), start.score_noise, n_with_draws)
        for part in parts
    ]
    return (n_more - sum(n * bound for n, bound in zip(counts, bounds, strict=True))) / sum(counts)
