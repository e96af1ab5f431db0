"""`VAEEmbedding`: codes in units of their effect on the columns, for methods that compare rows by distance."""

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from .._inference.effects import centred_columns, slopes
from .._inference.fitted import fitted_of
from .._tables.intake import as_table
from .._utils.arrays import on_host
from .._utils.checks import check_parameters, check_weight
from .._utils.random import draw_seed
from ..estimator import VAETransformer
from .around import AroundTransformer, ColumnsOfModel

__all__ = ["VAEEmbedding"]


class VAEEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ColumnsOfModel, AroundTransformer):
    r"""Codes of a `VAETransformer` in units of their effect on the columns, for nearest neighbours, clusters and maps.

    The components of a `VAETransformer` all have about unit variance, as PCA's have with ``whiten=True``: weak ones
    count in a distance as much as strong ones. Here each is multiplied by the norm of the least-squares slopes of the
    columns on it,

    .. math:: s_k = \frac{\|\mathrm{Cov}(x, z_k)\|}{\mathrm{Var}(z_k)}

    over the rows of the fit. Each column is scaled to variance 1, and a category enters as the indicators of its
    levels; under ``scaling="global"`` and None numbers keep their common unit. In the linear model of PCA the distances
    between codes are then exactly PCA's.

    Parameters
    ----------
    estimator : VAETransformer, optional
        The model, of which a copy is fitted; ``estimator__n_components`` sets its parameters. By default
        ``VAETransformer()``.
    random_state : int, RandomState instance or None, default=None
        Seed of the estimator, if it has none of its own.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model; its own codes are ``estimator_.transform(X)``.
    scale_ : ndarray of shape (n_components,)
        The factor of each component.
    n_features_in_ : int
        D, the number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only when X has string names.

    See Also
    --------
    VAETransformer.transform : Codes in units of the prior.
    sklearn.decomposition.PCA : The linear model, whose components have the variance that they explain.

    Notes
    -----
    An ONNX graph or a torch module gives the codes of `estimator_`: multiply its output by `scale_`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from skvae import VAEEmbedding, VAETransformer
    >>> X, y = load_wine(return_X_y=True)
    >>> neighbours = make_pipeline(VAEEmbedding(VAETransformer(5, max_iter=0)), KNeighborsClassifier(5)).fit(X, y)
    >>> round(neighbours.score(X, y), 2)
    0.99
    >>> neighbours[0].scale_.round(1)
    array([2.1, 1.7, 1.3, 1.1, 1.2])
    """

    _parameter_constraints = {"estimator": [VAETransformer, None], "random_state": ["random_state"]}

    def __init__(
        self, estimator: VAETransformer | None = None, *, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "VAEEmbedding":
        """Fit the model to the rows of X, and the scales to their codes.

        Components that do not vary have the scale 0.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows, for the model and the scales.

        Returns
        -------
        VAEEmbedding
            The embedding itself, fitted.

        Raises
        ------
        ValueError
            Bad parameters or tables, an estimator without codes, or with codes that are not coordinates on the real
            line, such as classes.

        See Also
        --------
        VAETransformer.fit : What it does with X.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEEmbedding, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAEEmbedding(VAETransformer(2, max_iter=0)).fit(X).scale_.round(1)
        array([1.7, 1. ])
        """
        check_parameters(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        X = as_table(X)
        model = self._fitted_model(X, draw_seed(self.random_state), ("codes",), sample_weight)
        if reason := fitted_of(model).off_the_line:
            raise ValueError(f"VAEEmbedding scales one component at a time, but {reason}.")
        Z = on_host(model.set_output(transform="default").transform(X)).astype(np.float64)
        weight = np.ones(len(Z)) if sample_weight is None else check_weight(sample_weight, len(Z))
        self.scale_ = slopes(centred_columns(model, X, weight), Z, weight)
        self.estimator_ = model
        return self

    def transform(self, X: Any) -> Any:
        """Encode rows, and scale their codes.

        The order and signs of the components are those of the model.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Scaled codes; a frame after ``set_output``.

        See Also
        --------
        inverse_transform : Decode them.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEEmbedding, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAEEmbedding(VAETransformer(2, max_iter=0)).fit(X).transform(X).std(axis=0).round(1)
        array([1.7, 1. ])
        """
        check_is_fitted(self)
        Z = on_host(self.estimator_.transform(X))
        return Z * self.scale_.astype(Z.dtype)

    def inverse_transform(self, Z: Any) -> Any:
        """Decode scaled codes to the mean of the columns.

        A component whose scale is 0 is decoded at 0.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Scaled codes, as `transform` gives them.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            As from `VAETransformer.inverse_transform`.

        See Also
        --------
        VAETransformer.inverse_transform : Decode the model's own codes.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEEmbedding, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> embedding = VAEEmbedding(VAETransformer(2, max_iter=0)).fit(X)
        >>> embedding.inverse_transform(embedding.transform(X[:1])).round(1)
        array([[5. , 3.5, 1.4, 0.2]])
        """
        check_is_fitted(self)
        index = Z.index if hasattr(Z, "iloc") else None
        Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
        own = Z / np.where(self.scale_ > 0, self.scale_, np.inf).astype(Z.dtype)
        rows = self.estimator_.inverse_transform(own)
        return rows.set_index(index) if index is not None and hasattr(rows, "iloc") else rows

    @property
    def _n_features_out(self) -> int:
        return len(self.scale_)

    def _model(self) -> VAETransformer:
        return VAETransformer() if self.estimator is None else super()._model()
