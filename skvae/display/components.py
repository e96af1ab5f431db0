"""`ComponentDisplay`: how much information each component carries, and what it does to the columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import norm

from .._inference.decoded import InDataSpace
from .._inference.fitted import Fitted, fitted_of
from .._inference.summaries import LIVE
from .._utils.arrays import on_host
from ..estimator import VAETransformer
from .plotting import (
    COLORS,
    LITERAL,
    ColumnOfTable,
    codes_of,
    columns_of,
    contrast,
    decoded,
    decoded_means,
    draw_mosaic,
    image_values,
    ink,
    numbers_of,
    panels,
    pyplot,
    short,
    vae_behind,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ComponentDisplay"]

_OFF = "#B0B0B0"
_MOST_WITH_NUMBERS = 12  # components; of more, the heat map does not write its values


class ComponentDisplay:
    r"""Information of each component, and what it does to the columns.

    Bars show the mean KL of each component to the prior in nats; components below `threshold` carry no information and
    are grey. Under each bar is the component's column of a heat map of latent traversals: the component moves from the
    low to the high end of its latent codes while the others stay at their mean, and the map shows how the columns of
    the table change. For images, the bars lie on the left, and beside each is a strip of decoded images.

    Parameters
    ----------
    information : ndarray of shape (n_components,)
        KL to the prior in nats; without a KL, the variance of the codes.
    has_kl : bool, default=True
        Whether `information` is a KL.
    effects : ndarray of shape (n_rows, n_components) or None, default=None
        What each component does to each column or level.
    names : list of str, default=()
        Names of the rows of `effects`.
    traversals : ndarray of shape (n_components, n_steps, n_features) or None, default=None
        Decoded images.
    image_shape : tuple of int or None, default=None
        Shape of an image, (H, W) or (C, H, W).
    threshold : float, default=0.05
        Nats below which a component counts as carrying no information.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        The bars, and the heat map under them or the strips beside them.
    figure_ : matplotlib Figure
        Figure that holds them.
    bars_ : matplotlib BarContainer
        One bar per component.
    image_ : matplotlib AxesImage
        The heat map, or the mosaic of images.

    See Also
    --------
    LatentSpaceDisplay : Rows in two components.
    ManifoldDisplay : Two components at a time, for images.

    Notes
    -----
    With the quantiles :math:`a_k, b_k` of the latent codes at :math:`\Phi(-2)` and :math:`\Phi(2)`, which for normal
    codes are the mean minus and plus two standard deviations, the effect on a column of numbers is

    .. math:: (E[x_d | z_k = b_k] - E[x_d | z_k = a_k]) / sd(x_d)

    and that on a level of a category, where a fair coin has the standard deviation 1/2,

    .. math:: (P(x_d = c | z_k = b_k) - P(x_d = c | z_k = a_k)) / (1/2)

    so that it lies between -2 and 2 and rare levels are not exaggerated. Columns of two levels have one row, that of
    the second level.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.display import ComponentDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(n_components=3, max_iter=0).fit(X)
    >>> ComponentDisplay.from_estimator(vae, X).effects.shape
    (13, 3)
    """

    def __init__(
        self,
        information: np.ndarray,
        *,
        has_kl: bool = True,
        effects: np.ndarray | None = None,
        names: Sequence[str] = (),
        traversals: np.ndarray | None = None,
        image_shape: Sequence[int] | None = None,
        threshold: float = LIVE,
    ) -> None:
        self.information = information
        self.has_kl = has_kl
        self.effects = effects
        self.names = names
        self.traversals = traversals
        self.image_shape = image_shape
        self.threshold = threshold

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        image_shape: Sequence[int] | None = None,
        max_components: int = 10,
        max_rows: int = 30,
        n_steps: int = 9,
        threshold: float = LIVE,
        ax: Any = None,
    ) -> "ComponentDisplay":
        """Move every component over the range of its latent codes, and draw what that does.

        The components are those with the most information. Where the heat map has too many rows, those with the largest
        effects are kept, in the order of the table. With `conditions`, codes are decoded under the most frequent ones
        of the fitted rows.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table whose latent codes span the traversals.
        image_shape : tuple of int or None, default=None
            For images, their shape (H, W) or (C, H, W).
        max_components : int, default=10
            Components to show.
        max_rows : int, default=30
            Columns and levels to show.
        n_steps : int, default=9
            Images per component.
        threshold : float, default=0.05
            Nats below which a component counts as carrying no information.
        ax : matplotlib Axes, array of 2 such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.

        Returns
        -------
        ComponentDisplay
            The drawn display.

        See Also
        --------
        ComponentDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skvae import VAETransformer
        >>> from skvae.display import ComponentDisplay
        >>> X, _ = load_digits(return_X_y=True)
        >>> vae = VAETransformer(n_components=3, max_iter=0).fit(X)
        >>> ComponentDisplay.from_estimator(vae, X, image_shape=(8, 8)).traversals.shape
        (3, 9, 64)
        """
        caller = cls.__name__
        pyplot(caller)
        vae, X = vae_behind(estimator, X, "codes", caller=caller)
        Z = codes_of(vae, X)
        fitted = fitted_of(vae)
        if reason := fitted.off_the_line:
            raise ValueError(f"{caller} moves one component while the others stay, but {reason}.")
        information, has_kl = _information(fitted, Z)
        n = min(max_components, Z.shape[1])
        display = cls(information[:n], has_kl=has_kl, image_shape=image_shape, threshold=threshold)
        if image_shape is not None:
            steps = norm.cdf(np.linspace(-2, 2, n_steps))
            display.traversals = np.stack([decoded_means(vae, _traversal(Z, k, steps)) for k in range(n)])
            image_values(display.traversals, image_shape, caller)
            return display.plot(ax)
        effects, names = _effects(vae, Z, numbers_of(vae, X), n)
        rows = np.sort(np.argsort(-np.abs(effects).max(1), kind="stable")[:max_rows])
        display.effects, display.names = effects[rows], [names[r] for r in rows]
        return display.plot(ax)

    def plot(self, ax: Any = None, *, cmap: str = "RdBu_r") -> "ComponentDisplay":
        """Draw the display.

        The heat map writes its values where there are few components, except for those that round to 0.0.

        Parameters
        ----------
        ax : matplotlib Axes, array of 2 such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        cmap : str, default="RdBu_r"
            Diverging colours of the heat map.

        Returns
        -------
        ComponentDisplay
            Itself.

        See Also
        --------
        ComponentDisplay.from_estimator : Compute and draw.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import ComponentDisplay
        >>> display = ComponentDisplay(np.array([1.2, 0.0]), effects=np.eye(2), names=["age", "height"])
        >>> display.plot().axes_[0].get_title()
        '1 of 2 live'
        """
        n = len(self.information)
        caller = type(self).__name__
        if self.traversals is not None and self.image_shape is not None:
            self.axes_ = panels(ax, (1, 2), (9.5, max(1.4 + 0.62 * n, 2.8)), caller, width_ratios=(1, 2.2))[0]
            self.figure_ = self.axes_[0].figure
            self._strips(self.axes_[1], self.traversals, self.image_shape)
        elif self.effects is not None:
            rows = max(0.27 * len(self.names), 0.8)
            size = max(4.0 + 0.45 * n, 5.0), 2.2 + rows
            self.axes_ = panels(ax, (2, 1), size, caller, height_ratios=(1.2, rows))[:, 0]
            self.figure_ = self.axes_[0].figure
            self._heat_map(self.axes_[1], self.effects, cmap)
        else:
            raise ValueError("ComponentDisplay needs 'effects', or 'traversals' and their 'image_shape'.")
        self._bars(self.axes_[0], upright=self.traversals is None)
        return self

    def _bars(self, ax: "Axes", upright: bool) -> None:
        numbers = np.arange(len(self.information))
        live = self.information > self.threshold if self.has_kl else np.ones(len(numbers), bool)
        label = "KL to the prior\n(nats)" if self.has_kl else "Variance\nof codes"
        colors = np.where(live, COLORS[0], _OFF)
        if upright:
            self.bars_ = ax.bar(numbers, self.information, color=colors)
            ax.set(xticks=[], xlim=(-0.5, len(numbers) - 0.5), ylabel=label)
        else:
            self.bars_ = ax.barh(numbers, self.information, color=colors)
            ax.set_yticks(numbers, numbers)
            ax.invert_yaxis()
            ax.set(ylabel="Component", xlabel=label.replace("\n", " "))
        if self.has_kl:
            line = ax.axhline if upright else ax.axvline
            line(self.threshold, color=ink(), linewidth=0.8, linestyle=":")
            ax.set_title(f"{live.sum()} of {len(live)} live", fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)

    def _heat_map(self, ax: "Axes", effects: np.ndarray, cmap: str) -> None:
        n_rows, n = effects.shape
        largest = max(np.abs(effects).max(initial=0), 1e-9)
        self.image_ = ax.imshow(effects, cmap=cmap, vmin=-largest, vmax=largest, aspect="auto")
        ax.set_xticks(range(n), [str(k) for k in range(n)])
        ax.set_yticks(range(n_rows), [short(name, 32) for name in self.names], fontsize="small", **LITERAL)
        ax.set_xlabel("Component, from its low to its high end")
        bar = self.figure_.colorbar(self.image_, ax=self.axes_.tolist(), shrink=0.7)
        bar.set_label("column falls  ←  standard deviations  →  column rises")
        if n <= _MOST_WITH_NUMBERS:
            for r, k in np.argwhere(np.abs(effects) >= 0.05):
                color = "white" if abs(effects[r, k]) > 0.6 * largest else "#222222"
                ax.text(k, r, f"{effects[r, k]:.1f}", ha="center", va="center", color=color, fontsize=7)

    def _strips(self, ax: "Axes", traversals: np.ndarray, image_shape: Sequence[int]) -> None:
        images = image_values(traversals, image_shape, type(self).__name__)
        steps = [""] * images.shape[1]
        steps[0], steps[-1] = "low", "high"
        self.image_ = draw_mosaic(ax, images, contrast(images), range(len(images)), steps)


def _information(fitted: Fitted, Z: np.ndarray) -> tuple[np.ndarray, bool]:
    """Information of each component, (K,), and whether it is a KL."""
    if fitted.kl_per_component is not None:
        return np.asarray(on_host(fitted.kl_per_component), dtype=np.float64), True
    return Z.var(0), False


def _traversal(Z: np.ndarray, k: int, shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Latent codes (n_steps, K): component k at quantiles of its codes, the others at their mean."""
    path = np.tile(Z.mean(0), (len(shares), 1))
    path[:, k] = np.quantile(Z[:, k], shares)
    return path


def _effects(vae: VAETransformer, Z: np.ndarray, X: np.ndarray, n: int) -> tuple[np.ndarray, list[str]]:
    """Effects (R, n) and names of the rows: one per column of numbers, one per level of the others."""
    ends = np.concatenate([_traversal(Z, k, norm.cdf([-2, 2])) for k in range(n)])
    columns = columns_of(fitted_of(vae))
    p = decoded(vae, ends)
    mean, probabilities = p.mean.numpy(), _level_probabilities(p, columns)
    rows: list[np.ndarray] = []
    names: list[str] = []
    for d, column in enumerate(columns):
        if fitted_of(vae).columns.is_given[d]:
            continue
        if column.levels is None:
            change = np.nan_to_num(mean[1::2, d] - mean[::2, d])  # a column that fit has seen no value of stays missing
            sd = 0.0 if np.isnan(X[:, d]).all() else np.nanstd(X[:, d])
            rows.append(change / (sd or 1.0))
            names.append(column.name)
        else:
            change = 2 * (probabilities[d][1::2] - probabilities[d][::2])
            kept = [1] if len(column.levels) == 2 else range(len(column.levels))
            rows.extend(change[:, c] for c in kept)
            names.extend(f"{column.name} = {column.levels[c]}" for c in kept)
    return np.stack(rows), names


def _level_probabilities(p: InDataSpace, columns: list[ColumnOfTable]) -> dict[int, np.ndarray]:
    """Column number -> P(level given z) (n, C), of columns that have levels."""
    found = {}
    for _, own, part in p.likelihood.parts(p.p):
        for i, d in enumerate(own):
            levels = columns[d].levels
            if levels is not None and not p.columns.is_given[d]:
                of_level = [part.log_prob(torch.full_like(part.mean, c))[..., i].exp() for c in range(len(levels))]
                found[d] = torch.stack(of_level, -1).double().cpu().numpy()
    return found
