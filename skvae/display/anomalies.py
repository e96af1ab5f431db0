"""`AnomalyDisplay`: which rows of a table are rare, and which of their cells make them rare."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._inference.fitted import fitted_of
from .._utils.arrays import on_host
from ..jobs.outlier_detector import VAEOutlierDetector, median_of_columns
from .plotting import COLORS, LITERAL, columns_of, ink, numbers_of, panels, pyplot, short, vae_behind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AnomalyDisplay"]

_MOST_NATS = 6.0  # of surprise, from where on colours are the same
_MOST_WORDS = 12  # columns whose cells are written, too; more leave no room


class AnomalyDisplay:
    """Scores of all rows, and the cells of the rarest ones, coloured by surprise.

    The left panel is the histogram of the scores, the rarest rows in colour. Each line of the right panel is one of
    these, the rarest first; the darker a cell, the less probable it is given its row. A row without a dark cell is rare
    as a whole: its cells agree, but they are extreme. All parameters are stored as attributes.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Log-densities of all rows, or bounds on them.
    surprise : ndarray of shape (n_shown, n_columns)
        By how many nats each cell of the shown rows is less probable than the median one of its column; NaN where it is
        missing.
    rows : list of str
        Names of the shown rows, the rarest first.
    cells : list of list of str or None, default=None
        The text of their cells.
    names : list of str or None, default=None
        Names of the columns.
    offset : float or None, default=None
        The score below which rows are outliers.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        Scores and cells.
    figure_ : matplotlib Figure
        Figure that holds them.
    image_ : matplotlib AxesImage
        The cells.
    colorbar_ : matplotlib Colorbar
        The scale of surprise.

    See Also
    --------
    skvae.VAEOutlierDetector.explain : The numbers of all rows.
    ReconstructionDisplay : Rows against their reconstruction.

    Examples
    --------
    A flower with the long petals of one species and the narrow ones of another:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAEOutlierDetector, VAETransformer
    >>> from skvae.display import AnomalyDisplay
    >>> X = load_iris(as_frame=True).data
    >>> X.loc[120, "petal width (cm)"] = 0.2
    >>> detector = VAEOutlierDetector(VAETransformer(2, max_iter=0), random_state=0).fit(X)
    >>> display = AnomalyDisplay.from_estimator(detector, X, n_rows=5)
    >>> display.rows[0], display.names[int(display.surprise[0].argmax())]
    ('120', 'petal width (cm)')
    """

    def __init__(
        self,
        scores: np.ndarray,
        surprise: np.ndarray,
        rows: Sequence[str],
        *,
        cells: Sequence[Sequence[str]] | None = None,
        names: Sequence[str] | None = None,
        offset: float | None = None,
    ) -> None:
        self.scores = scores
        self.surprise = surprise
        self.rows = rows
        self.cells = cells
        self.names = names
        self.offset = offset

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_rows: int = 16, max_columns: int = 30, ax: Any = None
    ) -> "AnomalyDisplay":
        """Score the rows of a table, and draw the rarest.

        A detector has the medians of its training rows, and a threshold; for a transformer the medians are those of X.

        Parameters
        ----------
        estimator : VAEOutlierDetector or VAETransformer, or Pipeline that ends in one
            A fitted model.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table.
        n_rows : int, default=16
            How many of the rarest rows to show.
        max_columns : int, default=30
            How many columns to show, as in `plot`.
        ax : matplotlib Axes, array of two such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.

        Returns
        -------
        AnomalyDisplay
            The drawn display.

        See Also
        --------
        AnomalyDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> from skvae.display import AnomalyDisplay
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0, random_state=0).fit(X)
        >>> AnomalyDisplay.from_estimator(vae, X, n_rows=3).surprise.shape
        (3, 4)
        """
        pyplot(cls.__name__)
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if isinstance(last, VAEOutlierDetector):
            check_is_fitted(last)
            X = estimator[:-1].transform(X) if last is not estimator and len(estimator) > 1 else X
            vae, scores, offset = last.estimator_, last.score_samples(X), last.offset_
            surprise = np.asarray(last.explain(X), dtype=np.float64)
        else:
            vae, X = vae_behind(estimator, X, "codes", "score", caller=cls.__name__)
            scores, offset = on_host(vae.score_samples(X)), None
            of_cells = on_host(vae.score_columns(X)).astype(np.float64)
            surprise = median_of_columns(of_cells, np.ones(len(of_cells))) - of_cells
        rarest = np.argsort(scores, kind="stable")[:n_rows]
        index = X.index if hasattr(X, "iloc") else range(len(scores))
        columns, shown, numbers = columns_of(fitted_of(vae)), surprise[rarest], numbers_of(vae, X)[rarest]
        cells = [
            [_written(numbers[i, d], shown[i, d], column.levels) for d, column in enumerate(columns)]
            for i in range(len(rarest))
        ]
        names = [column.name for column in columns]
        display = cls(scores, shown, [str(index[i]) for i in rarest], cells=cells, names=names, offset=offset)
        return display.plot(ax, max_columns=max_columns)

    def plot(self, ax: Any = None, *, bins: int = 40, max_columns: int = 30) -> "AnomalyDisplay":
        """Draw the display.

        Of a wider table only the columns with the most surprising cells in these rows are shown, in the order of the
        table. Values are written in the cells for up to twelve columns.

        Parameters
        ----------
        ax : matplotlib Axes, array of two such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        bins : int, default=40
            Bins of the histogram.
        max_columns : int, default=30
            How many columns to show at most.

        Returns
        -------
        AnomalyDisplay
            Itself.

        See Also
        --------
        AnomalyDisplay.from_estimator : Compute and draw.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import AnomalyDisplay
        >>> display = AnomalyDisplay(np.array([-9.0, -1.0, 0.0]), np.array([[7.0, 0.1]]), ["row 0"], names=["a", "b"])
        >>> [label.get_text() for label in display.plot().axes_[1].get_xticklabels()]
        ['a', 'b']
        """
        n, D = len(self.surprise), min(self.surprise.shape[1], max_columns)
        size = (4.5 + min(max(0.8 * D, 3.0), 9.0), max(0.3 * n + 1.2, 3.2))
        self.axes_ = panels(ax, (1, 2), size, type(self).__name__, width_ratios=[1, 2.4]).ravel()
        self.figure_ = self.axes_[0].figure
        self._draw_scores(self.axes_[0], bins)
        self._draw_cells(self.axes_[1], max_columns)
        return self

    def _draw_scores(self, ax: "Axes", bins: int) -> None:
        scores = np.sort(self.scores)
        shown, others = np.split(scores, [len(self.rows)])
        edges = np.linspace(scores[0], scores[-1], bins + 1).tolist()
        ax.hist([shown, others], edges, stacked=True, color=[COLORS[1], "0.8"], label=["shown", "other rows"])
        if self.offset is not None:
            ax.axvline(self.offset, color=ink(), lw=0.8, ls=":", label="offset")
        ax.set(xlabel="score (nats)", ylabel="rows", title="which rows are rare")
        ax.legend(loc="upper left", fontsize="small", frameon=False)
        ax.spines[["top", "right"]].set_visible(False)

    def _draw_cells(self, ax: "Axes", max_columns: int) -> None:
        highest = np.nan_to_num(self.surprise, nan=-np.inf).max(0, initial=-np.inf)
        columns = sorted(np.argsort(-highest, kind="stable")[:max_columns].tolist())
        surprise, n, D = self.surprise[:, columns], len(self.surprise), len(columns)
        names = [f"x{d}" if self.names is None else short(self.names[d]) for d in columns]
        of_all = "" if self.surprise.shape[1] == D else f" ({D} of {self.surprise.shape[1]} columns)"
        self.image_ = ax.imshow(surprise, cmap="YlOrRd", vmin=0, vmax=_MOST_NATS, aspect="auto")
        ax.set_title(f"which cells make them rare{of_all}")
        ax.set_xticks(range(D), names, rotation=40, ha="right", **LITERAL)
        ax.set_yticks(range(n), [short(row) for row in self.rows], **LITERAL)
        ax.tick_params(length=0, labelsize="small")
        self.colorbar_ = self.figure_.colorbar(self.image_, ax=ax, label="surprise (nats)", extend="max", pad=0.01)
        cells = self.cells if self.cells is not None and D <= _MOST_WORDS else []
        for i, j in np.ndindex(len(cells), D):
            color = "white" if surprise[i, j] > 0.7 * _MOST_NATS else "0.2"
            ax.text(j, i, short(cells[i][columns[j]], 10), ha="center", va="center", fontsize=7, color=color, **LITERAL)


def _written(number: float, surprise: float, levels: list[str] | None) -> str:
    """A cell as text."""
    if np.isnan(number):
        return "missing" if np.isnan(surprise) else "new level"
    return f"{number:.4g}" if levels is None else levels[int(number)]
