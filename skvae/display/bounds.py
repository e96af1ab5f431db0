"""`BoundDisplay`: importance-weighted bounds over the number of draws."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference import evaluation
from .._inference.fitted import IMPORTANCE_STREAM, fitted_of
from .._inference.reading import per_row
from .._inference.row_noise import own_noise
from .._utils.arrays import on_host
from ..estimator import VAETransformer
from ..model import LatentVariableModel
from .plotting import COLORS, panels, pyplot, vae_behind

__all__ = ["BoundDisplay"]


class BoundDisplay:
    r"""Importance-weighted bounds over the number of draws, and their gap to the ELBO.

    The left panel shows the mean of each bound over the rows with its standard error, and the ELBO as a line. The right
    panel shows how much each bound exceeds the ELBO, with the standard error of the mean difference, which is much
    smaller. Where the curve flattens, the bound is near the log-likelihood. All parameters are stored as attributes.

    Parameters
    ----------
    n_draws : ndarray of shape (n_bounds,)
        Draws per row.
    bounds : ndarray of shape (n_bounds,)
        Mean importance-weighted bounds in nats per row.
    bound_errors : ndarray of shape (n_bounds,)
        Their standard errors over the rows.
    elbo : float
        Mean evidence lower bound.
    elbo_error : float
        Its standard error over the rows.
    gap_errors : ndarray of shape (n_bounds,)
        Standard errors of the mean of bound minus ELBO.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        Bounds and gaps.
    figure_ : matplotlib Figure
        Figure that holds them.
    bound_lines_ : matplotlib ErrorbarContainer
        The bounds.
    elbo_line_ : matplotlib Line2D
        The ELBO.
    gap_lines_ : matplotlib ErrorbarContainer
        The gaps.

    See Also
    --------
    TrainingCurveDisplay : The bound over the epochs.
    skvae.VAETransformer.score_samples : The bounds, row by row.

    Notes
    -----
    With S draws the bound is

    .. math:: L_S(x) = \ln \frac1S \sum_s \frac{p(x, z_s)}{q(z_s | x)}, \quad
        E\, L_S \le E\, L_{S+1} \le \ln p(x),

    and :math:`E\, L_1` is the ELBO. One set of draws per row, as many as the largest bound has, serves all bounds: that
    of S draws is the mean over the disjoint blocks of S among them, and the largest is that of ``score_samples``.

    References
    ----------
    Y. Burda, R. Grosse, R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skvae import VAETransformer
    >>> from skvae.display import BoundDisplay
    >>> X, _ = load_breast_cancer(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=20, random_state=0).fit(X)
    >>> display = BoundDisplay.from_estimator(vae, X, n_draws=(1, 10, 100))
    >>> (display.bounds - display.elbo).round(1)
    array([0. , 0.2, 0.3])
    """

    def __init__(
        self,
        n_draws: np.ndarray,
        bounds: np.ndarray,
        *,
        bound_errors: np.ndarray,
        elbo: float,
        elbo_error: float,
        gap_errors: np.ndarray,
    ) -> None:
        self.n_draws = n_draws
        self.bounds = bounds
        self.bound_errors = bound_errors
        self.elbo = elbo
        self.elbo_error = elbo_error
        self.gap_errors = gap_errors

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_draws: Sequence[int] = (1, 2, 5, 10, 50, 100, 500),
        ax: Any = None,
        line_kw: dict | None = None,
    ) -> "BoundDisplay":
        """Score a table with increasing numbers of draws, and plot the bounds.

        The cost is that of decoding every row ``max(n_draws)`` times.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model that has a score.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table.
        n_draws : sequence of int, default=(1, 2, 5, 10, 50, 100, 500)
            Number of draws per row for each bound.
        ax : matplotlib Axes, array of 2 such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        line_kw : dict or None, default=None
            Further arguments of ``Axes.errorbar``.

        Returns
        -------
        BoundDisplay
            The drawn display.

        See Also
        --------
        BoundDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> from skvae.display import BoundDisplay
        >>> X, _ = load_wine(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)  # linear: both are the log-likelihood
        >>> display = BoundDisplay.from_estimator(vae, X, n_draws=(1, 10))
        >>> round(display.elbo, 3), display.bounds.round(3)
        (-19.538, array([-19.538, -19.538]))
        """
        caller = cls.__name__
        pyplot(caller)
        vae, X = vae_behind(estimator, X, "codes", "score", caller=caller)
        n_draws = list(n_draws)
        if not n_draws or not all(isinstance(n, Integral) and n >= 1 for n in n_draws):
            raise ValueError(f"{caller}: 'n_draws' must be ints in the range [1, inf). Got {n_draws!r} instead.")
        elbo = np.asarray(on_host(vae.score_samples(X)), dtype=np.float64)
        scores = _importance_weighted(vae, X, n_draws)
        display = cls(
            np.array(n_draws),
            scores.mean(1),
            bound_errors=_standard_error(scores),
            elbo=float(elbo.mean()),
            elbo_error=float(_standard_error(elbo)),
            gap_errors=_standard_error(scores - elbo),
        )
        return display.plot(ax, line_kw=line_kw)

    def plot(self, ax: Any = None, *, line_kw: dict | None = None) -> "BoundDisplay":
        """Draw the display.

        The error bars, and the band of the ELBO, extend by one standard error over the rows to each side.

        Parameters
        ----------
        ax : matplotlib Axes, array of 2 such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        line_kw : dict or None, default=None
            Further arguments of ``Axes.errorbar``.

        Returns
        -------
        BoundDisplay
            Itself.

        See Also
        --------
        BoundDisplay.from_estimator : Compute and draw.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import BoundDisplay
        >>> errors = np.array([0.2, 0.1])
        >>> display = BoundDisplay(np.array([1, 10]), np.array([-3.0, -2.5]), bound_errors=errors, elbo=-3.0,
        ...                        elbo_error=0.2, gap_errors=errors)
        >>> display.plot().axes_[0].get_xscale()
        'log'
        """
        self.axes_ = panels(ax, (1, 2), (9.0, 3.8), type(self).__name__)[0]
        self.figure_ = self.axes_[0].figure
        left, right = self.axes_
        options = {"color": COLORS[0], "marker": "o", "markersize": 4, "capsize": 3, **(line_kw or {})}
        self.bound_lines_ = left.errorbar(
            self.n_draws, self.bounds, yerr=self.bound_errors, label="importance-weighted bound", **options
        )
        self.elbo_line_ = left.axhline(self.elbo, color=COLORS[1], linestyle="--", label=f"ELBO: {self.elbo:.2f}")
        band = {"color": COLORS[1], "alpha": 0.2, "linewidth": 0, "label": "bars, band: 1 standard error"}
        left.axhspan(self.elbo - self.elbo_error, self.elbo + self.elbo_error, **band)
        self.gap_lines_ = right.errorbar(self.n_draws, self.bounds - self.elbo, yerr=self.gap_errors, **options)
        right.axhline(0.0, color=COLORS[1], linestyle="--")
        left.legend(fontsize="small", loc="lower right")
        for ax_i, label in zip(self.axes_, ("Bound (nats per row)", "Bound minus ELBO (nats per row)"), strict=True):
            ax_i.set(xscale="log", xlabel="Draws per row", ylabel=label)
            ax_i.spines[["top", "right"]].set_visible(False)
        return self


def _importance_weighted(vae: VAETransformer, X: Any, n_draws: Sequence[int]) -> np.ndarray:
    """Bound of each number of draws for each row, (n_bounds, n), from one set of max(n_draws) draws."""
    fitted = fitted_of(vae)

    def bounds(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: Any) -> Tensor:
        u = own_noise(fitted, rows, x, max(n_draws), fitted.seed, IMPORTANCE_STREAM)  # the draws of score_samples
        log_w = evaluation.log_weights(module, x, mask, u)
        value = torch.stack([_mean_over_blocks(log_w, n) for n in n_draws], -1)
        jacobian = fitted.columns.log_jacobian(rows, mask).to(value)
        return value + jacobian.reshape(-1, 1)

    values = per_row(vae, X, bounds, "score_samples", max(n_draws), check_support=True, with_rows=True)
    return np.asarray(on_host(values), dtype=np.float64).T


def _mean_over_blocks(log_w: Tensor, n: int) -> Tensor:
    """Mean over blocks of n draws of ln of their mean weight; log_w (S, B), the result (B,)."""
    blocks = log_w[: len(log_w) // n * n].unflatten(0, (-1, n))
    return (blocks.logsumexp(1) - math.log(n)).mean(0)


def _standard_error(values: np.ndarray) -> np.ndarray:
    """Of the mean over rows, the last axis."""
    return values.std(-1, ddof=1) / np.sqrt(values.shape[-1])
