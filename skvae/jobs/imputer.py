"""`VAEImputer`: missing cells filled in by a `VAETransformer`, with the methods of scikit-learn's imputers."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch.distributions import constraints

from .._inference.fitted import fitted_of
from .._tables import decoding, encoding
from .._tables.assignment import position
from .._tables.bounds import limit
from .._tables.cells import gone
from .._tables.frames import as_frame
from .._tables.intake import as_table
from .._tables.parts import beside, free_names, names_of, take_columns, without_marker
from .._tables.schema import Schema
from .._utils.arrays import on_host
from .._utils.checks import check_count, check_parameters
from .._utils.random import draw_seed
from .._utils.user_warnings import warn_user
from ..estimator import VAETransformer
from .around import AroundTransformer, ColumnsOfModel

__all__ = ["VAEImputer"]


class VAEImputer(OneToOneFeatureMixin, TransformerMixin, ColumnsOfModel, AroundTransformer):
    r"""Imputer: missing cells become their conditional means and modes, or draws, under a `VAETransformer`.

    .. math:: E[x_{mis} | x_{obs}] \quad \text{or} \quad x_{mis} \sim p(x_{mis} | x_{obs}),

    by importance sampling of codes, see `VAETransformer.impute`. The methods are those of
    `sklearn.impute.SimpleImputer`, and rows that `fit` has not seen may have other missing cells. A frame stays a frame
    with its dtypes: categories, strings and booleans are imputed, too, integers stay whole, and observed cells stay as
    they are. Nothing needs scaling or encoding before it; steps that need complete numbers come after it.

    Parameters
    ----------
    estimator : VAETransformer, optional
        The model of the rows, of which a copy is fitted; ``estimator__n_components`` sets its parameters. By default
        ``VAETransformer(init="factor_analysis")``. Columns among its `conditions` are not imputed.
    missing_values : int, float, str, None or NA, default=np.nan
        What marks a missing cell. NaN, None and NA are all missing by default; with any other marker they raise an
        error.
    sample_posterior : bool, default=False
        Whether missing cells are drawn, as for multiple imputation, instead of means and modes. Draws depend on
        the row, on how many equal rows precede it, and on the seed: ``fit_transform(X)`` is ``fit(X).transform(X)``.
    min_value, max_value : float, array-like of shape (n_features,) or dict of column -> float, optional
        Limits of imputed numbers; observed ones may lie outside. A single number applies to all columns of numbers.
    add_indicator : bool, default=False
        Whether columns ``missingindicator_...`` say which cells were missing, for columns with missing cells in `fit`.
        In a frame whose names are numbers their names are the next numbers.
    keep_empty_features : bool, default=False
        Whether columns without any observed cell in `fit` are kept, as zeros if they are numeric. They are dropped
        otherwise. A column that has no type either, such as one of None alone, is kept as it is.
    random_state : int, RandomState instance or None, default=None
        Seed of the estimator, if it has none of its own, and of the draws.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model.
    empty_features_ : int ndarray
        Positions of the columns without any observed cell in `fit`.
    indicator_features_ : int ndarray
        Positions of the columns with missing cells in `fit`.
    seed_ : int
        Seed of the draws.
    n_features_in_ : int
        D, the number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only when X has string names.

    See Also
    --------
    multiple_imputation : Estimates with standard errors that account for missing values.
    VAETransformer.impute : The same without the interface of scikit-learn's imputers.
    sklearn.impute.SimpleImputer : The mean or most frequent value of each column.
    sklearn.impute.KNNImputer : The mean of the most similar rows.

    References
    ----------
    P.-A. Mattei, J. Frellsen, "MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets", ICML 2019.

    Examples
    --------
    A pet's kind from its size, and its weight from both:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAEImputer, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.choice(["cat", "dog"], 200)
    >>> weight = np.where(kind == "cat", 4, 20) + rng.integers(0, 3, 200)
    >>> height = np.where(kind == "cat", 25, 50) + rng.integers(0, 3, 200)
    >>> pets = pd.DataFrame({"kind": kind, "weight": weight, "height": height})
    >>> imputer = VAEImputer(VAETransformer(1), random_state=0).fit(pets)
    >>> imputer.transform(pd.DataFrame({"kind": [None, "cat"], "weight": [21, None], "height": [51, 26]}))
      kind  weight  height
    0  dog      21      51
    1  cat       5      26
    """

    _parameter_constraints = {
        "estimator": [VAETransformer, None],
        "missing_values": "no_validation",
        "sample_posterior": ["boolean"],
        "min_value": [Real, "array-like", Mapping, None],
        "max_value": [Real, "array-like", Mapping, None],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: VAETransformer | None = None,
        *,
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        min_value: Any = None,
        max_value: Any = None,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.min_value = min_value
        self.max_value = max_value
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "VAEImputer":
        """Fit the model to the rows of X.

        Only observed cells count; a row or a column without any contributes nothing.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows, which may have missing cells.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        VAEImputer
            The imputer itself, fitted.

        Raises
        ------
        ValueError
            Bad parameters or tables, a lower limit that is not below the upper one, or an estimator without an encoder.
            An earlier fit stays intact.

        Warns
        -----
        UserWarning
            Columns without any observed cell will be dropped.

        See Also
        --------
        VAETransformer.fit : What it does with X.

        Examples
        --------
        >>> from skvae import VAEImputer, VAETransformer
        >>> imputer = VAEImputer(VAETransformer(1, max_iter=0), missing_values=-1, random_state=0)
        >>> imputer.fit([[1, 2], [2, 4], [3, -1], [4, 8]]).transform([[2, -1]]).round(1)
        array([[2., 4.]])
        """
        check_parameters(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        seed = draw_seed(self.random_state)
        X = without_marker(as_table(X), self.missing_values)
        limits = _limits(Schema.learn(X, self._model().categorical_features), self.min_value, self.max_value)
        model = self._fitted_model(X, seed, needs=("codes",))
        schema = fitted_of(model).schema
        is_missing = encoding.missing(schema, on_host(X))
        self.estimator_, self.seed_, self.limits_ = model, seed, limits
        self.empty_features_ = np.flatnonzero(is_missing.all(0))
        self.indicator_features_ = np.flatnonzero(is_missing.any(0))
        if len(self.empty_features_) and not self.keep_empty_features:
            names = [schema.label(d) for d in self.empty_features_.tolist()]
            warn_user(
                f"Columns {names} have no observed cell, and transform will drop them. Drop them before, or set "
                "keep_empty_features=True."
            )
        return self

    def transform(self, X: Any) -> Any:
        """Fill in the missing cells.

        Observed cells stay as they are, and each row is filled by itself.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows, complete ones included, which stay as they are.

        Returns
        -------
        like X, of shape (n_samples, n_features_out)
            An ndarray for a list, and if `fit` was not given a frame. Columns that were empty in `fit` are left out,
            unless they are kept, and those of `add_indicator` are appended: bools in a frame, 0 and 1 in an array.

        Warns
        -----
        UserWarning
            As in `VAETransformer.impute`, for importance weights with a small effective sample size.

        See Also
        --------
        draw : Give several tables of draws.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEImputer, VAETransformer
        >>> X = [[1, 2], [2, 4], [3, np.nan], [4, 8]]
        >>> VAEImputer(VAETransformer(1, max_iter=0), random_state=0).fit_transform(X).round(1)
        array([[1., 2.],
               [2., 4.],
               [3., 6.],
               [4., 8.]])
        """
        check_is_fitted(self)
        X = without_marker(as_table(X), self.missing_values)
        if not self.sample_posterior:
            return self._finished(X, self.estimator_.impute(X))
        return self._finished(X, self.estimator_.impute(X, n_draws=1, random_state=self.seed_)[0])

    def draw(self, X: Any, n_draws: int = 10, random_state: int | np.random.RandomState | None = None) -> list:
        """Give several tables in which the missing cells are drawn, for multiple imputation.

        All of them come from the one fitted model, so they do not reflect the uncertainty of its parameters.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows.
        n_draws : int, default=10
            The number of tables.
        random_state : int, RandomState instance or None
            Seed of the draws; None draws fresh entropy from the operating system.

        Returns
        -------
        list
            Tables such as `transform` gives, whatever `sample_posterior` is.

        See Also
        --------
        multiple_imputation : Fit the model anew for each table, and pool the estimates.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEImputer, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> X[::2, 3] = np.nan
        >>> tables = VAEImputer(VAETransformer(2, max_iter=0, random_state=0)).fit(X).draw(X, 3, random_state=0)
        >>> [table[:, 3].mean().round(1).item() for table in tables]
        [1.2, 1.2, 1.2]
        """
        check_is_fitted(self)
        check_count("n_draws", n_draws, "draw", type(self).__name__)
        X = without_marker(as_table(X), self.missing_values)
        tables = self.estimator_.impute(X, n_draws=n_draws, random_state=random_state)
        return [self._finished(X, table) for table in tables]

    def _finished(self, X: Any, imputed: Any) -> Any:
        """An imputed table within limits, with zeros for nothing, and with the columns that it is to have."""
        fitted = fitted_of(self.estimator_)
        schema, (low, high) = fitted.schema, self.limits_
        is_missing = encoding.missing(schema, on_host(X))
        imputed = np.asarray(imputed) if schema.names is None and as_frame(imputed) is not None else imputed
        values = encoding.encode(schema, on_host(imputed))
        wanted = np.clip(np.nan_to_num(values), low, high)
        where = is_missing & ~fitted.columns.is_given & (wanted != values)
        if where.any():
            supports = {d: constraints.interval(low[d], high[d]) for d in np.flatnonzero(where.any(0)).tolist()}
            imputed = decoding.fill(schema, imputed, wanted, where, supports)
        if len(self._positions()) < len(schema.kinds):
            imputed = take_columns(imputed, self._positions())
        if not self.add_indicator:
            return imputed
        names = free_names(names_of(imputed), self._indicator_names(super().get_feature_names_out()))
        return beside(imputed, dict(zip(names, is_missing.T[self.indicator_features_], strict=True)))

    def _positions(self) -> list[int]:
        """The columns that are kept."""
        dropped = () if self.keep_empty_features else self.empty_features_.tolist()
        return [d for d in range(self.n_features_in_) if d not in dropped]

    def _indicator_names(self, names: np.ndarray) -> list[str]:
        """The names that the indicators have unless these are taken, of all names (D,) of columns."""
        return [f"missingindicator_{names[d]}" for d in self.indicator_features_] if self.add_indicator else []

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of `transform`: those of X that are kept, then ``missingindicator_...``.

        The names are those of `sklearn.impute.SimpleImputer`.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns, for an array; those of a frame are known.

        Returns
        -------
        ndarray of str
            The name of each column.

        See Also
        --------
        transform : Give the table.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEImputer, VAETransformer
        >>> X = [[1, 2], [2, 4], [3, np.nan], [4, 8]]
        >>> VAEImputer(VAETransformer(1, max_iter=0), add_indicator=True).fit(X).get_feature_names_out()
        array(['x0', 'x1', 'missingindicator_x1'], dtype=object)
        """
        names = super().get_feature_names_out(input_features)
        kept = names[self._positions()].tolist()
        return np.array([*kept, *free_names(kept, self._indicator_names(names))], dtype=object)


def _limits(schema: Schema, min_value: Any, max_value: Any) -> tuple[np.ndarray, np.ndarray]:
    """The limits of imputed numbers, (D,) each, infinite where there are none."""
    low = _limit(schema, "min_value", min_value, -np.inf)
    high = _limit(schema, "max_value", max_value, np.inf)
    for d in np.flatnonzero(low >= high)[:1]:
        raise ValueError(
            f"min_value must be below max_value. Column {schema.label(d)!r} has min_value={low[d]:g} and "
            f"max_value={high[d]:g}."
        )
    return low, high


def _limit(schema: Schema, parameter: str, value: Any, none: float) -> np.ndarray:
    is_number = np.array([kind in ("real", "empty") and d not in schema.clocks for d, kind in enumerate(schema.kinds)])
    limits = np.full(len(is_number), none)
    if isinstance(value, Mapping):
        for key, number in value.items():
            d = position(schema, key, parameter)
            if schema.kinds[d] not in ("real", "empty"):
                raise ValueError(f"{parameter} names the column {key!r}, which holds no numbers.")
            limits[d] = none if gone([number])[0] else limit(schema, d, number, parameter)
    elif value is not None:
        numbers = np.asarray(value, dtype=np.float64)
        if numbers.shape not in ((), limits.shape):
            raise ValueError(
                f"{parameter} must be a number, one number for each of the {len(limits)} columns, or a dict of some "
                f"columns. Got shape {numbers.shape}."
            )
        limits[is_number] = np.broadcast_to(numbers, limits.shape)[is_number]
    return np.where(np.isnan(limits), none, limits)
