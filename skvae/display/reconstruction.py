"""`ReconstructionDisplay`: rows of a table, or images, against their reconstruction through the latent code."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import r2_score

from .._inference.fitted import fitted_of
from .plotting import (
    COLORS,
    LITERAL,
    codes_of,
    columns_of,
    decoded_means,
    draw_mosaic,
    grouped_levels,
    image_values,
    ink,
    numbers_of,
    panels,
    pyplot,
    short,
    thinned,
    vae_behind,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.image import AxesImage

__all__ = ["ReconstructionDisplay"]


class ReconstructionDisplay:
    r"""Rows of a table against their reconstruction through the latent code.

    A column of numbers shows observed values against reconstructed ones, with :math:`R^2`; a column of categories or
    booleans shows a matrix of shares, observed level by reconstructed level, with the rate of agreement. Images are
    drawn as a row of originals over a row of reconstructions. Missing values are left out. All parameters are stored as
    attributes.

    Parameters
    ----------
    observed : ndarray of shape (n_samples, n_features)
        Numbers, and indices of categories; NaN where a value is missing.
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
    SampleDisplay : The table against rows that the model draws.
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

    def __init__(
        self,
        observed: np.ndarray,
        reconstructed: np.ndarray,
        *,
        names: Sequence[str] | None = None,
        levels: Sequence[list[str] | None] | None = None,
        image_shape: Sequence[int] | None = None,
    ) -> None:
        self.observed = observed
        self.reconstructed = reconstructed
        self.names = names
        self.levels = levels
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        image_shape: Sequence[int] | None = None,
        n_images: int = 12,
        max_columns: int = 12,
        order: str | None = "worst",
        ax: Any = None,
        cmap: str = "gray",
    ) -> "ReconstructionDisplay":
        """Reconstruct a table and draw it.

        Rows go through the centre of their posterior to the mean of the decoder, as in ``reconstruct``. Columns of
        `conditions` are not drawn.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table.
        image_shape : tuple of int or None, default=None
            For images, their shape (H, W) or (C, H, W).
        n_images : int, default=12
            How many images to show, from the first on.
        max_columns : int, default=12
            Columns to show.
        order : {"worst", "best"} or None, default="worst"
            Which columns come first: by their score, or None as in the table.
        ax : matplotlib Axes, array of one per panel or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        cmap : str, default="gray"
            Colour map of images with one channel.

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
            X = X[:n_images]
        observed, modelled = numbers_of(vae, X), ~fitted_of(vae).columns.is_given
        reconstructed = decoded_means(vae, codes_of(vae, X), observed)
        columns = [column for column, own in zip(columns_of(fitted_of(vae)), modelled, strict=True) if own]
        display = cls(
            observed[:, modelled],
            reconstructed,
            names=[column.name for column in columns],
            levels=[column.levels for column in columns],
            image_shape=image_shape,
        )
        return display.plot(ax, max_columns=max_columns, order=order, cmap=cmap)

    def plot(
        self, ax: Any = None, *, max_columns: int = 12, order: str | None = "worst", cmap: str = "gray"
    ) -> "ReconstructionDisplay":
        """Draw the display.

        At most 2000 points are drawn per column, evenly chosen; scores are over all rows.

        Parameters
        ----------
        ax : matplotlib Axes, array of one per panel or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        max_columns : int, default=12
            Columns to show.
        order : {"worst", "best"} or None, default="worst"
            Which columns come first: by their score, or None as in the table.
        cmap : str, default="gray"
            Colour map of images with one channel.

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
        if self.image_shape is not None:
            return self._plot_images(ax, cmap, self.image_shape)
        return self._plot_table(ax, max_columns, order)

    def _plot_images(self, ax: Any, cmap: str, image_shape: Sequence[int]) -> "ReconstructionDisplay":
        caller = type(self).__name__
        images = image_values(np.stack([self.observed, self.reconstructed]), image_shape, caller)
        n = images.shape[1]
        self.axes_ = panels(
            ax, (1, 1), (max(3.0, 0.75 * n + 1.2), 1.7 * min(images.shape[2] / images.shape[3], 2) + 0.1), caller
        )[0]
        self.figure_ = self.axes_[0].figure
        self.columns_: list[int] = []
        limits = np.nanmin(images[0]), np.nanmax(images[0])
        self.artists_: list[Any] = [
            draw_mosaic(self.axes_[0], images, limits, ("original", "reconstruction"), cmap=cmap)
        ]
        return self

    def _plot_table(self, ax: Any, max_columns: int, order: str | None) -> "ReconstructionDisplay":
        n_features = self.observed.shape[1]
        levels = [None] * n_features if self.levels is None else self.levels
        names = [f"x{d}" for d in range(n_features)] if self.names is None else self.names
        pairs = [self._pair(d, levels[d]) for d in range(n_features)]
        self.scores_ = np.array([_score(*pairs[d], levels[d]) for d in range(n_features)])
        self.columns_ = self._ordered(order)[:max_columns]
        n = len(self.columns_)
        n_columns = n if n <= 3 else min(4, math.ceil(math.sqrt(n)))
        shape = math.ceil(n / n_columns), n_columns
        axes = panels(ax, shape, (2.9 * shape[1], 2.8 * shape[0]), type(self).__name__).ravel()
        for unused in axes[n:]:
            unused.set_axis_off()
        self.axes_, self.figure_ = axes[:n], axes[0].figure
        self.artists_ = [
            self._draw_column(panel, pairs[d], levels[d], short(names[d], 20), self.scores_[d])
            for panel, d in zip(self.axes_, self.columns_, strict=True)
        ]
        self._label(axes, shape, n)
        return self

    def _draw_column(
        self, ax: "Axes", pair: tuple[np.ndarray, np.ndarray], levels: list[str] | None, name: str, score: float
    ) -> "PathCollection | AxesImage":
        """Draw one column under its name and score."""
        artist = _draw_numbers(ax, *pair) if levels is None else _draw_levels(ax, *pair, levels)
        ax.set_title(f"{name}\n{'R²' if levels is None else 'agree'} {score:.2f}", fontsize="medium", **LITERAL)
        ax.tick_params(labelsize="small")
        if levels is None:
            ax.locator_params(axis="x", nbins=3)
            ax.locator_params(axis="y", nbins=3)
        return artist

    def _pair(self, d: int, levels: list[str] | None) -> tuple[np.ndarray, np.ndarray]:
        """Observed and reconstructed cells of a column, where they are observed; categories as indices."""
        seen = ~np.isnan(self.observed[:, d])
        observed, reconstructed = self.observed[seen, d], self.reconstructed[seen, d]
        return observed, reconstructed if levels is None else np.round(reconstructed)

    def _ordered(self, order: str | None) -> list[int]:
        known = np.flatnonzero(~np.isnan(self.scores_))
        if not len(known):
            raise ValueError("ReconstructionDisplay needs a column with at least two observed cells.")
        if order is None:
            return known.tolist()
        return known[np.argsort(self.scores_[known] * (1 if order == "worst" else -1), kind="stable")].tolist()

    def _label(self, axes: np.ndarray, shape: tuple[int, int], n: int) -> None:
        for i, ax in enumerate(axes[:n]):
            if i % shape[1] == 0:
                ax.set_ylabel("Reconstructed")
            if i + shape[1] >= n:
                ax.set_xlabel("Observed")


def _score(observed: np.ndarray, reconstructed: np.ndarray, levels: list[str] | None) -> float:
    """R2 of a column of numbers, agreement of a column of levels; NaN where fewer than two cells are observed."""
    if len(observed) < 2:
        return np.nan
    return r2_score(observed, reconstructed) if levels is None else float(np.mean(observed == reconstructed))


def _draw_numbers(ax: "Axes", observed: np.ndarray, reconstructed: np.ndarray) -> "PathCollection":
    """Draw observed against reconstructed numbers, on equal axes."""
    rows = thinned(len(observed))
    size = float(np.clip(6000 / len(rows), 4, 14))
    points = ax.scatter(observed[rows], reconstructed[rows], s=size, alpha=0.4, linewidths=0, color=COLORS[0])
    ax.axline((observed.mean(),) * 2, slope=1, color=ink(), linewidth=0.8)
    low, high = min(observed.min(), reconstructed.min()), max(observed.max(), reconstructed.max())
    margin = 0.05 * (high - low) or 0.5
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), box_aspect=1)
    ax.spines[["top", "right"]].set_visible(False)
    return points


def _draw_levels(ax: "Axes", observed: np.ndarray, reconstructed: np.ndarray, levels: list[str]) -> "AxesImage":
    """Draw shares of the reconstructed level within each observed one; rare levels stand together as "other"."""
    place, names = grouped_levels(observed, levels)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (place[reconstructed.astype(int)], place[observed.astype(int)]), 1)
    shares = counts / np.maximum(counts.sum(0), 1)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ticks = [short(name, 10) for name in names]
    long = max(map(len, ticks)) > 2
    ax.set_xticks(range(len(names)), ticks, rotation=90 if long else 0, **LITERAL)
    ax.set_yticks(range(len(names)), ticks, **LITERAL)
    for (i, j), share in np.ndenumerate(shares):
        if share >= 0.005 and len(names) <= 5:
            ax.text(j, i, f"{share:.0%}", ha="center", va="center", fontsize=7, color="white" if share > 0.6 else "k")
    return image
