"""What `sample` knows of missing cells: the last step of a fit of a table that has some."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .._inference.fitted import MISSING_STREAM, Fitted
from .._inference.reading import over_chunks
from .._inference.row_noise import own_noise
from .._tables.missingness import Missingness
from .._tables.selection import RowSelection, dense
from .._utils.arrays import on_host
from ..model import LatentVariableModel
from .margins import rows_of_the_table
from .plan import Plan
from .prepare import Prepared

__all__ = ["with_missingness"]

MOST_ROWS = 2000


def with_missingness(plan: Plan, prepared: Prepared, fitted: Fitted, earlier: Fitted | None) -> Fitted:
    """Give a model with a model of its table's missing cells, if there are any.

    Where none of its columns lacks a cell in the rows that are looked at, it is one of no columns.

    Each row counts with one draw of its code, since a made row has one too. `partial_fit` keeps what it finds.

    Parameters
    ----------
    plan : Plan
    prepared : Prepared
    fitted : Fitted
    earlier : Fitted or None
        The fit that went on.
    """
    rows = rows_of_the_table(plan, prepared, earlier)
    if rows is None:
        return fitted if earlier is None else replace(fitted, missingness=earlier.missingness)
    X, weight = rows
    positions = np.unique(np.linspace(0, len(weight) - 1, min(len(weight), MOST_ROWS)).round().astype(np.int64))
    cells, weight = X.take(positions), weight[positions]
    m = np.isnan(dense(cells).astype(np.float64))
    own = np.flatnonzero(m.any(0) & ~fitted.columns.is_given).tolist()
    if not own and not fitted.config["incomplete"]:
        return fitted
    weight = weight * max(1.0, len(weight) / weight.sum())  # normalised weights are no lack of evidence
    missingness = Missingness.fit(own, m[:, own], _codes(fitted, cells), weight)
    return replace(fitted, missingness=plan.processes.broadcast(missingness))


def _codes(fitted: Fitted, cells: RowSelection) -> np.ndarray:
    """A draw of q for each row, (n, K) in the module's own order; (n, 0) without an encoder."""
    if fitted.parts.lacks("codes"):
        return np.zeros((cells.shape[0], 0))

    def drawn(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: np.ndarray) -> Tensor:
        u = own_noise(fitted, rows, x, 1, fitted.seed, MISSING_STREAM)
        return module.posterior.push(module.encode(x, mask), u)[0]

    z = over_chunks(fitted, cells, drawn, 1, with_rows=True, dtype=torch.float64)
    return on_host(z).astype(np.float64)
