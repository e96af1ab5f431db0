"""What the displays share: axes, colours, the model inside a pipeline, columns as numbers, mosaics of images.

matplotlib is imported where something is drawn, never before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._inference.decoded import InDataSpace
from .._inference.fitted import Fitted, fitted_of
from .._inference.last_step import last_step
from .._tables.schema import Schema
from .._tables.selection import dense
from .._tables.validation import validated
from .._utils.arrays import on_host
from .._utils.extras import needed_by
from ..estimator import VAETransformer
from ..families import Family
from ..families.discrete import Bernoulli
from ..families.given import Given

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import Container
    from matplotlib.image import AxesImage
    from matplotlib.legend import Legend

__all__ = [
    "COLORS",
    "LITERAL",
    "MARKERS",
    "TEN_COLORS",
    "ColumnOfTable",
    "codes_of",
    "columns_of",
    "contrast",
    "decoded",
    "decoded_means",
    "draw_mosaic",
    "grouped_levels",
    "image_values",
    "ink",
    "is_dark",
    "literal_legend",
    "neutral",
    "numbers_of",
    "panels",
    "paper",
    "place_legend",
    "pyplot",
    "shade",
    "short",
    "thinned",
    "toned",
    "vae_behind",
    "visible",
]

#: Okabe & Ito (2008): told apart by the colour-blind; without their yellow, which is faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
#: For eight classes and more: Tol's muted scheme (2021), also told apart by the colour-blind, without its grey, and an
#: orange. No grey is among them, so that missing labels stay apart.
TEN_COLORS = (
    "#332288", "#EE7733", "#117733", "#CC6677", "#88CCEE", "#882255", "#999933", "#AA4499", "#44AA99", "#DDCC77",
)  # fmt: skip
#: Arguments of every text that holds a name from a table: "$" begins no formula in it, and "%" no comment of TeX.
LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False}
MARKERS = ("o", "^", "s", "D", "v", "P", "X")  # the next one after each round of the colours

_ROWS_AT_ONCE = 10_000
_MOST_POINTS = 2000
_MOST_LEVELS = 8


def pyplot(caller: str) -> ModuleType:
    """Import matplotlib.pyplot, or raise an error that says how to install it."""
    with needed_by(caller, "matplotlib", extra="plot"):
        import matplotlib.pyplot as plt
    return plt


def panels(
    ax: Any,
    shape: tuple[int, int],
    size: tuple[float, float],
    caller: str,
    width_ratios: Sequence[float] | None = None,
    height_ratios: Sequence[float] | None = None,
) -> np.ndarray:
    """Give axes as an object array of `shape`: new ones, those that were given, or parts of the one that was given.

    Parameters
    ----------
    ax : matplotlib Axes, array of such, or None
    shape : (int, int)
    size : (float, float)
        Inches of a new figure.
    caller : str
        For the errors.
    width_ratios, height_ratios : sequence of float, optional
    """
    plt = pyplot(caller)
    if ax is None:
        ratios = {"width_ratios": width_ratios, "height_ratios": height_ratios}
        return plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False, gridspec_kw=ratios)[1]
    if not hasattr(ax, "get_subplotspec"):
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) != prod(shape):
            raise ValueError(
                f"{caller} draws {prod(shape)} panels, but 'ax' has {len(axes)} axes. Give as many, or a single one, "
                "which is then divided."
            )
        return axes.reshape(shape)
    if prod(shape) == 1:
        return np.array([[ax]], dtype=object)
    return _divided(ax, shape, caller, width_ratios, height_ratios)


def _divided(
    ax: "Axes",
    shape: tuple[int, int],
    caller: str,
    width_ratios: Sequence[float] | None,
    height_ratios: Sequence[float] | None,
) -> np.ndarray:
    """Axes on a grid in the place of one."""
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError(
            f"{caller} divides 'ax' into {prod(shape)} panels, which needs axes of a grid, as plt.subplots and "
            "Figure.add_subplot make them."
        )
    ax.set_axis_off()
    space: dict[str, Any] = {} if has_layout(ax) else {"wspace": 0.55, "hspace": 0.6}
    grid = spec.subgridspec(*shape, width_ratios=width_ratios, height_ratios=height_ratios, **space)
    axes = [ax.figure.add_subplot(grid[i, j]) for i in range(shape[0]) for j in range(shape[1])]
    return np.array(axes, dtype=object).reshape(shape)


def has_layout(ax: "Axes") -> bool:
    """Whether the figure's layout makes space for what lies outside its axes."""
    return ax.figure.get_layout_engine() is not None


def place_legend(
    ax: "Axes", handles: "Sequence[Artist | Container]", inside: "Axes | None" = None, **options: Any
) -> "Legend":
    """Draw the legend of `ax`: on its right if the figure makes space for it, else inside, where it hides least.

    Parameters
    ----------
    handles : sequence of matplotlib Artist or Container
        What it names, each by its label.
    inside : matplotlib Axes, optional
        Where it goes then, if not into `ax`.
    """
    if has_layout(ax):
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0, "frameon": False}
        return literal_legend(ax, handles, **beside, **options)
    return literal_legend(inside or ax, handles, loc="best", **options)


def literal_legend(ax: "Axes", handles: "Sequence[Artist | Container]", **options: Any) -> "Legend":
    """Draw a legend of the labels of `handles`, letter by letter; matplotlib leaves out those that begin with "_"."""
    legend = ax.legend(handles, ["name"] * len(handles), **options)
    for text, handle in zip(legend.get_texts(), handles, strict=True):
        text.set(text=handle.get_label(), **LITERAL)
    legend.get_title().set(**LITERAL)
    return legend


def vae_behind(estimator: Any, X: Any = None, *needs: str, caller: str) -> tuple[VAETransformer, Any]:
    """Give a snapshot of the fitted VAETransformer, and the table as it sees it; see `last_step`."""
    return last_step(VAETransformer, estimator, X, *needs, caller=caller)


def codes_of(vae: VAETransformer, X: Any) -> np.ndarray:
    """Give the latent codes that `transform` gives as an ndarray (n, K), whatever `set_output` says."""
    return np.asarray(on_host(vae.transform(X)), dtype=np.float64)


def numbers_of(vae: VAETransformer, X: Any) -> np.ndarray:
    """Give the table as float64 (n, D), one number per cell: category indices, and NaN for missing values."""
    return dense(on_host(validated(vae, fitted_of(vae).schema, X))).astype(np.float64)


def decoded(vae: VAETransformer, Z: np.ndarray, rows: np.ndarray | None = None) -> InDataSpace:
    """p(x given z) of codes Z (n, K), under the conditions of `rows` (n, D), else under the most frequent ones."""
    fitted = fitted_of(vae)
    module, z = fitted.own_codes(Z)
    cells = fitted.usual_conditions if rows is None else rows[:, fitted.columns.given]
    with torch.no_grad():
        return fitted.in_data_space(module, z, None if cells is None else fitted.columns.given_tensor(cells, z))


def decoded_means(vae: VAETransformer, Z: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """E[x given z] of codes Z (n, K) in the numbers of `numbers_of`, of the columns that are modelled, (n, D)."""
    slices = [slice(i, i + _ROWS_AT_ONCE) for i in range(0, len(Z), _ROWS_AT_ONCE)]
    means = [decoded(vae, Z[own], None if rows is None else rows[own]).mean.numpy() for own in slices]
    return np.concatenate(means)[:, ~fitted_of(vae).columns.is_given]


@dataclass
class ColumnOfTable:
    """Name of a column, and the names of its levels where it holds categories or booleans."""

    name: str
    levels: list[str] | None = None


def columns_of(fitted: Fitted) -> list[ColumnOfTable]:
    """Describe the columns of the fitted table."""
    schema, families = fitted.schema, fitted.columns.families
    return [ColumnOfTable(str(schema.label(d)), _levels(schema, d, family)) for d, family in enumerate(families)]


def _levels(schema: Schema, d: int, family: Family) -> list[str] | None:
    """Names of the levels of column d; None where it holds numbers."""
    if d in schema.levels:
        return [str(level) for level in schema.levels[d]]
    if family.n_categories is not None:
        return [str(c) for c in range(family.n_categories)]
    if isinstance(family, Bernoulli) or (isinstance(family, Given) and family.n_levels):
        return ["False", "True"] if schema.kinds[d] == "boolean" else ["0", "1"]
    return None


def grouped_levels(indices: np.ndarray, levels: list[str]) -> tuple[np.ndarray, list[str]]:
    """Give levels their places in a picture: of many, the frequent ones have their own, the others share the last.

    Parameters
    ----------
    indices : ndarray (n,) of category indices, without NaN
    levels : list of str (C,)

    Returns
    -------
    place : ndarray of int (C,)
    names : list of str, one per place
    """
    most = len(levels) if len(levels) <= _MOST_LEVELS else _MOST_LEVELS - 1
    counts = np.bincount(indices.astype(int), minlength=len(levels))
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
    place = np.full(len(levels), len(kept))
    place[kept] = np.arange(len(kept))
    return place, [levels[c] for c in kept] + ["other"] * (len(kept) < len(levels))


def thinned(n: int) -> np.ndarray:
    """Choose at most 2000 of n row numbers, evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).astype(int))


def short(text: str, most: int = 18) -> str:
    """Give the text, cut in the middle where it is long: many names differ at their ends."""
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - 1 - tail]}…{text[-tail:]}"


def is_dark() -> bool:
    """Whether axes are drawn on a dark ground, as under ``plt.style.context("dark_background")``."""
    return _luminance(_of_style("axes.facecolor")) < 0.5


def ink() -> Any:
    """Give the colour of text, for lines and marks that do not represent data."""
    return _of_style("text.color")


def paper() -> Any:
    """Give the colour of the ground."""
    return _of_style("axes.facecolor")


def neutral() -> str:
    """Give a grey that is well apart from the ground."""
    return "#B8B8B8" if is_dark() else COLORS[6]


def toned(color: Any, amount: float) -> Any:
    """Mix a colour with black on a light ground, with white on a dark one: it stands out more."""
    return shade(color, -amount if is_dark() else amount)


def visible(color: Any) -> Any:
    """Give a colour as it is, unless it is too dark for a dark ground."""
    return shade(color, -0.45) if is_dark() and _luminance(color) < 0.15 else color


def _luminance(color: Any) -> float:
    """Between 0 of black and 1 of white."""
    from matplotlib.colors import to_rgb

    return float(np.dot((0.2126, 0.7152, 0.0722), np.power(to_rgb(color), 2.2)))


def _of_style(name: Any) -> Any:
    import matplotlib as mpl

    return mpl.rcParams[name]


def shade(color: Any, amount: float) -> tuple[float, ...]:
    """Mix a colour with black, or for negative amounts with white, as RGB."""
    from matplotlib.colors import to_rgb

    return tuple((1 - abs(amount)) * c + (abs(amount) if amount < 0 else 0.0) for c in to_rgb(color))


# ---------------------------------------------------------------- images


def image_values(values: np.ndarray, image_shape: Sequence[int], caller: str) -> np.ndarray:
    """Reshape rows (..., D) to images (..., H, W), or (..., H, W, 3) for colours.

    Parameters
    ----------
    image_shape : (H, W) or (C, H, W), C of 1 or 3
    """
    shape = tuple(int(n) for n in image_shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 3)):
        raise ValueError(
            f"{caller}: 'image_shape' must be (H, W), (1, H, W) or (3, H, W). Got {image_shape!r} instead."
        )
    if prod(shape) != values.shape[-1]:
        raise ValueError(
            f"{caller}: image_shape={image_shape!r} makes {prod(shape)} pixels, but the table has {values.shape[-1]} "
            "columns."
        )
    images = values.reshape(*values.shape[:-1], *shape)
    if len(shape) == 2:
        return images
    return images[..., 0, :, :] if shape[0] == 1 else np.moveaxis(images, -3, -1)


def contrast(images: np.ndarray) -> tuple[float, float]:
    """Choose the values that are drawn black and white: all but a hundredth of the pixels at each end lie between."""
    low, high = np.quantile(images, [0.01, 0.99])
    return low, high if high > low else low + 1


def draw_mosaic(
    ax: "Axes",
    images: np.ndarray,
    limits: tuple[float, float],
    rows: Sequence = (),
    columns: Sequence = (),
    cmap: str = "gray",
    gap: int | None = None,
) -> "AxesImage":
    """Draw images (R, C, H, W) or (R, C, H, W, 3) as one picture with gaps; give the AxesImage.

    Parameters
    ----------
    limits : (float, float)
        Values that are black and white.
    rows, columns : sequence of str
        Labels at the left and above; none where empty.
    gap : int, optional
        Pixels between images; a sixteenth of their side where not given.
    """
    n_rows, n_columns, height, width = images.shape[:4]
    gap = max(1, round(0.06 * max(height, width))) if gap is None else gap
    picture = _tiled(images, gap)
    if picture.ndim == 3:
        low, high = limits
        picture = np.nan_to_num(np.clip((picture - low) / (high - low), 0, 1), nan=1.0)
    artist = ax.imshow(picture, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    ax.set_yticks(_middles(n_rows, height, gap) if len(rows) else [], rows if len(rows) else [], **LITERAL)
    ax.set_xticks(_middles(n_columns, width, gap) if len(columns) else [], columns if len(columns) else [], **LITERAL)
    ax.xaxis.set_ticks_position("top")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return artist


def _tiled(images: np.ndarray, gap: int) -> np.ndarray:
    """Images (R, C, H, W, ...) beside and below each other, with NaN in the gaps."""
    n_rows, n_columns, height, width = images.shape[:4]
    picture = np.full((n_rows * (height + gap) - gap, n_columns * (width + gap) - gap, *images.shape[4:]), np.nan)
    for r, c in np.ndindex(n_rows, n_columns):
        top, left = r * (height + gap), c * (width + gap)
        picture[top : top + height, left : left + width] = images[r, c]
    return picture


def _middles(n: int, size: int, gap: int) -> list[float]:
    """Where the middles of n images of this size lie, in pixels."""
    return [i * (size + gap) + (size - 1) / 2 for i in range(n)]
