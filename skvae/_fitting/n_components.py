"""``n_components="auto"``: held-out rows choose the number of components before the model itself is initialised.

The chooser is a plain VAE with the networks and the likelihood of the model: normal codes, N(0, I), the ELBO. Its
linear initialisation says how many components a linear model has use for. Where there are nets, a short trial with more
components than that trains the first k of them as a code of their own for every k (nested dropout: Rippel et al. 2014).
On a curved table a few codes may do what takes a linear model many; or more codes may, since columns that depend on
each other need not be correlated: of a sphere and its products a linear model has use for one, a network for three. In
both, the smallest number stays that is not surely beaten; more than a linear model has use for only where the nets are
surely better than that model.
"""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.distributions import constraints

from .._inference.evaluation import truncated_elbo
from .._inference.summaries import by_row, inspected
from .._tables.canonical import split_rows
from .._training.batches import n_draws
from .._utils.random import exclusive
from .._utils.threads import limited_threads
from ..components import Parts
from ..distributions.latent import kl
from ..objectives.base import Model
from ..objectives.bounds import ELBO
from ..posteriors import MeanField
from ..priors import StandardNormal
from ..schedules import Joint
from .agreement import agree
from .comparison import surely_higher
from .plan import Plan
from .prepare import Prepared, RowsAndWeights, split
from .race import best_start
from .start import Start
from .training import trained

__all__ = ["with_n_components"]

_MOST = 32
_FEWEST_ROWS = 10  # distinct ones
_HELD_OUT = 100  # rows at least, or half of them
_STEPS, _EPOCHS = 480, 4  # of a trial; the epochs are so many at least
_RISE = 0.3  # of them, over which the KL rises from 0
_ROOM = 8  # components of a trial at least, where the table can have as many
_RATE = 4e-3


class NestedELBO(ELBO):
    """The bound of codes that are cut off after k components, k = 1, ..., K over the rows of a batch at random.

    A component that is cut off is 0, the mean of the prior, and costs no KL.
    """

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Loss, reconstruction and KL of each row, (B,)."""
        q = model.encode(x, mask)
        z = model.draw(q, u)
        B, K = z.shape[1:]
        cut = torch.randperm(max(B, K), device=z.device)[:B] % K  # a small batch has other numbers each time
        is_kept = torch.ones(K, K, device=z.device).tril()[cut]
        log_px = model.training_log_likelihood(x, mask, z * is_kept).mean(0)
        divergence = (kl(q, model.prior(model.encode)) * is_kept).sum(-1)
        return {"loss": self.beta * divergence - log_px, "reconstruction": log_px, "kl": divergence}


def with_n_components(plan: Plan, estimator: BaseEstimator, prepared: Prepared, X_val: Any) -> Plan:
    """Give the plan with a number in place of "auto"; any other plan as it is.

    Parameters
    ----------
    plan : Plan
    estimator : BaseEstimator
        The working copy that validates `X_val`.
    prepared : Prepared
    X_val : table or None
        Without it, rows are held out of the sample that describes the table, for this choice alone: it does not depend
        on how the model is trained.
    """
    if plan.given.n_components != "auto":
        return plan
    _refuse_other_codes(plan)
    rows, valid = _sides(plan, estimator, prepared, X_val)
    plan.say("Choosing n_components")
    trial = _trial(plan)
    with limited_threads(trial.with_n_components(_MOST).work_per_step(rows[0].shape)), torch.inference_mode(False):
        n_linear, linear = _enough_for_linear(_linear(trial), prepared, rows, valid)
        n = n_linear = plan.processes.broadcast(n_linear)
        if plan.given.max_iter != 0 and _has_nets(trial, rows):
            n = _enough_for_nets(trial, n_linear, linear, prepared, rows, valid)
    plan.say(f"n_components='auto' is {n}; a linear model would have {n_linear}")
    return plan.with_n_components(n)


def _refuse_other_codes(plan: Plan) -> None:
    """Raise for codes that are no coordinates, of which a plain VAE can tell nothing."""
    if plan.parts.posterior is None:
        return
    with exclusive(0):
        head = plan.parts.posterior.build(3)
    support = head(torch.zeros(1, head.n_raw)).support
    if support.event_dim > 0 and support is not constraints.real_vector:  # classes, simplex, sphere
        raise ValueError(
            f"n_components='auto' counts coordinates on the line, which posterior={plan.parts.posterior!r} has not: "
            "write a number, and compare several by GridSearchCV."
        )


def _sides(plan: Plan, estimator: BaseEstimator, prepared: Prepared, X_val: Any) -> list[RowsAndWeights]:
    """The rows to learn from, and those to choose by."""
    X, weight = prepared.sample
    if X.shape[0] < _FEWEST_ROWS:
        raise ValueError(
            f"n_components='auto' chooses by held-out rows, and needs at least {_FEWEST_ROWS} distinct ones. Got "
            f"n_samples={X.shape[0]}: write a number."
        )
    if X_val is not None:
        valid = split(plan, estimator, prepared, X_val)[1]
        assert valid is not None
        return [prepared.sample, valid]
    share = float(np.clip(_HELD_OUT / X.shape[0], plan.validation_fraction(weight), 0.5))
    return list(split_rows(X, weight, share))


def _trial(plan: Plan) -> Plan:
    """The plan of the chooser."""
    changes = {
        "init": "early_factor_analysis" if plan.given.init in ("auto", "random") else plan.given.init,
        "optimizer": "adamw",
        "learning_rate": _RATE,
        "learning_rate_schedule": None,
        "early_stopping": False,
        "callbacks": None,
        "on_interrupt": "discard",
        "feature_loss": None,
        "compile": False,
        "verbose": 0,
    }
    given = SimpleNamespace(**{**plan.parameters, **changes})
    parts = Parts(MeanField(), StandardNormal(), NestedELBO(n_samples=1))
    return replace(plan, given=given, parts=parts, schedule=Joint(), checkpoint=None, single_pass=False)


def _linear(trial: Plan) -> Plan:
    """The plan of the linear model."""
    changes = {"encoder": None, "decoder": None, "hidden_layer_sizes": ()}
    return replace(trial, given=SimpleNamespace(**{**trial.parameters, **changes}))


def _start(trial: Plan, prepared: Prepared, rows: RowsAndWeights, valid: RowsAndWeights, n_epochs: int = 1) -> Start:
    """The initialisation of a trial with its number of components."""
    device = trial.device(prepared.table, rows[0].shape)
    return agree(trial.processes, best_start(trial, prepared.basis, rows, valid, n_epochs, device))


def _enough_for_linear(
    trial: Plan, prepared: Prepared, rows: RowsAndWeights, valid: RowsAndWeights
) -> tuple[int, np.ndarray]:
    """The smallest number that is not surely beaten by more, as initialised, and its bounds.

    It is doubled for as long as that is surely better, and then sought by bisection.
    """
    known: dict[int, np.ndarray] = {}

    def bounds(n: int) -> np.ndarray:
        if n not in known:
            known[n] = _bounds(_start(trial.with_n_components(n), prepared, rows, valid, 0), valid, n)
        return known[n]

    most = _most(prepared)
    enough = 1
    weight = valid[1][: len(bounds(1))]
    while enough < most and surely_higher(bounds(min(2 * enough, most)), bounds(enough), weight):
        enough = min(2 * enough, most)
    enough = _first_not_beaten(bounds, enough // 2, enough, weight)
    return enough, bounds(enough)


def _first_not_beaten(bounds: Any, too_few: int, enough: int, weight: np.ndarray) -> int:
    """The first number above `too_few` that `enough` components do not surely beat; by bisection."""
    best = enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if surely_higher(bounds(best), bounds(middle), weight):
            too_few = middle
        else:
            enough = middle
    return enough


def _enough_for_nets(
    trial: Plan, n_linear: int, linear: np.ndarray, prepared: Prepared, rows: RowsAndWeights, valid: RowsAndWeights
) -> int:
    """The smallest number of first components of a trial that no larger one surely beats.

    There is room for more than a linear model has use for, and twice as much for as long as all of it is of use.
    """
    n_tried = min(max(2 * n_linear, _ROOM), _most(prepared))
    n = _enough_in_trial(trial.with_n_components(n_tried), n_linear, linear, prepared, rows, valid)
    while n == n_tried < _most(prepared):
        n_tried = min(2 * n_tried, _most(prepared))
        n = _enough_in_trial(trial.with_n_components(n_tried), n_linear, linear, prepared, rows, valid)
    return n


def _enough_in_trial(
    trial: Plan, n_linear: int, linear: np.ndarray, prepared: Prepared, rows: RowsAndWeights, valid: RowsAndWeights
) -> int:
    """Train all the components for a short time, and give how many of the first of them are enough.

    More than the `n_linear` of a linear model only where they are surely better than its bounds, `linear`.
    """
    X, weight = rows
    batch_size = trial.batch_size(X.shape)
    few = slice(_STEPS // _EPOCHS * batch_size)  # of rows in random order
    rows = X[few], weight[few]
    n_epochs = max(_EPOCHS, int(np.ceil(_STEPS / np.ceil(n_draws(rows[1]) / batch_size))))
    objective = trial.parts.objective.annealed(int(_RISE * n_epochs))  # a start without information is a saddle
    trial = replace(trial, parts=replace(trial.parts, objective=objective))
    start = _start(trial, prepared, rows, valid, n_epochs)
    trained(trial, start, rows, None, n_epochs, None, None, start.seed)
    bounds = [_bounds(start, valid, n) for n in range(1, start.module.n_components + 1)]
    weight = valid[1][: len(bounds[0])]
    best = bounds[int(np.argmax([b @ weight for b in bounds]))]
    n = 1 + next(i for i, b in enumerate(bounds) if b is best or not surely_higher(best, b, weight))
    if n > n_linear and not surely_higher(bounds[n - 1], linear, weight):
        n = n_linear
    return trial.processes.broadcast(n)


def _most(prepared: Prepared) -> int:
    """The largest number that is looked at."""
    return max(1, min(_MOST, prepared.basis.columns.n_directions - 1))


def _bounds(start: Start, valid: RowsAndWeights, n: int) -> np.ndarray:
    """The evidence lower bound of each held-out row by the first n components, nats in model space."""
    seen = inspected(start.module, start.columns, start.device, *valid)
    bound = partial(truncated_elbo, seen.module, u=start.score_noise.to(seen.x), n=n)
    return by_row(bound, *seen[:3], len(start.score_noise))


def _has_nets(trial: Plan, rows: RowsAndWeights) -> bool:
    return any(getattr(net, "hidden_layer_sizes", True) for net in trial.networks(rows[0].shape[0]))
