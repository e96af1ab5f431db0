"""The linear-Gaussian model behind every initialisation: probabilistic PCA, factor analysis, missing values.

    x = mean + W z + e,   z ~ N(0, I),   e ~ N(0, diag(psi))

Its posterior given the observed cells of a row is q(z | x) = N(P^-1 W' psi^-1 (x - mean), P^-1) with
P = I + W' psi^-1 W, the sums over observed cells only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
from sklearn.utils.extmath import randomized_svd

from .._tables.selection import blocks

__all__ = ["LinearGaussian", "ObservedCells", "SecondMoments", "climb", "factor_analysis", "probabilistic_pca"]

_SHARP = 0.005  # of the smallest eigenvalue
_EXACT_SIDE = 1024  # a smaller side of the table gets the exact solver, a larger one the randomised one


@dataclass
class LinearGaussian:
    """Loadings W (D, K), noise variances psi (D,) and the mean (D,) of the linear model.

    With regressors r (n, R), the mean of a row is mean + `slopes` r, and with `log_scales` (D, R) the deviation from it
    is multiplied by exp(log_scales r); see `regression.py`.
    """

    loadings: np.ndarray
    noise: np.ndarray
    mean: np.ndarray | float = 0.0
    slopes: np.ndarray | None = None
    log_scales: np.ndarray | None = None

    def rotated(self, noise: np.ndarray | None = None) -> "LinearGaussian":
        """The same model with W' psi^-1 W diagonal and decreasing, the largest loading of each component positive.

        `noise` (D,) takes the place of psi where columns say more or less about z than their own noise.
        """
        scaled = self.loadings / np.sqrt(self.noise if noise is None else noise)[:, None]
        _, _, rotation = np.linalg.svd(scaled, full_matrices=False)
        if len(rotation) == 0:
            return self
        loadings = self.loadings @ rotation.T
        largest = np.take_along_axis(loadings, np.abs(loadings).argmax(0)[None], axis=0)
        return replace(self, loadings=np.where(largest < 0, -loadings, loadings))

    def padded(self, n_components: int) -> "LinearGaussian":
        """The same model with zero loadings up to K components."""
        missing = n_components - self.loadings.shape[1]
        return replace(self, loadings=np.pad(self.loadings, ((0, 0), (0, missing))))

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """A (K, D) and C (K, K) of q(z | x) = N(A (x - mean), C) of a row without missing values."""
        weighted = (self.loadings / self.noise[:, None]).T
        covariance = np.linalg.inv(np.eye(self.loadings.shape[1]) + weighted @ self.loadings)
        covariance = (covariance + covariance.T) / 2
        return covariance @ weighted, covariance

    def unexplained(self) -> np.ndarray:
        """What all other columns leave of the variance of each, 1 / (Sigma^-1)_dd of Sigma = W W' + psi, (D,)."""
        projection, _ = self.posterior()
        own_share = np.sum(self.loadings * projection.T, axis=1)
        total = np.square(self.loadings).sum(1) + self.noise
        return self.noise / np.maximum(1 - own_share, self.noise / total)

    def precisions(self) -> np.ndarray:
        """w_d w_d' / psi_d of every column, (D, K, K): what its observation adds to I."""
        scaled = self.loadings / np.sqrt(self.noise)[:, None]
        return scaled[:, :, None] * scaled[:, None, :]


class SecondMoments:
    """S = sum_i w_i x_i x_i' / sum_i w_i of centred rows without missing values, formed only where it is small.

    Parameters
    ----------
    X : ndarray or RowSelection (n, D)
    weight : ndarray (n,)
    """

    def __init__(self, X: Any, weight: np.ndarray) -> None:
        self.shape = n, D = X.shape
        share = np.sqrt(weight / weight.sum())[:, None]
        roots = (block * share[rows] for rows, block in blocks(X))  # S = root' root
        if min(n, _EXACT_SIDE) >= D:
            self.matrix = sum(root.T @ root for root in roots)
            self.diagonal = self.matrix.diagonal()
        else:
            self.matrix, self.root = None, np.concatenate(list(roots))
            self.diagonal = np.square(self.root).sum(0)

    def times(self, M: np.ndarray) -> np.ndarray:
        """S M without forming S when it is large."""
        return self.matrix @ M if self.matrix is not None else self.root.T @ (self.root @ M)

    def leading(self, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The k largest eigenvalues (decreasing) and their eigenvectors (D, k)."""
        if self.matrix is not None:
            D = len(self.matrix)
            values, vectors = scipy.linalg.eigh(self.matrix, subset_by_index=[D - k, D - 1])
            return values[::-1].clip(0.0), vectors[:, ::-1]
        if min(self.root.shape) <= _EXACT_SIDE:
            _, singular, vectors = scipy.linalg.svd(self.root, full_matrices=False, lapack_driver="gesvd")
        else:
            _, singular, vectors = randomized_svd(self.root, k, random_state=seed)
        return np.square(singular[:k]), vectors[:k].T

    def log_likelihood(self, model: LinearGaussian) -> float:
        """Mean log N(x; mean, W W' + psi) per row, in nats (Tipping & Bishop 1999, eq. 4)."""
        weighted = (model.loadings / model.noise[:, None]).T
        precision = np.eye(model.loadings.shape[1]) + weighted @ model.loadings
        fit = np.sum(weighted @ self.times(weighted.T) * np.linalg.inv(precision))
        log_det = np.log(model.noise).sum() + np.linalg.slogdet(precision)[1]
        return -0.5 * (len(model.noise) * np.log(2 * np.pi) + log_det + (self.diagonal / model.noise).sum() - fit)

    def loadings(self, noise: np.ndarray, k: int) -> np.ndarray:
        """The best W (D, k) for the noise psi (D,): psi^1/2 U (L - I)^1/2 of psi^-1/2 S psi^-1/2 (Lawley 1940)."""
        root = np.sqrt(noise)
        D = len(root)
        values, vectors = scipy.linalg.eigh(self.matrix / np.outer(root, root), subset_by_index=[D - k, D - 1])
        return root[:, None] * vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1] - 1, 0.0))

    def em_step(self, model: LinearGaussian, tie_noise: Callable) -> LinearGaussian:
        """One EM step of factor analysis (Ghahramani & Hinton 1996, eqs. 5 and 6)."""
        projection, covariance = model.posterior()
        SA = self.times(projection.T)  # E[x z'], (D, K)
        zz = covariance + projection @ SA  # E[z z'], (K, K)
        loadings = scipy.linalg.solve(zz, SA.T, assume_a="pos").T
        return LinearGaussian(loadings, tie_noise(self.diagonal - np.sum(loadings * SA, axis=1)))


class ObservedCells:
    """Rows with missing values: likelihood and EM step as of `SecondMoments`, of each row by its observed cells.

    Parameters
    ----------
    X : ndarray (n, D)
        Centred by the means of the observed cells; NaN for missing.
    weight : ndarray (n,)
    regressors : ndarray (n, R), optional
    """

    def __init__(self, X: Any, weight: np.ndarray, regressors: np.ndarray | None = None) -> None:
        self.regressors = np.zeros((len(X), 0)) if regressors is None else regressors
        present = ~np.isnan(X)
        self.present = present.astype(np.float64)
        self.X = np.where(present, X, 0.0)
        self.share = weight / weight.sum()
        patterns, self.pattern = np.unique(np.packbits(present, axis=1), axis=0, return_inverse=True)
        self.patterns = np.unpackbits(patterns, axis=1, count=X.shape[1]).astype(np.float64)
        self.pattern = self.pattern.ravel()
        self.observed = self.share @ self.present  # of each column

    def _posterior(self, model: LinearGaussian) -> tuple[np.ndarray, ...]:
        """Of each row: x - mean (n, D), h (n, K), m = P^-1 h (n, K), C = P^-1 (n, K, K) and ln det P (n,)."""
        expected = model.mean if model.slopes is None else model.mean + self.regressors @ model.slopes.T
        centred = self.present * (self.X - expected)
        h = centred @ (model.loadings / model.noise[:, None])
        D, K = model.loadings.shape  # K is 0 where regressors leave one column
        P = np.eye(K) + (self.patterns @ model.precisions().reshape(D, K * K)).reshape(len(self.patterns), K, K)
        C, log_det = np.linalg.inv(P)[self.pattern], np.linalg.slogdet(P)[1][self.pattern]
        return centred, h, np.einsum("nkl,nl->nk", C, h), C, log_det

    def log_likelihood(self, model: LinearGaussian) -> float:
        """Mean log-density of the observed cells of a row, in nats."""
        centred, h, m, _, log_det = self._posterior(model)
        cells = self.present @ np.log(2 * np.pi * model.noise) + np.square(centred) @ (1 / model.noise)
        return -0.5 * float(self.share @ (cells + log_det - np.sum(h * m, axis=1)))

    def em_step(self, model: LinearGaussian, tie_noise: Callable) -> LinearGaussian:
        """One EM step on the observed cells: every column is regressed on the latent codes of the rows that have it.

        Rubin & Thayer (1982); the mean is the coefficient of a component that is always one, the slopes are those of
        components that are observed.
        """
        _, _, m, C, _ = self._posterior(model)
        n, K = m.shape
        ones = np.concatenate([m, np.ones((n, 1)), self.regressors], axis=1)
        zz = ones[:, :, None] * ones[:, None, :]
        zz[:, :K, :K] += C
        weighted = self.share[:, None] * self.present
        S = (weighted.T @ zz.reshape(n, -1)).reshape(-1, *zz.shape[1:])
        S += 1e-12 * np.eye(zz.shape[1])  # a column that no row has stays at zero
        xz = (self.share[:, None] * self.X).T @ ones
        coefficients = np.linalg.solve(S, xz[..., None])[..., 0]
        left = self.share @ np.square(self.X) - np.sum(coefficients * xz, axis=1)
        noise = np.where(self.observed > 0, left / np.maximum(self.observed, 1e-300), 1.0)
        slopes = None if model.slopes is None else coefficients[:, K + 1 :]
        return LinearGaussian(coefficients[:, :K], tie_noise(noise), coefficients[:, K], slopes)


def probabilistic_pca(moments: SecondMoments, n_components: int, tie_noise: Callable, seed: int = 0) -> LinearGaussian:
    """W = U (L - sigma^2 I)^(1/2), sigma^2 the mean of the other eigenvalues (Tipping & Bishop 1999, eqs. 7 and 8)."""
    D = len(moments.diagonal)
    k = min(n_components, D - 1, moments.shape[0])
    values, vectors = moments.leading(k, seed) if k > 0 else (np.zeros(0), np.zeros((D, 0)))
    rest = max(moments.diagonal.sum() - values.sum(), 0.0) / (D - k)
    noise = tie_noise(np.full(D, rest))
    explained = values - (noise[0] if np.ptp(noise) == 0 else rest)
    fed = explained > 1e-9 * max(values[0], 1e-300) if k > 0 else np.zeros(0, bool)
    return LinearGaussian(vectors[:, fed] * np.sqrt(explained[fed]), noise)


def all_directions(moments: SecondMoments, n_components: int, tie_noise: Callable) -> LinearGaussian | None:
    """S = W W' + psi, exactly, with a two-hundredth of the smallest eigenvalue as the noise psi of each column.

    Of as many components as columns, models with any noise below that eigenvalue are equally likely. With little, q is
    nearly exact under every prior that varies less quickly, and not under N(0, I) alone. None where components are too
    few, or columns cannot have this noise.
    """
    D = len(moments.diagonal)
    if n_components < D or moments.matrix is None or moments.shape[0] <= D:
        return None
    values, vectors = moments.leading(D, 0)
    noise = tie_noise(np.full(D, _SHARP * values[-1]))
    explained = values - noise[0]
    if np.ptp(noise) > 0 or explained[-1] <= 0:
        return None
    return LinearGaussian(vectors * np.sqrt(explained), noise)


def factor_analysis(
    moments: SecondMoments,
    n_components: int,
    tie_noise: Callable,
    seed: int = 0,
    max_iter: int = 1000,
) -> LinearGaussian:
    """EM for W and psi from `unique_variances`, with the family's floor (Rubin & Thayer 1982).

    Where the noise of all columns is one, the pPCA solution stands.
    """
    model = probabilistic_pca(moments, n_components, tie_noise, seed)
    k = model.loadings.shape[1]
    if k == 0:
        return LinearGaussian(model.loadings, tie_noise(moments.diagonal))
    noise = tie_noise(np.maximum(model.noise, unique_variances(moments, k)))
    if np.ptp(noise) > 0:
        model = LinearGaussian(moments.loadings(noise, k), noise)
    return climb(model, moments, tie_noise, max_iter)


def unique_variances(moments: SecondMoments, k: int) -> np.ndarray:
    """(1 - k / (2 D)) / (S^-1)_dd, where EM begins (Joreskog 1967); 0 where S is too large to be formed.

    1 / (S^-1)_dd is what the other columns leave of a column, and the most that its noise can be. With nearly as many
    factors as columns, above all beyond Ledermann's bound (D - k)^2 >= D + k, models fit equally well with noise
    anywhere below, and EM ends near where it began. The noise of pPCA would be the mean of D - k eigenvalues, next to
    nothing in every column.
    """
    D = len(moments.diagonal)
    if moments.matrix is None:
        return np.zeros(D)
    values, vectors = scipy.linalg.eigh(moments.matrix)
    inverse = np.sum(np.square(vectors) / np.maximum(values, 1e-9 * max(values[-1], 1e-300)), axis=1)
    return (1 - k / (2 * D)) / inverse


def climb(
    model: LinearGaussian,
    rows: SecondMoments | ObservedCells,
    tie_noise: Callable,
    max_iter: int,
    tol: float = 1e-6,
    n_rows: np.ndarray | None = None,
) -> LinearGaussian:
    """EM steps on `SecondMoments` or `ObservedCells` until ten of them change the likelihood by less than `tol` nats.

    Without `n_rows` each step raises it: the floor is the constrained maximum of the M-step, whose terms are unimodal.

    Parameters
    ----------
    n_rows : ndarray (D,), optional
        How many rows have each column. The noise is then what `_unbiased` makes of that of maximum likelihood.
    """
    level = -np.inf
    for i in range(max_iter):
        model = rows.em_step(model, tie_noise if n_rows is None else partial(_unbiased, tie_noise, model, n_rows))
        if i % 10 == 9:
            previous, level = level, rows.log_likelihood(model)
            if abs(level - previous) < tol:
                break
    return model


def _unbiased(tie_noise: Callable, model: LinearGaussian, n: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Noise for predictions, psi n / (n - K - 1) + v / n, of that left by regressions on K codes and 1, of n rows each.

    The first term is the unbiased variance of a regression. The second is one row more, that has the variance v which
    the other columns leave: Akaike's (1987) prior of psi in this unit. A column that a factor takes for itself (a
    Heywood case) ends near v times the root of 1 / n, not at 0.
    """
    n_free = np.maximum(n - model.loadings.shape[1] - 1, n / 2)
    return tie_noise(noise * n / n_free + model.unexplained() / n)
