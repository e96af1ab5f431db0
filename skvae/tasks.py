"""A fit as the tasks that scikit-learn's callbacks see: the root, its epochs, and the passes that read a source."""

__all__ = ["Tasks"]


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

    def __init__(self, estimator, X, y, most):
        self.arguments = {"estimator": estimator, "X": X, "y": y}
        self.root = None
        if hasattr(estimator, "_init_callback_context"):
            self.root = estimator._init_callback_context(max_subtasks=most).call_on_fit_task_begin(**self.arguments)

    def epochs(self, snapshot):
        """Functions that begin and end an epoch's task; `snapshot(net)` gives the fitted attributes to who asks.

        None where there is no task.
        """
        running = []

        def begin():
            running.append(self.root.subcontext(task_name="epoch").call_on_fit_task_begin(**self.arguments))

        def end(net):
            attributes = lambda: snapshot(net)  # noqa: E731 - evaluated only if a callback wants the estimator
            return running.pop().call_on_fit_task_end(**self.arguments, reconstruction_attributes=attributes)

        return self.root and (begin, end)

    def end(self, attributes):
        """End the root task, with what the fit has set."""
        if self.root is not None:
            self.root.call_on_fit_task_end(**self.arguments, reconstruction_attributes=attributes)
