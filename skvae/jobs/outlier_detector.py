"""`VAEOutlierDetector`: rows that are improbable under the model, and the cells that make them so."""

from numbers import Real
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from .._inference.fitted import fitted_of
from .._tables import decoding, encoding
from .._tables.intake import as_table
from .._utils.arrays import on_host
from .._utils.checks import COUNT, check_parameters, check_weight
from .._utils.compat import Interval, StrOptions
from .._utils.random import draw_seed
from ..estimator import VAETransformer
from .around import AroundTransformer, ColumnsOfModel

__all__ = ["VAEOutlierDetector", "median_of_columns"]

_N_SPREADS = 3.0
_QUARTILE = float(norm.ppf(0.75))  # of the standard normal distribution


def _counts(weight: np.ndarray) -> np.ndarray:
    """Weights (n,) as numbers of copies: as they are, unless they sum to less than the rows that have one."""
    return weight * max(1.0, np.count_nonzero(weight) / weight.sum())


def _quantiles(x: np.ndarray, levels: Any, weight: np.ndarray) -> np.ndarray:
    """The quantiles of numbers x (n,), each of which is there as many times as its weight (n,) says; see np.quantile.

    The copies fill the ranks from 0 to their number in order, and a quantile lies between those of two ranks.
    """
    order = np.argsort(x)
    ends = np.cumsum(_counts(weight)[order])
    rank = np.multiply(levels, ends[-1] - 1)
    below, above = np.floor(rank), np.minimum(np.floor(rank) + 1, ends[-1] - 1)
    low, high = (x[order][np.searchsorted(ends, k, side="right")] for k in (below, above))
    return low + (rank - below) * (high - low)


def _lower_fence(scores: np.ndarray, weight: np.ndarray) -> float:
    r"""The median of scores (n,) of weights (n,) less three standard deviations, as the lower half of them has it.

    .. math:: m - 3 \, (m - q_{1/4}) / \Phi^{-1}(3/4)
    """
    quartile, m = _quantiles(scores, [0.25, 0.5], weight)
    return float(m - _N_SPREADS * (m - quartile) / _QUARTILE)


class VAEOutlierDetector(OutlierMixin, ColumnsOfModel, AroundTransformer):
    r"""Outlier detector: rows with a low log-density under a `VAETransformer`, with the cells that make it low.

    The score of a row is the importance-weighted bound on its log-density (Burda et al. 2016), with S draws
    that are the same whenever the row is scored:

    .. math:: s(x) = \ln \frac1S \sum_s \frac{p(x | z_s)\, p(z_s)}{q(z_s | x)} \le \ln p(x), \qquad z_s \sim q(z | x),

    and rows with s(x) below `offset_` are outliers. The methods are those of `sklearn.ensemble.IsolationForest`.
    Columns, missing values and categories are those of `VAETransformer`: nothing needs scaling or imputing. A missing
    cell counts as an average one of its column, so that rows with different missing cells are comparable, and a
    category that `fit` has not seen gets the probability 1 / (n + 1) after n rows.

    Parameters
    ----------
    estimator : VAETransformer, optional
        The model of the rows, of which a copy is fitted; ``estimator__n_components`` sets its parameters. By default
        ``VAETransformer(init="factor_analysis")``. Its posterior must have a density.
    contamination : "auto" or float in (0, 0.5], default="auto"
        The share of the training rows to flag as outliers, exact up to ties. "auto" does not fix the share. It flags
        rows that lie more than three standard deviations below the median score, where the standard deviation is
        estimated from the half below the median: (median - first quartile) / 0.674. In a table of independent normal
        columns it flags 2.3 % of the rows with two columns, 0.9 % with 10, 0.5 % with 30, and never below 0.1 %; a
        quarter of the rows may be outliers before they shift the quartile.
    n_importance_samples : int or None, default=100
        S. More draws make the bound tighter, mostly for the rows in the tail. None uses the bound of
        `VAETransformer.score_samples` without importance weights, which costs as much as 32 draws.
    random_state : int, RandomState instance or None, default=None
        Seed of the estimator, if it has none of its own.

    Attributes
    ----------
    offset_ : float
        The score below which a row is an outlier.
    estimator_ : VAETransformer
        The fitted model.
    typical_cells_ : ndarray of shape (n_features,)
        The median over the training rows of each column of `VAETransformer.score_columns`; NaN for `conditions` and
        for columns without any value.
    n_samples_fit_ : int
        Number of training rows; with weights their sum, but at least the number of rows with a positive weight.
    n_features_in_ : int
        D, the number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only when X has string names.

    See Also
    --------
    VAETransformer.score_samples : The scores by themselves.
    sklearn.ensemble.IsolationForest : Fast, for numbers only, and without an explanation.
    sklearn.neighbors.LocalOutlierFactor : Compares a row with its neighbours.

    References
    ----------
    Y. Burda, R. Grosse, R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.

    Examples
    --------
    A flower whose petals are as long as those of iris virginica and as narrow as those of iris setosa; each of the two
    is ordinary by itself:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAEOutlierDetector, VAETransformer
    >>> iris = load_iris(as_frame=True).data.set_axis(["sepal length", "sepal width", "length", "width"], axis=1)
    >>> detector = VAEOutlierDetector(VAETransformer(2), random_state=0).fit(iris)
    >>> odd = iris.iloc[[0, 120]].assign(width=0.2)
    >>> detector.predict(odd)
    array([ 1, -1])
    >>> detector.explain(odd).idxmax(axis=1)[120]
    'width'
    """

    _parameter_constraints = {
        "estimator": [VAETransformer, None],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "n_importance_samples": [COUNT, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: VAETransformer | None = None,
        *,
        contamination: str | float = "auto",
        n_importance_samples: int | None = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.contamination = contamination
        self.n_importance_samples = n_importance_samples
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "VAEOutlierDetector":
        """Fit the model to the rows of X, and the threshold to their scores.

        The scores are those that `score_samples` later gives for the same rows.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing, and some rows may be outliers.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows, for the model, its typical cells and the threshold; an integer weight
            equals that many copies of the row.

        Returns
        -------
        VAEOutlierDetector
            The detector itself, fitted.

        Raises
        ------
        ValueError
            Bad parameters or tables, or an estimator whose posterior has no density. An earlier fit stays intact.

        See Also
        --------
        VAETransformer.fit : What it does with X.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEOutlierDetector, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> detector = VAEOutlierDetector(VAETransformer(2, max_iter=0), contamination=0.1).fit(X)
        >>> int((detector.predict(X) == -1).sum())
        15
        """
        check_parameters(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        X = as_table(X)
        model = self._fitted_model(X, draw_seed(self.random_state), ("codes", "score"), sample_weight)
        bound = _bound(model, X, self.n_importance_samples)
        weight = np.ones(len(bound)) if sample_weight is None else _counts(check_weight(sample_weight, len(bound)))
        n = round(weight.sum())
        cells, is_lacking = _cells(model, X, n)
        typical = median_of_columns(cells, weight)
        scores = bound + _added(cells, is_lacking, typical)
        share = self.contamination
        self.offset_ = _lower_fence(scores, weight) if share == "auto" else float(_quantiles(scores, share, weight))
        self.estimator_, self.typical_cells_, self.n_samples_fit_ = model, typical, n
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Give the bound on the log-density of each row in nats, in data space.

        It does not depend on the other rows. For complete rows it is that of `VAETransformer.score_samples`; each
        missing cell adds the log-density of an average cell of its column.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            The lower, the more abnormal.

        See Also
        --------
        decision_function : The same with the threshold at 0.
        explain : Find the cells that make a row unusual.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEOutlierDetector, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> detector = VAEOutlierDetector(VAETransformer(2, max_iter=0)).fit(X)
        >>> detector.score_samples([[5.0, 3.4, 1.5, 0.2], [5.0, 3.4, 6.5, 0.2]]) > -10
        array([ True, False])
        """
        check_is_fitted(self)
        X = as_table(X)
        cells, is_lacking = _cells(self.estimator_, X, self.n_samples_fit_)
        return _bound(self.estimator_, X, self.n_importance_samples) + _added(cells, is_lacking, self.typical_cells_)

    def decision_function(self, X: Any) -> np.ndarray:
        """Give `score_samples` less `offset_`: negative for outliers.

        A row at -3 is twenty times less probable than one at the threshold.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            In nats; the lower, the more abnormal.

        See Also
        --------
        predict : Give its sign.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEOutlierDetector, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> detector = VAEOutlierDetector(VAETransformer(2, max_iter=0)).fit(X)
        >>> detector.decision_function([[5.0, 3.4, 1.5, 0.2], [5.0, 3.4, 6.5, 0.2]]) < 0
        array([False,  True])
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Give 1 for each inlier and -1 for each outlier.

        An outlier is a row whose `decision_function` is negative.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        int ndarray of shape (n_samples,)
            1 or -1.

        See Also
        --------
        decision_function : Give the distance to the threshold.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEOutlierDetector, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> detector = VAEOutlierDetector(VAETransformer(2, max_iter=0)).fit(X)
        >>> detector.predict([[5.0, 3.4, 1.5, 0.2], [5.0, 3.4, 6.5, 0.2]])
        array([ 1, -1])
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> Any:
        r"""Give the nats by which each cell is less probable, given its row, than the median cell of its column.

        .. math:: \mathrm{median}_i \ln E_{q(z|x_i)}\, p_d(x_{id} | z) - \ln E_{q(z|x)}\, p_d(x_d | z),

        with the median over the training rows, so that units cancel. In a normal column a cell of 3 nats lies 2.5
        standard deviations from what the code of its row predicts, and one of 12 nats lies 5 standard deviations from
        it. An outlier without such a cell is unusual as a whole: its cells agree, but they are extreme. If two columns
        contradict each other, either may be named, since the code has seen both; see `VAETransformer.score_columns`.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            Surprise in nats, negative for cells that are more probable than the median one; NaN where a cell is
            missing, and for `conditions`.

        See Also
        --------
        VAETransformer.score_columns : The log-densities of the cells.
        VAETransformer.impute : Predict a cell from the other cells of its row.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEOutlierDetector, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> detector = VAEOutlierDetector(VAETransformer(2, max_iter=0)).fit(X)
        >>> detector.explain([[6.9, 3.2, 5.7, 0.2]]).argmax()  # petals 5.7 cm long and 0.2 cm wide
        np.int64(3)
        """
        check_is_fitted(self)
        X = as_table(X)
        cells, _ = _cells(self.estimator_, X, self.n_samples_fit_)
        index = X.index if hasattr(X, "iloc") else None
        return decoding.numbers(fitted_of(self.estimator_).schema, self.typical_cells_ - cells, index)


def _cells(model: VAETransformer, X: Any, n_fitted: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-densities of cells (n, D), NaN where there are none, and which of them the bound of a row leaves out.

    Parameters
    ----------
    model : VAETransformer
    X : table (n, D)
    n_fitted : int
        Rows that the model was fitted to, of which only those without a weight can have a category that is new.
    """
    fitted = fitted_of(model)
    cells = on_host(model.score_columns(X)).astype(np.float64)
    is_lacking = np.isnan(cells)
    is_lacking[:, fitted.columns.given] = False
    cells[is_lacking & ~encoding.missing(fitted.schema, on_host(X))] = -np.log(n_fitted + 1)
    return cells, is_lacking


def median_of_columns(cells: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The median of each column of cells (n, D) whose rows have weights (n,); (D,), NaN where a column is empty."""
    is_known = ~np.isnan(cells) & (weight[:, None] > 0)
    medians = [
        float(_quantiles(x[known], 0.5, weight[known])) if known.any() else np.nan
        for x, known in zip(cells.T, is_known.T, strict=True)
    ]
    return np.array(medians)


def _bound(model: VAETransformer, X: Any, n_importance_samples: int | None) -> np.ndarray:
    """Bounds on the log-densities of rows (n,), of their observed cells alone."""
    return on_host(model.score_samples(X, n_importance_samples)).astype(np.float64)


def _added(cells: np.ndarray, is_lacking: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """What cells (n, D) that the bound lacks add to it, (n,): as new categories, or as typical ones (D,)."""
    instead = np.nan_to_num(np.where(np.isnan(cells), typical, cells))
    return np.where(is_lacking, instead, 0.0).sum(1)
