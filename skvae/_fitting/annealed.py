"""A start that carries nothing: the weight of the KL then rises from 0, and training finds what no linear model sees.

Loadings of zero are a saddle of the bound. With the whole KL the way down from it begins so slowly that patience runs
out, or leads back: codes have to be of use before they are worth what they cost (Bowman et al. 2016, section 3.1).
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import Tensor

from .._inference.summaries import information, inspected
from .._training.batches import n_draws
from .collapse import IN_USE, by_chance, what_is_missed
from .plan import Plan
from .prepare import Prepared
from .start import Progress, Start

__all__ = ["annealed_where_idle", "best_of_some"]

MOST_TRIALS = 3


def annealed_where_idle(plan: Plan, prepared: Prepared, start: Start, weight: np.ndarray, n_epochs: int) -> Plan:
    """Give the plan of the training: that of the fit, with a KL that is annealed where the start carries too little.

    That is where fewer components carry information than a linear model of the columns can have. Only a fit that is
    new, has nets to train, and may choose its own length does so: one of `early_stopping`, and of more epochs than the
    course has.

    Parameters
    ----------
    plan : Plan
    prepared : Prepared
    start : Start
    weight : ndarray (n,)
        Of the training rows.
    n_epochs : int
        The most there may be.
    """
    given, objective = plan.given, plan.parts.objective
    is_plain = start.init == "random" or plan.schedule.closed_form or not start.module.net_parameters()
    if is_plain or plan.single_pass or start.progress.n_iter > 0 or not given.early_stopping:
        return plan
    course = plan.annealing(n_draws(weight), (len(weight), prepared.rows[0].shape[1]))
    annealed = objective.annealed(course)
    if annealed is objective or course >= n_epochs or not _is_idle(plan, prepared, start):
        return plan
    plan.say(f"The initialisation carries too little information: the KL is annealed over {course} epochs")
    return replace(plan, parts=replace(plan.parts, objective=annealed))


def _is_idle(plan: Plan, prepared: Prepared, start: Start) -> bool:
    """Whether fewer components carry information than a linear model of the columns has, or all of them little.

    Twice what chance gives normal columns counts as none, since it gives those with heavier tails more.
    """
    found = _information(plan, prepared, start)
    if found is None:
        return False
    n_in_use = int((found > 2 * by_chance(prepared)).sum())
    n_possible = min(start.module.n_components, start.columns.n_directions - 1, prepared.sample[0].shape[0])
    return plan.processes.broadcast(n_in_use < n_possible or (n_possible > 0 and _is_little(found)))


def _information(plan: Plan, prepared: Prepared, start: Start) -> Tensor | None:
    """Nats that each component carries, (K,); None where that is not defined."""
    if plan.parts.lacks("codes") or plan.parts.lacks("score"):
        return None
    return information(*inspected(start.module, start.columns, start.device, *prepared.sample), start.score_noise)


def _is_little(found: Tensor) -> bool:
    """Whether no component has a quarter of a nat.

    That is a correlation of 0.24 in two columns, and in few rows less than what crossed groups show by chance.
    """
    return bool((found < IN_USE).all())


def best_of_some(
    plan: Plan, prepared: Prepared, start: Start, train: Callable[[Start, int], Progress]
) -> tuple[Start, Progress]:
    """Train a start with an annealed KL; one that carried nothing again where the result misses what the table holds.

    Which of its components come to carry something is decided in the first steps, by their draws: of four corners one
    training in three to six found two. The best is that with the lowest loss of held-out rows.

    Parameters
    ----------
    plan : Plan
        Of the annealed training.
    prepared : Prepared
    start : Start
    train : callable (start, number of the trial) -> Progress
        Trains the module of a start in place.
    """
    name = f"valid_{plan.parts.objective.monitor}"
    trained: list[tuple[float, Start, Progress]] = []
    found = _information(plan, prepared, start)
    carries_nothing = plan.processes.broadcast(found is not None and _is_little(found))
    n_trials = MOST_TRIALS if carries_nothing else 1
    for trial in range(n_trials):
        if trial:
            plan.say("Components are idle and a small model is better: another training, by other draws")
        own = replace(start, module=copy.deepcopy(start.module))
        progress = train(own, trial)
        loss = next(record[name] for record in progress.history if record["epoch"] == progress.best_iter)
        trained.append((loss, own, progress))
        if progress.interrupt is not None or trial == n_trials - 1:
            break
        is_missed = what_is_missed(plan, prepared, own, progress.n_iter, "full") is not None
        if not plan.processes.broadcast(is_missed):
            break
    _, own, best = min(trained, key=lambda result: result[0])
    return own, replace(best, interrupt=progress.interrupt)
