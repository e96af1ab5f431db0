"""A callback of skorch around an object that watches a training and knows nothing of skorch."""

from typing import Any, Protocol

from skorch import NeuralNet

from .callbacks import Closing
from .train import plain_history

__all__ = ["Watching"]


class Watcher(Protocol):
    """What is told of a training."""

    def begin(self) -> None:
        """Hear that the training begins."""

    def after_epoch(self, history: list[dict[str, Any]], objective: Any, is_weighted: bool) -> None:
        """Hear of the epochs so far, one record each, and whether the loss weights columns."""

    def end(self, history: list[dict[str, Any]], objective: Any, is_weighted: bool) -> None:
        """Hear of all epochs."""

    def close(self) -> None:
        """Hear that nothing more comes, whether the training has ended or failed, or not even begun."""


class Watching(Closing):
    """Tell a watcher of the beginning, of every epoch, with one record each so far, and of the end or the failure.

    Parameters
    ----------
    watcher : object
        With the methods of `Watcher`.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Tell of the beginning."""
        self.watcher.begin()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Tell of the epochs so far."""
        self.watcher.after_epoch(*_told(net))

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Tell of all epochs."""
        self.watcher.end(*_told(net))

    def close(self) -> None:
        """Tell that nothing more comes."""
        self.watcher.close()


def _told(net: NeuralNet) -> tuple[list[dict[str, Any]], Any, bool]:
    return plain_history(net), net.options.objective, net.averaged_.column_weights is not None
