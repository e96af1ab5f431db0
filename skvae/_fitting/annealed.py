"""A start that carries nothing: the weight of the KL then rises from 0, and training finds what no linear model sees.

Loadings of zero are a saddle of the bound. With the whole KL the way down from it begins so slowly that patience runs
out, or leads back: codes have to be of use before they are worth what they cost (Bowman et al. 2016, section 3.1).
"""

from dataclasses import replace

import numpy as np

from .._inference.summaries import information, inspected
from .._training.batches import n_draws
from .collapse import by_chance
from .plan import Plan
from .prepare import Prepared
from .start import Start

__all__ = ["annealed_where_idle"]


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
    course = plan.annealing(n_draws(weight), len(weight))
    annealed = objective.annealed(course)
    if annealed is objective or course >= n_epochs or not _is_idle(plan, prepared, start):
        return plan
    plan.say(f"The initialisation carries too little information: the KL is annealed over {course} epochs")
    return replace(plan, parts=replace(plan.parts, objective=annealed))


def _is_idle(plan: Plan, prepared: Prepared, start: Start) -> bool:
    """Whether fewer components carry information than a linear model of the columns has.

    Twice what chance gives normal columns counts as none, since it gives those with heavier tails more.
    """
    if plan.parts.lacks("codes") or plan.parts.lacks("score"):
        return False
    seen = inspected(start.module, start.columns, start.device, *prepared.sample)
    n_in_use = int((information(*seen, start.score_noise) > 2 * by_chance(prepared)).sum())
    n_possible = min(start.module.n_components, start.columns.n_directions - 1, prepared.sample[0].shape[0])
    return plan.processes.broadcast(n_in_use < n_possible)
