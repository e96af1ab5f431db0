"""Maps as plotly figures with a label for each row; plotly is imported only when one is drawn."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from .._utils.extras import needed_by
from .colors import Colors
from .plotting import short

__all__ = ["hover_figure"]

_MARKERS = {"o": "circle", "^": "triangle-up", "s": "square", "D": "diamond", "v": "triangle-down", "P": "cross",
            "X": "x"}  # fmt: skip
_MANY_ROWS = 2000  # from which on WebGL draws them


def hover_figure(codes: np.ndarray, colors: Colors, labels: Sequence[str], X: Any, max_columns: int) -> Any:
    """Give a figure of codes (n, 2), in which each row shows its cells in X; see `LatentSpaceDisplay.to_plotly`."""
    with needed_by("LatentSpaceDisplay.to_plotly", "plotly", extra="hover"):
        import plotly.graph_objects as go

    label = _literal(colors.label or "")
    texts = np.array(_texts(X, len(codes), max_columns), dtype=object)
    points = go.Scattergl if len(codes) > _MANY_ROWS else go.Scatter
    figure = go.Figure()
    for name, rows, color, marker in colors.groups():
        style = {"size": 7, "opacity": 0.75, "symbol": _MARKERS[marker]}
        if isinstance(color, np.ndarray):
            style |= {
                "color": color,
                "colorscale": "Viridis",
                "colorbar": {"title": {"text": label}},
            }
        else:
            style["color"] = (
                color if isinstance(color, str) else "rgb({},{},{})".format(*(round(255 * c) for c in color))
            )
        hover = {"text": texts[rows], "hovertemplate": "%{text}<extra>" + _literal(name or "") + "</extra>"}
        x, y = codes[rows].T
        figure.add_trace(points(x=x, y=y, mode="markers", name=_literal(name or ""), marker=style, **hover))
    figure.update_layout(
        xaxis_title=labels[0],
        yaxis_title=labels[1],
        showlegend=colors.kind == "classes",
        legend_title_text=label,
    )
    return figure


def _texts(X: Any, n: int, max_columns: int) -> list[str]:
    """The label of each row, as HTML."""
    if X is None:
        return [f"row {i}" for i in range(n)]
    if len(X) != n:
        raise ValueError(f"X has {len(X)} rows, but the display has {n}.")
    names = [str(name) for name in getattr(X, "columns", [])]
    index = X.index if hasattr(X, "iloc") else range(n)
    cells = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    cells = cells.reshape(n, -1)[:, :max_columns]
    names = names or [f"x{d}" for d in range(cells.shape[1])]
    return [
        "<br>".join(
            [f"<b>{_said(i)}</b>", *(f"{_said(name)}: {_said(cell)}" for name, cell in zip(names, row, strict=False))]
        )
        for i, row in zip(index, cells, strict=True)
    ]


def _said(cell: Any) -> str:
    """A cell as HTML, numbers with four digits."""
    return _literal(f"{cell:.4g}" if isinstance(cell, (float, np.floating)) else short(str(cell), 40))


def _literal(text: str) -> str:
    """A text as HTML in which "$" begins no formula and "%" no template."""
    return escape(text).replace("$", "&#36;").replace("%", "&#37;")
