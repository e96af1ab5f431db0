"""`multiple_imputation`: pooled estimates from several tables, each imputed by a model of its own."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._tables import encoding
from .._tables.cells import gone, kinds_of
from .._tables.frames import Column
from .._tables.intake import as_table
from .._tables.parts import beside, free_names, names_of, take_columns, take_rows, without_marker
from .._tables.schema import Schema
from .._utils.arrays import on_host
from .._utils.checks import check_parameters
from .._utils.compat import Interval
from .._utils.progress import progress
from .._utils.random import draw_seed
from .appended import for_one_more_column, with_one_more
from .around import default_estimator
from .imputer import VAEImputer
from .pooling import PooledEstimates, pool_estimates

__all__ = ["multiple_imputation"]

_OTHER_NUMBER = (
    "The analysis gives another number of estimates for another table, such as where rows drawn with replacement lack "
    "a level or a class. Give a OneHotEncoder its categories, or an analysis that gives the variances as well."
)
_MOST_DRAWS_OF_ROWS = 100
_SEVERAL = Interval(Integral, 2, None, closed="left")
_CONSTRAINTS = {
    "imputer": [VAEImputer, None],
    "n_draws": [_SEVERAL],
    "bootstrap": ["boolean"],
    "n_resamples": [_SEVERAL],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def multiple_imputation(
    analysis: Any,
    X: Any,
    y: Any = None,
    *,
    imputer: VAEImputer | None = None,
    n_draws: int = 20,
    bootstrap: bool = True,
    n_resamples: int = 50,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> PooledEstimates:
    """Estimate from a table with missing cells, with standard errors that account for them.

    The missing cells are drawn several times, each completed table is analysed, and the results are pooled by the rules
    of Rubin (1987), see `pool_estimates`. The target y is part of the imputation model, as it has to be: cells that
    were imputed without y would weaken every association with it.

    Draws from a single fitted model ignore the uncertainty of its parameters, which makes intervals too narrow. By
    default each table is therefore imputed by its own model, fitted to rows that are drawn with replacement (Honaker,
    King & Blackwell 2011).

    Parameters
    ----------
    analysis : estimator or callable
        What is estimated: the `intercept_` and `coef_` of a scikit-learn estimator, or of the last step of a pipeline;
        or what a function of (X, y), or of X if there is no y, returns: numbers, such as
        ``cross_val_score(model, X, y).mean()``, or a pair of numbers and their variances in a complete table.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows with missing cells. A CSR becomes an ndarray if y holds classes.
    y : array-like of shape (n_samples,), optional
        The target. Numbers may be missing and are imputed, too; if `analysis` is a classifier, or y holds strings or
        bools, these are classes, none of which may be missing.
    imputer : VAEImputer, optional
        The imputer of which copies are fitted, by default ``VAEImputer()``. Positions, masks and limits in its
        parameters refer to the columns of X; a single limit applies to y, too. With too few components for the
        dependence between the columns, estimates are biased, and the intervals do not show it: use the default 10, or
        as many as there are columns.
    n_draws : int, default=20
        M, the number of imputed tables.
    bootstrap : bool, default=True
        Whether each table has its own model, which takes M fits. With False all are drawn from one model.
    n_resamples : int, default=50
        Number of bootstrap resamples of each table, for the variances in a complete table; not used if the analysis
        gives variances.
    random_state : int, RandomState instance or None, default=None
        Seed of the rows, the models and the draws.
    verbose : int, default=0
        1 prints how far it is and the time left, every five seconds; 2 draws a bar.

    Returns
    -------
    PooledEstimates
        Estimates, standard errors, degrees of freedom by Barnard & Rubin (1999), intervals. The complete table is
        assumed to have n - p degrees of freedom, at least 1, for the p coefficients of an estimator, and n - 1 for a
        function.

    Raises
    ------
    ValueError
        Bad parameters or tables, a column without any observed cell or with so few that rows drawn with replacement
        have none, classes that are missing, or an analysis that gives another number of estimates for another table.

    See Also
    --------
    pool_estimates : Pool estimates from tables that were imputed elsewhere.
    VAEImputer.draw : Draw tables from one model.

    References
    ----------
    D. B. Rubin, "Multiple Imputation for Nonresponse in Surveys", Wiley 1987.
    J. Honaker, G. King, M. Blackwell, "Amelia II: A Program for Missing Data", J. Statistical Software 45, 2011.

    Examples
    --------
    Half of the values of x1 are missing, in the rows with a large y. Both coefficients are 1; those of complete rows
    are too small:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skvae import VAEImputer, VAETransformer, multiple_imputation
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> y = X.sum(axis=1) + rng.normal(size=300)
    >>> X[y > 0, 1] = np.nan
    >>> LinearRegression().fit(X[y <= 0], y[y <= 0]).coef_.round(1)
    array([0.6, 0.7])
    >>> imputer = VAEImputer(VAETransformer(2, max_iter=0))
    >>> pooled = multiple_imputation(LinearRegression(), X, y, imputer=imputer, n_draws=5, random_state=0)
    >>> pooled.estimates[1:].round(1), pooled.standard_errors[1:].round(1)
    (array([0.9, 1. ]), array([0.1, 0.1]))
    >>> pooled.names
    ('intercept', 'x0', 'x1')
    """
    settings: dict[str, Any] = {
        "imputer": imputer,
        "n_draws": n_draws,
        "bootstrap": bootstrap,
        "n_resamples": n_resamples,
    }
    settings |= {"random_state": random_state, "verbose": verbose}
    check_parameters(_CONSTRAINTS, settings, "multiple_imputation")
    if not (callable(analysis) or hasattr(analysis, "fit")):
        raise TypeError(f"analysis must be an estimator or a function of (X, y). Got {analysis!r} instead.")
    rng = np.random.default_rng(draw_seed(random_state))
    imputer = VAEImputer() if imputer is None else imputer
    X = without_marker(as_table(X), imputer.missing_values)
    target = None if y is None else column_or_1d(on_host(y))
    tables, found = [], []
    with progress(verbose, "multiple_imputation", 2 * n_draws, "steps") as told:
        for table in _completed(imputer, X, target, _is_class(analysis, target), n_draws, bootstrap, rng):
            tables.append(table)
            told(1)
        for X_m, y_m in tables:
            found.append(_with_variances(analysis, X_m, y_m, n_resamples, rng))
            told(1)
    if len({len(q) for q, _ in found}) > 1:
        raise ValueError(_OTHER_NUMBER)
    q, u = zip(*found, strict=True)
    used = len(q[0]) if hasattr(analysis, "fit") else 1
    return pool_estimates(q, u, max(X.shape[0] - used, 1), _names(analysis, *tables[0], len(q[0])))


def _is_class(analysis: Any, y: np.ndarray | None) -> bool:
    """Whether y holds classes: of a classifier it does, else unless all that is there are numbers."""
    if y is None or (hasattr(analysis, "fit") and is_classifier(analysis)):
        return y is not None
    return not kinds_of(y.tolist()) <= {"real"}


def _completed(
    imputer: VAEImputer,
    X: Any,
    y: np.ndarray | None,
    is_class: bool,
    n_draws: int,
    bootstrap: bool,
    rng: np.random.Generator,
) -> Iterator[tuple[Any, np.ndarray | None]]:
    """Complete tables X and targets y, `n_draws` of them; y (n,) is a column of what is modelled."""
    model = default_estimator() if imputer.estimator is None else imputer.estimator
    schema = Schema.learn(X, model.categorical_features)
    D = len(schema.kinds)
    names, observed = [schema.label(d) for d in range(D)], ~encoding.missing(schema, on_host(X))
    imputer = clone(imputer).set_params(missing_values=np.nan, keep_empty_features=True, add_indicator=False)
    table = X
    if y is not None:
        check_consistent_length(X, y)
        numbers = _class_numbers(y) if is_class else Column(y, "y").numbers()
        table = X.toarray() if is_class and sparse.issparse(X) else X  # a CSR has no categories
        table = beside(table, {free_names(names_of(X), ["y"])[0]: numbers})
        names, observed = [*names, "y"], np.column_stack([observed, ~np.isnan(numbers)])
        parameters = for_one_more_column(model, D)
        parameters["categorical_features"] = [*schema.levels, *([D] if is_class else [])]
        limits = {name: with_one_more(getattr(imputer, name), D, np.nan) for name in ("min_value", "max_value")}
        imputer.set_params(estimator=clone(model).set_params(**parameters), **limits)
    if not observed.any(0).all():
        empty = [names[d] for d in np.flatnonzero(~observed.any(0)).tolist()]
        raise ValueError(f"Columns {empty} have no observed cell, so that nothing can be estimated of them. Drop them.")
    by_copies = _drawn_by_copies(imputer, table, n_draws, names, observed, rng)
    for completed in by_copies if bootstrap else _drawn_by_one(imputer, table, n_draws, rng):
        y_m = y if y is None or is_class else encoding.encode(Schema.learn(completed), completed)[:, D]
        yield take_columns(completed, range(D)), y_m


def _drawn_by_one(imputer: VAEImputer, table: Any, n_draws: int, rng: np.random.Generator) -> Iterator[Any]:
    """Tables of draws, all by one imputer."""
    seed, seed_of_draws = rng.integers(2**32, size=2).tolist()
    yield from imputer.set_params(random_state=seed).fit(table).draw(table, n_draws, seed_of_draws)


def _drawn_by_copies(
    imputer: VAEImputer, table: Any, n_draws: int, names: list, observed: np.ndarray, rng: np.random.Generator
) -> Iterator[Any]:
    """Tables of draws, each by a copy of the imputer, fitted to rows drawn with replacement."""
    for seed in rng.integers(2**32, size=n_draws).tolist():
        rows = take_rows(table, _rows_with_replacement(names, observed, rng))
        yield clone(imputer).set_params(random_state=seed).fit(rows).draw(table, 1, seed)[0]


def _rows_with_replacement(names: list, observed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions of rows (n,), drawn until each column has an observed cell among them, of `observed` (n, D)."""
    n = len(observed)
    for _ in range(_MOST_DRAWS_OF_ROWS):
        rows = rng.integers(n, size=n)
        if observed[rows].any(0).all():
            return rows
    rare = [names[d] for d in np.flatnonzero(observed.sum(0) == observed.sum(0).min()).tolist()]
    raise ValueError(
        f"Columns {rare} have so few observed cells that rows drawn with replacement have none of some column. Drop "
        "them, or set bootstrap=False."
    )


def _class_numbers(y: np.ndarray) -> np.ndarray:
    if gone(y.tolist()).any():
        raise ValueError("y has rows without a class (NaN or None). Drop them: they say nothing of how y depends on X.")
    return np.unique(y, return_inverse=True)[1].ravel()


def _with_variances(
    analysis: Any, X: Any, y: np.ndarray | None, n_resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates from a complete table and their variances, (P,) each: as given, or over rows drawn with replacement."""
    found = _estimated(analysis, X, y)
    if isinstance(found, tuple):
        if len(found) != 2:
            raise ValueError(
                f"The analysis gave a tuple of {len(found)}, which must be a pair of estimates and their variances. "
                "Give estimates alone as a list or an array."
            )
        q, u = (np.asarray(part, dtype=np.float64).ravel() for part in found)
        return q, u
    n = X.shape[0]
    resampled = []
    for _ in range(n_resamples):
        rows = rng.integers(n, size=n)
        resampled.append(_estimated(analysis, take_rows(X, rows), None if y is None else y[rows]))
    if {len(q) for q in resampled} != {len(found)}:
        raise ValueError(_OTHER_NUMBER)
    return found, np.var(resampled, axis=0, ddof=1)


def _estimated(analysis: Any, X: Any, y: np.ndarray | None) -> Any:
    """What the analysis gives: estimates (P,), or a tuple of these and their variances."""
    if hasattr(analysis, "fit"):
        last = _last_step(clone(analysis).fit(X, y))
        if not hasattr(last, "coef_"):
            raise TypeError(f"A fitted {type(last).__name__} has no coef_. Give a function of (X, y) as the analysis.")
        return np.append(np.ravel(last.intercept_), np.ravel(last.coef_)).astype(np.float64)
    found = analysis(X) if y is None else analysis(X, y)
    return found if isinstance(found, tuple) else np.asarray(found, dtype=np.float64).ravel()


def _last_step(fitted: Any) -> Any:
    return fitted[-1] if hasattr(fitted, "steps") else fitted


def _names(analysis: Any, X: Any, y: np.ndarray | None, n_estimates: int) -> list[str] | None:
    """Names of the coefficients; None of the numbers of a function, and of the coefficients of several classes.

    Behind a step that does not name its columns these are x0, x1, ..., in the order of the last step.
    """
    if not hasattr(analysis, "fit"):
        return None
    fitted = clone(analysis).fit(X, y)
    columns: Any = getattr(fitted, "feature_names_in_", [f"x{d}" for d in range(X.shape[1])])
    if hasattr(fitted, "steps"):
        try:
            columns = fitted[:-1].get_feature_names_out(columns)
        except AttributeError:  # a step, or one inside it, without get_feature_names_out
            columns = [f"x{d}" for d in range(n_estimates - 1)]
    names = ["intercept", *columns]
    return names if len(names) == n_estimates else None
