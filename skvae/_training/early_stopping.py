"""The best state on held-out rows."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from ..model import LatentVariableModel
from ..objectives.base import Objective
from .batches import TrainingRows
from .loop import Callback, Net, StopTraining, in_data_space

__all__ = ["Best", "BestState"]


@dataclass(frozen=True)
class Best:
    """The best state of a training so far; all its fields, and nothing else, go into a checkpoint."""

    value: float = math.inf  # of the monitored part, weighted mean over the held-out rows
    epoch: int | None = None  # None: there is no state
    monitored: torch.Tensor | None = None  # the monitored part row by row, (n,)
    state: dict[str, torch.Tensor] = field(default_factory=dict)  # the averaged weights, by name
    reference: float = math.inf  # the value at the last gain of more than `tol`
    since: int = 0  # its epoch


class BestState(Callback):
    """Keeps the weights with the best monitored held-out value and ends training when patience runs out.

    A start that is a model of its own is only given up for what is better by more than one standard error of the mean
    difference over the held-out rows (Breiman et al. 1984, section 3.4.3): a gain on twenty rows proves little.
    """

    def __init__(self, patience: int | None, tol: float, objective: Objective, keeps_start: bool) -> None:
        self.patience = patience
        self.tol = tol
        self.objective = objective
        self.keeps_start = keeps_start
        self.best = self.first = Best()
        self.history: list[dict[str, Any]] = []  # the record of the state before the first epoch
        self.valid_rows: TrainingRows | None = None

    def on_train_begin(self, net: Net, X: tuple[TrainingRows, TrainingRows], **kwargs: Any) -> None:
        """The state before the first epoch takes part in the race and opens the history."""
        _, self.valid_rows = X
        parts = in_data_space(net.validate(self.valid_rows), "valid", self.valid_rows, self.objective)
        self.history = [{"epoch": net.first_epoch, **parts}]
        self.offer(net, net.first_epoch, self.history[0])
        self.first = self.best

    def offer(self, net: Net, epoch: int, record: dict[str, Any]) -> None:
        """Take the state if it is better than the best; gains that come to more than `tol` begin the waiting anew."""
        if self.objective.monitor is None or self.patience is None:
            return
        value = record[f"valid_{self.objective.monitor}"]
        if value < self.best.value:
            state = {name: tensor.detach().clone() for name, tensor in net.averaged_.state_dict().items()}
            is_gain = value < self.best.reference - self.tol
            since = (value, epoch) if is_gain else (self.best.reference, self.best.since)
            self.best = Best(value, epoch, net.monitored, state, *since)

    def on_epoch_end(self, net: Net, **kwargs: Any) -> None:
        """Offer the state after the epoch, and end training if it has not improved for too long."""
        self.offer(net, net.epoch + 1, net.history[-1])
        if self.best.epoch is None:
            return
        net.history.record("event_best", self.best.epoch == net.epoch + 1)
        waited = net.epoch + 1 - max(self.best.since, self.objective.warm_up)
        if self.patience is not None and waited >= self.patience:
            raise StopTraining

    def restore(self, module: LatentVariableModel) -> bool:
        """Load the best state; False where there is none, and the last one stays."""
        if self.best.epoch is None:
            return False
        if self.keeps_start and not self._is_sure():
            self.best = self.first
        module.load_state_dict(self.best.state)
        return True

    def _is_sure(self) -> bool:
        """Whether the best state beats the start by more than one standard error of the mean difference."""
        if self.valid_rows is None or self.first.monitored is None or self.best.monitored is None:
            return True  # the start had no finite value: it is not in the race
        w = torch.from_numpy(self.valid_rows.weight / self.valid_rows.weight.sum())
        gain = (self.first.monitored - self.best.monitored).double().cpu()
        mean = w @ gain
        error = (w.square_() @ gain.sub_(mean).square_()).sqrt()  # in place: of a large table these are large, too
        return bool(mean > error)
