"""Logistic regression on standardised columns, as plain numbers."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, logsumexp
from sklearn.linear_model import LogisticRegression

__all__ = ["LinearModel", "fit_linear", "standardization"]

_MAX_ITER = 1000


@dataclass(frozen=True, eq=False)
class LinearModel:
    """ln p(y | x) = log-softmax of coef (x - shift) / scale + intercept.

    Parameters
    ----------
    shift, scale : ndarray (P,)
    coef : ndarray (C, P)
    intercept : ndarray (C,)
    """

    shift: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    def log_posterior(self, x: np.ndarray) -> np.ndarray:
        """ln p(y | x) of rows (..., P), NaN for an average cell: (..., C)."""
        return log_softmax(_standardized(x, self.shift, self.scale) @ self.coef.T + self.intercept, axis=-1)

    def log_marginal(self, x: np.ndarray) -> np.ndarray:
        """ln mean_s p(y | x_s) of draws of the missing cells of rows (S, n, P): (n, C)."""
        return logsumexp(self.log_posterior(x), axis=0) - np.log(len(x))


def standardization(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of columns (n, P) over their cells; 0 and 1 where there is nothing to divide by."""
    is_there = ~np.isnan(x)
    total = weight @ is_there
    share = weight[:, None] * is_there / np.where(total, total, 1.0)
    x = np.where(is_there, x, 0.0)
    mean = (share * x).sum(0)
    deviation = np.sqrt((share * np.square(x - mean)).sum(0))
    return mean, np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)


def fit_linear(
    x: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    C: float,
) -> LinearModel:
    """Fit logistic regression to rows (n, P) with labels 0 .. C - 1, each of which occurs at least once."""
    model = LogisticRegression(C=C, max_iter=_MAX_ITER).fit(_standardized(x, shift, scale), label, weight)
    coef, intercept = model.coef_, model.intercept_
    if len(coef) == 1:  # of two classes scikit-learn gives the log-odds of the second
        coef, intercept = np.r_[0 * coef, coef], np.r_[0 * intercept, intercept]
    return LinearModel(shift, scale, coef, intercept)


def _standardized(x: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1, where a missing cell is the mean."""
    return np.nan_to_num((x - shift) / scale, nan=0.0)
