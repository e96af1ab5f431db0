"""Tables against what the model makes of them: `ReconstructionDisplay`, row by row, and `SampleDisplay`, as a whole."""

import math

import numpy as np
from sklearn.metrics import r2_score

from ._plotting import (
    COLORS,
    chosen_columns,
    codes_of,
    columns_of,
    decoded_means,
    draw_mosaic,
    image_values,
    most_frequent,
    numbers_of,
    panels,
    pyplot,
    short,
    vae_behind,
)

__all__ = ["ReconstructionDisplay", "SampleDisplay"]

_MOST_POINTS = 2000
_MOST_LEVELS = 8
_SHOWN = 0.001, 0.999  # quantiles of a real column that its axis spans: a single row far out squeezes all others
_REAL, _SAMPLED = COLORS[6], COLORS[1]


class ReconstructionDisplay:
    r"""
    Rows of a table against their reconstruction through the code.

    Columns of numbers are observed values against reconstructed ones, with :math:`R^2`; columns of categories and
    booleans are a matrix of shares, observed level by reconstructed level, with the rate at which both agree. Images
    are rows of originals over their reconstructions. Missing cells are left out. All parameters are stored as
    attributes.

    Parameters
    ----------
    observed : ndarray of shape (n_samples, n_features)
        Numbers, and level codes of categories; NaN where missing.
    reconstructed : ndarray of shape (n_samples, n_features)
        The same cells after encoding and decoding to the mean; probabilities for booleans.
    names : list of str or None, default=None
        Names of the columns.
    levels : list of (list of str or None) or None, default=None
        For each column the names of its levels, None for numbers.
    image_shape : tuple of int or None, default=None
        For images, their shape (H, W) or (C, H, W).

    Attributes
    ----------
    scores_ : ndarray of shape (n_features,)
        R2 or agreement of each column; NaN where nothing is observed. Not for images.
    columns_ : list of int
        Column numbers of the panels.
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        The panels.
    figure_ : matplotlib Figure
        Figure that holds them.
    artists_ : list of matplotlib PathCollection or AxesImage
        Points or shares of each panel; the mosaic of images.

    See Also
    --------
    SampleDisplay : The table against rows that the model makes up.
    skvae.metrics.reconstruction_error : One number for the whole table.

    Notes
    -----
    :math:`R^2 = 1 - \sum_i (x_i - \hat x_i)^2 / \sum_i (x_i - \bar x)^2` over the observed cells of a column, as
    ``sklearn.metrics.r2_score``.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.display import ReconstructionDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(n_components=3, max_iter=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(vae, X, max_columns=4)
    >>> [display.names[d] for d in display.columns_]
    ['magnesium', 'malic_acid', 'nonflavanoid_phenols', 'proanthocyanins']
    """

    def __init__(self, observed, reconstructed, *, names=None, levels=None, image_shape=None):
        self.observed = observed
        self.reconstructed = reconstructed
        self.names = names
        self.levels = levels
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        image_shape=None,
        n_images=12,
        max_columns=12,
        order="worst",
        ax=None,
        cmap="gray",
    ):
        """
        Reconstruct a table and draw it.

        Rows go through the centre of their posterior to the mean of the decoder, as in ``reconstruct``.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            Fitted.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table.
        image_shape : tuple of int or None, default=None
            For images, their shape (H, W) or (C, H, W).
        n_images : int, default=12
            Images to show, the first ones.
        max_columns : int, default=12
            Columns to show.
        order : {"worst", "best"} or None, default="worst"
            Which columns come first: by their score, or None as in the table.
        ax : matplotlib Axes, array of one per panel or None, default=None
            Where to draw; a single one is divided, None makes a figure.
        cmap : str, default="gray"
            Colours of images without colours.

        Returns
        -------
        ReconstructionDisplay
            The drawn display.

        See Also
        --------
        ReconstructionDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skvae import VAETransformer
        >>> from skvae.display import ReconstructionDisplay
        >>> X, _ = load_digits(return_X_y=True)
        >>> vae = VAETransformer(n_components=10, max_iter=0).fit(X)
        >>> display = ReconstructionDisplay.from_estimator(vae, X, image_shape=(8, 8), n_images=5)
        >>> display.observed.shape
        (5, 64)
        """
        caller = cls.__name__
        pyplot(caller)
        vae, X = vae_behind(estimator, X, "codes", caller=caller)
        if image_shape is not None:
            X = X[:n_images] if hasattr(X, "shape") else X[: int(n_images)]
        observed, reconstructed = numbers_of(vae, X), decoded_means(vae, codes_of(vae, X))
        columns = columns_of(vae)
        display = cls(
            observed,
            reconstructed,
            names=[column.name for column in columns],
            levels=[column.levels for column in columns],
            image_shape=image_shape,
        )
        return display.plot(ax, max_columns=max_columns, order=order, cmap=cmap)

    def plot(self, ax=None, *, max_columns=12, order="worst", cmap="gray"):
        """
        Draw the display.

        At most 2000 points are drawn per column, evenly chosen; scores are over all rows.

        Parameters
        ----------
        ax : matplotlib Axes, array of one per panel or None, default=None
            Where to draw; a single one is divided, None makes a figure.
        max_columns : int, default=12
            Columns to show.
        order : {"worst", "best"} or None, default="worst"
            Which columns come first: by their score, or None as in the table.
        cmap : str, default="gray"
            Colours of images without colours.

        Returns
        -------
        ReconstructionDisplay
            Itself.

        See Also
        --------
        ReconstructionDisplay.from_estimator : Compute and draw.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import ReconstructionDisplay
        >>> x = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 1.0]])
        >>> display = ReconstructionDisplay(x, x + [0.1, 0.0], levels=[None, ["no", "yes"]])
        >>> display.plot().scores_.round(3)
        array([0.985, 1.   ])
        """
        if order not in ("worst", "best", None):
            raise ValueError(f"'order' must be 'worst', 'best' or None. Got {order!r} instead.")
        return self._plot_images(ax, cmap) if self.image_shape is not None else self._plot_table(ax, max_columns, order)

    def _plot_images(self, ax, cmap):
        caller = type(self).__name__
        images = image_values(np.stack([self.observed, self.reconstructed]), self.image_shape, caller)
        n = images.shape[1]
        self.axes_ = panels(
            ax, (1, 1), (max(3.0, 0.75 * n + 1.2), 1.7 * min(images.shape[2] / images.shape[3], 2) + 0.1), caller
        )[0]
        self.figure_, self.columns_ = self.axes_[0].figure, []
        limits = np.nanmin(images[0]), np.nanmax(images[0])
        self.artists_ = [draw_mosaic(self.axes_[0], images, limits, ("original", "reconstruction"), cmap=cmap)]
        return self

    def _plot_table(self, ax, max_columns, order):
        n_features = self.observed.shape[1]
        levels = [None] * n_features if self.levels is None else self.levels
        names = [f"x{d}" for d in range(n_features)] if self.names is None else self.names
        pairs = [self._pair(d, levels[d]) for d in range(n_features)]
        self.scores_ = np.array([_score(*pair, levels[d]) for d, pair in enumerate(pairs)])
        self.columns_ = self._ordered(order)[:max_columns]
        n = len(self.columns_)
        n_columns = min(n, 4)
        shape = math.ceil(n / n_columns), n_columns
        axes = panels(ax, shape, (2.7 * shape[1], 2.6 * shape[0]), type(self).__name__).ravel()
        for unused in axes[n:]:
            unused.set_axis_off()
        self.axes_, self.figure_, self.artists_ = axes[:n], axes[0].figure, []
        for panel, d in zip(self.axes_, self.columns_, strict=True):
            draw = _draw_numbers if levels[d] is None else _draw_levels
            self.artists_.append(draw(panel, *pairs[d], levels[d]))
            what = "R²" if levels[d] is None else "agree"
            panel.set_title(f"{short(names[d], 20)}\n{what} {self.scores_[d]:.2f}", fontsize="small")
            panel.tick_params(labelsize="x-small")
        self._label(axes, shape, n)
        return self

    def _pair(self, d, levels):
        """Observed and reconstructed cells of a column, where they are observed; levels as codes."""
        seen = ~np.isnan(self.observed[:, d])
        observed, reconstructed = self.observed[seen, d], self.reconstructed[seen, d]
        return observed, reconstructed if levels is None else np.round(reconstructed)

    def _ordered(self, order):
        known = np.flatnonzero(~np.isnan(self.scores_))
        if order is None:
            return known.tolist()
        return known[np.argsort(self.scores_[known] * (1 if order == "worst" else -1), kind="stable")].tolist()

    def _label(self, axes, shape, n):
        for i, ax in enumerate(axes[:n]):
            if i % shape[1] == 0:
                ax.set_ylabel("Reconstructed", fontsize="small")
            if i + shape[1] >= n:
                ax.set_xlabel("Observed", fontsize="small")


def _score(observed, reconstructed, levels):
    if len(observed) < 2:
        return np.nan
    return r2_score(observed, reconstructed) if levels is None else float(np.mean(observed == reconstructed))


def _thinned(n):
    """At most 2000 of n rows, evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).astype(int))


def _draw_numbers(ax, observed, reconstructed, _):
    rows = _thinned(len(observed))
    size = float(np.clip(6000 / len(rows), 4, 14))
    points = ax.scatter(observed[rows], reconstructed[rows], s=size, alpha=0.4, linewidths=0, color=COLORS[0])
    ax.axline((observed.mean(),) * 2, slope=1, color="#333333", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    return points


def _draw_levels(ax, observed, reconstructed, levels):
    """Shares of the reconstructed level within each observed one; rare levels together as "other"."""
    kept = most_frequent(observed, len(levels), _MOST_LEVELS - 1 if len(levels) > _MOST_LEVELS else _MOST_LEVELS)
    place = np.full(len(levels), len(kept))
    place[kept] = np.arange(len(kept))
    names = [levels[c] for c in kept] + ["other"] * (len(kept) < len(levels))
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (place[reconstructed.astype(int)], place[observed.astype(int)]), 1)
    shares = counts / np.maximum(counts.sum(0), 1)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ticks = [short(name, 8) for name in names]
    long = max(map(len, ticks)) > 2
    ax.set_xticks(range(len(names)), ticks, rotation=90 if long else 0)
    ax.set_yticks(range(len(names)), ticks)
    for (i, j), share in np.ndenumerate(shares):
        if share >= 0.005 and len(names) <= 5:
            ax.text(j, i, f"{share:.0%}", ha="center", va="center", fontsize=7, color="white" if share > 0.6 else "k")
    return image


class SampleDisplay:
    """
    A table against rows that the model makes up: each column, and each pair.

    On the diagonal are the columns: histograms of numbers, bars of the shares of levels. Below it, real rows and
    sampled ones in the same axes; levels are spread a little, so that points do not hide each other. Missing cells are
    left out. All parameters are stored as attributes.

    Parameters
    ----------
    real : ndarray of shape (n_samples, n_columns)
        Numbers, and level codes of categories; NaN where missing.
    sampled : ndarray of shape (n_drawn, n_columns)
        The same columns of rows that were drawn.
    names : list of str or None, default=None
        Names of the columns.
    levels : list of (list of str or None) or None, default=None
        For each column the names of its levels, None for numbers.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_columns, n_columns)
        The panels; those above the diagonal are empty.
    figure_ : matplotlib Figure
        Figure that holds them.
    legend_ : matplotlib Legend
        Real and sampled.

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

    def __init__(self, real, sampled, *, names=None, levels=None):
        self.real = real
        self.sampled = sampled
        self.names = names
        self.levels = levels

    @classmethod
    def from_estimator(cls, estimator, X, *, n_samples=None, columns=None, max_columns=4, random_state=None, ax=None):
        """
        Draw rows from the model, and draw them beside a table.

        Rows come from ``sample``, so with ``code_density="mixture"`` their codes come from the fitted mixture.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            Fitted.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table.
        n_samples : int or None, default=None
            Rows to draw; None for as many as X has, 10 000 at most.
        columns : list of str or int, default=None
            The columns to show; None for the first ones.
        max_columns : int, default=4
            How many the first ones are.
        random_state : int, RandomState instance or None, default=None
            Of the draws.
        ax : matplotlib Axes, array of n_columns squared such or None, default=None
            Where to draw; a single one is divided, None makes a figure.

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
        n = min(len(real), 10_000) if n_samples is None else n_samples
        sampled = numbers_of(vae, vae.sample(n, random_state=random_state))
        chosen, known = chosen_columns(vae, columns, max_columns, caller), columns_of(vae)
        display = cls(
            real[:, chosen],
            sampled[:, chosen],
            names=[known[d].name for d in chosen],
            levels=[known[d].levels for d in chosen],
        )
        return display.plot(ax)

    def plot(self, ax=None, *, bins=30):
        """
        Draw the display.

        At most 2000 points of each kind are drawn per pair, evenly chosen. An axis spans the real column but for a
        thousandth of its rows at each end.

        Parameters
        ----------
        ax : matplotlib Axes, array of n_columns squared such or None, default=None
            Where to draw; a single one is divided, None makes a figure.
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
        n = self.real.shape[1]
        side = max(2.1 * n, 3.4)
        self.axes_ = panels(ax, (n, n), (side + 0.6, side), type(self).__name__)
        self.figure_ = self.axes_[0, 0].figure
        levels = [None] * n if self.levels is None else self.levels
        views = [_Axis(self.real[:, d], self.sampled[:, d], levels[d]) for d in range(n)]
        for i, j in np.ndindex(n, n):
            if j > i:
                self.axes_[i, j].set_axis_off()
            elif i == j:
                _draw_marginal(self.axes_[i, i], views[i], bins)
            else:
                _draw_pair(self.axes_[i, j], views[j], views[i])
        self._label(views)
        return self

    def _label(self, views):
        n = len(views)
        names = [f"x{d}" for d in range(n)] if self.names is None else self.names
        for i, j in zip(*np.tril_indices(n), strict=True):
            ax = self.axes_[i, j]
            ax.tick_params(labelsize="x-small")
            views[j].put_ticks(ax, "x", shown=i == n - 1)
            if i == n - 1:
                ax.set_xlabel(short(names[j], 20), fontsize="small")
            if i != j:
                views[i].put_ticks(ax, "y", shown=j == 0)
                if j == 0:
                    ax.set_ylabel(short(names[i], 20), fontsize="small")
        handles = self.axes_[0, 0].get_legend_handles_labels()
        target, place = (self.axes_[0, -1], "upper right") if n > 1 else (self.axes_[0, 0], "best")
        self.legend_ = target.legend(*handles, loc=place, fontsize="small", frameon=False)


class _Axis:
    """One column of both tables: its cells, range, and where levels stand.

    Levels that are rare in the real column stand together as the last one.
    """

    def __init__(self, real, sampled, levels):
        self.is_number = levels is None
        self.cells = {"real": real, "sampled": sampled}
        if self.is_number:
            seen = real[~np.isnan(real)] if not np.isnan(real).all() else np.zeros(1)
            low, high = np.quantile(seen, _SHOWN[0], method="lower"), np.quantile(seen, _SHOWN[1], method="higher")
            margin = 0.05 * (high - low) or 0.5
            self.limits = low - margin, high + margin
            return
        seen = real[~np.isnan(real)]
        kept = most_frequent(seen, len(levels), _MOST_LEVELS - 1 if len(levels) > _MOST_LEVELS else _MOST_LEVELS)
        place = np.full(len(levels) + 1, float(len(kept)))
        place[kept] = np.arange(len(kept))
        place[-1] = np.nan
        self.names = [levels[c] for c in kept] + ["other"] * (len(kept) < len(levels))
        self.cells = {name: place[np.where(np.isnan(x), len(levels), x).astype(int)] for name, x in self.cells.items()}
        self.limits = -0.6, len(self.names) - 0.4

    def spread(self, name, rows, rng):
        """Cells of some rows; levels moved a little at random."""
        cells = self.cells[name][rows]
        return cells if self.is_number else cells + rng.uniform(-0.3, 0.3, len(cells))

    def put_ticks(self, ax, which, shown):
        """Limits and ticks of the x or y axis; without labels where they are not `shown`."""
        axis = ax.xaxis if which == "x" else ax.yaxis
        (ax.set_xlim if which == "x" else ax.set_ylim)(self.limits)
        if not self.is_number:
            axis.set_ticks(range(len(self.names)), [short(name, 10) for name in self.names])
        else:
            axis.get_major_locator().set_params(nbins=4)
        axis.set_tick_params(labelbottom=shown, labelleft=shown, rotation=90 if which == "x" and self._is_long else 0)

    @property
    def _is_long(self):
        return not self.is_number and sum(min(len(name), 10) for name in self.names) > 8


def _draw_marginal(ax, view, bins):
    if view.is_number:
        edges = np.linspace(*view.limits, bins + 1)
        options = {"bins": edges, "density": True}
        ax.hist(view.cells["real"], **options, color=_REAL, alpha=0.45, label="real")
        ax.hist(view.cells["sampled"], **options, histtype="step", color=_SAMPLED, linewidth=1.4, label="sampled")
    else:
        numbers = np.arange(len(view.names))
        for name, color, shift in (("real", _REAL, -0.2), ("sampled", _SAMPLED, 0.2)):
            cells = view.cells[name][~np.isnan(view.cells[name])].astype(int)
            share = np.bincount(cells, minlength=len(numbers)) / max(len(cells), 1)
            ax.bar(numbers + shift, share, 0.4, color=color, alpha=0.45 if name == "real" else 0.9, label=name)
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)


def _draw_pair(ax, across, up):
    """Points of both tables in one shuffled pile, so that neither hides the other."""
    rng = np.random.default_rng(0)
    points, colors = [], []
    for name, color in (("real", _REAL), ("sampled", _SAMPLED)):
        rows = _thinned(len(across.cells[name]))
        points.append(np.stack([across.spread(name, rows, rng), up.spread(name, rows, rng)], 1))
        colors += [color] * len(rows)
    order = rng.permutation(len(colors))
    x, y = np.concatenate(points)[order].T
    size = float(np.clip(6000 / len(x), 2.5, 10))
    ax.scatter(x, y, s=size, alpha=0.45, linewidths=0, color=np.array(colors)[order])
    ax.spines[["top", "right"]].set_visible(False)
