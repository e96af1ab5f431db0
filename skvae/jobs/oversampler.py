"""`VAEOversampler`: rows of rare classes, drawn from one model, with the methods of imbalanced-learn's samplers."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import OneToOneFeatureMixin, clone
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._tables.cells import gone
from .._tables.intake import as_table
from .._tables.parts import above, beside, free_names, names_of, take_columns, take_rows
from .._tables.schema import Schema
from .._tables.validation import validated
from .._utils.arrays import on_host
from .._utils.checks import check_parameters
from .._utils.compat import Interval, StrOptions
from .._utils.random import draw_seed
from ..estimator import VAETransformer
from .appended import for_one_more_column
from .around import AroundTransformer
from .strategies import STRATEGIES, rows_to_make

__all__ = ["VAEOversampler"]


class VAEOversampler(OneToOneFeatureMixin, AroundTransformer):
    r"""Over-sampler: new rows of the rare classes, drawn from a `VAETransformer` conditional on the class.

    One model of all rows has the class y as its condition,

    .. math:: x \sim p(x | z, y), \qquad z \sim p(z),

    so that a class with few rows borrows from the others what they have in common: how columns depend on each other,
    and how much noise they have. The methods are those of imbalanced-learn's over-samplers, such as SMOTE, and its
    pipeline accepts this one, but that package is not required. Columns may hold categories, and cells may be missing:
    drawn rows are complete, integers are whole, and categories are levels.

    Parameters
    ----------
    estimator : VAETransformer, optional
        The model of the rows, of which a copy is fitted; ``estimator__n_components`` sets its parameters. By default
        ``VAETransformer(init="factor_analysis")``. It must not have `conditions`.
    sampling_strategy : str, float, dict or callable, default="auto"
        The classes that get as many rows as the largest one: "minority" for the smallest one, "not minority" for all
        but that, "not majority" for all but the largest one, "all" for all; "auto" is "not majority". With two classes
        a float in (0, 1] is the desired ratio of the rows of the smaller class to those of the larger. A dict gives the
        desired number of rows of some classes, those of `fit` included, and a function of y returns such a dict.
    random_state : int, RandomState instance or None, default=None
        Seed of the estimator, if it has none of its own, and of the draws.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model; its last column is the number of the class.
    sampling_strategy_ : dict
        The number of rows to draw for each class.
    n_features_in_ : int
        D, the number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only when X has string names.

    See Also
    --------
    VAETransformer.sample : Draw rows given any columns.
    VAEClassifier : A classifier that can also draw rows of its classes.

    References
    ----------
    N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique", JAIR
    16, 2002.
    K. Sohn, H. Lee, X. Yan, "Learning Structured Output Representation using Deep Conditional Generative Models",
    NeurIPS 2015.

    Examples
    --------
    Eight flowers of iris virginica beside fifty of iris versicolor:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAEOversampler, VAETransformer
    >>> X, y = load_iris(as_frame=True, return_X_y=True)
    >>> few = X[50:108], y[50:108]
    >>> X_more, y_more = VAEOversampler(VAETransformer(2, max_iter=0), random_state=0).fit_resample(*few)
    >>> y_more.value_counts().to_dict()
    {1: 50, 2: 50}
    >>> X_more[58:]["petal length (cm)"].mean().round(1), X[100:]["petal length (cm)"].mean().round(1)  # made, and all
    (np.float64(5.7), np.float64(5.6))
    """

    _parameter_constraints = {
        "estimator": [VAETransformer, None],
        "sampling_strategy": [StrOptions(set(STRATEGIES)), Interval(Real, 0, 1, closed="right"), Mapping, callable],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: VAETransformer | None = None,
        *,
        sampling_strategy: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.target_tags.required = "sampler", True
        tags.input_tags.sparse = False
        return tags

    def fit(self, X: Any, y: Any) -> "VAEOversampler":
        """Check X, y and the strategy, as imbalanced-learn's samplers do; `fit_resample` does the work.

        No model is fitted.

        Parameters
        ----------
        X : array-like or frame of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : array-like of shape (n_samples,)
            Classes, numbers or strings.

        Returns
        -------
        VAEOversampler
            The sampler itself, with `sampling_strategy_`.

        Raises
        ------
        ValueError
            As `fit_resample`.

        See Also
        --------
        fit_resample : Draw the rows.

        Examples
        --------
        >>> from skvae import VAEOversampler
        >>> VAEOversampler().fit([[1.0], [2.0], [3.0], [4.0], [5.0]], list("aaabb")).sampling_strategy_
        {'b': 1}
        """
        X, schema, _, _, to_make = self._checked(X, y)
        validated(self, schema, X, reset=True)
        self.sampling_strategy_ = to_make
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Fit the model to the rows of X with their classes, and draw rows of the rare ones.

        Only training rows should be resampled: in cross-validation, put the sampler into imbalanced-learn's pipeline.

        Parameters
        ----------
        X : array-like or frame of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : array-like of shape (n_samples,)
            Classes, numbers or strings.

        Returns
        -------
        X_resampled : like X, of shape (n_samples_new, n_features)
            The rows of X in their order, then the drawn rows, class by class, with the same dtypes. A pandas frame gets
            a new index 0, 1, ...
        y_resampled : like y, of shape (n_samples_new,)
            Their classes.

        Raises
        ------
        ValueError
            Bad parameters or tables; y has only one class, or a class to be over-sampled has only one row; a strategy
            that asks for fewer rows than there are. An earlier fit stays intact.

        See Also
        --------
        VAETransformer.sample : Draw rows given other columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEOversampler, VAETransformer
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["common", "rare"], [100, 5])
        >>> X = rng.normal(np.where(y == "rare", 5, 0)[:, None], 1, (105, 2))
        >>> sampler = VAEOversampler(VAETransformer(1, max_iter=0), sampling_strategy={"rare": 50}, random_state=0)
        >>> X_more, y_more = sampler.fit_resample(X, y)
        >>> X_more.shape, y_more[105:].tolist() == ["rare"] * 45
        ((150, 2), True)
        """
        is_list, labels = isinstance(X, list), y
        X, schema, classes, code, to_make = self._checked(X, y)
        seed, D = draw_seed(self.random_state), len(schema.kinds)
        table, categories = beside(X, {free_names(names_of(X), ["class"])[0]: code}), [*schema.levels, D]
        parameters = for_one_more_column(self._model(), D) | {"categorical_features": categories, "conditions": [D]}
        model = self._fitted_model(table, seed, **parameters)
        first = np.unique(code, return_index=True)[1]  # a row of each class, for its label
        made = np.repeat(first, [to_make.get(c, 0) for c in classes])
        if len(made):
            drawn = model.sample(random_state=seed, given=take_rows(take_columns(table, [D]), made))
            X = above(X, take_columns(drawn, range(D)))
        validated(self, schema, X, reset=True)
        self.estimator_, self.sampling_strategy_ = model, to_make
        return X.tolist() if is_list else X, take_rows(labels, np.append(np.arange(len(code)), made))

    def _checked(self, X: Any, y: Any) -> tuple[Any, Schema, list, np.ndarray, dict]:
        """X as a table, its schema, the classes in order, the number of the class of each row, and what to make."""
        check_parameters(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        model, X = self._model(), as_table(X)
        if sparse.issparse(X):
            raise TypeError("X is sparse, and made rows have no zeros. Give VAEOversampler a dense table: X.toarray().")
        if model.conditions is not None:
            raise ValueError(
                f"The 'estimator' parameter of VAEOversampler has conditions={model.conditions!r}, and rows are drawn "
                "given their class alone. Leave them out, and they are columns of X."
            )
        schema = Schema.learn(X, model.categorical_features)
        validated(clone(self), schema, X, reset=True)
        classes, code = _classes(y, X)
        n = np.bincount(code)
        to_make = rows_to_make(self.sampling_strategy, y, classes, n)
        if few := [c for c, m in zip(classes, n, strict=True) if m < 2 and to_make.get(c, 0)]:
            raise ValueError(
                f"The classes {few} of y have one row each, which does not say how rows of a class differ. Give at "
                "least two, drop these rows, or leave the classes out of sampling_strategy, as a dict can."
            )
        return X, schema, classes, code, to_make


def _classes(y: Any, X: Any) -> tuple[list, np.ndarray]:
    """The classes of y in order, and the number of the class of each row of X, (n,)."""
    if y is None:
        raise ValueError("VAEOversampler requires y to be passed, but the target y is None.")
    y = column_or_1d(on_host(y), warn=True)
    check_consistent_length(X, y)
    if y.dtype.kind in "fO" and (missing := gone(y.tolist())).any():
        raise ValueError(f"Input y contains NaN or None in {missing.sum()} rows. Drop rows without a class.")
    check_classification_targets(y)
    classes, code = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"The target 'y' needs to have more than 1 class. Got 1 class instead, {classes[0]!r}.")
    return classes.tolist(), code.ravel()
