"""The training of a start: the plan as options of the loop, and the progress that comes of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .._starts.closed_form import EMSteps
from .._training.batches import TrainingRows
from .._training.optimizers import OPTIMIZERS
from .._training.options import LEARNING_RATE_SCHEDULES, TrainingOptions
from .._training.resumable import ResumableFit
from .._training.train import train
from .compatibility import check_row_wise_model
from .plan import Plan
from .prepare import RowsAndWeights
from .start import Progress, Start

__all__ = ["trained", "training_options"]


def trained(
    plan: Plan,
    start: Start,
    train_rows: RowsAndWeights,
    valid: RowsAndWeights | None,
    n_epochs: int,
    hook: Any,
    run: ResumableFit | None,
    seed: int,
) -> Progress:
    """Train the module of a start in place, and give its progress."""
    before = start.progress
    if n_epochs == 0:
        return before
    if plan.processes.size > 1:
        check_row_wise_model(start.module)
    weights = start.config["column_weights"]
    valid_rows = None if valid is None else TrainingRows(*valid, start.columns, start.device, weights)
    rows = TrainingRows(*train_rows, start.columns, start.device, weights, valid_rows)
    options = training_options(plan, start, rows, valid_rows, hook, run)
    first, state = before.n_iter, before.training_state
    result = train(start.module, rows, valid_rows, options, n_epochs, seed, first, state)
    n_iter = result.history[-1]["epoch"]
    # A model that goes on has its last record already.
    history = before.history + [r for r in result.history if first == 0 or r["epoch"] > first]
    best_iter = before.best_iter
    if result.best_epoch != first or first == 0:  # else the state that an earlier call kept
        best_iter = n_iter if result.best_epoch is None else result.best_epoch
    return Progress(n_iter, best_iter, history, result.state, result.interrupt)


def training_options(
    plan: Plan,
    start: Start,
    rows: TrainingRows,
    valid_rows: TrainingRows | None = None,
    hook: Any = None,
    run: ResumableFit | None = None,
) -> TrainingOptions:
    """Give the options of the training of a start's module on rows."""
    given, shape = plan.given, rows.table.shape
    exact_step = None
    if plan.schedule.closed_form:
        exact_step = EMSteps(start.module, start.columns, rows.working_rows(), rows.weight)
    return TrainingOptions(
        objective=plan.parts.objective,
        schedule=plan.schedule,
        optimizer=OPTIMIZERS.get(given.optimizer, given.optimizer),
        learning_rate=plan.learning_rate(shape, valid_rows is not None and bool(given.early_stopping), start.init),
        learning_rate_factor=LEARNING_RATE_SCHEDULES.get(given.learning_rate_schedule, given.learning_rate_schedule),
        linear_factor=_linear_factor(start),
        weight_decay=given.weight_decay,
        batch_size=plan.batch_size(shape),
        patience=plan.patience(shape) if given.early_stopping else None,
        tol=given.tol,
        keeps_start=start.init != "random",
        keeps_on_interrupt=given.on_interrupt == "keep" and not plan.single_pass,
        precision=given.precision,
        compile=given.compile,
        callbacks=given.callbacks or [],
        on_epoch=hook,
        verbose=plan.verbose,
        history=start.progress.history,
        exact_step=exact_step,
        processes=plan.processes,
        run=run,
        stopwatch=plan.stopwatch,
    )


def _linear_factor(start: Start) -> Callable[[int], float] | None:
    """Factor by epoch on the learning rate of what a closed form would have set; None where one has set it."""
    has_nets = bool(start.module.net_parameters())
    return partial(_random_init_factor, has_nets) if start.init == "random" else None


def _random_init_factor(has_nets: bool, epoch: int) -> float:
    """Factor 16 for the affine paths, which would take 1000 epochs at 1e-3; 1 from epoch 48 on.

    Beside MLPs it is 8, since at 16 the two paths sometimes work against each other, and Adam loses hundreds of nats.
    """
    return 2.0 ** np.clip((48 - epoch) / 5, 0, 3 if has_nets else 4)
