"""Fit as a pipeline of values: plan -> prepared -> best start -> trained -> Fitted."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from sklearn.base import BaseEstimator

from .._inference.fitted import REFERENCE, Fitted, Interrupted
from .._storage.registry import fingerprint
from .._training.digests import digest_of_rows
from .._training.resumable import ResumableFit
from .._training.tasks import Tasks
from .._training.train import plain_history
from .._utils.digests import digest
from .._utils.threads import limited_threads
from .._utils.user_warnings import warn_user
from .agreement import agree, compare_calls, compare_tables
from .annealed import annealed_where_idle, best_of_some
from .background import forgiving
from .collapse import live_components, warn_of_collapse, what_is_missed
from .describe import describe
from .groups import warn_of_empty_groups
from .margins import with_margins
from .missing_cells import with_missingness
from .n_components import with_n_components
from .plan import Plan
from .prepare import Prepared, RowsAndWeights, prepare, split
from .prior import with_fitted_prior
from .race import best_start
from .start import Progress, Start, solve
from .training import trained

__all__ = ["check_before", "fit_rows", "fit_table"]

#: Parameters left out of a checkpoint's fingerprint: the result does not depend on them, they cannot be compared, or
#: their resolved value is in it.
NOT_OF_A_RUN = (
    "callbacks",
    "checkpoint",
    "column_weights",
    "keep_optimizer",
    "max_iter",
    "max_steps",
    "on_interrupt",
    "random_state",
    "verbose",
)


def fit_table(
    plan: Plan,
    estimator: BaseEstimator,
    X: Any,
    sample_weight: Any = None,
    X_val: Any = None,
    earlier: Fitted | None = None,
    statistics: Any = None,
    tasks: Tasks | None = None,
) -> Fitted:
    """Fit a table in memory, or in a memory-mapped file; parameters as in `prepare` and `fit_rows`."""
    plan = plan.following(earlier)
    check_before(plan, earlier)
    with limited_threads(0), plan.stopwatch("prepare"):
        plan.say("Reading the table")
        prepared = prepare(plan, estimator, X, sample_weight, earlier, statistics)
    return fit_rows(plan, estimator, prepared, X_val, earlier, tasks)


def check_before(plan: Plan, earlier: Fitted | None) -> None:
    """Check what can be checked before hours of reading."""
    compare_calls(plan, earlier)
    plan.check_callbacks()
    plan.check_checkpoint()
    if earlier is not None:
        plan.refuse_changes(earlier.made_of, has_state=earlier.training_state is not None)


def fit_rows(
    plan: Plan,
    estimator: BaseEstimator,
    prepared: Prepared,
    X_val: Any,
    earlier: Fitted | None,
    tasks: Tasks | None = None,
) -> Fitted:
    """Initialise, train and describe the model of prepared rows, or go on with an earlier one.

    Parameters
    ----------
    plan : Plan
    estimator : BaseEstimator
        The working copy that validates `X_val`.
    prepared : Prepared
    X_val : table or None
    earlier : Fitted or None
    tasks : Tasks or None
        What scikit-learn's callbacks see.
    """
    shape = prepared.rows[0].shape
    plan.check_parts(prepared.basis.columns.families, prepared.sample[0].shape[0])
    spent = plan.stopwatch
    with spent("choose K"):
        plan = with_n_components(plan, estimator, prepared, X_val)
    with limited_threads(plan.work_per_step(shape) / plan.processes.size), torch.inference_mode(False):
        with spent("prepare"):
            train_rows, valid, n_epochs = split(plan, estimator, prepared, X_val)
            compare_tables(plan.processes, prepared.basis.columns, train_rows, valid)
        plan.say("Initialising" if earlier is None else "Going on from the earlier fit")
        with spent("start"):
            start = _start(plan, prepared, train_rows, valid, n_epochs, earlier)
            live = None if earlier or start.init == "random" else live_components(plan, prepared, start)
            training = annealed_where_idle(plan, prepared, start, train_rows[1], n_epochs)
        if n_epochs > 0:
            plan.say(_said_of_training(start.progress.n_iter, n_epochs, train_rows, valid))
        run = _resumable(training, start, train_rows, valid, n_epochs, earlier is not None)
        hook = None if tasks is None else tasks.epochs(partial(_snapshot, plan, prepared, start))
        with spent("train"):

            def train(own: Start, trial: int = 0) -> Progress:
                heard = (hook, run) if trial == 0 else (None, None)
                return trained(training, own, train_rows, valid, n_epochs, *heard, start.seed + trial)

            if training is plan or valid is None:
                progress = train(start)
            else:
                start, progress = best_of_some(training, prepared, start, train)
            if earlier is None and progress.best_iter == 0 and valid is not None and X_val is None:
                start = _solved_on_all_rows(plan, prepared, start)
            if n_epochs > 0 and plan.trains_nets and valid is not None:
                start = forgiving(plan, start, train_rows, valid)
            start, progress = agree(plan.processes, start), agree(plan.processes, progress)
        fitted = _described(plan, prepared, start, progress, live, train_rows, valid, earlier)
    plan.say_where_time_went()
    if progress.interrupt is not None:  # the checkpoint stays
        raise Interrupted(fitted) from progress.interrupt
    if run is not None:
        run.remove()
    return fitted


def _described(
    plan: Plan,
    prepared: Prepared,
    start: Start,
    progress: Progress,
    live: int | None,
    train_rows: RowsAndWeights,
    valid: RowsAndWeights | None,
    earlier: Fitted | None,
) -> Fitted:
    """What the trained model says of the table: components, prior of the codes, margins. Warn of what is missed."""
    is_frozen = earlier is not None and plan.single_pass
    frozen = (earlier.order, earlier.signs, earlier.combinations) if earlier and is_frozen else (None,) * 3
    plan.say("Describing the model: components, prior of the codes, margins of the table")
    with plan.stopwatch("describe"):
        fitted = describe(plan, prepared, start, progress, *frozen)
        if not warn_of_collapse(live, fitted) and earlier is None and not plan.single_pass:
            missed = what_is_missed(plan, prepared, start, fitted.n_iter)
            if missed is not None:
                warn_user(missed)
    with plan.stopwatch("fit the prior"):
        fitted = with_fitted_prior(plan, prepared, fitted, train_rows, valid, earlier)
        warn_of_empty_groups(plan, prepared, fitted)
    with plan.stopwatch("margins"):
        fitted = with_margins(plan, prepared, fitted, earlier)
        return with_missingness(plan, prepared, fitted, earlier)


def _said_of_training(n_before: int, n_epochs: int, train_rows: RowsAndWeights, valid: RowsAndWeights | None) -> str:
    more = "more " if n_before else ""
    held_out = "" if valid is None else f", {len(valid[1])} held out"
    return f"Training: at most {n_epochs} {more}epochs of {len(train_rows[1])} rows{held_out}"


def _start(
    plan: Plan,
    prepared: Prepared,
    train_rows: RowsAndWeights,
    valid: RowsAndWeights | None,
    n_epochs: int,
    earlier: Fitted | None,
) -> Start:
    """The model of the earlier fit, or the best initialisation."""
    if earlier is not None:
        return Start.of(earlier, plan)
    device = plan.device(prepared.table, train_rows[0].shape)
    rows = train_rows if prepared.sample is prepared.rows else prepared.sample
    return agree(plan.processes, best_start(plan, prepared.basis, rows, valid, n_epochs, device))


def _solved_on_all_rows(plan: Plan, prepared: Prepared, start: Start) -> Start:
    """The initialisation solved again with the held-out rows, since training has not improved on it."""
    columns = prepared.basis.columns.fitted_to(*prepared.rows)
    if columns.given:  # conditions have scales under the families of the training alone
        columns = replace(columns, families=start.columns.families)
    return solve(plan, prepared.basis, columns, start.init, prepared.rows, start.device)


def _resumable(
    plan: Plan,
    start: Start,
    train_rows: RowsAndWeights,
    valid_rows: RowsAndWeights | None,
    n_epochs: int,
    goes_on: bool,
) -> ResumableFit | None:
    """This fit as its checkpoint knows it, by all that the result depends on; None without a checkpoint.

    The initialisation is left out unless it is an earlier fit, since the last bits of a sum depend on the machine.
    """
    if plan.checkpoint is None or n_epochs == 0:
        return None
    scales = [start.columns.shift, start.columns.scale]
    before = start.progress
    earlier = [before.n_iter, start.module.state_dict(), before.training_state, scales] if goes_on else None
    resolved = {
        "column_weights": start.config["column_weights"],
        "columns": [fingerprint(family) for family in start.columns.families],
        "device": torch.device(start.device).type,
        "max_iter": n_epochs,
        "random_state": start.seed,
        "the earlier fit": digest(earlier),
        "rows and weights": digest_of_rows(*train_rows),
        "objective in training": fingerprint(plan.parts.objective),
        "held-out rows": None if valid_rows is None else digest_of_rows(*valid_rows),
    }
    parameters = {k: fingerprint(v) for k, v in plan.parameters.items() if k not in NOT_OF_A_RUN}
    made_of = parameters | {name: str(value) for name, value in resolved.items()}
    return ResumableFit(plan.checkpoint, made_of, plan.processes)


def _snapshot(plan: Plan, prepared: Prepared, start: Start, net: Any) -> dict[str, Fitted]:
    """State of an estimator whose fit had stopped after this epoch of `net`."""
    epoch = net.epoch + 1
    before = start.progress
    progress = Progress(epoch, epoch, before.history + plain_history(net), before.training_state)
    now = replace(start, module=copy.deepcopy(net.averaged_).eval())
    return {REFERENCE: describe(plan, prepared, now, progress)}
