"""A figure: its name, its text alternative, and how it is drawn and written."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from affectbench.records import slug
from affectbench.report.figures.style import GRID, INK, SETTINGS, Key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": "affectbench"},
    "png": {"Software": "affectbench"},
    "svg": {"Date": None, "Creator": "affectbench"},
}
INLINE_WIDTH = 4.9
"""Width in inches of a figure on a page without its legend: its text is readable on a phone."""
NO_MATPLOTLIB = "Figures need matplotlib: pip install 'affectbench[plots]'."


@dataclass(frozen=True)
class Drawing:
    """One figure of one data set, under one judge if it depends on one.

    `words` is the text alternative for people who cannot see the figure. `paint` draws on an empty
    matplotlib figure of `size` inches. Without `paint` the figure cannot be drawn, and `words` is
    the reason. `keys` are its legend: a page shows them as text that wraps, instead of the legend
    that files have beside the axes. A page draws it at `INLINE_WIDTH` if it can be `narrow`.
    """

    kind: str
    dataset: str
    judge: str
    title: str
    caption: str
    words: str
    paint: Callable[[Figure], None] | None = None
    size: tuple[float, float] = (6.4, 4.0)
    keys: tuple[Key, ...] = ()
    narrow: bool = True

    @property
    def name(self) -> str:
        """The name used for files and element ids: letters, digits, `.`, `_` and `-` only."""
        return "-".join(filter(None, (self.kind, slug(self.dataset), slug(self.judge or ""))))


def absent(kind: str, dataset: str, title: str, reason: str) -> Drawing:
    """Return a placeholder for a figure that cannot be drawn, with the reason."""
    return Drawing(kind, dataset, "", title, "", reason)


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write(drawing: Drawing, kind: str) -> bytes:
    """Return the figure as `pdf`, `png` or `svg`; the same records give the same bytes."""
    return _written(drawing, kind)


def _written(drawing: Drawing, kind: str, *, inline: bool = False) -> bytes:
    with _settings():
        figure = _drawn(drawing, inline)
        buffer = BytesIO()
        metadata = _METADATA[kind]
        colour = "none" if kind == "svg" else "white"
        figure.savefig(buffer, format=kind, metadata=metadata, facecolor=colour)
    return buffer.getvalue()


def inline_svg(drawing: Drawing) -> str:
    """Return the figure as an SVG element that can share a page and follows its theme.

    Its legend is left to the page. The ink takes the page's text colour and the grid its line
    colour. Ids are prefixed with the figure's name, matplotlib's global style rule is scoped to
    this element, and there are no external references.
    """
    text = _written(drawing, "svg", inline=True).decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    name = drawing.name
    text = re.sub(r"(?<= )id=\"([^\"]+)\"", rf'id="{name}--\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}--\1)", text)
    text = re.sub(r"href=\"#([^\"]+)\"", rf'href="#{name}--\1"', text)
    text = re.sub(r"(<style[^>]*>)\*", rf"\1#{name}-svg *", text)
    text = text.replace(INK, "currentColor").replace(GRID, "var(--line)")
    text = re.sub(r"<svg [^>]*?viewBox=\"([^\"]+)\"[^>]*>", _opening(name), text, count=1)
    return text.strip()


def _opening(name: str) -> str:
    return rf'<svg id="{name}-svg" viewBox="\1" aria-hidden="true" focusable="false">'


def _settings() -> AbstractContextManager[None]:
    from matplotlib import rc_context

    return rc_context(SETTINGS)


def _drawn(drawing: Drawing, inline: bool) -> Figure:
    """Draw without pyplot: a library must not leave global state behind."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = drawing.size
    width = min(width, INLINE_WIDTH) if inline and drawing.narrow else width
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    if drawing.paint:
        drawing.paint(figure)
    for legend in list(figure.legends) if inline else []:
        legend.remove()
    return figure
