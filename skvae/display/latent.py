"""`LatentSpaceDisplay`: where the rows of a table lie in two components of the latent code."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from torch.distributions import MultivariateNormal

from .._inference.fitted import Fitted, fitted_of
from .._utils.arrays import on_host
from .._utils.random import draw_seed
from ..estimator import VAETransformer
from .colors import Colors
from .hover import hover_figure
from .plotting import (
    COLORS,
    LITERAL,
    codes_of,
    ink,
    is_dark,
    panels,
    paper,
    place_legend,
    pyplot,
    short,
    toned,
    vae_behind,
)

__all__ = ["LatentSpaceDisplay"]

_MANY_ROWS = 20_000  # density="auto"
_MARGIN = 0.5  # of the span of a component, beyond which rows are far from the bulk
_GRID = 60  # hexagons from left to right


class LatentSpaceDisplay:
    r"""Posterior centres of rows in two components of the latent code.

    Each row is a point at the centre of its posterior, coloured by `y`. For many rows, hexagons count them instead.
    Ellipses show how certain the encoder is of a row: two standard deviations of :math:`q(z | x)` contain 86 % of its
    mass. It is recommended to use :meth:`from_estimator`; all parameters are stored as attributes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        Posterior centres in the two components.
    components : tuple of (int, int), default=(0, 1)
        The components' numbers.
    kl : ndarray of shape (2,) or None, default=None
        Their mean KL to the prior in nats, for the axis labels.
    y : array-like of shape (n_samples,) or None, default=None
        Values that colour the rows: strings, booleans, categories and up to 12 distinct whole numbers are classes,
        other numbers are continuous.
    ellipse_rows : ndarray of int or None, default=None
        Rows with an ellipse.
    covariances : ndarray of shape (n_ellipses, 2, 2) or None, default=None
        Posterior covariance of these rows in the two components.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure that holds it.
    scatter_ : list of matplotlib PathCollection
        The points, one collection per class; empty for densities.
    density_ : matplotlib PolyCollection or None
        The hexagons, whose array counts rows (for a continuous `y`, its mean).
    ellipses_ : matplotlib EllipseCollection or None
        Posterior ellipses.
    legend_ : matplotlib Legend or None
        Class names, where there are up to seven.
    names_ : list of matplotlib Text
        Class names on the map, at the medians of more classes.
    far_ : matplotlib PathCollection or None
        Crosses at the border for rows that lie far outside the bulk, if there are any.
    colorbar_ : matplotlib Colorbar or None
        Scale of a continuous `y`, or of counts.

    See Also
    --------
    ComponentDisplay : What each component does to the columns.
    skvae.VAETransformer.transform : The posterior centres.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.display import LatentSpaceDisplay
    >>> X, y = load_wine(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(vae, X, y)
    >>> [text.get_text() for text in display.legend_.get_texts()]
    ['0', '1', '2']
    """

    def __init__(
        self,
        codes: np.ndarray,
        *,
        components: tuple[int, int] = (0, 1),
        kl: np.ndarray | None = None,
        y: Any = None,
        ellipse_rows: np.ndarray | None = None,
        covariances: np.ndarray | None = None,
    ) -> None:
        self.codes = codes
        self.components = components
        self.kl = kl
        self.y = y
        self.ellipse_rows = ellipse_rows
        self.covariances = covariances

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        components: Sequence[int] = (0, 1),
        ellipses: bool | int = False,
        density: bool | str = "auto",
        n_std: float = 2.0,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
        scatter_kw: dict | None = None,
    ) -> "LatentSpaceDisplay":
        """Encode a table and draw it.

        Rows are encoded by the estimator; in a Pipeline the earlier steps transform them first.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table.
        y : array-like of shape (n_samples,) or None, default=None
            Classes or numbers to colour by, such as a Series.
        components : tuple of (int, int), default=(0, 1)
            Columns of ``transform`` to draw.
        ellipses : bool or int, default=False
            How many rows, chosen at random, show their posterior; True for 100.
        density : bool or "auto", default="auto"
            Whether hexagons replace points; "auto" from 20 000 rows on.
        n_std : float, default=2.0
            Half axes of the ellipses, in standard deviations.
        random_state : int, RandomState instance or None, default=0
            Choice of the rows with ellipses.
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a figure.
        scatter_kw : dict or None, default=None
            Further arguments of ``Axes.scatter``.

        Returns
        -------
        LatentSpaceDisplay
            The drawn display.

        See Also
        --------
        LatentSpaceDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> from skvae.display import LatentSpaceDisplay
        >>> X, _ = load_wine(return_X_y=True)
        >>> vae = VAETransformer(n_components=3, max_iter=0).fit(X)
        >>> display = LatentSpaceDisplay.from_estimator(vae, X, X[:, 0], components=(0, 2), ellipses=20)
        >>> display.ax_.get_ylabel()
        'Component 2 (KL ... nats)'
        """
        pyplot(cls.__name__)
        vae, X = vae_behind(estimator, X, "codes", caller=cls.__name__)
        Z = codes_of(vae, X)
        pair = _checked_components(components, Z.shape[1])
        rows = _drawn(ellipses, len(Z), random_state)
        covariances = None if rows is None else _covariances(vae, X, rows)[:, pair][:, :, pair]
        kl = _kl(fitted_of(vae), pair)
        first, second = pair
        display = cls(Z[:, pair], components=(first, second), kl=kl, y=y, ellipse_rows=rows, covariances=covariances)
        return display.plot(ax, density=density, n_std=n_std, scatter_kw=scatter_kw)

    def plot(
        self, ax: Any = None, *, density: bool | str = "auto", n_std: float = 2.0, scatter_kw: dict | None = None
    ) -> "LatentSpaceDisplay":
        """Draw the display.

        The more points there are, the smaller and fainter they get. Up to seven classes have a legend; the names of
        more classes are written on the map. If rows lie far from the bulk, by half of the span between the first and
        the last percentile of a component or more, the view is limited to the bulk, and crosses at its border mark
        these rows.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a figure.
        density : bool or "auto", default="auto"
            Whether hexagons replace points; "auto" from 20 000 rows on.
        n_std : float, default=2.0
            Half axes of the ellipses, in standard deviations.
        scatter_kw : dict or None, default=None
            Further arguments of ``Axes.scatter``.

        Returns
        -------
        LatentSpaceDisplay
            Itself.

        See Also
        --------
        LatentSpaceDisplay.from_estimator : Encode a table and draw it.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import LatentSpaceDisplay
        >>> codes = np.random.default_rng(0).normal(size=(50, 2))
        >>> LatentSpaceDisplay(codes).plot().ax_.get_xlabel()
        'Component 0'
        """
        self.ax_ = panels(ax, (1, 1), (6.4, 4.8), type(self).__name__)[0, 0]
        self.figure_ = self.ax_.figure
        self.scatter_: list[Any] = []
        self.density_: Any = None
        self.ellipses_: Any = None
        self.legend_: Any = None
        self.names_: list[Any] = []
        self.far_: Any = None
        self.colorbar_: Any = None
        colors = Colors(self.y, len(self.codes))
        is_dense = len(self.codes) > _MANY_ROWS if density == "auto" else density
        handles = self._hexagons(colors) if is_dense else self._points(colors, scatter_kw or {})
        if self.covariances is not None and self.ellipse_rows is not None:
            self._ellipses(colors, n_std, self.ellipse_rows, self.covariances)
        self._clip_to_the_bulk()
        self._label(colors, handles)
        return self

    def to_plotly(self, X: Any = None, *, max_columns: int = 10) -> Any:
        """Give the map as a plotly figure, which shows the row under the pointer.

        Points are those of `plot`, without hexagons and ellipses, and rows far from the bulk at their own place.

        Parameters
        ----------
        X : array-like or frame of shape (n_samples, n_columns), optional
            The cells that are shown for each row, in the order of the codes. It need not be the table of the model; a
            frame's rows are named by its index. Without it rows are numbered.
        max_columns : int, default=10
            How many columns are shown, from the first on.

        Returns
        -------
        plotly.graph_objects.Figure
            A notebook shows it; ``write_html`` makes a page.

        Raises
        ------
        ImportError
            If plotly is not installed; the extra "hover" installs it.
        ValueError
            If X has another number of rows.

        See Also
        --------
        LatentSpaceDisplay.plot : Draw it with matplotlib.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import LatentSpaceDisplay
        >>> codes = np.random.default_rng(0).normal(size=(50, 2))
        >>> figure = LatentSpaceDisplay(codes).to_plotly()  # doctest: +SKIP
        """
        return hover_figure(self.codes, Colors(self.y, len(self.codes)), self._axis_labels(), X, max_columns)

    def _points(self, colors: Colors, scatter_kw: dict) -> list[Any]:
        """Draw rows as points, and give what the legend names."""
        n = len(self.codes)
        style = {"s": float(np.clip(18_000 / n, 5, 30)), "alpha": float(np.clip(4000 / n, 0.35, 0.8)), "linewidths": 0}
        for name, rows, color, marker in colors.groups():
            c = {"c": color, "cmap": "viridis"} if isinstance(color, np.ndarray) else {"color": color}
            z = self.codes[rows]
            self.scatter_.append(
                self.ax_.scatter(z[:, 0], z[:, 1], **{**style, **c, "marker": marker, "label": name, **scatter_kw})
            )
        if colors.kind == "continuous":
            self._color_bar(self.scatter_[-1], colors.label)
            self.colorbar_.solids.set_alpha(1)
        return self.scatter_

    def _color_bar(self, artist: Any, label: str | None) -> None:
        self.colorbar_ = self.figure_.colorbar(artist, ax=self.ax_)
        self.colorbar_.set_label(label, **LITERAL)

    def _hexagons(self, colors: Colors) -> list[Any]:
        """Draw counts of rows, and give what the legend names."""
        x, y = self.codes.T
        grid = {"gridsize": _GRID, "mincnt": 1, "linewidths": 0.1}
        if colors.kind == "continuous":
            seen = ~np.isnan(colors.numbers)
            self.density_ = self.ax_.hexbin(x[seen], y[seen], C=colors.numbers[seen], cmap="viridis", **grid)
            label = f"Mean of {colors.label or 'y'}"
        else:
            cmap = "viridis" if colors.kind is None else "Greys_r" if is_dark() else "Greys"
            self.density_ = self.ax_.hexbin(x, y, bins="log", cmap=cmap, **grid)
            label = "Rows"
        if colors.kind == "classes":
            return self._color_by_majority(colors, grid)
        self._color_bar(self.density_, label)
        return []

    def _color_by_majority(self, colors: Colors, grid: dict) -> list[Any]:
        """Give each hexagon the colour of its most frequent class, fainter where there are few rows; give the keys."""
        from matplotlib.colors import to_rgba

        most = self.ax_.hexbin(*self.codes.T, C=colors.classes, reduce_C_function=_majority, **grid)
        winners = most.get_array().astype(int)
        most.remove()
        counts = np.asarray(self.density_.get_array())
        alpha = 0.35 + 0.65 * np.log1p(counts) / np.log1p(counts.max())
        faces = [to_rgba(colors.color_of(c), a) for c, a in zip(winners, alpha, strict=True)]
        self.density_.set(facecolors=faces, edgecolors="none")
        self.density_.update_scalarmappable = _keep_colors  # the counts stay readable, the colours are ours
        groups = [(name, color) for name, _, color, _ in colors.groups()]
        return [self.ax_.scatter([], [], color=color, marker="h", s=60, label=name) for name, color in groups]

    def _ellipses(self, colors: Colors, n_std: float, rows: np.ndarray, covariances: np.ndarray) -> None:
        from matplotlib.collections import EllipseCollection

        variances, directions = np.linalg.eigh(covariances)  # ascending
        width, height = 2 * n_std * np.sqrt(np.clip(variances[:, ::-1].T, 0, None))
        angle = np.degrees(np.arctan2(directions[:, 1, 1], directions[:, 0, 1]))
        self.ellipses_ = EllipseCollection(
            width,
            height,
            angle,
            units="xy",
            offsets=self.codes[rows],
            offset_transform=self.ax_.transData,
            facecolors="none",
            edgecolors=colors.of_rows(rows),
            linewidths=1.1,
        )
        self.ax_.add_collection(self.ellipses_)
        reach = n_std * np.sqrt(np.clip(np.diagonal(covariances, axis1=1, axis2=2), 0, None))
        centers = self.codes[rows]  # the collection itself counts these alone as its extent
        self.ax_.update_datalim(np.concatenate([centers - reach, centers + reach]))
        self.ax_.autoscale_view()

    def _axis_labels(self) -> list[str]:
        labels = [f"Component {k}" for k in self.components]
        if self.kl is None:
            return labels
        return [f"{label} (KL {kl:.2f} nats)" for label, kl in zip(labels, self.kl, strict=True)]

    def _label(self, colors: Colors, handles: list[Any]) -> None:
        labels = self._axis_labels()
        self.ax_.set(xlabel=labels[0], ylabel=labels[1])
        if colors.kind != "classes":
            return
        if len(colors.names) > len(COLORS):
            self._name_on_the_map(colors)
            return
        self.legend_ = place_legend(self.ax_, handles, title=colors.label)
        for handle in self.legend_.legend_handles:
            handle.set(alpha=1, sizes=[36])

    def _name_on_the_map(self, colors: Colors) -> None:
        """Write the name of each class at its median, in its colour, on a rim like the ground."""
        from matplotlib.patheffects import withStroke

        self.ax_.set_title("" if colors.label is None else colors.label, **LITERAL)
        rim = [withStroke(linewidth=2.5, foreground=paper())]
        style = {"ha": "center", "va": "center", "fontsize": 8, "fontweight": "bold", "path_effects": rim, **LITERAL}
        line = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        groups = [(short(str(name), 14), self.codes[rows], color) for name, rows, color, _ in colors.groups()]
        names, codes, shades = zip(*groups, strict=True)
        view = np.array([self.ax_.get_xlim(), self.ax_.get_ylim()])
        centers = np.array([np.median(z, axis=0) for z in codes])
        places = _apart(centers, list(map(len, names)), view)
        for name, center, place, color in zip(names, centers, places, shades, strict=True):
            strong = toned(color, 0.45)
            arrow = None if (center == place).all() else {**line, "color": strong}
            self.names_.append(self.ax_.annotate(name, center, place, color=strong, arrowprops=arrow, **style))

    def _clip_to_the_bulk(self) -> None:
        """End the view around the bulk, and mark rows that lie further out at its border."""
        low, high = np.quantile(self.codes, [0.01, 0.99], axis=0)
        margin = _MARGIN * (high - low)
        is_far = ((self.codes < low - margin) | (self.codes > high + margin)).any(1)
        if not is_far.any() or (low == high).any():
            return
        low, high = self.codes[~is_far].min(0), self.codes[~is_far].max(0)
        low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
        self.ax_.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        at_border = np.clip(self.codes[is_far], low, high)
        self.far_ = self.ax_.scatter(*at_border.T, marker="x", s=25, color=ink(), linewidths=1, clip_on=False, zorder=3)


def _apart(places: np.ndarray, lengths: list[int], view: np.ndarray) -> np.ndarray:
    """Places (n, 2) of names of so many letters, each moved up or down as little as keeps it off those before it.

    A letter takes a sixtieth of the width of the `view` ((left, right), (bottom, top)), and a line a thirtieth of its
    height: near enough for a figure of its own.
    """
    unit = (view[:, 1] - view[:, 0]) / (60, 30)
    free: list[np.ndarray] = []
    for place, length in zip(places / unit, lengths, strict=True):
        sizes = (length + np.array(lengths[: len(free)])) / 2
        moved = [place + np.array([0, step / 2]) for step in sorted(range(-15, 16), key=abs)]
        gaps = [np.abs(p - np.reshape(free, (-1, 2))).T for p in moved]
        is_free = [bool(((dx > sizes) | (dy >= 1)).all()) for dx, dy in gaps]
        free.append(moved[is_free.index(True)] if any(is_free) else place)
    return np.where(np.array(free) == places / unit, places, np.array(free) * unit)


def _keep_colors() -> None:
    """Stand for a method that would colour hexagons by their counts."""


def _majority(classes: Any) -> Any:
    """Index of the most frequent class."""
    return np.bincount(np.asarray(classes, dtype=int)).argmax()


def _checked_components(components: Sequence[int], n: int) -> list[int]:
    """The numbers of two components, counted from the first."""
    pair = list(components)
    if len(pair) != 2 or not all(isinstance(k, Integral) and -n <= k < n for k in pair):
        raise ValueError(
            f"'components' must be two numbers of the columns of transform, of which there are {n}. "
            f"Got {components!r} instead."
        )
    return [int(k) % n for k in pair]


def _kl(fitted: Fitted, pair: list[int]) -> np.ndarray | None:
    """KL of the components; the columns of a one-hot code share the KL of their variable."""
    if fitted.kl_per_component is None:
        return None
    kl, order = (np.asarray(on_host(a)) for a in (fitted.kl_per_component, fitted.order))
    variable = np.repeat(np.arange(len(order)), np.array(fitted.module.widths)[order])
    return kl.astype(np.float64)[variable[pair]]


def _drawn(ellipses: bool | int, n_rows: int, random_state: Any) -> np.ndarray | None:
    """Numbers of the rows that have an ellipse; None without ellipses."""
    if ellipses is False or ellipses is None:
        return None
    if not isinstance(ellipses, (bool, Integral)) or ellipses < 0:
        raise ValueError(f"'ellipses' must be a bool or a number of rows. Got {ellipses!r} instead.")
    n = 100 if ellipses is True else int(ellipses)
    return np.sort(np.random.RandomState(draw_seed(random_state)).permutation(n_rows)[:n])


def _covariances(vae: VAETransformer, X: Any, rows: np.ndarray) -> np.ndarray:
    """Covariance of q(z given x) of some rows, (m, K, K)."""
    q = vae.encode(_taken(X, rows))
    posterior = fitted_of(vae).parts.posterior
    if isinstance(q, MultivariateNormal):
        return q.covariance_matrix.double().cpu().numpy()
    reason = "Use ellipses=False."
    if q.event_shape:
        raise ValueError(f"posterior={posterior!r} has no covariance to draw ellipses of. {reason}")
    variance = q.variance.double().cpu().numpy()
    if not np.isfinite(variance).all():
        raise ValueError(f"posterior={posterior!r} has no finite variance. {reason}")
    return variance[:, :, None] * np.eye(variance.shape[1])


def _taken(X: Any, rows: np.ndarray) -> Any:
    """Rows of a table of any library."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else [X[i] for i in rows]
