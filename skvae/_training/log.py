"""What `verbose` shows of a training: a line per epoch, or a bar."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skorch.callbacks import PrintLog

from .._utils.progress import duration
from .callbacks import Closing

if TYPE_CHECKING:
    from skorch import NeuralNet

__all__ = ["EpochBar", "EpochLog"]


class EpochLog(PrintLog):
    """A line per epoch, of how many at most, and how long they would take."""

    def on_epoch_end(self, net: "NeuralNet", **kwargs: Any) -> None:
        """Print the line of the epoch."""
        self.left = {"left": _time_left(net)} if net.max_epochs > 1 else {}
        super().on_epoch_end(net, **kwargs)

    def table(self, row: Mapping[str, Any]) -> str:
        """Give the epoch's numbers as a table."""
        return super().table({**row, **self.left})


class EpochBar(Closing):
    """A bar of the epochs, with the loss and the best epoch beside it."""

    bar: Any = None

    def on_train_begin(self, net: "NeuralNet", **kwargs: Any) -> None:
        """Begin a bar."""
        from tqdm.auto import tqdm  # late: it warns in a notebook without ipywidgets

        self.best = 0
        self.bar = tqdm(desc="VAETransformer.fit: training", total=net.max_epochs, unit=" epochs")

    def on_epoch_end(self, net: "NeuralNet", **kwargs: Any) -> None:
        """Move it on."""
        record = net.history[-1]
        loss = record.get("valid_loss", record.get("train_loss"))
        self.best = len(net.history) if record.get("event_best") else self.best
        best = {"best epoch": self.best} if "event_best" in record else {}
        self.bar.set_postfix({"loss": f"{loss:.4g}", **best}, refresh=False)
        self.bar.update(len(net.history) - self.bar.n)  # a checkpoint may have some

    def close(self) -> None:
        """End it."""
        if self.bar is not None:
            self.bar.close()


def _time_left(net: "NeuralNet") -> str:
    """How long the epochs to come would take, at the pace of the last ten."""
    pace = [record["dur"] for record in net.history[-10:]]
    return duration((net.max_epochs - len(net.history)) * sum(pace) / len(pace))
