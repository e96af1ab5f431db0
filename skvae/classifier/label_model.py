r"""p(y | x) of normals of the codes and of logistic regression on the columns, multiplied:

.. math:: p(y | x) \propto p_z(y | x)^a \, p_l(y | x)^b.

Both are fitted to rows in canonical order, equal ones merged, so that integer weights equal copies and the order of
rows does not matter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._inference.fitted import Fitted
from .class_normals import ClassNormals, fit_class_normals
from .linear import LinearModel, fit_linear, standardization
from .pooled import fit_exponents, pooled
from .rows import columns_of_rows, moments_of_rows, per_chunk

__all__ = ["LabelModel", "fit_label_model"]

_MAX_UNLABELED = 20_000  # rows without label that the normals see; they are a random subset
_MAX_ROWS_OF_SCALE = 2000  # rows without label that standardise the columns
_N_FOLDS = 5


@dataclass(frozen=True, eq=False)
class LabelModel:
    """Two models of the label and their exponents.

    Parameters
    ----------
    normals : ClassNormals
    linear : LinearModel
    exponents : ndarray (2,)
    """

    normals: ClassNormals
    linear: LinearModel
    exponents: np.ndarray

    def log_posterior(self, fitted: Fitted, table: Any) -> np.ndarray:
        """ln p(y | x) of the rows of a validated table, (n, C)."""
        return per_chunk(fitted, table, self._log_posterior)

    def _log_posterior(self, e: np.ndarray, v: np.ndarray, columns: np.ndarray) -> np.ndarray:
        log_p = np.stack([self.normals.log_posterior(e, v), self.linear.log_marginal(columns)])
        return pooled(log_p, self.exponents)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows for `fit_label_model`: those with a label come first, and only these have columns."""

    e: np.ndarray
    v: np.ndarray
    columns: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    def models(self, kept: np.ndarray, options: dict[str, Any]) -> tuple[ClassNormals, LinearModel]:
        """Fit both models to some of the labelled rows, (n_labeled,) bool, and to all others."""
        n_members, C, seed = options["n_members"], options["C"], options["seed"]
        used = np.r_[kept, np.ones(len(self.label) - len(kept), dtype=bool)]
        n_classes = int(self.label.max()) + 1
        e, v, y, w = (a[used] for a in (self.e, self.v, self.label, self.weight))
        normals = fit_class_normals(e, v, y, w, n_classes, n_members, seed)
        label, weight = self.label[: len(kept)][kept], self.weight[: len(kept)][kept]
        return normals, fit_linear(self.columns[kept], label, weight, self.shift, self.scale, C)


def fit_label_model(
    fitted: Fitted,
    table: Any,
    label: np.ndarray,
    weight: np.ndarray,
    unlabeled_weight: float,
    n_members: int,
    C: float,
    seed: int,
) -> LabelModel:
    """Fit p(y | x) to distinct rows in canonical order.

    Parameters
    ----------
    fitted : Fitted
    table : ndarray or CSR (n, D)
        Validated rows.
    label : int ndarray (n,)
        0 .. C - 1, and -1 for rows without label; each class has a row.
    weight : ndarray (n,)
        Positive, class weights included.
    unlabeled_weight : float
        A factor on the weight of rows without a label in the normals.
    n_members : int
        Normals per class.
    C : float
        Inverse strength of the penalty of logistic regression.
    seed : int
    """
    known, unknown = np.flatnonzero(label >= 0), np.flatnonzero(label < 0)
    rows = _rows(fitted, table, label, weight, known, unknown, unlabeled_weight)
    options = {"n_members": n_members, "C": C, "seed": seed}
    normals, linear = rows.models(np.ones(len(known), dtype=bool), options)
    return LabelModel(normals, linear, _exponents(rows, _folds(label[known]), options))


def _rows(
    fitted: Fitted,
    table: Any,
    label: np.ndarray,
    weight: np.ndarray,
    known: np.ndarray,
    unknown: np.ndarray,
    unlabeled_weight: float,
) -> _Rows:
    """Moments of codes of the labelled rows and of others, and the columns of the labelled ones."""
    columns = columns_of_rows(fitted, table[np.r_[known, unknown[:_MAX_ROWS_OF_SCALE]]])
    shift, scale = standardization(columns, weight[np.r_[known, unknown[:_MAX_ROWS_OF_SCALE]]])
    some = unknown[:_MAX_UNLABELED] if unlabeled_weight else unknown[:0]
    weight = weight.copy()
    weight[some] *= unlabeled_weight * weight[unknown].sum() / weight[some].sum() if len(some) else 1.0
    used = np.r_[known, some]
    e, v = moments_of_rows(fitted, table[used])
    return _Rows(e, v, columns[: len(known)], label[used], weight[used], shift, scale)


def _folds(label: np.ndarray) -> np.ndarray:
    """The fold of each labelled row, in turn within its class; -1 for the only row of a class, never left out."""
    fold = np.empty(len(label), dtype=np.int64)
    for c in range(int(label.max()) + 1):
        own = np.flatnonzero(label == c)
        fold[own] = np.arange(len(own)) % _N_FOLDS if len(own) > 1 else -1
    return fold


def _exponents(rows: _Rows, fold: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """The exponents by cross-validation over the labelled rows; rows left out have no part in a fit."""
    n, n_classes = len(fold), int(rows.label.max()) + 1
    log_p = np.zeros((2, n, n_classes))
    for k in range(int(fold.max()) + 1):
        out = fold == k
        normals, linear = rows.models(~out, options)
        log_p[0, out] = normals.log_posterior(rows.e[:n][out], rows.v[:n][out])
        log_p[1, out] = linear.log_posterior(rows.columns[out])
    seen = fold >= 0
    return fit_exponents(log_p[:, seen], rows.label[:n][seen], rows.weight[:n][seen])
