"""A figure as a value, its look, and how it is written."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

FORMATS = ("svg", "pdf", "png")

#: Lines and text; the report replaces them by the colours of its theme.
INK, MUTED, GRID, PAPER = "#1b1f24", "#69707a", "#dfe3e8", "#fefefe"
#: Okabe and Ito's colours, told apart by all kinds of eyes; dark enough on white, and in grey.
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = (
    *("#0072b2", "#d55e00", "#009e73", "#b2182b", "#56b4e9", "#aa4499"),
)
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY)
MARKERS = ("o", "s", "^", "D", "v")

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "pdf.fonttype": 42,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "prune-sweep",
    "text.color": INK,
    # Names from an archive are data: a dollar sign begins no formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}


@dataclass(frozen=True)
class Mark:
    """A part of a figure that says more when it is pointed at."""

    tip: str
    variant: str = ""  #: what the question explorer shows when it is chosen


@dataclass(frozen=True)
class Image:
    """A map of cells: what its rows and columns are."""

    rows: list[str]
    columns: list[str]
    unit: str  #: of the values, as in `points`
    values: list[list[float | None]]


@dataclass(frozen=True)
class Figure:
    """A drawing with its words. Marks and images are found by the ids of their artists."""

    name: str
    title: str
    caption: str  #: what it shows, for those who do not see it, too
    drawing: Drawing
    marks: Mapping[str, Mark] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)

    def svg(self) -> str:
        """The drawing as a document of SVG, without a date: equal runs give equal texts."""
        buffer = io.StringIO()
        with mpl.rc_context(_STYLE):
            self.drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()


def save(figure: Figure, folder: Path, form: str) -> Path:
    """Write one of FORMATS. Paper is white in print, even where the drawing has none."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{figure.name}.{form}"
    metadata = {
        "svg": {"Date": None, "Title": figure.title},
        "pdf": {"CreationDate": None, "Title": figure.title},
        "png": {"Title": figure.title},
    }
    with mpl.rc_context(_STYLE):
        figure.drawing.savefig(
            path, format=form, dpi=200, facecolor="white", metadata=metadata[form]
        )
    return path


def new_drawing(
    num_rows: int, height: float, width: float = 8.0, **options: Any
) -> tuple[Drawing, list[Axes]]:
    """Axes below each other, ``height`` inches each."""
    with mpl.rc_context(_STYLE):
        drawing = Drawing(figsize=(width, height * num_rows), layout="constrained")
        axes = drawing.subplots(num_rows, 1, squeeze=False, **options)[:, 0]
        for panel in axes:
            panel.grid(visible=False)
            panel.grid(visible=True, axis="y")
        return drawing, list(axes)


def style() -> Any:
    """The look, as a context for what is drawn after the axes are made."""
    return mpl.rc_context(_STYLE)


def shortened(text: str, width: int = 40) -> str:
    """A label that fits."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return textwrap.shorten(plain, width, placeholder="...") if len(plain) > width else plain
