"""Training a model: what the estimator says about it, and the call. The loop itself is in `loop.py`."""

import math
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

import torch

from .._utils.random import isolated
from .processes import ONE, OneProcess

__all__ = ["LEARNING_RATE_SCHEDULES", "TrainingOptions", "plain_history", "train"]

#: Factors on the learning rate as functions of the absolute epoch (0, 1, ...), never of a fraction of max_iter.
LEARNING_RATE_SCHEDULES = {None: lambda epoch: 1.0, "inverse_sqrt": lambda epoch: 1 / math.sqrt(1 + epoch / 10)}


@dataclass
class TrainingOptions:
    """What the estimator's parameters say about training, components resolved."""

    objective: object
    schedule: object
    optimizer: object
    learning_rate: float
    learning_rate_factor: object
    linear_factor: object  # epoch -> factor on the rate of affine paths and of the likelihood's own numbers; None for 1
    weight_decay: float
    batch_size: int
    patience: int | None  # None: held-out values go into the history only
    tol: float
    keeps_start: bool  # unless training is surely better
    precision: str
    compile: bool
    callbacks: list = field(default_factory=list)  # of the user
    on_epoch: tuple | None = None  # begin(), and end(net), which returns True to stop
    verbose: int = 0
    history: list = field(default_factory=list)  # of earlier calls
    processes: OneProcess = ONE
    exact_step: object = None  # models -> parts: one epoch of a schedule in closed form
    run: object = None  # where its checkpoints go


@dataclass
class TrainingResult:
    """One record per epoch, the best epoch (None: last state kept), and what a later call needs to go on."""

    history: list
    best_epoch: int | None
    state: dict | None


def train(model, train_rows, valid_rows, options, n_epochs, seed, first_epoch=0, state=None):
    """Train `model` in place for at most `n_epochs` epochs and leave it in eval mode at its best state.

    Parameters
    ----------
    model : LatentVariableModel
    train_rows : TrainingRows
    valid_rows : TrainingRows or None
        Without them, or for an objective without a monitor, the last state is kept.
    options : TrainingOptions
    n_epochs, seed, first_epoch : int
    state : dict, optional
        To go on where an earlier call ended: trained weights, optimizers, number of steps.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        The loss is not finite.
    """
    from .early_stopping import BestState
    from .loop import Net, StopTraining, callbacks_around  # skorch, for which `import skvae` does not wait

    keeper = BestState(options.patience, options.tol, options.objective, options.keeps_start and first_epoch == 0)
    callbacks = callbacks_around(options, keeper if valid_rows is not None else None)
    net = Net(model, options, seed=seed, first_epoch=first_epoch, callbacks=callbacks)
    listening = options.run.listening() if options.run else nullcontext()
    with isolated(train_rows.device, seed, first_epoch), torch.enable_grad(), listening:
        net.initialize()
        net.load_training_state(state)
        net.notify("on_train_begin", X=(train_rows, valid_rows), y=None)
        if options.run:
            options.run.start(net)
        with suppress(StopTraining):
            net.fit_loop((train_rows, valid_rows), epochs=n_epochs - len(net.history))
        net.notify("on_train_end", X=(train_rows, valid_rows), y=None)
    model.eval()
    restored = keeper.restore(model) if valid_rows is not None else False
    return TrainingResult(
        keeper.start + plain_history(net), keeper.best_epoch, None if restored else net.training_state()
    )


def plain_history(net):
    """skorch's history as a list of dictionaries of plain numbers."""
    return [{k: v for k, v in record.items() if k != "batches"} for record in net.history]
