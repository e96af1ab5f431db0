"""The best state on held-out rows."""

import math

import torch
from skorch.callbacks import Callback

from .loop import StopTraining, in_data_units

__all__ = ["BestState"]


class BestState(Callback):
    """Keeps the weights with the best monitored held-out value and ends training when patience runs out.

    A start that is a model of its own is only given up for what is better by more than one standard error of the mean
    difference over the held-out rows (Breiman et al. 1984, section 3.4.3): twenty rows vouch for little.
    """

    def __init__(self, patience, tol, objective, keeps_start):
        self.patience = patience
        self.tol = tol
        self.objective = objective
        self.keeps_start = keeps_start
        self.best_epoch = None
        self.value = math.inf
        self.start = []
        self.state = self.monitored = None

    def on_train_begin(self, net, X, **kwargs):
        """The state before the first epoch takes part in the race and opens the history."""
        _, self.valid_rows = X
        parts = in_data_units(net.validate(self.valid_rows), "valid", self.valid_rows, self.objective)
        self.start = [{"epoch": net.first_epoch, **parts}]
        self.offer(net, net.first_epoch, self.start[0])
        self.first = net.first_epoch, net.monitored, self.state

    def offer(self, net, epoch, record):
        """Take the state if it is better than the best by more than `tol`."""
        if self.objective.monitor is None or self.patience is None:
            return
        value = record[f"valid_{self.objective.monitor}"]
        if value < self.value - self.tol:
            self.value, self.best_epoch, self.monitored = value, epoch, net.monitored
            self.state = {name: tensor.detach().clone() for name, tensor in net.averaged_.state_dict().items()}

    def on_epoch_end(self, net, **kwargs):
        """Offer the state after the epoch."""
        self.offer(net, net.epoch + 1, net.history[-1])
        if self.best_epoch is None:
            return
        net.history.record("event_best", self.best_epoch == net.epoch + 1)
        waited = net.epoch + 1 - max(self.best_epoch, self.objective.warm_up)
        if waited >= self.patience:
            raise StopTraining

    def restore(self, module):
        """Load the best state; False where there is none, and the last one stays."""
        if self.best_epoch is None:
            return False
        if self.keeps_start and not self._is_sure():
            self.best_epoch, _, self.state = self.first
        module.load_state_dict(self.state)
        return True

    def _is_sure(self):
        """Whether the best state beats the start by more than one standard error of the mean difference."""
        w = torch.from_numpy(self.valid_rows.weight / self.valid_rows.weight.sum())
        gain = (self.first[1] - self.monitored).double().cpu()
        mean = w @ gain
        error = (w.square_() @ gain.sub_(mean).square_()).sqrt()  # in place: of a large table these are large, too
        return bool(mean > error)
