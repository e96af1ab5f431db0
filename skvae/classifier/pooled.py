r"""Two models of the label in one: :math:`p(y | x) \propto p_1(y | x)^{a_1} p_2(y | x)^{a_2}`.

The exponents are those of the highest log-probability of labels that neither model has seen (stacking, Wolpert 1992; a
generative and a discriminative part with weights, Raina et al. 2003). They also undo overconfidence: with equal models
and too sharp probabilities both come out small.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

__all__ = ["fit_exponents", "pooled"]

_FIRST = 0.5  # of each exponent, where no label says more
_STRENGTH = 2.0  # of the penalty of the squared distance from it, in nats


def pooled(log_p: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """ln p(y | x), (n, C), of L models with ln p (L, n, C)."""
    return log_softmax(np.tensordot(exponents, log_p, 1), axis=1)


def fit_exponents(log_p: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Give the exponents, not negative, by the models' ln p of rows that they were not fitted to.

    It is a convex problem with two unknowns; without rows both exponents are 1/2.

    Parameters
    ----------
    log_p : ndarray (L, n, C)
    label : int ndarray (n,)
    weight : ndarray (n,)

    Returns
    -------
    ndarray of shape (L,)
    """
    rows = np.arange(len(label))
    own = log_p[:, rows, label]

    def loss(a: np.ndarray) -> tuple[float, np.ndarray]:
        scores = np.tensordot(a, log_p, 1)
        value = -weight @ log_softmax(scores, axis=1)[rows, label] + _STRENGTH * np.square(a - _FIRST).sum()
        expected = (softmax(scores, axis=1) * log_p).sum(2)
        return value, (expected - own) @ weight + 2 * _STRENGTH * (a - _FIRST)

    return minimize(loss, np.full(len(log_p), _FIRST), jac=True, bounds=[(0, None)] * len(log_p)).x
