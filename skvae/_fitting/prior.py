r"""The prior fitted to the codes of a trained model: a mixture of normals, where it surely beats N(0, I).

Codes that nothing has drawn to a prior have the one that the user names fitted to them, a mixture or a flow.

For q given, the bound E_q ln p(x|z) + E_q ln p(z) - E_q ln q is raised in p(z) by the mixture that draws of q ask for:
the M step of variational EM for the prior (Tomczak & Welling 2018, section 3; Ghosh et al. 2020 for codes without a
prior). Two priors differ in the bound by E_q ln p(z) alone, so that rows of draws compare them.
"""

import copy
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from .._inference.fitted import PRIOR_STREAM, Fitted
from .._inference.reading import over_chunks
from .._inference.row_noise import own_noise
from .._utils.arrays import on_host
from .._utils.random import exclusive
from ..distributions.normal_mixtures import COVARIANCES, FittedNormals, clusters, fit_normals
from ..model import LatentVariableModel
from ..priors.base import Prior
from ..priors.fixed import StandardNormal
from ..priors.learned import NormalMixture
from .comparison import surely_higher
from .plan import MIN_ROWS_FOR_VALIDATION, Plan
from .prepare import Prepared, RowsAndWeights

__all__ = ["Codes", "choose_normals", "standard_normal", "with_fitted_prior"]

MEMBERS = 1, 3, 7, 15, 31  # beside the broad one
MIN_ROWS_FOR_HOLD_OUT = 1000  # distinct rows; with fewer, every row is held out once
N_FOLDS = 5
MIN_ROWS_PER_MEMBER = 5  # with fewer no mixture is worth a trial
MAX_ROWS, MAX_CODES, MAX_DRAWS = 4000, 2000, 8  # rows, draws of few rows, draws of one row
N_STEPS, TOL = 20, 2e-3  # of EM, for which a mixture that is compared is good enough
BREADTH = 3.0  # of the broad member beside the others, in standard deviations of all codes
BORROWED = 5.0  # codes' worth of all members' variance that each one borrows; K more for a covariance


@dataclass(frozen=True, eq=False)
class Codes:
    """Draws z (n, S, K) of the posteriors of rows, and the rows' weights (n,)."""

    z: np.ndarray
    weight: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Codes":
        return Codes(self.z[rows], self.weight[rows])

    def fit(self, covariance: str, n_members: int, seed: int) -> FittedNormals:
        """Fit a mixture to them; draws of one row together weigh as much as the row."""
        n, S, K = self.z.shape
        z, weight = self.z.reshape(n * S, K), np.repeat(self.weight * max(1.0, n / self.weight.sum()) / S, S)
        strength = BORROWED + (K if covariance == "full" else 0)
        member = clusters(z, weight, n_members, seed)
        return fit_normals(z, weight, member, covariance, strength, N_STEPS, TOL, BREADTH)

    def log_prob(self, p: FittedNormals) -> np.ndarray:
        """mean_s ln p(z_s) of each row, (n,)."""
        n, S, K = self.z.shape
        return p.log_prob(self.z.reshape(n * S, K)).reshape(n, S).mean(1)


def with_fitted_prior(
    plan: Plan,
    prepared: Prepared,
    fitted: Fitted,
    train: RowsAndWeights,
    valid: RowsAndWeights | None,
    earlier: Fitted | None,
) -> Fitted:
    """Fit a prior to the codes of a described model, and give the model with it where it has surely won.

    It is for ``prior="auto"`` that means N(0, I), trained nets and a bound: linear models keep N(0, I), under which
    they are exact, and `partial_fit` keeps what it finds. Codes of an objective without a prior, for which N(0, I) is
    no candidate, always have a mixture, or the prior that is named.

    It is chosen on held-out rows; with fewer than 1000 distinct rows, or none held out, by five-fold cross-fitting.
    With fewer than 100 distinct rows N(0, I) stays. The order of rows that are sorted by content does not matter, and
    their draws depend on their content alone.

    Parameters
    ----------
    plan : Plan
    prepared : Prepared
    fitted : Fitted
        The model with order and signs of its components; its module takes over the prior.
    train, valid : (RowSelection, ndarray)
        Rows that were trained on, and those that were held out, if any.
    earlier : Fitted or None
        The fit that went on.
    """
    uses_prior, n_rows = plan.parts.objective.uses_prior, prepared.rows[0].shape[0]
    if plan.single_pass and uses_prior and earlier is not None and earlier.prior_is_fitted:
        return _with(fitted, earlier.parts.prior, copy.deepcopy(earlier.module.prior))
    if not uses_prior and plan.parts.prior.fits_codes:
        return _with_own_prior(plan, fitted, _codes(fitted, prepared.rows))
    if not _is_open(plan, fitted, n_rows):
        return fitted
    simplest = standard_normal(fitted.module.width) if uses_prior else None
    if valid is not None and n_rows >= MIN_ROWS_FOR_HOLD_OUT:
        normals = _held_out(_codes(fitted, train), _codes(fitted, valid), simplest, fitted.seed)
    else:
        normals = _cross_fitted(_codes(fitted, prepared.rows), simplest, fitted.seed)
    normals = plan.processes.broadcast(normals)
    if normals is None:
        return fitted
    prior = NormalMixture(len(normals.weights), normals.covariance)
    with exclusive(fitted.seed):
        module = prior.build(fitted.module.width).float().eval()
    module.set_(normals)
    return _with(fitted, prior, module.to(fitted.device))


def _with_own_prior(plan: Plan, fitted: Fitted, codes: Codes) -> Fitted:
    """The model whose own prior is fitted to codes that nothing has drawn to it."""
    prior = fitted.parts.prior
    with exclusive(fitted.seed):
        module = prior.build(fitted.module.width).float()
    prior.fit_codes(module, codes.z[:, 0], codes.weight, fitted.seed)
    fitted.module.prior = plan.processes.broadcast(module).eval().to(fitted.device)
    return fitted


def _is_open(plan: Plan, fitted: Fitted, n_rows: int) -> bool:
    """Whether a prior is to be fitted."""
    posterior, prior, objective = plan.parts.posterior, plan.parts.prior, plan.parts.objective
    if plan.given.prior != "auto" or posterior is None or not isinstance(prior, StandardNormal):
        return False
    if not objective.uses_prior:
        return True
    is_trained = fitted.n_iter > 0 and bool(fitted.module.net_parameters()) and not plan.single_pass
    return is_trained and objective.needs_density and not objective.generates and n_rows >= MIN_ROWS_FOR_VALIDATION


def _with(fitted: Fitted, prior: Prior, module: nn.Module) -> Fitted:
    """The model with another prior, of which `module` is what `prior` builds."""
    fitted.module.prior = module
    return replace(fitted, config={**fitted.config, "prior": prior}, prior_is_fitted=True)


def standard_normal(width: int) -> FittedNormals:
    """N(0, I)."""
    return FittedNormals(np.ones(1), np.zeros((1, width)), np.ones((1, width)))


def _codes(fitted: Fitted, rows: RowsAndWeights) -> Codes:
    """Draws of q for rows that are spread evenly over all."""
    X, weight = rows
    positions = np.unique(np.linspace(0, len(weight) - 1, min(len(weight), MAX_ROWS)).round().astype(np.int64))
    n_draws = int(np.clip(MAX_CODES // len(positions), 1, MAX_DRAWS))

    def drawn(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: np.ndarray) -> Tensor:
        u = own_noise(fitted, rows, x, n_draws, fitted.seed, PRIOR_STREAM)
        return module.posterior.push(module.encode(x, mask), u).transpose(0, 1)

    z = over_chunks(fitted, X.take(positions), drawn, n_draws, with_rows=True, dtype=torch.float64)
    return Codes(on_host(z).astype(np.float64), weight[positions])


def _held_out(train: Codes, valid: Codes, simplest: FittedNormals | None, seed: int) -> FittedNormals | None:
    """The mixture that held-out codes choose, as it was fitted to the others."""
    chosen = choose_normals([(train, valid)], simplest, seed)
    return None if chosen is None else chosen[0]


def _cross_fitted(codes: Codes, simplest: FittedNormals | None, seed: int) -> FittedNormals | None:
    """The mixture that cross-fitting chooses, fitted to all codes.

    Rows are in the order of a hash, so that every fifth one is a random subset.
    """
    fold = np.arange(len(codes.weight)) % N_FOLDS
    if len(fold) < 2 * N_FOLDS:  # nothing to choose by: only codes without a prior come here
        return codes.fit("diag", 1, seed)
    chosen = choose_normals([(codes[fold != k], codes[fold == k]) for k in range(N_FOLDS)], simplest, seed)
    return None if chosen is None else codes.fit(chosen[0].covariance, len(chosen[0].weights) - 1, seed)


def choose_normals(
    folds: list[tuple[Codes, Codes]], simplest: FittedNormals | None, seed: int
) -> list[FittedNormals] | None:
    """Choose a mixture by ln p of held-out codes, and give what was fitted to each fold; None stands for `simplest`.

    Members are added as long as that helps; the mixture of the highest mean over rows is chosen. It takes the place
    of `simplest` where its mean is higher by more than one standard error of the paired differences.

    Parameters
    ----------
    folds : list of (training codes, held-out codes)
    simplest : FittedNormals or None
        What stays if no mixture wins; None where that is one normal with independent components.
    seed : int
    """

    def held_out(fits: list[FittedNormals]) -> np.ndarray:
        return np.concatenate([test.log_prob(p) for (_, test), p in zip(folds, fits, strict=True)])

    weight = np.concatenate([test.weight for _, test in folds])
    means: dict[str, float] = dict.fromkeys(COVARIANCES, -np.inf)  # of the forms that still grow
    highest, chosen, best = -np.inf, None, np.empty(0)
    for n_members, covariance in product(MEMBERS, COVARIANCES):
        if covariance not in means or not _may_pay(n_members, len(folds[0][0].weight)):
            continue
        fits = [train.fit(covariance, n_members, seed) for train, _ in folds]
        log_pz = held_out(fits)
        mean = float(np.average(log_pz, weights=weight))
        if mean <= means[covariance]:
            del means[covariance]
            continue
        means[covariance] = mean
        if mean > highest:
            highest, chosen, best = mean, fits, log_pz
    if simplest is None or surely_higher(best, held_out([simplest] * len(folds)), weight):
        return chosen
    return None


def _may_pay(n_members: int, n_rows: int) -> bool:
    """Whether there are rows enough for so many members; one always is worth a trial."""
    return n_members == 1 or n_members * MIN_ROWS_PER_MEMBER <= n_rows
