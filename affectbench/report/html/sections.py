"""Sections shared by the report and the leaderboard site: tables with switches, and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from affectbench.report.cells import Layout, Line, lay_out
from affectbench.report.figures.drawing import NO_MATPLOTLIB, Drawing, can_draw
from affectbench.report.html.tables import ResultsTable, results_table
from affectbench.report.latex import to_latex
from affectbench.report.render import to_csv, to_markdown
from affectbench.report.table import wide_table
from affectbench.results.views import View
from affectbench.results.winners import winners


@dataclass(frozen=True)
class ShownWinner:
    """The best models by a metric, their score, and a remark on the others."""

    label: str
    lines: tuple[Line, ...]
    score: str
    remark: str


@dataclass(frozen=True)
class ShownView:
    """A view and its contents as shown on a page."""

    view: View
    layout: Layout
    table: ResultsTable
    winners: tuple[ShownWinner, ...]


@dataclass(frozen=True)
class Switch:
    """A choice between data sets, conventions or judges."""

    name: str
    title: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Switches:
    """The switches of a run; `with_intervals` adds one for intervals and tests."""

    groups: tuple[Switch, ...]
    with_intervals: bool
    versus: str


@dataclass(frozen=True)
class Figures:
    """The drawn figures, those that could not be drawn, and a remark on all of them."""

    figures: tuple[Drawing, ...]
    absent: tuple[Drawing, ...]
    remark: str


def shown_views(views: Sequence[View]) -> list[ShownView]:
    """Return the contents of each view."""
    return [_shown(view, f"caption-{index}") for index, view in enumerate(views)]


def _shown(view: View, identifier: str) -> ShownView:
    layout = lay_out(view.frame)
    table = results_table(view.frame, layout, identifier)
    return ShownView(view, layout, table, tuple(_winners(view, layout)))


def _winners(view: View, layout: Layout) -> Iterator[ShownWinner]:
    lines = layout.blocks[0].lines
    for winner in winners(view.frame):
        best = tuple(lines[place] for place in winner.best)
        remark = f"not told apart from {', '.join(winner.tied)}" if winner.tied else ""
        remark = remark if winner.tested else "too few faces to test it"
        score = f"{best[0].cells[winner.column.name].text} {winner.column.spec.unit}".strip()
        yield ShownWinner(winner.column.label, best, score, remark)


def switches(views: Sequence[View]) -> Switches:
    """Return radio buttons for each choice with several options; hidden without scripting."""
    found = (
        Switch("dataset", "Data set", tuple(dict.fromkeys(view.dataset for view in views))),
        Switch("convention", "Convention", tuple(dict.fromkeys(v.convention for v in views))),
        Switch("judge", "Judge", tuple(dict.fromkeys(view.judge for view in views))),
    )
    groups = tuple(switch for switch in found if len(switch.values) > 1)
    rows = [row for view in views for row in view.frame.rows]
    known = [value for row in rows for value in row.values.values() if value.is_known]
    with_intervals = any(value.interval for value in known)
    return Switches(groups, with_intervals, str(views[0].frame.run.settings["versus"]))


def shown_figures(drawings: Sequence[Drawing]) -> Figures:
    """Return the figures of the page, and the reason for each that could not be drawn."""
    drawn = can_draw()
    shown = tuple(drawing for drawing in drawings if drawing.paint and drawn)
    absent = tuple(drawing for drawing in drawings if drawing.paint is None)
    return Figures(shown, absent, "" if drawn else NO_MATPLOTLIB)


def copied_texts(views: Sequence[ShownView]) -> list[dict[str, str]]:
    """Return the texts that the copy buttons of each view put on the clipboard."""
    return [
        {
            "csv": to_csv(wide_table(shown.view.frame)),
            "markdown": to_markdown(shown.layout),
            "latex": to_latex(shown.layout),
        }
        for shown in views
    ]
