"""A fit as the tasks that scikit-learn's callbacks see: the root, its epochs, and the passes that read a source."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from sklearn.base import BaseEstimator

__all__ = ["Tasks"]

T = TypeVar("T")


class Tasks:
    """The root task of a fit, begun; before scikit-learn 1.9, and where nobody listens, nothing happens.

    Parameters
    ----------
    estimator : VAETransformer
    X, y : object
        What callbacks are handed as the data; None where they are read in chunks.
    most : int
        Subtasks at most.
    """

    def __init__(self, estimator: BaseEstimator, X: Any, y: Any, most: int) -> None:
        self.arguments = {"estimator": estimator, "X": X, "y": y}
        self.root: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self.root = estimator._init_callback_context(max_subtasks=most).call_on_fit_task_begin(**self.arguments)

    def read(self, chunks: Iterable[T], n_chunks: int | None) -> Iterator[T]:
        """Chunks as they are, each a task of one pass; `n_chunks` of them, or None where that is not known."""
        if self.root is None:
            yield from chunks
            return
        reading = self.root.subcontext(task_name="read", max_subtasks=n_chunks).call_on_fit_task_begin(**self.arguments)
        for i, chunk in enumerate(chunks):
            if i == n_chunks:  # more than there should be: the caller's to refuse
                yield from itertools.chain([chunk], chunks)
                return
            one = reading.subcontext(task_name="chunk").call_on_fit_task_begin(**self.arguments)
            yield chunk
            one.call_on_fit_task_end(**self.arguments)
        reading.call_on_fit_task_end(**self.arguments)

    def epochs(
        self, snapshot: Callable[[Any], dict[str, Any]]
    ) -> tuple[Callable[[], None], Callable[[Any], bool]] | None:
        """Functions that begin and end an epoch's task; `snapshot(net)` gives the fitted attributes to who asks.

        The second returns True where a callback asks to stop. None where there is no task.
        """
        if self.root is None:
            return None
        running = []

        def begin() -> None:
            running.append(self.root.subcontext(task_name="epoch").call_on_fit_task_begin(**self.arguments))

        def end(net: Any) -> bool:
            attributes = partial(snapshot, net)  # called only if a callback wants the estimator
            return running.pop().call_on_fit_task_end(**self.arguments, reconstruction_attributes=attributes)

        return begin, end

    def end(self, attributes: dict[str, Any]) -> None:
        """End the root task, with what the fit has set."""
        if self.root is not None:
            self.root.call_on_fit_task_end(**self.arguments, reconstruction_attributes=attributes)
