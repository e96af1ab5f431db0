"""Closed-form initialisation: probabilistic PCA, factor analysis or what lies between, put into the linear paths.

W is rotated until W' psi^-1 W is diagonal, so a mean-field posterior is exact and the ELBO *equals* at first the
log-likelihood of the linear-Gaussian model. Components beyond the rank of the table have zero loadings: posterior =
prior. Where values are missing, EM runs on the observed ones, and the encoder conditions on them.

Columns of other families are standardised for the solution and then initialised by their own margins and slopes. A
category of C levels stands in it as C indicators, [x = c] / sqrt(p_c): so it has C - 1 directions of variance one, the
weight that multiple correspondence analysis and factor analysis of mixed data give it (Pages 2004).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.distributions import constraints

from .._tables.columns import Columns
from .._tables.missing import has_missing
from .._tables.moments import moments
from .._tables.sampling import draw_positions
from .._tables.selection import RowSelection
from .._utils.random import torch_generator
from ..model import LatentVariableModel
from .classes import has_classes, write_classes
from .encoder import set_encoder_units, write_encoder, write_expectations
from .indicators import (
    Varying,
    deviations,
    indicators,
    information_noise,
    per_indicator,
    sums,
    tied_noise,
)
from .linear_gaussian import (
    LinearGaussian,
    ObservedCells,
    SecondMoments,
    all_directions,
    climb,
    factor_analysis,
    probabilistic_pca,
)
from .matched import AS_SOLVED, Adjusted, match
from .regression import Regressors, cross_moments, fitted_log_scales
from .standardized import Standardized, least_variance

__all__ = ["INITS", "RACE", "EMSteps", "start"]

INITS = ("pca", "early_factor_analysis", "factor_analysis", "random")
#: What init="auto" chooses from, the first one where they tie. Factor analysis to the end is not in it: it drives the
#: noise of single columns to the floor, and nets initialised there generalise worse (docs/benchmarks.md).
RACE = ("pca", "early_factor_analysis")

_MAX_POSTERIORS = 20_000_000  # numbers in the posterior moments of rows with missing values
_EARLY_STEPS = 10  # of EM, after which factor analysis has most of its likelihood and directions still near PCA's
_TOL, _TOL_OF_SLOPES = 1e-5, 1e-9  # nats in ten steps of it: of slopes in conditions, the fixed point is asked for
_EM_OPERATIONS = 5e9  # that EM on rows with missing values may take
_MAX_REGRESSED = 10_000


def start(model: LatentVariableModel, rows: Standardized, init: str, seed: int, seeks_groups: bool = False) -> None:
    """Write the closed-form initialisation for the rows of a table into `model`.

    With init="random" only the fill of missing cells is set: networks keep their random linear paths.

    Parameters
    ----------
    model : LatentVariableModel
    rows : Standardized
        In a random order.
    init : {"pca", "early_factor_analysis", "factor_analysis", "random"}
    seed : int
        For the randomised solver of wide tables.
    seeks_groups : bool, default=False
        Whether normal codes with as many components as columns take all of them, and leave the columns little noise,
        and one categorical variable begins at clusters.
    """
    columns, X, weight, mean, unit = rows.columns, rows.X, rows.weight, rows.mean, rows.unit
    with torch.no_grad():
        set_encoder_units(model, columns, mean, unit)
        regressors = Regressors(model, X, weight)
        if init == "random":
            return
        solved = partial(_solved, model, rows, init=init, seed=seed, seeks_groups=seeks_groups)
        solution = rows.varying.placed(_solve(model, rows, regressors, solved))
        resolution, shares = rows.resolution, rows.shares
        write = partial(_write, model, columns, solution, regressors, mean, unit, resolution, shares)
        write()
        if model.posterior and _is_normal(model):
            match(model, columns, X, weight, write, seed)
        elif model.posterior:
            if seeks_groups and has_classes(model):
                write_classes(model, columns, rows.centred, weight, mean, unit, seed)
            _regress_on_codes(model, columns, X, regressors, weight, mean, resolution * np.square(unit), shares, seed)


def _solve(
    model: LatentVariableModel, rows: Standardized, regressors: Regressors, solved: Callable[..., LinearGaussian]
) -> LinearGaussian:
    """The linear-Gaussian solution for indicators (n, D') with NaN for missing, and regressors (n, R)."""
    varying, centred, weight = rows.varying, rows.moving, rows.weight
    if not regressors.n:
        return solved(centred, None, None)
    known = regressors.of(rows.X)
    slopes = cross_moments(centred, known, weight)
    solution = solved(centred, known, slopes)
    scaled = varying.taken(model.likelihood.scaled[0])
    if not scaled.any():
        return solution
    left = _deviations(centred, known, solution.mean, solution.slopes)
    log_scales = fitted_log_scales(left, known, weight, regressors.of_levels()) * scaled[:, None]
    left = _deviations(centred, known, solution.mean, solution.slopes, log_scales)
    again = solved(left, None, None)
    return replace(again, mean=solution.mean + again.mean, slopes=solution.slopes, log_scales=log_scales)


def _solved(
    model: LatentVariableModel,
    rows: Standardized,
    centred: RowSelection,
    known: RowSelection | None,
    slopes: np.ndarray | None,
    init: str,
    seed: int,
    seeks_groups: bool,
) -> LinearGaussian:
    """The solution for `centred`, which are `rows.moving` or deviations of them: of residuals where slopes are known.

    These are (D', R), in R regressors.
    """
    n_components, R = model.n_components, 0 if known is None else known.shape[1]
    weight, tie_noise = rows.weight, rows.varying.tied_noise
    if centred.shape[1] == 0:
        return LinearGaussian(np.zeros((0, 0)), np.zeros(0), slopes=slopes)
    residuals = centred if known is None else _deviations(centred, known, 0.0, slopes)
    second = rows.second if residuals is rows.moving else SecondMoments(residuals.mapped(np.nan_to_num), weight)
    sharp = all_directions(second, n_components, tie_noise) if seeks_groups and not rows.has_missing else None
    if sharp is not None:
        return replace(sharp, slopes=slopes)
    if init == "factor_analysis":
        max_iter = _affordable_em_steps(model, second)
        solution = factor_analysis(second, n_components, tie_noise, seed, max_iter)
    else:
        solution = probabilistic_pca(second, n_components, tie_noise, seed)
    solution = replace(solution, slopes=slopes)
    moments: SecondMoments | ObservedCells = second
    if solution.loadings.shape[1] == 0 and known is None:
        return solution
    if rows.has_missing:
        n_rows = max(1, _MAX_POSTERIORS // (n_components + 1 + R) ** 2)
        first = slice(n_rows)
        seen = None if known is None else known.take(first)
        cells = rows.first_moving(n_rows) if centred is rows.moving else centred.take(first)
        moments = observed = ObservedCells(cells, weight[first], seen)
        solution = _given_observed(solution, observed, weight[first], tie_noise, init == "factor_analysis")
    if init == "early_factor_analysis" and solution.loadings.shape[1]:
        climbed = climb(solution, moments, tie_noise, _EARLY_STEPS)
        return climbed if climbed.slopes is not None else replace(climbed, slopes=solution.slopes)
    return solution


def _deviations(
    centred: RowSelection,
    known: RowSelection,
    mean: np.ndarray | float,
    slopes: np.ndarray | None,
    log_scales: np.ndarray | None = None,
) -> RowSelection:
    """What regressors (n, R) leave of indicators (n, D'), in their scales; both are maps of the same rows."""
    read, regressors = centred.function, known.function
    assert read is not None
    assert regressors is not None
    assert slopes is not None

    def deviations(rows: Any) -> np.ndarray:
        r = regressors(rows)
        left = read(rows) - mean - r @ slopes.T
        return left if log_scales is None else left * np.exp(-r @ log_scales.T)

    return RowSelection(centred.table, centred.index, deviations, centred.shape[1])


def _given_observed(
    solution: LinearGaussian, observed: ObservedCells, weight: np.ndarray, tie_noise: Callable, is_full: bool
) -> LinearGaussian:
    """EM on the observed cells; noise is one for all columns, their mean, unless it is to be factor analysis."""
    n, K, R = observed.X.shape[0], solution.loadings.shape[1], observed.regressors.shape[1]
    max_iter = int(np.clip(_EM_OPERATIONS / (4 * observed.X.size * (K + 1 + R) ** 2), 20, 1000))
    tol = _TOL_OF_SLOPES if R else _TOL
    if is_full:
        n_rows = np.maximum(max(weight.sum(), n) * observed.observed, 1.0)
        return climb(solution, observed, tie_noise, max_iter, tol, n_rows)

    def one_noise(noise: np.ndarray) -> np.ndarray:
        return tie_noise(np.full_like(noise, np.average(noise, weights=observed.observed)))

    return climb(solution, observed, one_noise, max_iter, tol)


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
        self.columns, self.varying = columns, Varying(columns)
        self.regressors = Regressors(model, X, weight)
        self.mean, _ = moments(X, weight)
        centred = X.mapped(lambda rows: rows - self.mean)
        self.resolution = least_variance(centred, weight)
        centred = self.varying.of(centred)
        some_missing = has_missing(centred)
        self.rows: SecondMoments | ObservedCells = (
            ObservedCells(centred.take(), weight) if some_missing else SecondMoments(centred, weight)
        )
        with torch.no_grad():
            affine = model.decoder.affine
            variance = model.decode(affine.bias.new_zeros(1, 1, model.width)).variance[0, 0]
            place = model.likelihood.order.argsort()  # of each column among the decoder's numbers
            found = affine.weight[place], variance, affine.bias[place]
            loadings, noise, bias = (a.cpu().double().numpy() for a in found)
            solution = LinearGaussian(loadings, noise, bias - self.mean if some_missing else 0.0)
            self.solution = self.varying.taken_from(solution)

    @torch.no_grad()
    def __call__(self, models: Iterable[LatentVariableModel]) -> dict[str, float]:
        """One step, written into each model; the loss is the exact negative log-likelihood, which never rises."""
        self.solution = self.rows.em_step(self.solution, self.varying.tied_noise)
        solution = self.varying.placed(self.solution)
        for module in models:
            ones = np.ones(len(self.mean))
            _write(module, self.columns, solution, self.regressors, self.mean, ones, self.resolution, {})
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


def _is_normal(model: LatentVariableModel) -> bool:
    """Whether latent codes live on the whole line, where the normal code of the linear solution is matched."""
    q = model.posterior(torch.zeros(1, model.posterior.n_raw))
    return q.support in (constraints.real, constraints.real_vector)


def _regress_on_codes(
    model: LatentVariableModel,
    columns: Columns,
    X: RowSelection,
    regressors: Regressors,
    weight: np.ndarray,
    mean: np.ndarray,
    resolution: np.ndarray,
    shares: dict[int, np.ndarray],
    seed: int,
) -> None:
    """Write the regression of rows X on draws of their codes and on conditions into the decoder, residuals as noise.

    Codes on a part of the line, or classes, imitate normal ones badly; without this the noise of the linear model, far
    too small for what they explain, would cost tens of nats.
    """
    rows = draw_positions(weight, min(len(X), _MAX_REGRESSED), np.random.default_rng(seed))
    working = X.take(rows)
    x, mask = columns.filled(torch.from_numpy(working))
    u = torch.randn(1, len(x), model.n_noise, generator=torch_generator("cpu", seed, 1))
    z = model.posterior.push(model.encode(x.float(), mask), u)[0].double().numpy()
    left = np.nan_to_num(deviations(columns, indicators(columns, working), mean))
    center, scale = z.mean(0), np.maximum(z.std(0), 1e-3)
    z = np.concatenate([(z - center) / scale, regressors.of(X).take(rows)], 1)
    loadings = np.linalg.solve(z.T @ z + 1e-3 * len(z) * np.eye(z.shape[1]), z.T @ left).T
    noise = np.square(left - z @ loadings.T).mean(0)
    slope, bias = model.likelihood.start(mean, loadings, tied_noise(columns, noise), resolution, shares)
    K = len(scale)
    bias = bias - slope[:, :K] @ torch.from_numpy(center / scale)
    slope[:, :K] /= torch.from_numpy(scale)
    _write_decoder(model, slope, bias, regressors, np.eye(K), np.zeros(K))


def _write_decoder(
    model: LatentVariableModel,
    weight: torch.Tensor,
    bias: torch.Tensor,
    regressors: Regressors,
    basis: np.ndarray,
    offset: np.ndarray,
) -> None:
    """Put raw numbers that are affine in t = basis z + offset and in regressors r (R, K' + R) into the linear path."""
    K = len(offset)
    of_codes, of_conditions = weight[:, :K], weight[:, K:] @ torch.from_numpy(regressors.T.T)
    model.decoder.affine.weight.copy_(torch.cat([of_codes @ torch.from_numpy(basis), of_conditions], 1))
    model.decoder.affine.bias.copy_(bias + of_codes @ torch.from_numpy(offset))


def _write(
    model: LatentVariableModel,
    columns: Columns,
    solution: LinearGaussian,
    regressors: Regressors,
    mean: np.ndarray,
    unit: np.ndarray,
    resolution: np.ndarray,
    shares: dict[int, np.ndarray],
    adjusted: Adjusted = AS_SOLVED,
) -> None:
    """Put the linear model into the linear paths and silence nothing else: the nets end in zeros already.

    The decoder has the noise of the solution, the encoder the noise that fits what its columns say about z; for
    Gaussian columns that is the same.
    """
    # Where cells are missing EM moves the means; those of shares and amounts might leave their range, and stay.
    on_line = per_indicator(columns, columns.has_units("standard"))
    mean = mean + np.where(on_line, solution.mean * unit, 0.0)
    informative = information_noise(columns, mean, solution.noise * np.square(unit)) / np.square(unit)
    solution = solution.rotated(informative).padded(model.n_components)
    inference = replace(solution, noise=informative * _each(columns, adjusted.doubts))
    projection, covariance = inference.posterior()
    projection = projection / unit
    basis, offset = np.eye(model.n_components), np.zeros(model.n_components)
    encoder: Any = model.encoder
    if encoder:
        basis, offset = write_encoder(model, columns, projection, covariance, mean, model.posterior.start)
        precision = sums(columns, inference.precisions())
        encoder.precision.copy_(torch.from_numpy(precision))
        write_expectations(model, columns, solution, regressors, unit)
    loadings = solution.loadings
    if solution.slopes is not None:
        loadings = np.concatenate([loadings, solution.slopes], 1)
    kept, resolution = _each(columns, adjusted.slopes)[:, None] * loadings, resolution * np.square(unit)
    left = np.square(loadings).sum(1) - np.square(kept).sum(1)
    noise = (solution.noise + left) * np.square(unit)
    mean = mean + np.where(on_line, _each(columns, adjusted.shifts) * np.sqrt(noise), 0.0)
    noise = noise * _each(columns, adjusted.spreads)
    weight, bias = model.likelihood.start(mean, kept * unit[:, None], noise, resolution, shares)
    _write_decoder(model, weight, bias, regressors, basis, offset)
    if solution.log_scales is not None:
        first = per_indicator(columns, np.arange(len(columns.families))).searchsorted(model.likelihood.scaled[0])
        model.decoder.log_scale.copy_(torch.from_numpy(solution.log_scales[first] @ regressors.T.T))


def _each(columns: Columns, values: np.ndarray | float) -> np.ndarray:
    """A number, or one for each column, as one for each indicator, (D',)."""
    return per_indicator(columns, np.broadcast_to(values, len(columns.families)))
