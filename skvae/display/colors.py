"""The colours of rows: classes or numbers given beside a table."""

from typing import Any

import numpy as np

from .._tables.cells import gone
from .plotting import COLORS, MARKERS, TEN_COLORS, ink, is_dark, shade, short, toned, visible

__all__ = ["Colors"]

_MOST_NUMBERS_AS_CLASSES = 12
_MISSING, _MISSING_ON_DARK = "#D4D4D4", "#555555"


class Colors:
    """What `y` gives for the rows: "classes", "continuous", or None.

    Attributes
    ----------
    kind : {"classes", "continuous"} or None
    label : str or None
        Name of a Series.
    numbers : ndarray (n,)
        The values of a continuous y, NaN where one is missing.
    classes, names : ndarray of int (n,), list of str
        Index of each row's class, and the names of the classes; missing values are the last class.
    """

    def __init__(self, y: Any, n_rows: int) -> None:
        self.kind: str | None = None
        self.label: str | None = None
        self.names: list[str] = []
        if y is None:
            return
        cells = np.asarray(y, dtype=object).ravel()
        if len(cells) != n_rows:
            raise ValueError(f"y has {len(cells)} entries, X {n_rows} rows.")
        self.label = None if getattr(y, "name", None) is None else str(y.name)
        is_gone = gone(cells)
        levels = _class_levels(y, cells[~is_gone])
        self.kind = "continuous" if levels is None else "classes"
        if levels is None:
            self.numbers = np.full(n_rows, np.nan)
            self.numbers[~is_gone] = cells[~is_gone].astype(np.float64)
        else:
            index = {level: c for c, level in enumerate(levels)}
            self.classes = np.array([len(levels) if g else index[c] for c, g in zip(cells, is_gone, strict=True)])
            self.names = [_name(level) for level in levels] + ["missing"] * bool(is_gone.any())
            self.n_levels = len(levels)

    def groups(self) -> list[tuple[str | None, Any, Any, str]]:
        """List (label, rows, colour or numbers, marker) of every collection of points."""
        if self.kind is None:
            return [(None, slice(None), COLORS[0], "o")]
        if self.kind == "continuous":
            is_gone = np.isnan(self.numbers)
            known, grey = (None, ~is_gone, self.numbers[~is_gone], "o"), _MISSING_ON_DARK if is_dark() else _MISSING
            return [("missing", is_gone, grey, "o"), known] if is_gone.any() else [known]
        markers = [MARKERS[(c // len(self.palette)) % len(MARKERS)] for c in range(len(self.names))]
        return [(name, self.classes == c, self.color_of(c), markers[c]) for c, name in enumerate(self.names)]

    @property
    def palette(self) -> tuple[str, ...]:
        """The colours that classes take in turn: a palette of ten where the usual one would repeat."""
        return COLORS if self.n_levels <= len(COLORS) else TEN_COLORS

    def color_of(self, c: int) -> Any:
        """The colour of class c: grey for missing labels, shades of the palette once its colours are used up."""
        if c == self.n_levels:
            return _MISSING_ON_DARK if is_dark() else _MISSING
        color, turn = visible(self.palette[c % len(self.palette)]), c // len(self.palette)
        return color if turn == 0 else shade(color, (0.25 if is_dark() else 0.45) if turn % 2 else -0.5)

    def of_rows(self, rows: np.ndarray) -> Any:
        """The edge colours of the ellipses of some rows: those of their classes, stronger; without classes one."""
        return [toned(self.color_of(c), 0.3) for c in self.classes[rows]] if self.kind == "classes" else ink()


def _class_levels(y: Any, cells: np.ndarray) -> list | None:
    """The classes in their order; None for continuous numbers."""
    declared = getattr(getattr(y, "dtype", None), "categories", None)
    if declared is not None:
        seen = set(cells)
        return [level for level in declared if level in seen]
    levels = set(cells)
    if all(isinstance(level, (bool, np.bool_, str)) for level in levels):
        return sorted(levels)
    try:
        numbers = cells.astype(np.float64)
    except (TypeError, ValueError) as error:
        kinds = sorted({type(level).__name__ for level in levels})
        raise TypeError(
            f"y must be numbers, strings, bools or of a categorical dtype. Got cells of {', '.join(kinds)}: of dates "
            "take days, e.g. (y - y.min()).dt.days, and make mixed cells strings, y.astype(str)."
        ) from error
    if len(levels) <= _MOST_NUMBERS_AS_CLASSES and (numbers == np.round(numbers)).all():
        return sorted(levels)
    return None


def _name(level: Any) -> str:
    """Name of a class in the legend; whole numbers without a decimal point."""
    is_whole = isinstance(level, (float, np.floating)) and level == int(level)
    return short(str(int(level) if is_whole else level), 24)
