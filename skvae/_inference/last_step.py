"""The fitted model behind an estimator or pipeline that a metric or a display is given."""

from typing import Any

from sklearn.pipeline import Pipeline

from .fitted import fitted_of, snapshot

__all__ = ["last_step"]


def last_step(cls: type, estimator: Any, X: Any = None, *needs: str, caller: str) -> tuple[Any, Any]:
    """Give the estimator, or a pipeline's last step, and the table as it sees it.

    What comes back is a snapshot: a `fit` in another thread does not change it.

    Parameters
    ----------
    cls : type
        Class of the estimator: VAETransformer.
    estimator : VAETransformer, or Pipeline that ends in one
    X : table or None
    *needs : {"codes", "score"}
        What the caller needs of the model.
    caller : str
        Name of the caller in errors.

    Raises
    ------
    ValueError
        Another estimator, or a model that lacks what the caller needs.
    sklearn.exceptions.NotFittedError
        A model before `fit`.
    """
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, cls):
        raise ValueError(
            f"{caller} takes a {cls.__name__}, or a Pipeline that ends in one; of a search, its best_estimator_. "
            f"Got {type(last).__name__} instead."
        )
    vae = snapshot(last)
    parts = fitted_of(vae).parts
    for what in needs:
        if reason := parts.lacks(what):
            raise ValueError(f"{caller}: {reason}")
    if last is not estimator and X is not None and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    return vae, X
