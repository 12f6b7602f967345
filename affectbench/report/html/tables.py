"""The table component: a semantic table whose models sort and whose anchors stay apart.

Without a script it is a complete, readable table; the script adds the buttons that sort and copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from affectbench.report.cells import Cell, Layout, Line
from affectbench.report.html.markup import Child, Markup, tag
from affectbench.results.columns import Column
from affectbench.results.frame import DIFFERENCES, Frame, Row, Value, is_number

BETTER = {"lower": "lower is better", "higher": "higher is better"}


def results_table(
    frame: Frame,
    layout: Layout,
    caption_id: str,
    names: Mapping[str, Child] | None = None,
) -> Markup:
    """The table of one data set: its frame, as `lay_out` writes it.

    `names` gives what is shown for a model instead of its plain name, such as a link.
    """
    scales = {name: _scale(frame, name) for name in layout.heads}
    lines = list(zip(layout.blocks[0].lines, frame.rows, strict=True))
    width = 2 + len(layout.heads)
    groups = []
    for kind, title in (("models", ""), ("anchors", "Anchors: points of reference, never ranked")):
        mine = [pair for pair in lines if pair[0].anchor == (kind == "anchors")]
        if not mine:
            continue
        head = tag("tr", tag("th", title, colspan=width, scope="rowgroup"), class_="group")
        body = [_row(line, row, frame, scales, names or {}) for line, row in mine]
        groups.append(tag("tbody", head if title else None, body, class_=kind))
    return framed(
        tag(
            "table",
            tag("caption", layout.blocks[0].title, id=caption_id),
            tag("thead", tag("tr", _heads(frame.columns))),
            groups,
            class_="results",
        ),
        caption_id,
    )


def framed(table: Markup, caption_id: str) -> Markup:
    """A table in a frame that scrolls by itself where the window is narrow."""
    return tag("div", table, class_="frame", role="region", aria_labelledby=caption_id, tabindex=0)


def plain_table(
    caption: str,
    caption_id: str,
    head: list[str],
    rows: list[list[Child]],
    kinds: str = "",
    *,
    sortable: bool = False,
) -> Markup:
    """A table of texts. `kinds` has a letter for each column: `n` numbers, `t` text."""
    kinds = kinds or "t" * len(head)
    classes = [("number" if kind == "n" else None) for kind in kinds]
    cells = [
        tag("th", text, scope="col", class_=c, data_sort=sortable and ("number" if c else "text"))
        for text, c in zip(head, classes, strict=True)
    ]
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            [tag("td", v, class_=c) for v, c in zip(row[1:], classes[1:], strict=True)],
        )
        for row in rows
    ]
    table = tag(
        "table",
        tag("caption", caption, id=caption_id),
        tag("thead", tag("tr", cells)),
        tag("tbody", body, class_="models"),
        class_="results texts",
    )
    return framed(table, caption_id)


def notes_list(layout: Layout) -> Markup:
    """What the signs of a table mean."""
    facts, *notes = layout.notes
    return tag(
        "div", tag("p", facts), tag("ul", [tag("li", n) for n in notes] or None), class_="notes"
    )


def signed(line: Line, shown: Child) -> list[Child]:
    """A row's name as it is `shown`, and the signs behind it with what they mean."""
    written = [tag("abbr", s.sign, title=s.meaning, class_="sign") for s in line.signs]
    return [tag("span", shown, class_="name"), *written]


def _heads(columns: Mapping[str, Column]) -> Iterator[Markup]:
    yield tag("th", "Model", scope="col", data_sort="text")
    yield tag("th", "n", scope="col", class_="number", data_sort="number", data_first="descending")
    for column in columns.values():
        unit, better = column.spec.unit, BETTER[column.spec.direction]
        yield tag(
            "th",
            tag("span", column.label, title=column.spec.title),
            tag("span", f" {unit}", class_="unit") if unit else None,
            tag("span", " ↓" if column.of_lower else " ↑", aria_hidden="true", title=better),
            tag("span", f", {better}", class_="hidden"),
            scope="col",
            class_="number",
            data_sort="number",
            data_first="ascending" if column.of_lower else "descending",
        )


def _row(
    line: Line,
    row: Row,
    frame: Frame,
    scales: Mapping[str, tuple[float, float]],
    names: Mapping[str, Child],
) -> Markup:
    versus = str(frame.run.settings["versus"])
    cells = [
        _cell(cell, row.known(name), frame.columns[name], scales[name], versus)
        for name, cell in line.cells.items()
    ]
    shown = row.model if line.anchor else names.get(row.model, row.model)
    name = tag("th", signed(line, shown), scope="row")
    faces = tag("td", line.faces, class_="number", data_value=row.n - row.failed)
    return tag("tr", name, faces, cells)


def _cell(
    cell: Cell, value: Value | None, column: Column, scale: tuple[float, float], versus: str
) -> Markup:
    if value is None or value.value is None:
        return tag("td", tag("span", "no value", class_="hidden"), class_="number")
    return tag(
        "td",
        tag("span", cell.text, class_="value"),
        tag("span", " best of the models", class_="hidden") if cell.best else None,
        tag("span", cell.interval, class_="interval") if cell.interval else None,
        _whisker(value, scale),
        _test(value, column, versus),
        class_="number best" if cell.best else "number",
        data_value=repr(float(value.value)),
    )


def _test(value: Value, column: Column, versus: str) -> Markup | None:
    """The paired difference to `versus` with its interval and corrected p."""
    parts: list[Any] = [value.difference.get(part) for part in DIFFERENCES]
    if not all(map(is_number, parts)):
        return None
    places = column.spec.digits
    difference, low, high = (f"{part:+.{places}f}" for part in parts[:3])
    p = parts[3]
    written = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    text = f"{difference} [{low}, {high}], {written}"
    return tag("span", tag("span", f"against {versus}: ", class_="hidden"), text, class_="test")


def _whisker(value: Value, scale: tuple[float, float]) -> Markup | None:
    """The interval as a line on the column's own scale; its numbers are beside it."""
    if value.value is None or value.interval is None or scale[1] <= scale[0]:
        return None
    low, high = value.interval
    at = [100 * (v - scale[0]) / (scale[1] - scale[0]) for v in (low, value.value, high)]
    if not all(-1 <= v <= 101 for v in at):
        return None
    style = f"--low:{at[0]:.1f}%;--at:{at[1]:.1f}%;--high:{100 - at[2]:.1f}%"
    return tag("span", class_="whisker", aria_hidden="true", style=style)


def _scale(frame: Frame, name: str) -> tuple[float, float]:
    """The range of the models' intervals: anchors may lie far outside."""
    values = [value for row in frame.rows if not row.is_anchor and (value := row.values.get(name))]
    ends = [end for v in values for end in (v.low, v.high) if end is not None and isfinite(end)]
    return (min(ends), max(ends)) if ends else (0.0, 0.0)
