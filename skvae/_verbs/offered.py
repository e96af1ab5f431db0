"""Methods of a fitted model: hidden where the model lacks what they need, and run on one fit from beginning to end."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any

from sklearn.utils.metaestimators import available_if

from .._inference.fitted import earlier_fit, snapshot
from ..components import Parts

__all__ = ["offered"]


def offered(*needs: str, to_fit: bool = False, delegates: bool = False) -> Callable[[Callable], Any]:
    """Offer a method to models that have "codes", a "score", a "mixture" prior, or "groups" by their parameters.

    The method is called on a snapshot: scikit-learn's validation, the model and the column names that ``set_output``
    uses belong to one fit, even while another thread fits the estimator anew.

    Parameters
    ----------
    *needs : {"codes", "score", "mixture", "groups"}
        What the method needs of the model.
    to_fit : bool, default=False
        Whether the method fits first, so that the estimator's parameters decide, not its earlier fit.
    delegates : bool, default=False
        Whether the method reads the fit through other methods alone, which take their own snapshot: a subclass's
        methods are then called on the estimator itself.
    """

    def has(estimator: Any) -> bool:
        for need in needs:
            reason = _lacks(estimator, need, to_fit)
            if reason:
                raise AttributeError(reason)
        return True

    def decorate(method: Callable) -> Any:
        @wraps(method)
        def on_one_fit(self: Any, *args: Any, **kwargs: Any) -> Any:
            return method(self if to_fit or delegates else snapshot(self), *args, **kwargs)

        return available_if(has)(on_one_fit)

    return decorate


def _lacks(estimator: Any, need: str, to_fit: bool) -> str | None:
    """Why the fitted model, or the one to fit, lacks something; None also for parameters that `fit` will refuse."""
    fitted = None if to_fit else earlier_fit(estimator)
    if fitted is not None:
        return fitted.lacks(need)
    try:
        parts = Parts.of({f.name: getattr(estimator, f.name) for f in fields(Parts)})
        return parts.lacks(need, estimator.n_components)
    except ValueError:
        return None
