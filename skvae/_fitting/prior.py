r"""The prior fitted to the codes of a trained model: a mixture of normals, where it surely beats N(0, I).

Codes that nothing has drawn to a prior have the one that the user names fitted to them, a mixture or a flow.

For q given, the bound E_q ln p(x|z) + E_q ln p(z) - E_q ln q is raised in p(z) by the mixture that draws of q ask for:
the M step of variational EM for the prior (Tomczak & Welling 2018, section 3; Ghosh et al. 2020 for codes without a
prior). Groups of such draws are as blurred as q is, though, which knows of N(0, I) and no group. Under a prior p the
posterior is q(z|x) p(z) / N(z; 0, I) but for a constant, if q is that under N(0, I): draws with these weights would
raise ln p(x), and lower the bound, since q does not follow. A last step of EM goes half of the way, by the square roots
of the weights: the bound, which was at its highest, loses a quarter of what it would, and ln p(x) gains most of it.
"""

import copy
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from .._inference.fitted import PRIOR_STREAM, Fitted
from .._inference.reading import over_chunks
from .._inference.row_noise import own_noise
from .._utils.arrays import on_host
from .._utils.random import exclusive, in_pairs
from ..distributions.normal_mixtures import COVARIANCES, FittedNormals, clusters, em_step, fit_normals
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
N_DRAWS = 8  # of one row, in pairs
MAX_ROWS, MAX_NUMBERS = 4000, 1 << 23  # rows, and numbers in all their draws
#: Draws of few rows, and steps of EM: good enough to compare mixtures, and at last.
N_CODES, N_STEPS, TOL = 1000, 20, 2e-3
N_CODES_AT_LAST, N_STEPS_AT_LAST, TOL_AT_LAST = 2000, 60, 2e-4
HALF_WAY = 0.5  # from q to the posterior under the mixture
N_TRIALS = 4  # draws for each centre of the first clusters
BREADTH = 3.0  # of the broad member beside the others, in standard deviations of all codes
BORROWED = 5.0  # codes' worth of all members' variance that each one borrows; K more for a covariance


@dataclass(frozen=True, eq=False)
class Codes:
    """Draws of the posteriors of rows.

    Parameters
    ----------
    z : ndarray (n, S, K)
    weight : ndarray (n,)
        Of the rows.
    trained_under : FittedNormals or None
        The prior under which q was trained; None for an objective without one.
    """

    z: np.ndarray
    weight: np.ndarray
    trained_under: FittedNormals | None

    def __getitem__(self, rows: np.ndarray) -> "Codes":
        return Codes(self.z[rows], self.weight[rows], self.trained_under)

    def fit(
        self,
        covariance: str,
        n_members: int,
        seed: int,
        n_codes: int = N_CODES,
        n_steps: int = N_STEPS,
        tol: float = TOL,
    ) -> FittedNormals:
        """Fit a mixture to them; draws of one row together weigh as much as the row."""
        n, S, K = self.z.shape
        few = int(np.clip(n_codes // n, 1, S))
        z, weight = self.z[:, :few].reshape(n * few, K), np.repeat(self._copies / few, few)
        member = clusters(z, weight, n_members, seed, N_TRIALS)
        return fit_normals(z, weight, member, covariance, _strength(covariance, K), n_steps, tol, BREADTH)

    def fit_to_the_end(self, covariance: str, n_members: int, seed: int) -> FittedNormals:
        """The same with more steps of EM, and a last one half of the way to the posteriors under the mixture."""
        p = self.fit(covariance, n_members, seed, N_CODES_AT_LAST, N_STEPS_AT_LAST, TOL_AT_LAST)
        if self.trained_under is None:
            return p
        n, S, K = self.z.shape
        weight = self._copies[:, None] * softmax(HALF_WAY * self._log_ratio(p), axis=1)
        return em_step(p, self.z.reshape(n * S, K), weight.ravel(), _strength(covariance, K))

    @property
    def _copies(self) -> np.ndarray:
        """The weights as numbers of rows, of which there are at least as many as distinct ones."""
        return self.weight * max(1.0, len(self.weight) / self.weight.sum())

    def bound(self, p: FittedNormals) -> np.ndarray:
        """What p adds to the importance-weighted bound by pairs of draws, ln ((r_1 + r_2) / 2) with r = p / p_0, (n,).

        Without p_0, under which q was trained, E_q ln p.
        """
        log_ratio = self._log_ratio(p)
        if self.trained_under is None:
            return log_ratio.mean(1)
        return np.logaddexp(log_ratio[:, ::2], log_ratio[:, 1::2]).mean(1) - np.log(2)

    def _log_ratio(self, p: FittedNormals) -> np.ndarray:
        """ln p(z) / p_0(z), or ln p(z), (n, S)."""
        n, S, K = self.z.shape
        z = self.z.reshape(n * S, K)
        log_pz = p.log_prob(z) - (0.0 if self.trained_under is None else self.trained_under.log_prob(z))
        return log_pz.reshape(n, S)


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
    Then it is fitted to all rows. With fewer than 100 distinct rows N(0, I) stays. The order of rows that are sorted by
    content does not matter, and their draws depend on their content alone.

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
    codes = _codes(fitted, prepared.rows)
    if valid is not None and n_rows >= MIN_ROWS_FOR_HOLD_OUT:
        folds = [(_codes(fitted, train), _codes(fitted, valid))]
    else:
        folds = _folds(codes)
    chosen = choose_normals(folds, fitted.seed)
    normals = plan.processes.broadcast(chosen and codes.fit_to_the_end(*chosen, fitted.seed))
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
    K = fitted.module.width
    n_rows = min(len(weight), MAX_ROWS, max(1, MAX_NUMBERS // (N_DRAWS * K)))
    positions = np.unique(np.linspace(0, len(weight) - 1, n_rows).round().astype(np.int64))

    def drawn(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: np.ndarray) -> Tensor:
        u = in_pairs(own_noise(fitted, rows, x, N_DRAWS // 2, fitted.seed, PRIOR_STREAM))
        return module.posterior.push(module.encode(x, mask), u).transpose(0, 1)

    z = over_chunks(fitted, X.take(positions), drawn, N_DRAWS, with_rows=True, dtype=torch.float64)
    trained_under = standard_normal(K) if fitted.parts.objective.uses_prior else None
    return Codes(on_host(z).astype(np.float64), weight[positions], trained_under)


def _folds(codes: Codes) -> list[tuple[Codes, Codes]]:
    """Five pairs of codes to fit to and held-out ones; none of fewer than ten rows.

    Rows are in the order of a hash, so that every fifth one is a random subset.
    """
    fold = np.arange(len(codes.weight)) % N_FOLDS
    return [(codes[fold != k], codes[fold == k]) for k in range(N_FOLDS)] if len(fold) >= 2 * N_FOLDS else []


def choose_normals(folds: list[tuple[Codes, Codes]], seed: int) -> tuple[str, int] | None:
    """Choose a form of covariances and a number of members by the bound of held-out rows.

    Members are added as long as that helps; the mixture of the highest mean over rows is chosen. None stands for the
    prior that q was trained under, whose place a mixture takes if its mean is higher by more than one standard error of
    the paired differences.

    Parameters
    ----------
    folds : list of (training codes, held-out codes)
        Without any, one normal with independent components is all that can be had.
    seed : int
    """
    if not folds:
        return "diag", 1
    weight = np.concatenate([test.weight for _, test in folds])
    means: dict[str, float] = dict.fromkeys(COVARIANCES, -np.inf)  # of the forms that still grow
    highest, chosen, best = -np.inf, None, np.empty(0)
    for n_members, covariance in product(MEMBERS, COVARIANCES):
        if covariance not in means or not _may_pay(n_members, len(folds[0][0].weight)):
            continue
        fits = [train.fit(covariance, n_members, seed) for train, _ in folds]
        bounds = np.concatenate([test.bound(p) for (_, test), p in zip(folds, fits, strict=True)])
        mean = float(np.average(bounds, weights=weight))
        if mean <= means[covariance]:
            del means[covariance]
            continue
        means[covariance] = mean
        if mean > highest:
            highest, chosen, best = mean, (covariance, n_members), bounds
    had_prior = folds[0][0].trained_under is not None
    return None if had_prior and not surely_higher(best, np.zeros_like(best), weight) else chosen


def _strength(covariance: str, n_components: int) -> float:
    """How many codes' worth of all members' spread each one borrows."""
    return BORROWED + (n_components if covariance == "full" else 0)


def _may_pay(n_members: int, n_rows: int) -> bool:
    """Whether there are rows enough for so many members; one always is worth a trial."""
    return n_members == 1 or n_members * MIN_ROWS_PER_MEMBER <= n_rows
