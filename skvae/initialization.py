"""Closed-form starts: probabilistic PCA or factor analysis put into the affine paths.

The linear model x = mean + W z + e, z ~ N(0, I), e ~ N(0, diag(psi)), has the posterior

    q(z | x) = N(P^-1 W' psi^-1 (x - mean), P^-1),   P = I + W' psi^-1 W.

W is rotated until W' psi^-1 W is diagonal, so a mean-field posterior is exact and the ELBO at the start *equals* the
log-likelihood of this model. Components that the table cannot feed have zero loadings: posterior = prior.
Columns of other families are standardised for the solution and then started by their own margins and slopes.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from sklearn.utils.extmath import randomized_svd
from torch.distributions import constraints

from ._random import torch_generator
from .rows import draw_positions, moments

__all__ = ["STARTS", "LinearGaussian", "exact_em", "factor_analysis", "probabilistic_pca", "start"]

STARTS = ("pca", "factor_analysis", "random")

_MAX_CELLS = 20_000_000  # the start sees at most this many cells: a random subset of the rows
_MAX_REGRESSED = 10_000
_EXACT_SIDE = 1024  # a smaller side of the table gets the exact solver, a larger one the randomised one


@dataclass
class LinearGaussian:
    """Loadings W (D, K) and noise variances psi (D,) of the linear model."""

    loadings: np.ndarray
    noise: np.ndarray

    def rotated(self):
        """The same model with W' psi^-1 W diagonal and decreasing, the largest loading of each component positive."""
        scaled = self.loadings / np.sqrt(self.noise)[:, None]
        _, _, rotation = np.linalg.svd(scaled, full_matrices=False)
        if len(rotation) == 0:
            return self
        loadings = self.loadings @ rotation.T
        largest = np.take_along_axis(loadings, np.abs(loadings).argmax(0)[None], axis=0)
        return LinearGaussian(np.where(largest < 0, -loadings, loadings), self.noise)

    def padded(self, n_components):
        """The same model with zero loadings up to K components."""
        missing = n_components - self.loadings.shape[1]
        return LinearGaussian(np.pad(self.loadings, ((0, 0), (0, missing))), self.noise)

    def posterior(self):
        """A (K, D) and C (K, K) of q(z | x) = N(A (x - mean), C)."""
        weighted = (self.loadings / self.noise[:, None]).T
        covariance = np.linalg.inv(np.eye(self.loadings.shape[1]) + weighted @ self.loadings)
        covariance = (covariance + covariance.T) / 2
        return covariance @ weighted, covariance

    def log_likelihood(self, moments):
        """Mean log N(x; mean, W W' + psi) per row, from the second moments, in nats (Tipping & Bishop 1999, eq. 4)."""
        weighted = (self.loadings / self.noise[:, None]).T
        precision = np.eye(self.loadings.shape[1]) + weighted @ self.loadings
        fit = np.sum(weighted @ moments.times(weighted.T) * np.linalg.inv(precision))
        log_det = np.log(self.noise).sum() + np.linalg.slogdet(precision)[1]
        return -0.5 * (len(self.noise) * np.log(2 * np.pi) + log_det + (moments.diagonal / self.noise).sum() - fit)


class SecondMoments:
    """S = sum_i w_i x_i x_i' / sum_i w_i of centred rows, formed only where it is small."""

    def __init__(self, X, weight):
        self.root = X * np.sqrt(weight / weight.sum())[:, None]
        self.diagonal = np.square(self.root).sum(0)
        n, D = X.shape
        self.matrix = self.root.T @ self.root if min(n, _EXACT_SIDE) >= D else None

    def times(self, M):
        """S M without forming S when it is large."""
        return self.matrix @ M if self.matrix is not None else self.root.T @ (self.root @ M)

    def leading(self, k, seed):
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


def probabilistic_pca(moments, n_components, tie_noise, seed=0):
    """W = U (L - sigma^2 I)^(1/2), sigma^2 the mean of the other eigenvalues (Tipping & Bishop 1999, eqs. 7 and 8)."""
    D = len(moments.diagonal)
    k = min(n_components, D - 1, len(moments.root))
    values, vectors = moments.leading(k, seed) if k > 0 else (np.zeros(0), np.zeros((D, 0)))
    rest = max(moments.diagonal.sum() - values.sum(), 0.0) / (D - k)
    noise = tie_noise(np.full(D, rest))
    explained = values - (noise[0] if np.ptp(noise) == 0 else rest)
    fed = explained > 1e-9 * max(values[0], 1e-300) if k > 0 else np.zeros(0, bool)
    return LinearGaussian(vectors[:, fed] * np.sqrt(explained[fed]), noise)


def factor_analysis(moments, n_components, tie_noise, seed=0, max_iter=1000, tol=1e-6):
    """EM for W and psi from the pPCA solution, with the family's floor (Rubin & Thayer 1982; Ghahramani & Hinton 1996).

    Each step raises the likelihood: the floor is the constrained maximum of the M-step, whose terms are unimodal.
    """
    model = probabilistic_pca(moments, n_components, tie_noise, seed)
    if model.loadings.shape[1] == 0:
        return LinearGaussian(model.loadings, tie_noise(moments.diagonal))
    level = -np.inf
    for i in range(max_iter):
        model = em_step(model, moments, tie_noise)
        if i % 10 == 9:
            previous, level = level, model.log_likelihood(moments)
            if level - previous < tol:
                break
    return model


def em_step(model, moments, tie_noise):
    """One EM step of factor analysis on the second moments."""
    projection, covariance = model.posterior()
    SA = moments.times(projection.T)  # E[x z'], (D, K)
    zz = covariance + projection @ SA  # E[z z'], (K, K)
    loadings = scipy.linalg.solve(zz, SA.T, assume_a="pos").T
    return LinearGaussian(loadings, tie_noise(moments.diagonal - np.sum(loadings * SA, axis=1)))


def start(model, columns, X, weight, init, seed):
    """Write the closed-form start for the rows X, in data units with NaN for missing, into `model`.

    With init="random" only the fill of missing cells is set: networks keep their random affine paths.

    Parameters
    ----------
    model : LatentVariableModel
    columns : Columns
    X : ndarray or CSR (n, D), sorted rows
    weight : ndarray (n,)
    init : {"pca", "factor_analysis", "random"}
    seed : int
        For the randomised solver of wide tables.
    """
    n_rows = max(1, _MAX_CELLS // X.shape[1])
    X, weight = columns.working_array(X[:n_rows]), weight[:n_rows]  # sorted by hash: the first are a random subset
    present = ~np.isnan(X)
    observed = weight @ present / weight.sum()
    mean, variance = moments(X, weight)
    unit = np.where(columns.has_units("standard"), 1.0, np.sqrt(np.clip(variance, 1e-4, None)))
    centred = np.where(present, X - mean, 0.0) / unit
    spread = variance / np.square(unit)  # of the observed cells; a whole unit for an empty column

    with torch.no_grad():
        if model.encoder:
            large = columns.has_units("scale") | (unit > 1)
            model.encoder.fill.copy_(torch.from_numpy(mean))
            model.encoder.center.copy_(torch.from_numpy(np.where(large, mean, 0.0)))
            model.encoder.unit.copy_(torch.from_numpy(np.where(large, unit, 1.0)))
        if init == "random":
            return
        second = SecondMoments(centred, weight)
        if init == "pca":
            solution = probabilistic_pca(second, model.n_components, columns.tie_noise, seed)
        else:
            max_iter = _affordable_em_steps(model, second)
            solution = factor_analysis(second, model.n_components, columns.tie_noise, seed, max_iter)
        # Cells filled with the mean have no variance: give it back to the noise.
        solution.noise = columns.tie_noise(solution.noise + (1 - observed) * spread)
        solution = solution.rotated().padded(model.n_components)
        resolution = _resolution(centred, weight)
        _write(model, solution, mean, unit, resolution)
        if model.posterior and not _is_normal(model):
            X = np.where(present, X, mean)
            _regress_on_codes(model, columns, X, weight, mean, resolution * np.square(unit), seed)


def exact_em(model, columns, X, weight):
    """Give a function of models: one EM step of the linear-Gaussian model on all rows, written into each of them.

    It returns the parts of an epoch: the loss is the exact negative log-likelihood after the step, which never rises.

    Parameters
    ----------
    model : LatentVariableModel
        Where the climb begins: its decoder's loadings and noise.
    columns : Columns
    X : ndarray (n, D)
        Rows in the model's units, NaN for missing, which counts as the column's mean.
    weight : ndarray (n,)
    """
    mean, _ = moments(X, weight)
    centred = np.where(np.isnan(X), 0.0, X - mean)
    second, unit, resolution = SecondMoments(centred, weight), np.ones(X.shape[1]), _resolution(centred, weight)
    with torch.no_grad():
        noise = model.decode(model.decoder.affine.bias.new_zeros(1, 1, model.width)).variance[0, 0]
        solution = LinearGaussian(*(a.cpu().double().numpy() for a in (model.decoder.affine.weight, noise)))

    @torch.no_grad()
    def step(models):
        nonlocal solution
        solution = em_step(solution, second, columns.tie_noise)
        for module in models:
            _write(module, solution.rotated().padded(model.n_components), mean, unit, resolution)
        return {"loss": -solution.log_likelihood(second)}

    return step


def _affordable_em_steps(model, second):
    """EM steps that cost about one epoch; on tables of up to 256 columns a thousand take half a second anyway."""
    n, D = second.root.shape
    if D <= 256:
        return 1000
    epoch = 6 * n * sum(p.numel() for p in model.parameters())
    step = 4 * D * model.n_components * (D if second.matrix is not None else n)
    return int(
        np.clip(epoch / step / 16, 20, 1000)
    )  # an EM step is bound by memory, some 16 times slower per operation


def _resolution(centred, weight):
    """var (k - 1) / (2 n), k the kurtosis: the squared standard error of each variance over 4 var; at most var / 2.

    n is the sum of the weights, but at least the number of distinct rows: normalised weights are no lack of evidence.
    """
    share = weight / weight.sum()
    variance, fourth = share @ np.square(centred), share @ np.square(np.square(centred))
    kurtosis = fourth / np.maximum(np.square(variance), 1e-300)
    return variance * np.clip((kurtosis - 1) / (2 * max(weight.sum(), len(weight))), 0.0, 0.5)


def _is_normal(model):
    """Whether codes live on the whole line, where the normal code of the linear solution is matched."""
    q = model.posterior(torch.zeros(1, model.posterior.n_raw))
    return q.support in (constraints.real, constraints.real_vector)


def _regress_on_codes(model, columns, X, weight, mean, resolution, seed):
    """Decoder of the regression of rows X (n, D) on draws of their codes, with what it leaves as noise.

    Codes on a part of the line, or classes, imitate normal ones badly; without this the noise of the linear model, far
    too small for what they explain, would cost tens of nats.
    """
    rows = draw_positions(weight, min(len(X), _MAX_REGRESSED), np.random.default_rng(seed))
    X = X[rows]
    u = torch.randn(1, len(X), model.n_noise, generator=torch_generator("cpu", seed, 1))
    z = model.posterior.push(model.encode(torch.from_numpy(X).float()), u)[0].double().numpy()
    center, scale = z.mean(0), np.maximum(z.std(0), 1e-3)
    z = (z - center) / scale
    loadings = np.linalg.solve(z.T @ z + 1e-3 * len(z) * np.eye(z.shape[1]), z.T @ (X - mean)).T
    noise = np.square(X - mean - z @ loadings.T).mean(0)
    weight, bias = model.likelihood.start(mean, loadings, columns.tie_noise(noise), resolution)
    model.decoder.affine.weight.copy_(weight / torch.from_numpy(scale))
    model.decoder.affine.bias.copy_(bias - weight @ torch.from_numpy(center / scale))


def _write(model, solution, mean, unit, resolution):
    """Put the linear model into the affine paths and silence nothing else: the nets end in zeros already."""
    projection, covariance = solution.posterior()
    projection = projection / unit  # of x - mean; the encoder sees (x - center) / size
    basis, offset = np.eye(model.n_components), np.zeros(model.n_components)
    if model.encoder:
        center, size = (buffer.cpu().double().numpy() for buffer in (model.encoder.center, model.encoder.unit))
        weight, bias, basis, offset = model.posterior.start(projection @ (center - mean), projection * size, covariance)
        model.encoder.affine.weight.copy_(torch.from_numpy(weight))
        model.encoder.affine.bias.copy_(torch.from_numpy(bias))
    noise, resolution = solution.noise * np.square(unit), resolution * np.square(unit)
    weight, bias = model.likelihood.start(mean, solution.loadings * unit[:, None], noise, resolution)
    model.decoder.affine.weight.copy_(weight @ torch.from_numpy(basis))
    model.decoder.affine.bias.copy_(bias + weight @ torch.from_numpy(offset))
