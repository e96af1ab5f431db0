"""A callback of skorch around an object that watches a training and knows nothing of skorch."""

from typing import Any, Protocol

from skorch import NeuralNet
from skorch.callbacks import Callback

from .train import plain_history

__all__ = ["Watching"]


class Watcher(Protocol):
    """What is told of a training."""

    def begin(self) -> None:
        """Hear that the training begins."""

    def after_epoch(self, history: list[dict[str, Any]], objective: Any) -> None:
        """Hear of the epochs so far, one record each."""

    def end(self, history: list[dict[str, Any]], objective: Any) -> None:
        """Hear of all epochs."""


class Watching(Callback):
    """Tell a watcher of the beginning, of every epoch, with one record each so far, and of the end.

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
        self.watcher.after_epoch(plain_history(net), net.options.objective)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Tell of all epochs."""
        self.watcher.end(plain_history(net), net.options.objective)
