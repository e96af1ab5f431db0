"""What the conditions let expect of the other columns: the regressors of the linear model of the initialisation.

    x = mean + B c + W z + e,   z ~ N(0, I),   e ~ N(0, diag(psi))

On complete rows B is the regression of x on c, whatever W and psi are, and the rest of the model is that of the
residuals. Where cells are missing, EM finds all of them together.

Columns of which a net gives the noise of each row have scales besides, x = mean + B c + s(c) (W z + e) with
ln s(c) = G c: else a batch that is measured on a wider scale would be known by its codes.
"""

from typing import Any

import numpy as np
import scipy.linalg
import torch

from .._tables.selection import RowSelection, blocks
from ..model import LatentVariableModel

__all__ = ["Regressors", "cross_moments", "fitted_log_scales"]

_MOST_ROWS = 20_000  # that log scales are fitted to
_STEPS, _LONGEST = 30, 0.5  # of Fisher scoring
_OF_A_LEVEL = 4.0  # rows of the scale of all that each level has in advance: two rows alone would say that it is none
_RANK = 1e-9  # of the largest variance: directions with less are differences of equal conditions


class Regressors:
    """Conditions c (n, C) of rows as regressors r = c T (n, R), uncorrelated and of variance one; R is the rank of c.

    The conditions' features are centred by these rows, and `model` learns their shares.

    Parameters
    ----------
    model : LatentVariableModel
    X : RowSelection (n, D)
        In model space.
    weight : ndarray (n,)
    """

    def __init__(self, model: LatentVariableModel, X: RowSelection, weight: np.ndarray) -> None:
        self.conditions, self.given = model.conditions, model.likelihood.given
        if self.conditions is None or not self.conditions.width:
            self.T = np.zeros((0, 0))
            return
        share = weight / weight.sum()
        self.conditions.center.zero_()
        features = X.mapped(self._features, self.conditions.width)
        center = sum(share[rows] @ block for rows, block in blocks(features))
        self.conditions.center.copy_(torch.from_numpy(center))
        second = cross_moments(features, features, weight)
        variances, directions = scipy.linalg.eigh(second)
        fed = variances > _RANK * max(variances[-1], 1e-300)
        self.T = directions[:, fed] / np.sqrt(variances[fed])

    @property
    def n(self) -> int:
        """R."""
        return self.T.shape[1]

    def of(self, X: RowSelection) -> RowSelection:
        """r of rows X (n, D) in model space, (n, R)."""
        if not self.n:
            return X.mapped(lambda rows: np.zeros((len(rows), 0)), 0)
        return X.mapped(lambda rows: self._features(rows) @ self.T, self.n)

    def of_levels(self) -> np.ndarray:
        """r of each level of each category, all other conditions at their average, (L, R)."""
        conditions: Any = self.conditions
        center, owner = conditions.center.double().numpy(), conditions.owner.numpy()
        levels = np.flatnonzero(~conditions.is_number.numpy())
        own = owner[levels][:, None] == owner
        return (np.eye(len(center))[levels] - np.where(own, center, 0.0)) @ self.T

    def _features(self, rows: np.ndarray) -> np.ndarray:
        conditions: Any = self.conditions
        return conditions(torch.from_numpy(rows[:, self.given])).numpy()


def cross_moments(X: RowSelection, Y: RowSelection, weight: np.ndarray) -> np.ndarray:
    """sum_i w_i x_i y_i' / sum_i w_i of rows (n, D) and (n, E), missing cells counting as 0: (D, E)."""
    share, total = weight / weight.sum(), np.zeros((X.shape[1], Y.shape[1]))
    for rows, block in blocks(X, X.shape[1] + Y.shape[1]):
        total += np.nan_to_num(block).T @ (share[rows, None] * Y.take(rows))
    return total


def fitted_log_scales(
    deviations: RowSelection, known: RowSelection, weight: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """G (D, R) of ln s = a + G r, the standard deviations of columns by maximum likelihood for normal deviations.

    A column keeps one scale, and zeros in G, unless another for each row gains more than Akaike's correction.

    Parameters
    ----------
    deviations : RowSelection (n, D)
        From the means that the regressors let expect; NaN for missing.
    known : RowSelection (n, R)
    weight : ndarray (n,)
    levels : ndarray (L, R)
        Regressors of single levels, which have `_OF_A_LEVEL` rows of the common scale in advance.
    """
    first = slice(_MOST_ROWS)
    e, r, w = deviations.take(first), known.take(first), weight[first]
    n_rows = max(weight.sum(), len(weight))
    w = w / w.sum() * n_rows
    ones = np.concatenate([np.ones((len(r) + len(levels), 1)), np.concatenate([r, levels])], 1)
    w = np.concatenate([w, np.full(len(levels), _OF_A_LEVEL)])
    G = np.zeros((e.shape[1], r.shape[1]))
    for d, own in enumerate(e.T):
        variance = np.average(np.nan_to_num(own) ** 2, weights=w[: len(own)] * ~np.isnan(own) + 1e-300)
        squares = np.concatenate([np.square(own), np.full(len(levels), variance)])
        seen = ~np.isnan(squares)
        if variance > 0:
            G[d] = _log_scales(squares[seen] / variance, ones[seen], w[seen])
    return G


def _log_scales(squares: np.ndarray, ones: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The slopes (R,) of ln s = theta' (1, r) for squared deviations (n,) of mean square one."""
    information = 2 * (ones.T * w) @ ones + 1e-9 * w.sum() * np.eye(ones.shape[1])
    theta = np.linalg.solve(information, (ones.T * w) @ np.log(np.maximum(squares, 1e-6)))  # half of that of ln s^2
    theta[0] += 0.635  # E ln chi^2 of one degree of freedom is -1.27
    for _ in range(_STEPS):
        score = (ones.T * w) @ (squares * np.exp(-2 * ones @ theta) - 1)
        step = np.linalg.solve(information, score)
        theta += step * min(1.0, _LONGEST / max(np.abs(ones @ step).max(), 1e-300))
    log_s = ones @ theta
    gain = w @ (0.5 * (squares - squares * np.exp(-2 * log_s)) - log_s)
    return theta[1:] if gain > len(theta) - 1 else np.zeros(len(theta) - 1)
