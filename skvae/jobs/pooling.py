r"""Rubin's rules: estimates from several imputed tables -> one estimate, whose standard error accounts for missing
values.

With estimates :math:`q_m` of variances :math:`u_m` from M tables, m = 1 .. M,

.. math:: \bar q = \tfrac1M \sum_m q_m, \quad \bar u = \tfrac1M \sum_m u_m, \quad
    b = \tfrac1{M-1} \sum_m (q_m - \bar q)^2, \quad t = \bar u + (1 + \tfrac1M) b,

and :math:`(\bar q - q) / \sqrt t` has a t distribution of nu degrees of freedom (Rubin 1987, eqs. 3.1.2 to 3.1.7). With
nu_c, the degrees of freedom of the complete table, they are (Barnard & Rubin 1999)

.. math:: \frac1\nu = \frac{\lambda^2}{M - 1} + \Big[\frac{\nu_c + 1}{\nu_c + 3}\, \nu_c (1 - \lambda)\Big]^{-1},
    \qquad \lambda = (1 + \tfrac1M)\, b / t.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from .._utils.checks import check_parameters
from .._utils.compat import Interval

__all__ = ["PooledEstimates", "pool_estimates"]

_CONSTRAINTS = {"complete_df": [Interval(Real, 0, None, closed="neither"), None]}


@dataclass(frozen=True, eq=False)
class PooledEstimates:
    """Estimates from several imputed tables as one, by Rubin's rules; `pool_estimates` makes them.

    Their standard errors include both the variance of an estimate within a table and its variance between tables.

    Parameters
    ----------
    estimates : ndarray of shape (n_estimates,)
        Means over the tables.
    within : ndarray of shape (n_estimates,)
        Mean variance of an estimate if its table were complete.
    between : ndarray of shape (n_estimates,)
        Variance of the estimates over the tables.
    degrees_of_freedom : ndarray of shape (n_estimates,)
        Of the t distribution of ``(estimate - truth) / standard_error``.
    n_draws : int
        M, the number of tables.
    names : tuple of str, optional
        What is estimated.

    Attributes
    ----------
    variances : ndarray of shape (n_estimates,)
        Those of the estimates, t = u + (1 + 1/M) b.
    standard_errors : ndarray of shape (n_estimates,)
        Their square roots.
    missing_information : ndarray of shape (n_estimates,)
        The share of the variance that is due to missing cells, lambda = (1 + 1/M) b / t.

    See Also
    --------
    multiple_imputation : Estimate from imputed tables.

    Examples
    --------
    >>> from skvae import pool_estimates
    >>> pooled = pool_estimates([1.0, 1.2, 1.1, 0.9], [0.04, 0.05, 0.04, 0.05])
    >>> pooled.estimates, pooled.standard_errors.round(2)
    (array([1.05]), array([0.26]))
    """

    estimates: np.ndarray
    within: np.ndarray
    between: np.ndarray
    degrees_of_freedom: np.ndarray
    n_draws: int
    names: tuple[str, ...] | None = None

    @property
    def variances(self) -> np.ndarray:
        """Variances of the estimates, t = u + (1 + 1/M) b."""
        return self.within + (1 + 1 / self.n_draws) * self.between

    @property
    def standard_errors(self) -> np.ndarray:
        """Their square roots."""
        return np.sqrt(self.variances)

    @property
    def missing_information(self) -> np.ndarray:
        """The share of the variance that is due to missing cells, lambda = (1 + 1/M) b / t."""
        return _share(self.within, self.between, self.n_draws)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Give confidence intervals, by the t distribution.

        They are wider than those of a single imputed table, because the tables differ.

        Parameters
        ----------
        level : float in (0, 1), default=0.95
            Their nominal coverage.

        Returns
        -------
        low : ndarray of shape (n_estimates,)
            The lower ends.
        high : ndarray of shape (n_estimates,)
            The upper ends.

        See Also
        --------
        to_frame : Give them with the estimates.

        Examples
        --------
        >>> from skvae import pool_estimates
        >>> low, high = pool_estimates([1.0, 1.2, 1.1, 0.9], [0.04, 0.05, 0.04, 0.05]).interval()
        >>> low.round(2), high.round(2)
        (array([0.53]), array([1.57]))
        """
        check_parameters(
            {"level": [Interval(Real, 0, 1, closed="neither")]}, {"level": level}, "PooledEstimates.interval"
        )
        half = student_t.ppf(0.5 + level / 2, self.degrees_of_freedom) * self.standard_errors
        return self.estimates - half, self.estimates + half

    def to_frame(self, level: float = 0.95) -> Any:
        """Give all numbers as a pandas frame, one row for each estimate.

        The p-values test the hypothesis that the true value is 0.

        Parameters
        ----------
        level : float in (0, 1), default=0.95
            Level of the confidence intervals.

        Returns
        -------
        pandas.DataFrame
            Columns "estimate", "standard error", "df", "p-value", "low", "high" and "missing information".

        Raises
        ------
        ImportError
            If the package pandas is not installed.

        See Also
        --------
        interval : Give only the intervals.

        Examples
        --------
        >>> from skvae import pool_estimates
        >>> pool_estimates([1.0, 1.2, 1.1, 0.9], [0.04, 0.05, 0.04, 0.05]).to_frame().round(2)
           estimate  standard error     df  p-value   low  high  missing information
        0      1.05            0.26  29.96      0.0  0.53  1.57                 0.32
        """
        import pandas as pd

        low, high = self.interval(level)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.abs(self.estimates) / self.standard_errors
        columns = {
            "estimate": self.estimates,
            "standard error": self.standard_errors,
            "df": self.degrees_of_freedom,
            "p-value": 2 * student_t.sf(statistic, self.degrees_of_freedom),
            "low": low,
            "high": high,
            "missing information": self.missing_information,
        }
        return pd.DataFrame(columns, index=None if self.names is None else list(self.names))


def pool_estimates(
    estimates: Any, variances: Any, complete_df: float | None = None, names: Sequence[str] | None = None
) -> PooledEstimates:
    """Pool estimates from several imputed tables, by the rules of Rubin (1987).

    The standard error includes the variance of an estimate within a table and its variance between tables.

    Parameters
    ----------
    estimates : array-like of shape (n_draws,) or (n_draws, n_estimates)
        What is estimated, from each of at least two tables; it should be approximately normal, such as the logarithm of
        odds rather than the odds.
    variances : array-like of the same shape
        Their squared standard errors, each as if its table were complete.
    complete_df : float, optional
        Degrees of freedom of the complete table, above 0, such as n - p in a regression (Barnard & Rubin 1999). By
        default infinite.
    names : sequence of str, optional
        What is estimated.

    Returns
    -------
    PooledEstimates
        Estimates, standard errors, degrees of freedom, intervals.

    Raises
    ------
    ValueError
        Fewer than two tables, other shapes, variances that are negative, or another number of names.

    See Also
    --------
    multiple_imputation : Impute the tables, and estimate from each.

    References
    ----------
    D. B. Rubin, "Multiple Imputation for Nonresponse in Surveys", Wiley 1987.
    J. Barnard, D. B. Rubin, "Small-Sample Degrees of Freedom with Multiple Imputation", Biometrika 86, 1999.

    Examples
    --------
    >>> from skvae import pool_estimates
    >>> pooled = pool_estimates([1.0, 1.2, 1.1, 0.9], [0.04, 0.05, 0.04, 0.05], complete_df=20)
    >>> pooled.degrees_of_freedom.round(1), pooled.missing_information.round(2)
    (array([8.8]), array([0.32]))
    """
    check_parameters(_CONSTRAINTS, {"complete_df": complete_df}, "pool_estimates")
    q, u = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if q.shape != u.shape or q.ndim not in (1, 2) or len(q) < 2:
        raise ValueError(
            "estimates and variances must have one shape, (n_draws,) or (n_draws, n_estimates), with at least two "
            f"draws. Got {q.shape} and {u.shape}."
        )
    if not (np.isfinite(q).all() and (u >= 0).all() and np.isfinite(u).all()):
        raise ValueError("estimates and variances must be finite, and variances not negative.")
    q, u = q.reshape(len(q), -1), u.reshape(len(u), -1)
    if names is not None and len(names) != q.shape[1]:
        raise ValueError(f"names has {len(names)} entries, and there are {q.shape[1]} estimates of each table.")
    within, between = u.mean(0), q.var(0, ddof=1)
    share = _share(within, between, len(q))
    inverse = np.square(share) / (len(q) - 1)
    if complete_df is not None:
        with np.errstate(divide="ignore"):
            inverse += 1 / ((complete_df + 1) / (complete_df + 3) * complete_df * (1 - share))
    with np.errstate(divide="ignore"):
        df = 1 / inverse
    return PooledEstimates(q.mean(0), within, between, df, len(q), None if names is None else tuple(names))


def _share(within: np.ndarray, between: np.ndarray, M: int) -> np.ndarray:
    """lambda, 0 where nothing varies."""
    added = (1 + 1 / M) * between
    return np.divide(added, within + added, out=np.zeros_like(added), where=added > 0)
