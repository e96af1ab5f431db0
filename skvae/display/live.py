"""A picture that is redrawn in place while a model trains, in a notebook or in a window."""

import sys
import time
from collections.abc import Callable
from typing import Any

from .plotting import pyplot

__all__ = ["LivePicture"]


class LivePicture:
    """Draw the epochs so far, now and then; see `TrainingCurveDisplay.live`.

    Parameters
    ----------
    draw : callable
        ``draw(figure, history, objective, is_weighted)``, on an empty figure.
    every : float
        Minimum number of seconds between two pictures.
    size : (float, float)
        Inches of the figure.
    """

    def __init__(self, draw: Callable[[Any, list[dict[str, Any]], Any, bool], None], every: float, size: Any) -> None:
        self.draw = draw
        self.every = every
        self.size = size
        self.figure: Any = None
        self.shown: Any = None
        self.next = 0.0

    def begin(self) -> None:
        """Make a figure."""
        self.figure = pyplot("TrainingCurveDisplay.live").figure(figsize=self.size, layout="constrained")
        self.shown, self.next = None, 0.0

    def after_epoch(self, history: list[dict[str, Any]], objective: Any, is_weighted: bool) -> None:
        """Draw, if it is time."""
        if time.monotonic() >= self.next:
            self._show(history, objective, is_weighted)
            self.next = time.monotonic() + self.every

    def end(self, history: list[dict[str, Any]], objective: Any, is_weighted: bool) -> None:
        """Draw all epochs."""
        self._show(history, objective, is_weighted)

    def close(self) -> None:
        """Close the figure, which a notebook would show once more."""
        if self.figure is not None:
            pyplot("TrainingCurveDisplay.live").close(self.figure)
        self.figure = self.shown = None

    def _show(self, history: list[dict[str, Any]], objective: Any, is_weighted: bool) -> None:
        self.figure.clear()
        self.draw(self.figure, history, objective, is_weighted)
        shell = _notebook()
        if shell is None:
            self.figure.canvas.draw_idle()
            self.figure.canvas.flush_events()
        elif self.shown is None:
            self.shown = shell(self.figure, display_id=True)
        else:
            self.shown.update(self.figure)


def _notebook() -> Any:
    """IPython's function that shows an object; None outside of a notebook."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    return display if hasattr(get_ipython(), "kernel") else None
