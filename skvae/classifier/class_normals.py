r"""Normals of the latent codes of each class, fitted to rows with and without labels by EM, in float64.

The model is :math:`p(z, y) = p(y) \sum_{m \in y} \pi_m N(z; \mu_m, \Sigma_m)`. A row is represented by the first two
moments of its posterior, e (K,) and v (K,), so that for q(z|x) with independent components

.. math:: E_q \ln N(z; \mu, \Sigma) = \ln N(e; \mu, \Sigma) - \tfrac12 \sum_k v_k (\Sigma^{-1})_{kk}.

The optimal q(y | x) is the softmax of these over the members: the E step, in closed form and with one factor per
member. A prediction uses the density itself, in which an uncertain code, as with missing cells, counts less:

.. math:: p(y | x) \propto p(y)\, E_q\, p(z | y), \qquad E_q N(z; \mu, \Sigma) = N(e; \mu, \Sigma + \mathrm{diag}\, v).

Kingma et al. (2014), section 2, with p(z | y) in place of their decoder of y; Nigam et al. (2000), section 5.3, for the
weight of rows without labels.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from ..distributions.normal_mixtures import clusters

__all__ = ["ClassNormals", "fit_class_normals"]

_N_STEPS, _TOL = 100, 1e-3  # of EM, which stops once no probability moves by more
_BORROWED = 5.0  # rows' worth of all members' spread that each one borrows, and K more
_LEAST_SHARE = 1e-6  # of the pooled variance


@dataclass(frozen=True, eq=False)
class ClassNormals:
    """Members with a class each.

    Parameters
    ----------
    owner : int ndarray (M,)
        The class 0 .. C - 1 of each member, in increasing order; each class has some.
    weights : ndarray (M,), summing to one
    means : ndarray (M, K)
    factors : ndarray (M, K, K)
        Lower Cholesky factors of the covariances.
    """

    owner: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    def log_joint(self, e: np.ndarray, v: np.ndarray) -> np.ndarray:
        """E_q ln pi_m N(z; mu_m, Sigma_m) of rows with moments e and v (n, K): (n, M)."""
        joint = np.empty((len(self.weights), len(e)))
        for row, mu, factor in zip(joint, self.means, self.factors, strict=True):
            inverse = np.linalg.inv(factor)
            row[:] = np.square((e - mu) @ inverse.T).sum(1) + v @ np.square(inverse).sum(0)
        log_det = np.log(np.diagonal(self.factors, axis1=1, axis2=2)).sum(1)
        constant = np.log(self.weights) - log_det - 0.5 * e.shape[1] * np.log(2 * np.pi)
        return (constant[:, None] - 0.5 * joint).T

    def log_marginal(self, e: np.ndarray, v: np.ndarray) -> np.ndarray:
        """ln pi_m E_q N(z; mu_m, Sigma_m) of rows with moments e and v (n, K): (n, M)."""
        marginal = np.empty((len(self.weights), len(e)))
        noise = v[:, :, None] * np.eye(e.shape[1])
        for row, mu, factor in zip(marginal, self.means, self.factors, strict=True):
            wide = np.linalg.cholesky(factor @ factor.T + noise)
            whitened = np.linalg.solve(wide, (e - mu)[:, :, None])[:, :, 0]
            log_det = np.log(np.diagonal(wide, axis1=1, axis2=2)).sum(1)
            row[:] = -0.5 * np.square(whitened).sum(1) - log_det
        return (np.log(self.weights)[:, None] - 0.5 * e.shape[1] * np.log(2 * np.pi) + marginal).T

    def log_posterior(self, e: np.ndarray, v: np.ndarray) -> np.ndarray:
        """ln p(y | x), (n, C)."""
        first = np.searchsorted(self.owner, np.arange(self.owner[-1] + 1))
        return log_softmax(np.logaddexp.reduceat(self.log_marginal(e, v), first, axis=1), axis=1)

    def sample_classes(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Draw classes from p(y), (n_samples,)."""
        return self.owner[rng.choice(len(self.owner), n_samples, p=self.weights)]

    def sample(self, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw z ~ p(z | y) for each label (n,): (n, K)."""
        share = np.where(self.owner == label[:, None], self.weights, 0.0).cumsum(1)
        u = share[:, -1:] * (1 - rng.random((len(label), 1)))  # in (0, total], so that no member of weight 0 is drawn
        member = (share < u).sum(1)
        noise = rng.standard_normal((len(label), self.means.shape[1]))
        return self.means[member] + np.einsum("nkl,nl->nk", self.factors[member], noise)


def fit_class_normals(
    e: np.ndarray,
    v: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    n_classes: int,
    n_members: int = 1,
    seed: int = 0,
) -> ClassNormals:
    r"""Fit members to rows, of which some have a label, by EM.

    It begins with the means of the labelled rows and the spread of all rows. Each covariance borrows from the pooled
    one, which is that of linear discriminant analysis: :math:`\Sigma_m = (S_m + \nu \bar\Sigma) / (n_m + \nu)`, with nu
    = K + 5.

    Parameters
    ----------
    e, v : ndarray (n, K)
        Means and variances of the codes of rows.
    label : int ndarray (n,)
        Classes 0 .. C - 1, and -1 for rows without; every class has a row.
    weight : ndarray (n,)
        Positive, of rows with and without a label.
    n_classes : int
        C.
    n_members : int, default=1
        Normals per class, if the class has as many distinct labelled rows.
    seed : int, default=0
        Seed of the initial members of a class.
    """
    known = label >= 0
    member, owner = _first_members(e[known], label[known], weight[known], n_classes, n_members, seed)
    share = (member[:, None] == np.arange(len(owner))) * weight[known][:, None]
    means, factor = share.T @ e[known] / share.sum(0)[:, None], np.linalg.cholesky(_floored(_spread(e, v, weight)))
    now = ClassNormals(owner, _shares(share.sum(0)), means, np.broadcast_to(factor, (len(owner), *factor.shape)))
    allowed = ~known[:, None] | (owner == label[:, None])
    before = np.zeros(1)
    for _ in range(_N_STEPS):
        share = softmax(np.where(allowed, now.log_joint(e, v), -np.inf), axis=1)
        if np.abs(share - before).max() < _TOL:
            break
        before = share
        now = _m_step(e, v, weight[:, None] * share, now)
    return now


def _spread(e: np.ndarray, v: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The covariance of codes of all rows, (K, K)."""
    share = weight / weight.sum()
    centred = e - share @ e
    return (share[:, None] * centred).T @ centred + np.diag(share @ v)


def _first_members(
    e: np.ndarray, label: np.ndarray, weight: np.ndarray, n_classes: int, n_members: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The member of each labelled row, and the class of each member."""
    member = np.empty(len(label), dtype=np.int64)
    owner: list[int] = []
    for c in range(n_classes):
        own = np.flatnonzero(label == c)
        within = clusters(e[own], weight[own], n_members, seed)
        member[own] = within + len(owner)
        owner += [c] * (within.max() + 1)
    return member, np.array(owner)


def _m_step(e: np.ndarray, v: np.ndarray, share: np.ndarray, before: ClassNormals) -> ClassNormals:
    """The members that maximise the bound, given weighted shares (n, M) of the rows."""
    K, count = e.shape[1], share.sum(0)
    means = share.T @ e / count[:, None]
    scatter = np.empty((len(count), K, K))
    for S, r, mu in zip(scatter, share.T, means, strict=True):
        centred = e - mu
        S[:] = (r[:, None] * centred).T @ centred + np.diag(r @ v)
    pooled, nu = _floored(scatter.sum(0) / count.sum()), K + _BORROWED
    covariances = (scatter + nu * pooled) / (count + nu)[:, None, None]
    return ClassNormals(before.owner, _shares(count), means, np.linalg.cholesky(covariances))


def _shares(count: np.ndarray) -> np.ndarray:
    """Weights of members, each with one row more than it has."""
    return (count + 1) / (count + 1).sum()


def _floored(covariance: np.ndarray) -> np.ndarray:
    """A covariance that has an inverse, even where components do not vary."""
    variance = np.diag(covariance)
    return covariance + _LEAST_SHARE * np.diag(variance + variance.mean() + 1e-9)
