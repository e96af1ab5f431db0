"""`SynthesisDisplay`: numbers that compare synthetic rows with real ones."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .._inference.made_tables import SynthesisReport, report_on
from .plotting import COLORS, LITERAL, neutral, panels, pyplot, short, vae_behind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SynthesisDisplay"]

_MADE = COLORS[1]
_MOST_COLUMNS = 20


class SynthesisDisplay:
    """The numbers of a `SynthesisReport`, and the columns whose distributions differ most.

    In both panels synthetic rows are shown beside real ones in their place. All parameters are stored as attributes.

    Parameters
    ----------
    report : SynthesisReport
        The numbers.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        The numbers, and the distances of the columns.
    figure_ : matplotlib Figure
        Figure that holds them.

    See Also
    --------
    skvae.metrics.synthesis_report : The numbers alone, for rows from any generator.
    SampleDisplay : The columns and pairs of columns themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.display import SynthesisDisplay
    >>> X = load_iris(as_frame=True).data.sample(frac=1, random_state=0)
    >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X[:75])
    >>> display = SynthesisDisplay.from_estimator(vae, X[:75], X[75:], random_state=0)
    >>> sorted(display.report.made)
    ['copies', 'detection', 'margins', 'nearer', 'pairs']
    """

    def __init__(self, report: SynthesisReport) -> None:
        self.report = report

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        X_test: Any,
        *,
        target: Any = None,
        random_state: int | np.random.RandomState | None = None,
        ax: Any = None,
    ) -> "SynthesisDisplay":
        """Sample as many rows as X has, with missing cells as in X, compare them and draw.

        The numbers are those of `skvae.metrics.synthesis_report`.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model.
        X : array-like or frame of shape (n_samples, n_features)
            The rows to which it was fitted.
        X_test : array-like or frame of shape (n_test, n_features)
            Held-out rows.
        target : str or int, optional
            A column to be predicted from the others.
        random_state : int, RandomState instance or None
            Seed of the sampled rows.
        ax : matplotlib Axes, array of two such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.

        Returns
        -------
        SynthesisDisplay
            The drawn display.

        See Also
        --------
        SynthesisDisplay.from_report : Draw what has been computed.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> from skvae.display import SynthesisDisplay
        >>> X, _ = load_wine(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X[::2])
        >>> display = SynthesisDisplay.from_estimator(vae, X[::2], X[1::2], random_state=0)
        >>> len(display.report.margins)
        13
        """
        pyplot(cls.__name__)
        vae, train = vae_behind(estimator, X, caller=cls.__name__)
        _, test = vae_behind(estimator, X_test, caller=cls.__name__)
        made = vae.sample(len(train), random_state=random_state, missing=True)
        return cls(report_on(train, test, made, target)).plot(ax)

    @classmethod
    def from_report(cls, report: SynthesisReport, *, ax: Any = None) -> "SynthesisDisplay":
        """Draw a report.

        Its rows may come from any generator.

        Parameters
        ----------
        report : SynthesisReport
            A report on rows from any generator.
        ax : matplotlib Axes, array of two such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.

        Returns
        -------
        SynthesisDisplay
            The drawn display.

        See Also
        --------
        SynthesisDisplay.from_estimator : Sample rows, compute and draw.

        Examples
        --------
        >>> from skvae.display import SynthesisDisplay
        >>> from skvae.metrics import SynthesisReport
        >>> report = SynthesisReport({"detection": 0.7}, {"detection": 0.5}, {"a": 0.1, "b": 0.3}, {"a": 0.0, "b": 0.0})
        >>> drawn = SynthesisDisplay.from_report(report)
        >>> [label.get_text() for label in drawn.axes_[1].get_yticklabels()]
        ['b', 'a']
        """
        return cls(report).plot(ax)

    def plot(self, ax: Any = None) -> "SynthesisDisplay":
        """Draw the display.

        The second panel has the twenty columns with the largest distances.

        Parameters
        ----------
        ax : matplotlib Axes, array of two such or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.

        Returns
        -------
        SynthesisDisplay
            Itself.

        See Also
        --------
        SynthesisDisplay.from_report : Draw a report.

        Examples
        --------
        >>> from skvae.display import SynthesisDisplay
        >>> from skvae.metrics import SynthesisReport
        >>> report = SynthesisReport({"detection": 0.7}, {"detection": 0.5}, {"a": 0.1}, {"a": 0.0})
        >>> SynthesisDisplay(report).plot().axes_.shape
        (2,)
        """
        report = self.report
        worst = sorted(report.margins, key=lambda name: -report.margins[name])[:_MOST_COLUMNS]
        size = (9.0, max(3.0, 0.28 * len(worst) + 1.0))
        self.axes_ = panels(ax, (1, 2), size, type(self).__name__).ravel()
        self.figure_ = self.axes_[0].figure
        names = [f"utility ({report.utility_metric})" if name == "utility" else name for name in report.made]
        _draw_bars(self.axes_[0], names, list(report.made.values()), list(report.real.values()))
        self.axes_[0].legend(fontsize="small", frameon=False)
        self.axes_[0].set_title("made rows against held-out ones")
        margins = ([own[name] for name in worst] for own in (report.margins, report.real_margins))
        _draw_bars(self.axes_[1], [str(name) for name in worst], *margins)
        self.axes_[1].set(xlabel="distance of the column", title="columns")
        return self


def _draw_bars(ax: "Axes", names: list[str], made: list[float], real: list[float]) -> None:
    """One line for each name, made above real, the first one on top."""
    y = np.arange(len(names))
    ax.barh(y - 0.2, made, 0.38, color=_MADE, label="made")
    ax.barh(y + 0.2, real, 0.38, color=neutral(), label="real")
    ax.set_yticks(y, [short(name) for name in names], **LITERAL)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
