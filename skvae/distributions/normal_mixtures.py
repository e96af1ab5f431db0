r"""Mixtures of normals fitted to weighted points by EM: :math:`p(z) = \sum_m \pi_m N(z; \mu_m, L_m L_m^T)`, in float64.

A weight counts as that many copies of its point. Nothing draws from a global generator, and points in the same order
give the same bits. Bishop (2006), section 9.2; the prior on covariances as in Fraley & Raftery (2007), section 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

__all__ = [
    "COVARIANCES",
    "FittedNormals",
    "best_normals",
    "clusters",
    "em_step",
    "fewest_members",
    "fit_normals",
]

COVARIANCES = ("diag", "full")
_LLOYD_STEPS = 5  # EM goes on from there
_LEAST_SHARE = 1e-6  # of the mean variance: a component that does not vary has this one
_BORROWED = 2.0  # points' worth of all members' spread that each one borrows; K more for a covariance
_STARTS, _TRIALS, _SPLIT = 4, 4, 6  # assignments to clusters, draws for each centre, and members that are parted
_FIRST_STEPS, _STEPS, _MOST_SEARCHED = 10, 200, 2000  # of EM while members are searched for, and at last; points
_MOST_GROWN = 20  # members, each of which takes ten climbs
_FOLDS, _PATIENCE, _MOST_MEMBERS = 5, 3, 50  # of the search for a number of members
_FEWEST = 1e-9  # points: a member that has lost all of its own stays where it is


@dataclass(frozen=True, eq=False)
class FittedNormals:
    """M normal members over K components.

    Parameters
    ----------
    weights : ndarray (M,), summing to one
    means : ndarray (M, K)
    factors : ndarray (M, K) of standard deviations, or (M, K, K) of lower Cholesky factors
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    @property
    def covariance(self) -> str:
        """The form of the members' covariances."""
        return COVARIANCES[self.factors.ndim - 2]

    @property
    def scale(self) -> np.ndarray:
        """The diagonals of the factors, (M, K)."""
        return self.factors if self.factors.ndim == 2 else np.diagonal(self.factors, axis1=1, axis2=2)

    def log_joint(self, z: np.ndarray) -> np.ndarray:
        """ln pi_m N(z; mu_m, L_m L_m') of points z (n, K): (M, n)."""
        constant = np.log(self.weights) - np.log(self.scale).sum(1) - 0.5 * z.shape[1] * np.log(2 * np.pi)
        if self.covariance == "diag":
            center = self.weights @ self.means  # of squares of large numbers little would be left
            z, mu, precision = z - center, self.means - center, 1 / np.square(self.factors)
            constant -= 0.5 * (precision * np.square(mu)).sum(1)
            return constant[:, None] + (precision * mu) @ z.T - 0.5 * precision @ np.square(z).T
        joint = np.empty((len(self.weights), len(z)))
        for row, mu, inverse in zip(joint, self.means, np.linalg.inv(self.factors), strict=True):
            whitened = (z - mu) @ inverse.T
            np.einsum("nk,nk->n", whitened, whitened, out=row)
        return constant[:, None] - 0.5 * joint

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """ln p(z), (n,)."""
        return self.responsibilities(z)[1]

    def responsibilities(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p(m given z), (M, n), and ln p(z), (n,)."""
        joint = self.log_joint(z)
        highest = joint.max(0)
        share = np.exp(joint - highest)
        total = share.sum(0)
        return share / total, highest + np.log(total)


def fit_normals(
    z: np.ndarray,
    weight: np.ndarray,
    member: np.ndarray,
    covariance: str,
    strength: float = 0.0,
    n_steps: int = 100,
    tol: float = 1e-3,
    breadth: float | None = None,
) -> FittedNormals:
    r"""Fit a mixture to points by EM from a first assignment of points to members.

    With n_m the points of a member and S_m their scatter about its mean, the M step is

    .. math:: \Sigma_m = (S_m + \nu \Sigma_0) / (n_m + \nu), \quad
        \Sigma_0 = \sum_m S_m / \sum_m n_m \text{ of the first assignment},

    the mode under an inverse Wishart prior: small members borrow nu points' worth of all members' spread.

    Parameters
    ----------
    z : ndarray (n, K)
    weight : ndarray (n,)
        Numbers of points that each stands for.
    member : int ndarray (n,)
        The first assignment, to members 0 .. M - 1, of which each has points.
    covariance : {"diag", "full"}
    strength : float, default=0.0
        The nu above.
    n_steps : int, default=100
        The largest number of EM steps; with 0 the mixture is that of the first assignment.
    tol : float, default=1e-3
        EM stops once a step raises the mean log-density by less.
    breadth : float, optional
        Adds a last member that stays as it is, about the mean of all points and with their standard deviations times
        this; with the share that its points ask for, and at least that of one more point. A point far out then costs
        a fraction of what it costs under the others (Banfield & Raftery 1993, section 4, has a uniform density there).
    """
    share = _of_members(weight, member)
    pooled = _pooled(z, share, covariance)
    n = float(weight.sum())
    broad = None if breadth is None else _broad(z, weight, covariance, breadth)
    fit = _m_step(z, share, pooled, strength, None)
    p = _beside(fit, broad, 0.0, n)
    before = -np.inf
    for _ in range(n_steps):
        share, log_pz = p.responsibilities(z)
        now = float(weight @ log_pz) / n
        if now - before < tol:
            break
        before = now
        share = weight * share
        fit = _m_step(z, share[: len(fit.weights)], pooled, strength, fit)
        p = _beside(fit, broad, float(share[-1].sum()), n)
    return p


def em_step(p: FittedNormals, z: np.ndarray, weight: np.ndarray, strength: float) -> FittedNormals:
    """One EM step for points of any weights, from a mixture whose last member is a broad one, as of `fit_normals`.

    Parameters
    ----------
    p : FittedNormals
    z : ndarray (n, K)
    weight : ndarray (n,)
    strength : float
        Points' worth of all members' spread that each one borrows.
    """
    share = weight * p.responsibilities(z)[0]
    narrow = FittedNormals(p.weights[:-1], p.means[:-1], p.factors[:-1])
    fit = _m_step(z, share[:-1], _pooled(z, share[:-1], p.covariance), strength, narrow)
    return _beside(fit, (p.means[-1], p.factors[-1]), float(share[-1].sum()), float(weight.sum()))


def best_normals(z: np.ndarray, weight: np.ndarray, n_members: int, covariance: str, seed: int) -> FittedNormals:
    """Fit a mixture by EM that grows member by member, each time from the highest of several short climbs.

    They begin at clusters, and at the mixture before with one of its heavy members parted: clusters alone often part a
    large group and join two small ones, and EM does not lead out of that. They are compared with full covariances,
    since independent components that describe a group badly would pay to part it. More than twenty members begin at
    clusters alone, and so do those that do not find as many groups. There are fewer where there are fewer distinct
    points.

    Parameters
    ----------
    z : ndarray (n, K)
    weight : ndarray (n,)
    n_members : int
    covariance : {"diag", "full"}
    seed : int

    Examples
    --------
    Of 100 points a group of three is found, though all of it is little:

    >>> import numpy as np
    >>> from skvae.distributions.normal_mixtures import best_normals
    >>> z = np.random.default_rng(0).normal(size=(100, 2))
    >>> z[:3] += 12
    >>> best_normals(z, np.ones(100), 2, "diag", seed=0).weights.round(2)
    array([0.97, 0.03])
    """
    few = slice(_MOST_SEARCHED)
    grown = _growing(z[few], weight[few], seed) if n_members <= _MOST_GROWN else iter(())
    member = next(islice(grown, n_members - 1, None), np.zeros(0, dtype=int))
    if not member.any() or member.max() + 1 < n_members:
        member = clusters(z, weight, n_members, seed, _TRIALS)
    elif len(z) > _MOST_SEARCHED:
        member = _fit_from(z[few], weight[few], member, "full").responsibilities(z)[0].argmax(0)
    return _fit_from(z, weight, member, covariance)


def fewest_members(z: np.ndarray, row: np.ndarray, seed: int) -> int:
    """Give the fewest members that describe held-out rows as well as any number does, within one standard error.

    Mixtures of 1, 2, ... members with full covariances are compared by five-fold cross-validation, until three more
    have not raised the mean of ln p. The error is that of the differences from the best mixture, row by row (Breiman et
    al. 1984, section 3.4.3, with paired rows).

    Parameters
    ----------
    z : ndarray (n, K)
        Points.
    row : int ndarray (n,)
        The row that each belongs to: its points are held out together, and their mean counts.
    seed : int

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.distributions.normal_mixtures import fewest_members
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(300, 2)) + 8 * rng.integers(2, size=(300, 2))
    >>> fewest_members(z, np.arange(300), seed=0)
    4
    """
    row = np.unique(row, return_inverse=True)[1]
    count = np.bincount(row)
    by_members: list[np.ndarray] = []
    means: list[float] = []
    most = max(1, min(_MOST_MEMBERS, len(count) // _FOLDS - 1))
    for member in islice(_growing(z, np.ones(len(z)), seed), most):
        by_members.append(np.bincount(row, _held_out(z, row % _FOLDS, member)) / count)
        means.append(by_members[-1].mean())
        if len(means) == np.argmax(means) + 1 + _PATIENCE:
            break
    lost = by_members[int(np.argmax(means))] - np.stack(by_members)
    is_as_good = lost.mean(1) <= lost.std(1) / np.sqrt(len(count))
    return int(np.argmax(is_as_good)) + 1


def _held_out(z: np.ndarray, fold: np.ndarray, member: np.ndarray) -> np.ndarray:
    """ln p of each point under the mixture that is fitted to the other folds, from an assignment of all, (n,)."""
    log_pz = np.empty(len(z))
    for k in range(_FOLDS):
        train = fold != k
        fit = _fit_from(z[train], np.ones(int(train.sum())), member[train], "full")
        log_pz[~train] = fit.log_prob(z[~train])
    return log_pz


def _growing(z: np.ndarray, weight: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """The most probable member of each point, int (n,), in mixtures of 1, 2, ... members."""
    rng = np.random.default_rng(seed)
    best = np.zeros(len(z), dtype=int)
    while True:
        yield best
        n_members = best.max() + 2
        # In units of what is left inside members: noise in other directions would be longer than what parts two groups.
        unit = np.linalg.cholesky(_pooled(z, _of_members(weight, best), "full"))
        u = np.linalg.solve(unit, z.T).T
        heavy = np.bincount(best, weight).argsort()[::-1][:_SPLIT]
        starts = [_parted(u, best, m) for m in heavy]
        starts += [clusters(u, weight, n_members, int(s), _TRIALS) for s in rng.integers(2**62, size=_STARTS)]
        best = max((_climbed(z, weight, member) for member in starts), key=lambda climbed: climbed[0])[1]


def _parted(u: np.ndarray, member: np.ndarray, m: int) -> np.ndarray:
    """An assignment whose member m is parted in two across its longest direction."""
    own = member == m
    centred = u[own] - u[own].mean(0)
    longest = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    parted = member.copy()
    parted[np.flatnonzero(own)[centred @ longest > 0]] = member.max() + 1
    return np.unique(parted, return_inverse=True)[1]


def _climbed(z: np.ndarray, weight: np.ndarray, member: np.ndarray) -> tuple[float, np.ndarray]:
    """The log-density of all points after some steps of EM, and the most probable member of each."""
    fit = fit_normals(z, weight, member, "full", _BORROWED + z.shape[1], _FIRST_STEPS)
    share, log_pz = fit.responsibilities(z)
    return float(weight @ log_pz), np.unique(share.argmax(0), return_inverse=True)[1]


def _fit_from(z: np.ndarray, weight: np.ndarray, member: np.ndarray, covariance: str) -> FittedNormals:
    """EM to the end from an assignment; members without points are left out."""
    member = np.unique(member, return_inverse=True)[1]
    strength = _BORROWED + (z.shape[1] if covariance == "full" else 0)
    return fit_normals(z, weight, member, covariance, strength, _STEPS, tol=1e-5)


def clusters(z: np.ndarray, weight: np.ndarray, n_clusters: int, seed: int, n_trials: int = 1) -> np.ndarray:
    """Assign points to clusters far from each other: k-means++ and some of Lloyd's steps, int (n,).

    Arthur & Vassilvitskii (2007); each centre is the best of so many that are drawn. There are fewer clusters where
    there are fewer distinct points.
    """
    rng = np.random.default_rng(seed)
    first = _drawn(weight, rng)
    centers, nearest = [z[first]], np.square(z - z[first]).sum(1)
    for _ in range(n_clusters - 1):
        if not (weight * nearest).any():
            break
        drawn = [z[_drawn(weight * nearest, rng)] for _ in range(n_trials)]
        left = [np.minimum(nearest, np.square(z - center).sum(1)) for center in drawn]
        best = int(np.argmin([weight @ distances for distances in left])) if n_trials > 1 else 0
        centers.append(drawn[best])
        nearest = left[best]
    member = _nearest(z, np.stack(centers))
    for _ in range(_LLOYD_STEPS if len(centers) > 1 else 0):
        count = np.bincount(member, weight)
        sums = np.stack([np.bincount(member, weight * column, len(count)) for column in z.T], 1)
        member = _nearest(z, sums / count[:, None])
    return member


def _drawn(weight: np.ndarray, rng: np.random.Generator) -> int:
    """One position, in proportion to the weights."""
    cumulative = np.cumsum(weight)
    return min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")), len(weight) - 1)


def _nearest(z: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Number of the nearest centre, counting those alone that are nearest to a point."""
    shifted = centers - z.mean(0)  # of a square of large numbers little would be left
    distances = np.square(shifted).sum(1) - 2 * (z - z.mean(0)) @ shifted.T
    return np.unique(distances.argmin(1), return_inverse=True)[1]


def _of_members(weight: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The weights of points (n,) at their members 0 .. M - 1, and zeros at the others, (M, n)."""
    return weight * (member == np.arange(member.max() + 1)[:, None])


def _pooled(z: np.ndarray, share: np.ndarray, covariance: str) -> np.ndarray:
    """Covariance, or variances, of points about the means of their members, of weights share (M, n), with a floor."""
    weight, count = share.sum(0), share.sum(1)
    n = weight.sum()
    z = z - weight @ z / n
    means = share @ z / np.maximum(count, _FEWEST)[:, None]
    total = weight @ np.square(z) / n
    least = _LEAST_SHARE * total.mean() + 1e-12
    if covariance == "diag":
        return np.maximum(total - count @ np.square(means) / n, least)
    within = (weight[:, None] * z).T @ z - (count[:, None] * means).T @ means
    return within / n + least * np.eye(z.shape[1])


def _broad(z: np.ndarray, weight: np.ndarray, covariance: str, breadth: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and factor of one normal about all points, wider than they are."""
    total = _pooled(z, weight[None], covariance)
    factor = np.sqrt(total) if covariance == "diag" else np.linalg.cholesky(total)
    return weight @ z / weight.sum(), breadth * factor


def _beside(
    narrow: FittedNormals, broad: tuple[np.ndarray, np.ndarray] | None, count: float, n: float
) -> FittedNormals:
    """The mixture with a broad last member, to which `count` of n points, and one more, belong."""
    if broad is None:
        return narrow
    share, (mean, factor) = (count + 1) / (n + 1), broad
    weights = np.append((1 - share) * narrow.weights, share)
    return FittedNormals(weights, np.vstack([narrow.means, mean]), np.concatenate([narrow.factors, factor[None]]))


def _m_step(
    z: np.ndarray, share: np.ndarray, pooled: np.ndarray, strength: float, before: FittedNormals | None
) -> FittedNormals:
    """The mixture that `share` (M, n) of the points' weights asks for; members without points stay as before."""
    count = share.sum(1)
    used = np.maximum(count, _FEWEST)
    means = share @ z / used[:, None]
    factors = (_deviations if pooled.ndim == 1 else _cholesky_factors)(z, share, means, used, pooled, strength)
    if before is not None:
        lost = count < _FEWEST
        means[lost], factors[lost] = before.means[lost], before.factors[lost]
    return FittedNormals(used / used.sum(), means, factors)


def _deviations(
    z: np.ndarray, share: np.ndarray, means: np.ndarray, count: np.ndarray, pooled: np.ndarray, strength: float
) -> np.ndarray:
    """Standard deviations of the members, (M, K)."""
    center = means.mean(0)
    scatter = share @ np.square(z - center) - count[:, None] * np.square(means - center)
    variance = (np.maximum(scatter, 0) + strength * pooled) / (count + strength)[:, None]
    return np.sqrt(variance + _LEAST_SHARE * pooled)


def _cholesky_factors(
    z: np.ndarray, share: np.ndarray, means: np.ndarray, count: np.ndarray, pooled: np.ndarray, strength: float
) -> np.ndarray:
    """Cholesky factors of the members' covariances, (M, K, K)."""
    covariances = np.empty((len(means), *pooled.shape))
    for covariance, r, mu, n in zip(covariances, share, means, count, strict=True):
        centred = z - mu
        np.matmul((r[:, None] * centred).T, centred, out=covariance)
        covariance += strength * pooled
        covariance /= n + strength
    return np.linalg.cholesky(covariances + _LEAST_SHARE * np.diag(np.diag(pooled)))
