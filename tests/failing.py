"""A callback that fails."""

from skorch.callbacks import Callback


class Failing(Callback):
    """Fails in the second epoch, or before the first."""

    def __init__(self, at_once):
        self.at_once = at_once

    def on_train_begin(self, net, **kwargs):
        if self.at_once:
            raise RuntimeError("failed")

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise RuntimeError("failed")
