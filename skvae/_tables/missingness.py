r"""Which cells of a row are missing, given its latent code: a model of the mask.

.. math:: p(m \mid z) = \prod_d p(m_d \mid m_{<d}, z), \qquad
    \ln \frac{p(m_d = 1 \mid m_{<d}, z)}{p(m_d = 0 \mid m_{<d}, z)} = a_d + b_d \cdot z + \sum_{e < d} c_{de} m_e

over the columns with missing cells in the table's order: a fully visible sigmoid belief network (Neal 1992; Frey 1998).
It is a few numbers per column, and keeps no pattern of any row.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

__all__ = ["Missingness"]

_BEFORE = 30  # columns that one depends on, those next before it
_PENALTY = 0.1  # on the squares of b and c: cells that are always missing together stay so in 99 of 100 rows


@dataclass(frozen=True, eq=False)
class Missingness:
    r"""The mask m (n, C) of C columns of rows with codes z (n, K), 1 where a cell is missing.

    Parameters
    ----------
    columns : list of int (C,)
    intercept : ndarray (C,), float64
        a.
    of_codes : ndarray (C, K), float64
        b.
    of_columns : ndarray (C, J), float64
        c: entry (d, j) is that of the column j + 1 places before d.

    References
    ----------
    Neal, R. M. (1992). Connectionist learning of belief networks. Artificial Intelligence 56, 71-113, section 3.
    Frey, B. J. (1998). Graphical Models for Machine Learning and Digital Communication. MIT Press, section 4.4.
    """

    columns: list[int]
    intercept: np.ndarray
    of_codes: np.ndarray
    of_columns: np.ndarray

    @classmethod
    def fit(cls, columns: list[int], m: np.ndarray, z: np.ndarray, weight: np.ndarray) -> "Missingness":
        """Fit each column by logistic regression to masks m (n, C), codes z (n, K) and weights of rows (n,)."""
        (_, C), K = m.shape, z.shape[1]
        J = max(min(C - 1, _BEFORE), 0)
        intercept, coef = np.zeros(C), np.zeros((C, K + J))
        for d in range(C):
            x = np.concatenate([z, _before(m, d, J)], 1)
            intercept[d], coef[d, : x.shape[1]] = _regression(x, m[:, d], weight)
        return cls(columns, intercept, coef[:, :K], coef[:, K:])

    def draw(self, z: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Masks m (n, C) of rows with codes z (n, K), by noise u (n, C), uniform on [0, 1]."""
        m = np.zeros(u.shape, dtype=bool)
        for d in range(u.shape[1]):
            before = _before(m, d, self.of_columns.shape[1])
            logit = self.intercept[d] + z @ self.of_codes[d] + before @ self.of_columns[d, : before.shape[1]]
            m[:, d] = u[:, d] < expit(logit)
        return m


def _regression(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Intercept and coefficients (P,) of y (n,) on x (n, P)."""
    share = np.average(y, weights=weight)
    if share == 1 or x.shape[1] == 0:
        return float(logit(share)), np.zeros(x.shape[1])
    model = LogisticRegression(C=1 / (2 * _PENALTY), solver="newton-cholesky").fit(x, y, weight)
    return float(model.intercept_[0]), model.coef_[0]


def _before(m: np.ndarray, d: int, most: int) -> np.ndarray:
    """The masks of up to `most` columns before d, the next one first."""
    return m[:, max(d - most, 0) : d][:, ::-1]
