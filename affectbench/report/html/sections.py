"""The parts of a page that the report and the leaderboard site share: tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from affectbench.report.cells import Layout, lay_out
from affectbench.report.figures.drawing import NO_MATPLOTLIB, Drawing, can_draw, inline_svg
from affectbench.report.html.markup import Child, Markup, tag
from affectbench.report.html.switches import switches
from affectbench.report.html.tables import notes_list, results_table, signed
from affectbench.report.render import to_csv, to_latex, to_markdown
from affectbench.report.table import wide_table
from affectbench.results.views import View


def tables_section(views: Sequence[View], names: Mapping[str, Child] | None = None) -> Markup:
    """The tables of all views with their switches; `names` is how models are shown."""
    return tag(
        "section",
        tag("h2", "Tables"),
        switches(views),
        [_view(view, index, names) for index, view in enumerate(views)],
        id="tables",
        aria_label="Tables",
    )


def _view(view: View, index: int, names: Mapping[str, Child] | None) -> Markup:
    identifier, layout = f"caption-{index}", lay_out(view.frame)
    return tag(
        "div",
        _best(view, layout),
        results_table(view.frame, layout, identifier, names),
        notes_list(layout),
        class_="view",
        data_view=index,
        data_dataset=view.dataset,
        data_convention=view.convention,
        data_judge=view.judge,
    )


def _best(view: View, layout: Layout) -> Markup | None:
    """In words: the best model of each metric, and which others cannot be told from it."""
    items: list[Child] = []
    lines = [line for line in layout.blocks[0].lines if not line.anchor]
    values = [value for row in view.frame.rows for value in row.values.items()]
    tested = {name for name, value in values if value.among_best is not None}
    for name, column in view.frame.columns.items():
        best = [line for line in lines if line.cells[name].best]
        if not best:
            continue
        tied = [line.model for line in lines if line.cells[name].tied]
        remark = f"not told apart from {', '.join(tied)}" if tied else ""
        remark = remark if name in tested else "too few faces to test it"
        score = f"{best[0].cells[name].text} {column.spec.unit}".strip()
        words = [
            tag("span", [signed(line, line.model) for line in best], class_="winner"),
            tag("span", score, class_="score"),
            tag("span", remark, class_="tied") if remark else None,
        ]
        items.append(tag("div", tag("dt", column.label), tag("dd", words)))
    return tag("dl", items, class_="winners", aria_label="Best models") if items else None


def figures_section(drawings: Sequence[Drawing]) -> Markup:
    """The figures in the page; what could not be drawn says why."""
    missing = [tag("p", NO_MATPLOTLIB)] if not can_draw() else []
    shown = [drawing for drawing in drawings if drawing.paint and can_draw()]
    reasons = [
        tag("p", drawing.words, class_="absent", data_dataset=drawing.dataset)
        for drawing in drawings
        if drawing.paint is None
    ]
    return tag(
        "section",
        tag("h2", "Figures"),
        missing,
        tag("div", [_figure(drawing) for drawing in shown], class_="figures"),
        reasons,
        id="figures",
        aria_label="Figures",
    )


def _figure(drawing: Drawing) -> Markup:
    under = f" (judge {drawing.judge})" if drawing.judge else ""
    return tag(
        "figure",
        tag("h3", f"{drawing.title}: {drawing.dataset}{under}"),
        tag(
            "div",
            Markup(inline_svg(drawing)),
            class_="drawing",
            role="img",
            aria_label=f"{drawing.title}. {drawing.words}",
            tabindex=0,
        ),
        tag("figcaption", drawing.caption),
        data_dataset=drawing.dataset,
        data_judge=drawing.judge or None,
        class_="plot",
    )


def copied_texts(views: Sequence[View]) -> list[dict[str, str]]:
    """What the buttons of each view copy."""
    return [_copied(view) for view in views]


def _copied(view: View) -> dict[str, str]:
    layout = lay_out(view.frame)
    return {
        "csv": to_csv(wide_table(view.frame)),
        "markdown": to_markdown(layout),
        "latex": to_latex(layout),
    }
