"""What the estimators of this folder share: each fits a copy of a `VAETransformer` and does one job with it."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import Tags

from .._utils.documented import Documented
from ..components import Parts
from ..estimator import VAETransformer

__all__ = ["AroundTransformer", "ColumnsOfModel", "default_estimator"]


def default_estimator() -> VAETransformer:
    """The model if the user gives none: these jobs need the likelihood of rows, and not codes."""
    return VAETransformer(init="factor_analysis")


class AroundTransformer(Documented, ABC):
    """Base class of estimators around a copy of `estimator`, which is `estimator_` once it is fitted."""

    estimator: VAETransformer | None
    estimator_: VAETransformer

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of the estimator included.

        A parameter ``estimator__...`` first creates the default estimator, if there is none.

        Parameters
        ----------
        **params : dict
            Own parameters, and those of the estimator as ``estimator__parameter``.

        Returns
        -------
        object
            The object itself.

        See Also
        --------
        VAETransformer.set_params : The parameters of the estimator.

        Examples
        --------
        >>> from skvae import VAEOutlierDetector
        >>> VAEOutlierDetector().set_params(estimator__n_components=4)
        VAEOutlierDetector(estimator=VAETransformer(init='factor_analysis', n_components=4))
        """
        if any(name.startswith("estimator__") for name in params) and params.get("estimator", self.estimator) is None:
            params["estimator"] = default_estimator()
        return super().set_params(**params)

    @abstractmethod
    def fit(self, X: Any, y: Any) -> Any:
        """Fit `estimator_` to the rows of X, and what the job needs beside it."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if isinstance(estimator := self._model(), VAETransformer):
            tags.input_tags = estimator.__sklearn_tags__().input_tags
        return tags

    def _model(self) -> VAETransformer:
        """An unfitted copy of the estimator, or the default one."""
        return default_estimator() if self.estimator is None else clone(self.estimator)

    def _fitted_model(
        self, X: Any, seed: int, needs: tuple[str, ...] = (), sample_weight: Any = None, **parameters: Any
    ) -> VAETransformer:
        """A copy of the estimator that is fitted to X; it gets the seed if it has none of its own.

        Parameters
        ----------
        X : table
        seed : int
        needs : tuple of {"codes", "score"}
            What the job needs of the model.
        sample_weight : array-like (n,) or None
        **parameters : dict
            Parameters of the estimator that the job sets.
        """
        model = self._model().set_params(**parameters)
        if model.random_state is None:
            model.set_params(random_state=seed)
        parts = Parts.of({f.name: getattr(model, f.name) for f in fields(Parts)})
        for reason in filter(None, map(parts.lacks, needs)):
            raise ValueError(f"The 'estimator' parameter of {type(self).__name__} lacks what this job needs. {reason}")
        return model.fit(X, sample_weight=sample_weight)


class ColumnsOfModel:
    """The attributes that describe the columns that `fit` saw, if these are the columns of the model."""

    estimator_: VAETransformer

    @property
    def n_features_in_(self) -> int:
        """Number of columns that `fit` saw."""
        return self._attribute("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns that `fit` saw."""
        return self._attribute("feature_names_in_")

    def _attribute(self, name: str) -> Any:
        if "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit.")
        return getattr(self.estimator_, name)
