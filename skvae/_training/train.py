"""The call that trains a model. The loop and skorch are imported with it: `import skvae` does not wait for them."""

from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .._utils.random import isolated
from ..model import LatentVariableModel
from .batches import TrainingRows
from .options import TrainingOptions

if TYPE_CHECKING:
    from skorch import NeuralNet

__all__ = ["TrainingResult", "plain_history", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """One record per epoch, the best epoch (None: last state kept), and what a later call needs to go on.

    `interrupt` is the KeyboardInterrupt that has ended the training, which is the caller's to raise again.
    """

    history: list[dict[str, Any]]
    best_epoch: int | None
    state: dict[str, Any] | None
    interrupt: KeyboardInterrupt | None


def train(
    model: LatentVariableModel,
    train_rows: TrainingRows,
    valid_rows: TrainingRows | None,
    options: TrainingOptions,
    n_epochs: int,
    seed: int,
    first_epoch: int = 0,
    state: dict[str, Any] | None = None,
) -> TrainingResult:
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
    KeyboardInterrupt
        Unless what has been trained is to be kept, and an epoch is over.
    """
    from .early_stopping import BestState
    from .loop import Net, StopTraining, callbacks_around

    keeper = BestState(options.patience, options.tol, options.objective, options.keeps_start and first_epoch == 0)
    callbacks = callbacks_around(options, keeper if valid_rows is not None else None)
    net = Net(model, options, seed=seed, first_epoch=first_epoch, n_epochs=n_epochs, callbacks=callbacks)
    listening = options.run.listening() if options.run else nullcontext()
    with isolated(train_rows.device, seed, first_epoch), torch.enable_grad(), listening:
        net.initialize()
        net.load_training_state(state)
        with closing(net):
            net.notify("on_train_begin", X=(train_rows, valid_rows), y=None)
            if options.run:
                options.run.start(net)
            interrupt = None
            try:
                with suppress(StopTraining):
                    net.fit_loop((train_rows, valid_rows), epochs=n_epochs - len(net.history))
            except KeyboardInterrupt as error:
                if not options.keeps_on_interrupt:
                    raise
                net.go_back_to_the_last_epoch()
                if not net.history:
                    raise
                interrupt = error
            net.notify("on_train_end", X=(train_rows, valid_rows), y=None)
    model.eval()
    restored = keeper.restore(model) if valid_rows is not None else False
    history = keeper.history + plain_history(net)
    return TrainingResult(history, keeper.best.epoch, None if restored else net.training_state(), interrupt)


def plain_history(net: "NeuralNet") -> list[dict[str, Any]]:
    """skorch's history as a list of dictionaries of plain numbers."""
    return [{k: v for k, v in record.items() if k != "batches"} for record in net.history]
