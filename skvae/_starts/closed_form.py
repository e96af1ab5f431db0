"""Closed-form initialisation: probabilistic PCA, factor analysis or what lies between, put into the linear paths.

W is rotated until W' psi^-1 W is diagonal, so a mean-field posterior is exact and the ELBO *equals* at first the
log-likelihood of the linear-Gaussian model. Components beyond the rank of the table have zero loadings: posterior =
prior. Where values are missing, EM runs on the observed ones, and the encoder conditions on them.

Columns of other families are standardised for the solution and then initialised by their own margins and slopes. A
category of C levels stands in it as C indicators, [x = c] / sqrt(p_c): so it has C - 1 directions of variance one, the
weight that multiple correspondence analysis and factor analysis of mixed data give it (Pages 2004).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.distributions import constraints

from .._tables.columns import Columns
from .._tables.missing import has_missing
from .._tables.moments import column_sums, moments
from .._tables.sampling import draw_positions
from .._tables.selection import RowSelection
from .._utils.random import torch_generator
from ..model import LatentVariableModel
from .indicators import indicators, information_noise, per_indicator, smoothed, sums, tied_noise
from .linear_gaussian import LinearGaussian, ObservedCells, SecondMoments, climb, factor_analysis, probabilistic_pca

__all__ = ["INITS", "RACE", "EMSteps", "start"]

INITS = ("pca", "early_factor_analysis", "factor_analysis", "random")
#: What init="auto" chooses from, the first one where they tie. Factor analysis to the end is not in it: it drives the
#: noise of single columns to the floor, and nets initialised there generalise worse (docs/benchmarks.md).
RACE = ("pca", "early_factor_analysis")

_MAX_CELLS = 20_000_000  # the initialisation sees at most this many cells: a random subset of the rows
_MAX_INDICATORS = 5_000_000  # fewer where categories widen the table
_MAX_POSTERIORS = 20_000_000  # numbers in the posterior moments of rows with missing values
_EARLY_STEPS = 10  # of EM, after which factor analysis has most of its likelihood and directions still near PCA's
_EM_OPERATIONS = 5e9  # that EM on rows with missing values may take
_MAX_REGRESSED = 10_000
_RAREST = 0.02  # a rarer level is not blown up to unit variance: a handful of rows would make a component


def start(
    model: LatentVariableModel, columns: Columns, X: RowSelection, weight: np.ndarray, init: str, seed: int
) -> None:
    """Write the closed-form initialisation for the rows X, in data space with NaN for missing, into `model`.

    With init="random" only the fill of missing cells is set: networks keep their random linear paths.

    Parameters
    ----------
    model : LatentVariableModel
    columns : Columns
    X : RowSelection (n, D)
        In a random order.
    weight : ndarray (n,)
    init : {"pca", "early_factor_analysis", "factor_analysis", "random"}
    seed : int
        For the randomised solver of wide tables.
    """
    n_indicators = int(columns.n_levels.sum())
    n_rows = max(1, (_MAX_CELLS if n_indicators == X.shape[1] else _MAX_INDICATORS) // n_indicators)
    X, weight = X[:n_rows].mapped(columns.working_array), weight[:n_rows]
    widened = X.mapped(partial(indicators, columns), n_indicators)
    mean, variance = moments(widened, weight)
    mean = smoothed(columns, mean, max(weight.sum(), len(weight)))
    unit = _divisors(columns, mean, variance)
    centred = widened.mapped(lambda rows: (rows - mean) / unit)

    with torch.no_grad():
        _set_encoder_units(model, columns, mean, unit)
        if init == "random":
            return
        solution = _solve(model, columns, centred, weight, init, seed)
        resolution = _resolution(centred, weight)
        _write(model, columns, solution, mean, unit, resolution)
        if model.posterior and not _is_normal(model):
            _regress_on_codes(model, columns, X, weight, mean, resolution * np.square(unit), seed)


def _divisors(columns: Columns, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """What every indicator is divided by for the linear solution, (D',)."""
    unit = np.where(per_indicator(columns, columns.has_units("standard")), 1.0, np.sqrt(np.clip(variance, 1e-4, None)))
    return np.where(per_indicator(columns, columns.is_number), unit, np.sqrt(np.clip(mean, _RAREST, None)))


def _set_encoder_units(model: LatentVariableModel, columns: Columns, mean: np.ndarray, unit: np.ndarray) -> None:
    """Fill missing numbers with the mean; shift and divide those that are large."""
    encoder: Any = model.encoder  # its buffers are of no declared type
    if not encoder:
        return
    numbers = per_indicator(columns, columns.is_number)
    mean, unit = mean[numbers], unit[numbers]
    large = columns.has_units("scale")[columns.is_number] | (unit > 1)
    encoder.fill.copy_(torch.from_numpy(mean))
    encoder.center.copy_(torch.from_numpy(np.where(large, mean, 0.0)))
    encoder.unit.copy_(torch.from_numpy(np.where(large, unit, 1.0)))


def _solve(
    model: LatentVariableModel, columns: Columns, centred: RowSelection, weight: np.ndarray, init: str, seed: int
) -> LinearGaussian:
    """The linear-Gaussian solution for indicators (n, D') with NaN for missing."""
    n_components, tie_noise = model.n_components, partial(tied_noise, columns)
    second = SecondMoments(centred.mapped(np.nan_to_num), weight)
    if init == "factor_analysis":
        max_iter = _affordable_em_steps(model, second)
        solution = factor_analysis(second, n_components, tie_noise, seed, max_iter)
    else:
        solution = probabilistic_pca(second, n_components, tie_noise, seed)
    rows: SecondMoments | ObservedCells = second
    if solution.loadings.shape[1] == 0:
        return solution
    if has_missing(centred):
        n_rows = max(1, _MAX_POSTERIORS // (n_components + 1) ** 2)
        rows = observed = ObservedCells(centred.take(slice(n_rows)), weight[:n_rows])

        def one_noise(noise: np.ndarray) -> np.ndarray:  # the mean over the observed cells, for all columns
            return tie_noise(np.full_like(noise, np.average(noise, weights=observed.observed)))

        tie = tie_noise if init == "factor_analysis" else one_noise
        max_iter = int(np.clip(_EM_OPERATIONS / (4 * observed.X.size * (n_components + 1) ** 2), 20, 1000))
        solution = climb(solution, rows, tie, max_iter, tol=1e-5)
    return climb(solution, rows, tie_noise, _EARLY_STEPS) if init == "early_factor_analysis" else solution


class EMSteps:
    """EM of the linear-Gaussian model in closed form, on all rows at once, step by step.

    Parameters
    ----------
    model : LatentVariableModel
        Where the climb begins: its decoder's loadings, mean and noise.
    columns : Columns
    X : RowSelection (n, D)
        Rows in model space, NaN for missing.
    weight : ndarray (n,)
    """

    def __init__(self, model: LatentVariableModel, columns: Columns, X: RowSelection, weight: np.ndarray) -> None:
        self.columns = columns
        self.mean, _ = moments(X, weight)
        centred = X.mapped(lambda rows: rows - self.mean)
        self.resolution = _resolution(centred, weight)
        some_missing = has_missing(centred)
        self.rows: SecondMoments | ObservedCells = (
            ObservedCells(centred.take(), weight) if some_missing else SecondMoments(centred, weight)
        )
        with torch.no_grad():
            affine = model.decoder.affine
            variance = model.decode(affine.bias.new_zeros(1, 1, model.width)).variance[0, 0]
            loadings, noise, bias = (a.cpu().double().numpy() for a in (affine.weight, variance, affine.bias))
            self.solution = LinearGaussian(loadings, noise, bias - self.mean if some_missing else 0.0)

    @torch.no_grad()
    def __call__(self, models: Iterable[LatentVariableModel]) -> dict[str, float]:
        """One step, written into each model; the loss is the exact negative log-likelihood, which never rises."""
        self.solution = self.rows.em_step(self.solution, partial(tied_noise, self.columns))
        for module in models:
            _write(module, self.columns, self.solution, self.mean, np.ones(len(self.mean)), self.resolution)
        return {"loss": -self.rows.log_likelihood(self.solution)}


def _affordable_em_steps(model: LatentVariableModel, second: SecondMoments) -> int:
    """EM steps that cost about one epoch; on tables of up to 256 columns a thousand take half a second anyway."""
    n, D = second.shape
    if D <= 256:
        return 1000
    epoch = 6 * n * sum(p.numel() for p in model.parameters())
    step = 4 * D * model.n_components * (D if second.matrix is not None else n)
    # An EM step is bound by memory, some 16 times slower per operation.
    return int(np.clip(epoch / step / 16, 20, 1000))


def _resolution(centred: RowSelection, weight: np.ndarray) -> np.ndarray:
    """var (k - 1) / (2 n), k the kurtosis: the squared standard error of each variance over 4 var; at most var / 2.

    n is the sum of the weights, but at least the number of distinct rows: normalised weights are no lack of evidence.
    """
    variance, fourth = column_sums(centred, weight / weight.sum(), _square_and_fourth_power)
    kurtosis = fourth / np.maximum(np.square(variance), 1e-300)
    return variance * np.clip((kurtosis - 1) / (2 * max(weight.sum(), len(weight))), 0.0, 0.5)


def _square_and_fourth_power(cells: np.ndarray, columns: Any) -> tuple[np.ndarray, np.ndarray]:
    squares = np.square(np.nan_to_num(cells))
    return squares, np.square(squares)


def _is_normal(model: LatentVariableModel) -> bool:
    """Whether latent codes live on the whole line, where the normal code of the linear solution is matched."""
    q = model.posterior(torch.zeros(1, model.posterior.n_raw))
    return q.support in (constraints.real, constraints.real_vector)


def _regress_on_codes(
    model: LatentVariableModel,
    columns: Columns,
    X: RowSelection,
    weight: np.ndarray,
    mean: np.ndarray,
    resolution: np.ndarray,
    seed: int,
) -> None:
    """Write the regression of rows X on draws of their latent codes into the decoder, with its residuals as noise.

    Codes on a part of the line, or classes, imitate normal ones badly; without this the noise of the linear model, far
    too small for what they explain, would cost tens of nats.
    """
    rows = draw_positions(weight, min(len(X), _MAX_REGRESSED), np.random.default_rng(seed))
    working = X.take(rows)
    x, mask = columns.filled(torch.from_numpy(working))
    u = torch.randn(1, len(x), model.n_noise, generator=torch_generator("cpu", seed, 1))
    z = model.posterior.push(model.encode(x.float(), mask), u)[0].double().numpy()
    widened = indicators(columns, working)
    widened = np.where(np.isnan(widened), mean, widened)
    center, scale = z.mean(0), np.maximum(z.std(0), 1e-3)
    z = (z - center) / scale
    loadings = np.linalg.solve(z.T @ z + 1e-3 * len(z) * np.eye(z.shape[1]), z.T @ (widened - mean)).T
    noise = np.square(widened - mean - z @ loadings.T).mean(0)
    slope, bias = model.likelihood.start(mean, loadings, tied_noise(columns, noise), resolution)
    model.decoder.affine.weight.copy_(slope / torch.from_numpy(scale))
    model.decoder.affine.bias.copy_(bias - slope @ torch.from_numpy(center / scale))


def _write(
    model: LatentVariableModel,
    columns: Columns,
    solution: LinearGaussian,
    mean: np.ndarray,
    unit: np.ndarray,
    resolution: np.ndarray,
) -> None:
    """Put the linear model into the linear paths and silence nothing else: the nets end in zeros already.

    The decoder has the noise of the solution, the encoder the noise that fits what its columns say about z; for
    Gaussian columns that is the same.
    """
    mean = mean + solution.mean * unit
    informative = information_noise(columns, mean, solution.noise * np.square(unit)) / np.square(unit)
    solution = solution.rotated(informative).padded(model.n_components)
    inference = replace(solution, noise=informative)
    projection, covariance = inference.posterior()
    projection = projection / unit
    basis, offset = np.eye(model.n_components), np.zeros(model.n_components)
    encoder: Any = model.encoder
    if encoder:
        basis, offset = _write_encoder(model, columns, projection, covariance, mean)
        precision = sums(columns, inference.precisions())
        encoder.precision.copy_(torch.from_numpy(precision))
    noise, resolution = solution.noise * np.square(unit), resolution * np.square(unit)
    weight, bias = model.likelihood.start(mean, solution.loadings * unit[:, None], noise, resolution)
    model.decoder.affine.weight.copy_(weight @ torch.from_numpy(basis))
    model.decoder.affine.bias.copy_(bias + weight @ torch.from_numpy(offset))


def _write_encoder(
    model: LatentVariableModel, columns: Columns, projection: np.ndarray, covariance: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The code N(projection (x - mean), covariance): x are numbers, shifted and divided, and indicators."""
    encoder: Any = model.encoder
    numbers = per_indicator(columns, columns.is_number)
    encoder.fill.copy_(torch.from_numpy(mean[numbers]))
    center, size = (buffer.cpu().double().numpy() for buffer in (encoder.center, encoder.unit))
    projection = projection.copy()
    projection[:, numbers] *= size
    constant = projection[:, numbers] @ ((center - mean[numbers]) / size)
    weight, bias, basis, offset = model.posterior.start(constant, projection, covariance)
    encoder.affine.weight.copy_(torch.from_numpy(weight[:, numbers]))
    encoder.affine.bias.copy_(torch.from_numpy(bias))
    if not columns.is_number.all():
        # An average row adds nothing, and a missing category is one.
        average = sums(columns, (weight * mean).T)[~columns.is_number]
        owner = np.repeat(np.arange(len(average)), columns.n_levels[~columns.is_number])
        encoder.table[:-1].copy_(torch.from_numpy(weight[:, ~numbers].T - average[owner]))
        encoder.table[-1].zero_()
    return basis, offset
