"""A mixture of normals that share one variance per column: a small model of what no linear one sees."""

import numpy as np
from scipy.special import logsumexp

__all__ = ["clusters_log_density"]

_STEPS = 30
_LEAST_SHARE = 0.1  # of a column's variance, within clusters: else whole numbers would be clusters


def clusters_log_density(
    train: np.ndarray, weight: np.ndarray, test: np.ndarray, n_clusters: int, seed: int
) -> np.ndarray:
    r"""Fit :math:`p(x) = \sum_k \pi_k N(x; \mu_k, diag(\sigma^2))` by EM, and give ln p of other rows.

    Parameters
    ----------
    train : ndarray (n, D)
    weight : ndarray (n,)
    test : ndarray (m, D)
    n_clusters, seed : int

    Returns
    -------
    ndarray (m,)
    """
    weight = weight / weight.sum()
    mean = weight @ train
    variance = weight @ np.square(train - mean)
    least = _LEAST_SHARE * variance
    places = np.random.default_rng(seed).choice(len(train), n_clusters, replace=False)
    centers, shares = train[places] if n_clusters > 1 else mean[None], np.full(n_clusters, 1 / n_clusters)
    for _ in range(_STEPS if n_clusters > 1 else 0):
        joint = _joint(train, shares, centers, variance)
        r = weight[:, None] * np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        shares = r.sum(0) + 1e-12
        centers = (r.T @ train) / shares[:, None]
        variance = np.maximum(weight @ np.square(train) - shares @ np.square(centers), least)
    return logsumexp(_joint(test, shares, centers, variance), axis=1)


def _joint(x: np.ndarray, shares: np.ndarray, centers: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """ln pi_k N(x; mu_k, diag(sigma^2)), (n, K)."""
    squares = np.square(x) @ (1 / variance)
    distances = squares[:, None] - 2 * x @ (centers / variance).T + np.square(centers) @ (1 / variance)
    return np.log(shares) - 0.5 * (distances + np.log(2 * np.pi * variance).sum())
