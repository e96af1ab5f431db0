"""Margins of the table beside those of made rows, by which `sample` calibrates: the last step of a fit."""

from dataclasses import replace

import numpy as np
import torch

from .._inference.fitted import MARGIN_STREAM, Fitted
from .._inference.made_rows import drawn_rows, maker
from .._tables.calibration import Calibration, Margin, middle_levels
from .._tables.columns import Columns
from .._tables.selection import dense
from .._utils.random import exclusive
from .plan import Plan
from .prepare import Prepared, RowsAndWeights

__all__ = ["rows_of_the_table", "with_margins"]

MOST_ROWS, MOST_CELLS = 20_000, 2_000_000  # that margins are taken of
MADE_PER_ROW, LEAST_MADE, MOST_MADE = 4, 1000, 10_000  # rows that are made for the quantiles of made values
MOST_COLUMNS = 1000  # of numbers: quantiles of more would outweigh the model
MOST_LEVELS, LEVELS_OF_ALL = 500, 200_000  # of one column, of all columns


def with_margins(plan: Plan, prepared: Prepared, fitted: Fitted, earlier: Fitted | None) -> Fitted:
    """Give a model with the margins of its table and of the rows that it makes, where nets have trained.

    Linear models are exact: what they draw has the density that their scores state, and stays so. One chunk stands for
    no table, so that `partial_fit` keeps the margins of the table that `fit` or `fit_statistics` has seen, if either
    has, and asks the trained model for those of its rows anew.

    Parameters
    ----------
    plan : Plan
    prepared : Prepared
    fitted : Fitted
        With all that rows are made by: the prior, and the conditions.
    earlier : Fitted or None
        The fit that went on.
    """
    if fitted.n_iter == 0 or not fitted.module.net_parameters():
        return fitted
    rows = rows_of_the_table(plan, prepared, earlier)
    if rows is not None:
        columns, margins = _margins(fitted.columns, rows)
    else:
        known = None if earlier is None else earlier.calibration
        columns, margins = ([], []) if known is None else (known.columns, known.fitted)
    if not columns:
        return fitted
    n_made = int(np.clip(MADE_PER_ROW * prepared.sample[0].shape[0], LEAST_MADE, MOST_MADE))
    n_made = min(n_made, max(LEAST_MADE, MOST_CELLS // len(fitted.columns.families)))
    with exclusive(fitted.seed, MARGIN_STREAM), torch.no_grad():
        values = drawn_rows(fitted, maker(fitted), n_made)
    made = np.quantile(values[:, columns], middle_levels(_n_levels(len(columns))), axis=0)
    calibration = Calibration(columns, made, margins)
    return replace(fitted, calibration=plan.processes.broadcast(calibration))


def rows_of_the_table(plan: Plan, prepared: Prepared, earlier: Fitted | None) -> RowsAndWeights | None:
    """Give rows that stand for the whole table; None for a chunk of `partial_fit`."""
    is_chunk = plan.single_pass and (earlier is not None or prepared.sample is prepared.rows)
    return None if is_chunk else prepared.sample


def _margins(columns: Columns, rows: RowsAndWeights) -> tuple[list[int], list[Margin]]:
    """The columns of numbers with two values or more, and their margins in rows that are spread evenly over all.

    Counts of an exposure have none: their margin is that of the exposures of the table, and made rows have others.
    """
    own = np.flatnonzero(columns.is_number & ~columns.is_constant & ~columns.is_given).tolist()
    own = [d for d in own if d not in columns.exposures]
    if not own or len(own) > MOST_COLUMNS:
        return [], []
    X, weight = rows
    n_rows = min(len(weight), MOST_ROWS, max(1, MOST_CELLS // X.shape[1]))
    positions = np.unique(np.linspace(0, len(weight) - 1, n_rows).round().astype(np.int64))
    cells, weight = dense(X.take(positions)).astype(np.float64)[:, own], _numbers_of_rows(weight[positions])
    margins = {}
    for d, x in zip(own, cells.T, strict=True):
        seen = ~np.isnan(x)
        if len(np.unique(x[seen])) > 1:
            margins[d] = Margin.of(x[seen], weight[seen], _n_levels(len(own)))
    return list(margins), list(margins.values())


def _numbers_of_rows(weight: np.ndarray) -> np.ndarray:
    """Weights (n,) as numbers of equal rows; those that are none, such as normalised ones, in units of the smallest."""
    return weight if (weight == np.rint(weight)).all() else weight / weight.min()


def _n_levels(n_columns: int) -> int:
    """Levels of each column's quantiles."""
    return min(MOST_LEVELS, LEVELS_OF_ALL // n_columns)
