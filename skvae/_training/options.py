"""What the estimator says about training: plain values, and the few things that the loop calls back."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from .._utils.stopwatch import Stopwatch
from ..model import LatentVariableModel
from ..objectives.base import Objective
from ..schedules import Schedule, Steps
from .processes import ONE, OneProcess

if TYPE_CHECKING:
    from skorch import NeuralNet
    from skorch.callbacks import Callback

__all__ = ["LEARNING_RATE_SCHEDULES", "Checkpointing", "ExactStep", "TrainingOptions"]


def _constant(epoch: int) -> float:
    return 1.0


def _inverse_sqrt(epoch: int) -> float:
    return 1 / math.sqrt(1 + epoch / 10)


#: Factors on the learning rate as functions of the absolute epoch (0, 1, ...), never of a fraction of max_iter.
LEARNING_RATE_SCHEDULES: dict[str | None, Callable[[int], float]] = {None: _constant, "inverse_sqrt": _inverse_sqrt}


class ExactStep(Protocol):
    """One epoch of a schedule in closed form: writes into each model and returns the parts of the loss."""

    solution: Any  # a frozen dataclass of arrays: what the next step goes on from

    def __call__(self, models: Sequence[LatentVariableModel]) -> dict[str, float]: ...


class Checkpointing(Protocol):
    """What the loop asks of the checkpoints of a fit, in this order; see `ResumableFit`."""

    def listening(self) -> AbstractContextManager[None]:
        """Give the block in which signals to stop are heard: all of the training."""
        ...

    def start(self, net: Any) -> None:
        """Put the net back into the state of the latest checkpoint, where there is one."""
        ...

    def at_epoch(self, net: Any) -> None:
        """Write a checkpoint before the first step of an epoch, where one is due."""
        ...

    def over(self, steps: Steps, net: Any, generator: torch.Generator, means: Any) -> Steps:
        """Give the steps of an epoch, without those that the checkpoint has; one may be written between two."""
        ...

    def request(self) -> float:
        """Say what this process asks of all at the next step: a number that they add up."""
        ...

    def agree(self, total: Any) -> None:
        """Take the sum of the requests of all processes."""
        ...


@dataclass
class TrainingOptions:
    """What the estimator's parameters say about training, components resolved."""

    objective: Objective
    schedule: Schedule
    optimizer: Callable  # (groups, lr=..., weight_decay=...) -> what has the methods of torch.optim.Optimizer
    learning_rate: float
    learning_rate_factor: Callable[[int], float]
    linear_factor: Callable[[int], float] | None  # on the rate of affine paths and of the likelihood's own numbers
    weight_decay: float
    batch_size: int
    patience: int | None  # None: held-out values go into the history only
    tol: float
    keeps_start: bool  # unless training is surely better
    keeps_on_interrupt: bool  # what the epochs before a KeyboardInterrupt have come to
    precision: str
    compile: bool
    callbacks: Sequence["Callback"] = field(default_factory=list)  # of the user
    on_epoch: tuple[Callable[[], None], Callable[["NeuralNet"], Any]] | None = None  # the latter returns True to stop
    verbose: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # of earlier calls
    processes: OneProcess = ONE
    exact_step: ExactStep | None = None
    run: Checkpointing | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
