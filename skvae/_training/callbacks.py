"""skorch's callbacks: what they listen to, and those that cannot do here what they promise, refused by name."""

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    TrainEndCheckpoint,
    WandbLogger,
)

__all__ = ["GRADIENT_HOOK", "STEP_HOOKS", "Closing", "check_callbacks", "copied", "hears", "prints", "refuse_unseen"]

STEP_HOOKS = ("on_batch_begin", "on_batch_end")
GRADIENT_HOOK = "on_grad_computed"

_SAVE = "To go on after a kill use VAETransformer(checkpoint=...); to keep the model, its method save."
_BEST = "the best state on held-out rows is kept without it, see early_stopping."
_RATE = "Use learning_rate_schedule, a function of the epoch, e.g. learning_rate_schedule=lambda epoch: 0.95**epoch."

#: What skorch's class writes or reads is not what `fit` returns, which is the average of the trained weights.
_REFUSED: dict[type[Callback], str] = {
    LRScheduler: f"sets learning rates that the fit sets itself in every epoch. {_RATE}",
    Checkpoint: f"would save the weights that are trained, not their average that fit returns. {_SAVE}",
    TrainEndCheckpoint: f"would save the weights that are trained, not their average that fit returns. {_SAVE}",
    LoadInitState: f"reads the files of skorch's Checkpoint. {_SAVE} To go on with a model, warm_start=True.",
    InputShapeSetter: "sets a size of the module, which fit builds for the columns of X. Leave it out.",
}

#: The same where an argument is True, and what to do.
_REFUSED_VALUES: tuple[tuple[type[Callback], str, str], ...] = (
    (EarlyStopping, "load_best", f"Use load_best=False: {_BEST}"),
    (WandbLogger, "save_model", "Use save_model=False, and log the file that VAETransformer.save writes."),
    (MlflowLogger, "create_artifact", "Use create_artifact=False, and log the file that VAETransformer.save writes."),
)


class Closing(Callback):
    """A callback that holds something open, such as a window: it is told to close it however the training ends."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open, if anything is."""


def check_callbacks(callbacks: Sequence[Any], takes_steps: bool) -> None:
    """Refuse what is no callback of skorch, and callbacks that would have no effect, or another one than they promise.

    Parameters
    ----------
    callbacks : list of skorch callbacks, or of (name, callback)
    takes_steps : bool
        Whether the schedule takes gradient steps.

    Raises
    ------
    ValueError
        It names the callback and says what to use.
    """
    for callback in _instances(callbacks):
        if not isinstance(callback, Callback):
            raise ValueError(
                f"'callbacks' holds {callback!r}, which is no skorch.callbacks.Callback. Callbacks of scikit-learn are "
                "set by VAETransformer.set_callbacks."
            )
        _refuse(callback)
        needs_steps = isinstance(callback, ParamMapper) or hears([callback], *STEP_HOOKS, GRADIENT_HOOK)
        if needs_steps and not takes_steps:
            raise ValueError(
                f"{_name(callback)} concerns gradient steps, which a schedule in closed form does not take. Use "
                "schedule='joint'."
            )


def _refuse(callback: Callback) -> None:
    for kind, reason in _REFUSED.items():
        if isinstance(callback, kind):
            raise ValueError(f"{_name(callback)} has no place in 'callbacks': it {reason}")
    for kind, argument, instead in _REFUSED_VALUES:
        if isinstance(callback, kind) and getattr(callback, argument):
            raise ValueError(
                f"{_name(callback)}({argument}=True) concerns the weights that are trained, and fit returns their "
                f"average. {instead}"
            )
    if isinstance(callback, (BatchScoring, EpochScoring)) and not _is_own_function(callback.scoring):
        raise ValueError(
            f"{_name(callback)}(scoring={callback.scoring!r}) scores predictions, of which a VAE has none. Use a "
            "function of (net, X, y), which reads net.history or net.averaged_, or score after the fit."
        )


def _is_own_function(scoring: Any) -> bool:
    return callable(scoring) and not str(getattr(scoring, "__module__", "")).startswith("sklearn.")


def refuse_unseen(callbacks: Sequence[Any]) -> None:
    """Refuse callbacks that watch held-out rows in a fit that has none."""
    for callback in _instances(callbacks):
        watched = getattr(callback, "monitor", None) if isinstance(callback, EarlyStopping) else None
        if isinstance(callback, (EpochScoring, BatchScoring, PassthroughScoring)) and not callback.on_train:
            watched = "on_train=False"
        if isinstance(watched, str) and watched.startswith(("valid_", "on_train=")):
            raise ValueError(
                f"{_name(callback)} watches held-out rows ({watched}), and this fit has none. Use early_stopping=True "
                "or X_val, or let it watch the training rows: monitor='train_loss', or on_train=True."
            )


def hears(callbacks: Sequence[Any], *hooks: str) -> bool:
    """Whether some callback overrides one of the hooks; a call per step that nobody needs is measurable."""
    return any(_overrides(callback, hook) for callback in _instances(callbacks) for hook in hooks)


def prints(callbacks: Sequence[Any]) -> bool:
    """Whether a log of the user's waits for `verbose`, which is 1 in skorch and 0 here."""
    return any(isinstance(callback, PrintLog) for callback in _instances(callbacks))


def copied(callbacks: Sequence[Any]) -> list[Any]:
    """Copies, since skorch writes into them; what they hold is shared: a writer or a run cannot be copied."""
    return [(item[0], copy.copy(item[1])) if _is_named(item) else copy.copy(item) for item in callbacks]


def _instances(callbacks: Sequence[Any]) -> Iterator[Any]:
    """The callbacks without their names; a class stands for what it makes."""
    for item in callbacks:
        callback = item[1] if _is_named(item) else item
        yield callback() if isinstance(callback, type) and issubclass(callback, Callback) else callback


def _is_named(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2


def _overrides(callback: Any, hook: str) -> bool:
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


def _name(callback: Callback) -> str:
    return type(callback).__name__
