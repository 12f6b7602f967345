"""The style of figures: a colour-blind-safe palette, text kept as text, no decoration.

Colours are those of Okabe and Ito (2008). Each model also has a marker, so that no figure depends
on colour alone. Ink and grid have placeholder colours, which the page replaces by its theme's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

INK = "#1b1d21"
GRID = "#d9dde3"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
ANCHOR = "#7f8790"

SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a name with two dollar signs is a name
    "axes.edgecolor": INK,
    "axes.facecolor": "none",  # the page or file provides the background
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "affectbench",
    "pdf.fonttype": 42,
}


def looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the colour and marker of each model; they cycle with different periods after seven."""
    return {
        name: {
            "color": PALETTE[i % len(PALETTE)],
            "marker": MARKERS[(i + i // len(PALETTE)) % len(MARKERS)],
        }
        for i, name in enumerate(names)
    }


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a marker as in `MARKERS`, hollow or filled, or a `dashed` line."""

    label: str
    color: str
    marker: str = "o"
    filled: bool = True
    dashed: str = ""


def keys_of(names: Sequence[str], hollow: Collection[str] = ()) -> tuple[Key, ...]:
    """Return the legend of models with their `looks`."""
    return tuple(
        Key(name, style["color"], style["marker"], name not in hollow)
        for name, style in looks(names).items()
    )
