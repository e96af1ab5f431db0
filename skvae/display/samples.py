"""`SampleDisplay`: a table against rows sampled from the model."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from .._inference.fitted import fitted_of
from .plotting import (
    COLORS,
    LITERAL,
    columns_of,
    contrast,
    draw_mosaic,
    grouped_levels,
    image_values,
    literal_legend,
    neutral,
    numbers_of,
    panels,
    pyplot,
    short,
    thinned,
    vae_behind,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SampleDisplay"]

_SHOWN = 0.001, 0.999  # quantiles of a real column that its axis spans: a single row far out squeezes all others
_SAMPLED = COLORS[1]


class SampleDisplay:
    """A table against rows sampled from the model: each column, and each pair of columns.

    The diagonal shows the columns, as histograms of numbers and as bars of the shares of levels. Below it, real and
    sampled rows share the same axes; levels are spread a little, so that points do not hide each other. Missing values
    are left out. Images are drawn as a row of real ones over a row of sampled ones. All parameters are stored as
    attributes.

    Parameters
    ----------
    real : ndarray of shape (n_samples, n_columns)
        Numbers, and indices of categories; NaN where a value is missing.
    sampled : ndarray of shape (n_drawn, n_columns)
        The same columns of the sampled rows.
    names : list of str or None, default=None
        Names of the columns.
    levels : list of (list of str or None) or None, default=None
        For each column the names of its levels, None for numbers.
    image_shape : tuple of int or None, default=None
        For images, their shape (H, W) or (C, H, W).

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_columns, n_columns)
        The panels; those above the diagonal are empty. For images one.
    figure_ : matplotlib Figure
        Figure that holds them.
    legend_ : matplotlib Legend
        Real and sampled; not for images.
    image_ : matplotlib AxesImage
        The mosaic of images.

    See Also
    --------
    ReconstructionDisplay : Rows against their reconstruction.
    skvae.VAETransformer.sample : Draw rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.display import SampleDisplay
    >>> X = load_iris(as_frame=True).data
    >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
    >>> display = SampleDisplay.from_estimator(vae, X, n_samples=200, random_state=0)
    >>> display.sampled.shape
    (200, 4)
    """

    def __init__(
        self,
        real: np.ndarray,
        sampled: np.ndarray,
        *,
        names: Sequence[str] | None = None,
        levels: Sequence[list[str] | None] | None = None,
        image_shape: Sequence[int] | None = None,
    ) -> None:
        self.real = real
        self.sampled = sampled
        self.names = names
        self.levels = levels
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_samples: int | None = None,
        columns: Sequence | None = None,
        max_columns: int = 4,
        image_shape: Sequence[int] | None = None,
        n_images: int = 12,
        random_state: int | np.random.RandomState | None = None,
        ax: Any = None,
    ) -> "SampleDisplay":
        """Sample rows from the model, and draw them beside a table.

        The rows come from ``sample``: their latent codes are drawn from the prior.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table.
        n_samples : int or None, default=None
            Rows to draw; None for as many as X has, 10 000 at most.
        columns : list of str or int, default=None
            The columns to show; None for those that differ most: by the distance of their distributions, plus the
            largest difference of a rank correlation with another column.
        max_columns : int, default=4
            How many of these.
        image_shape : tuple of int or None, default=None
            For images, their shape (H, W) or (C, H, W).
        n_images : int, default=12
            Images of each kind, evenly chosen among the real ones.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.
        ax : matplotlib Axes, array of n_columns squared such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.

        Returns
        -------
        SampleDisplay
            The drawn display.

        See Also
        --------
        SampleDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> from skvae.display import SampleDisplay
        >>> X = load_iris(as_frame=True).data
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> columns = ["petal length (cm)", "petal width (cm)"]
        >>> SampleDisplay.from_estimator(vae, X, columns=columns, random_state=0).axes_.shape
        (2, 2)
        """
        caller = cls.__name__
        pyplot(caller)
        vae, X = vae_behind(estimator, X, caller=caller)
        real = numbers_of(vae, X)
        n = min(len(real), n_images if image_shape is not None else 10_000) if n_samples is None else n_samples
        sampled = numbers_of(vae, vae.sample(n, random_state=random_state))
        if image_shape is not None:
            some = np.unique(np.linspace(0, len(real) - 1, min(n_images, len(real))).astype(int))
            return cls(real[some], sampled[: len(some)], image_shape=image_shape).plot(ax)
        fitted, known = fitted_of(vae), columns_of(fitted_of(vae))
        chosen = (
            _most_different(real, sampled, [column.levels is not None for column in known], max_columns)
            if columns is None
            else [fitted.columns.position(key, "columns") for key in columns]
        )
        display = cls(
            real[:, chosen],
            sampled[:, chosen],
            names=[known[d].name for d in chosen],
            levels=[known[d].levels for d in chosen],
        )
        return display.plot(ax)

    def plot(self, ax: Any = None, *, bins: int = 30) -> "SampleDisplay":
        """Draw the display.

        At most 2000 points of each kind are drawn per pair, evenly chosen. An axis spans the real column except for a
        thousandth of its rows at each end.

        Parameters
        ----------
        ax : matplotlib Axes, array of n_columns squared such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        bins : int, default=30
            Bins of a histogram.

        Returns
        -------
        SampleDisplay
            Itself.

        See Also
        --------
        SampleDisplay.from_estimator : Compute and draw.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import SampleDisplay
        >>> rng = np.random.default_rng(0)
        >>> display = SampleDisplay(rng.normal(size=(50, 2)), rng.normal(size=(60, 2)), names=["a", "b"])
        >>> display.plot().axes_[1, 0].get_ylabel()
        'b'
        """
        if self.image_shape is not None:
            return self._plot_images(ax, self.image_shape)
        n = self.real.shape[1]
        side = max(2.2 * n, 3.4)
        self.axes_ = panels(ax, (n, n), (side + 0.6, side), type(self).__name__)
        self.figure_ = self.axes_[0, 0].figure
        levels = [None] * n if self.levels is None else self.levels
        views = [_Axis(self.real[:, d], self.sampled[:, d], levels[d]) for d in range(n)]
        for i, j in np.ndindex(n, n):
            ax_ij: Any = self.axes_[i, j]
            if j > i:
                ax_ij.set_axis_off()
            elif i == j:
                _draw_marginal(ax_ij, views[i], bins)
            else:
                _draw_pair(ax_ij, views[j], views[i])
        self._label(views)
        return self

    def _plot_images(self, ax: Any, image_shape: Sequence[int]) -> "SampleDisplay":
        caller = type(self).__name__
        n = min(len(self.real), len(self.sampled))
        images = image_values(np.stack([self.real[:n], self.sampled[:n]]), image_shape, caller)
        height = 1.7 * min(images.shape[2] / images.shape[3], 2) + 0.1
        self.axes_ = panels(ax, (1, 1), (max(3.0, 0.75 * n + 1.2), height), caller)
        self.figure_ = self.axes_[0, 0].figure
        self.image_ = draw_mosaic(self.axes_[0, 0], images, contrast(images[0]), ("real", "sampled"))
        return self

    def _label(self, views: "list[_Axis]") -> None:
        n = len(views)
        names = [f"x{d}" for d in range(n)] if self.names is None else self.names
        lower = [(i, j) for i in range(n) for j in range(i + 1)]
        for i, j in lower:
            ax = self.axes_[i, j]
            ax.tick_params(labelsize="small")
            views[j].put_ticks(ax, "x", shown=i == n - 1)
            if i == n - 1:
                ax.set_xlabel(short(names[j], 20), **LITERAL)
            if i != j:
                views[i].put_ticks(ax, "y", shown=j == 0)
                if j == 0:
                    ax.set_ylabel(short(names[i], 20), **LITERAL)
        handles, _ = self.axes_[0, 0].get_legend_handles_labels()
        target, place = (self.axes_[0, -1], "upper right") if n > 1 else (self.axes_[0, 0], "best")
        self.legend_ = literal_legend(target, handles, loc=place, frameon=False)


class _Axis:
    """One column of both tables: its cells, its range, and the places of its levels.

    Levels that are rare in the real column stand together as the last one.
    """

    def __init__(self, real: np.ndarray, sampled: np.ndarray, levels: list[str] | None) -> None:
        self.is_number = levels is None
        self.cells = {"real": real, "sampled": sampled}
        if levels is None:
            seen = real[~np.isnan(real)] if not np.isnan(real).all() else np.zeros(1)
            low, high = np.quantile(seen, _SHOWN[0], method="lower"), np.quantile(seen, _SHOWN[1], method="higher")
            self.step = next((10.0**-k for k in range(4) if (seen == np.round(seen, k)).all()), None)
            margin = 0.05 * (high - low) or 0.5
            self.limits = low - margin, high + margin
            return
        seen = real[~np.isnan(real)]
        place, self.names = grouped_levels(seen, levels)
        place = np.append(place.astype(float), np.nan)  # the last one is for missing cells
        self.cells = {name: place[np.where(np.isnan(x), len(levels), x).astype(int)] for name, x in self.cells.items()}
        self.limits = -0.6, len(self.names) - 0.4

    def edges(self, bins: int) -> np.ndarray:
        """Edges of a histogram.

        In a column with few decimals every bin holds as many of its values as the others, or it would look like a comb.
        """
        low, high = self.limits
        if self.step is None:
            return np.linspace(low, high, bins + 1)
        width = math.ceil((high - low) / bins / self.step) * self.step
        return np.arange(math.floor(low / self.step) * self.step - self.step / 2, high + width, width)

    def spread(self, name: str, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cells of some rows; levels are moved a little at random."""
        cells = self.cells[name][rows]
        return cells if self.is_number else cells + rng.uniform(-0.3, 0.3, len(cells))

    def put_ticks(self, ax: "Axes", which: str, shown: bool) -> None:
        """Set limits and ticks of the x or y axis; without labels where they are not `shown`."""
        axis: Any = ax.xaxis if which == "x" else ax.yaxis
        (ax.set_xlim if which == "x" else ax.set_ylim)(self.limits)
        if not self.is_number:
            axis.set_ticks(range(len(self.names)), [short(name, 10) for name in self.names], **LITERAL)
        else:
            axis.get_major_locator().set_params(nbins=3)
        axis.set_tick_params(labelbottom=shown, labelleft=shown, rotation=90 if which == "x" and self._is_long else 0)

    @property
    def _is_long(self) -> bool:
        return not self.is_number and sum(min(len(name), 10) for name in self.names) > 8


def _draw_marginal(ax: "Axes", view: _Axis, bins: int) -> None:
    """Draw the histogram of a column, or the shares of its levels, for both tables."""
    if view.is_number:
        edges: Any = view.edges(bins)
        filled: dict[str, Any] = {"color": neutral(), "alpha": 0.45}
        line: dict[str, Any] = {"histtype": "step", "color": _SAMPLED, "linewidth": 1.4}
        for name, style in (("real", filled), ("sampled", line)):
            cells = view.cells[name]
            cells = cells[(cells >= edges[0]) & (cells <= edges[-1])]  # also no NaN
            ax.hist(cells, bins=edges, density=len(cells) > 0, label=name, **style)
    else:
        numbers = np.arange(len(view.names))
        for name, color, shift in (("real", neutral(), -0.2), ("sampled", _SAMPLED, 0.2)):
            cells = view.cells[name][~np.isnan(view.cells[name])].astype(int)
            share = np.bincount(cells, minlength=len(numbers)) / max(len(cells), 1)
            ax.bar(numbers + shift, share, 0.4, color=color, alpha=0.45 if name == "real" else 0.9, label=name)
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)


def _draw_pair(ax: "Axes", across: _Axis, up: _Axis) -> None:
    """Draw the points of both tables in one shuffled order, so that neither table hides the other."""
    rng = np.random.default_rng(0)
    points, colors = [], []
    for name, color in (("real", neutral()), ("sampled", _SAMPLED)):
        rows = thinned(len(across.cells[name]))
        points.append(np.stack([across.spread(name, rows, rng), up.spread(name, rows, rng)], 1))
        colors += [color] * len(rows)
    order = rng.permutation(len(colors))
    x, y = np.concatenate(points)[order].T
    size = float(np.clip(6000 / len(x), 2.5, 10))
    ax.scatter(x, y, s=size, alpha=0.45, linewidths=0, color=np.array(colors)[order])
    ax.spines[["top", "right"]].set_visible(False)


def _most_different(real: np.ndarray, sampled: np.ndarray, is_category: list[bool], most: int) -> list[int]:
    """Positions of the columns that best distinguish sampled rows from real ones, in the order of the table."""
    D = real.shape[1]
    if most >= D:
        return list(range(D))
    correlations = np.abs(_rank_correlations(real) - _rank_correlations(sampled))
    difference = correlations.max(1)
    for d in range(D):
        x, y = (part[~np.isnan(part[:, d]), d] for part in (real, sampled))
        if len(x) and len(y):
            difference[d] += _distance(x, y, is_category[d])
    return np.sort(np.argsort(-difference, kind="stable")[:most]).tolist()


def _distance(x: np.ndarray, y: np.ndarray, is_category: bool) -> float:
    """The largest difference of two distribution functions, or of levels half the summed differences of shares."""
    values = np.unique(np.concatenate([x, y]))
    F, G = (np.searchsorted(np.sort(part), values, "right") / len(part) for part in (x, y))
    return float(np.abs(np.diff(F - G, prepend=0)).sum() / 2 if is_category else np.abs(F - G).max())


def _rank_correlations(X: np.ndarray) -> np.ndarray:
    """Spearman's correlations of columns (D, D), of at most 2000 rows; missing cells get the mean rank."""
    X = X[thinned(len(X))]
    ranks = rankdata(X, axis=0, nan_policy="omit")
    ranks = np.nan_to_num(ranks - np.nanmean(np.where(np.isnan(X).all(0), 0.0, ranks), 0))
    length = np.linalg.norm(ranks, axis=0)
    ranks /= np.where(length > 0, length, 1.0)
    return ranks.T @ ranks - np.eye(X.shape[1])
