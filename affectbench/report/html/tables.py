"""The table component: a semantic table whose models sort and whose anchors stay apart.

Without a script it is a complete, readable table; the script adds the buttons that sort and copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from affectbench.report.cells import FOOTNOTES, Cell, Layout, Line
from affectbench.report.html.markup import Child, Markup, tag
from affectbench.report.results import Run
from affectbench.report.table import is_number
from affectbench.results.columns import Column, columns_of

SIGNS = {note[0]: note[2:] for note in FOOTNOTES.values() if note[0] in "†‡∅✗"}
BETTER = {"lower": "lower is better", "higher": "higher is better"}


def results_table(
    run: Run,
    layout: Layout,
    rows: pd.DataFrame,
    caption_id: str,
    names: Mapping[str, Child] | None = None,
) -> Markup:
    """The table of one data set: `rows` of `build_table` as `lay_out` writes them.

    `names` gives what is shown for a model instead of its plain name, such as a link.
    """
    columns = columns_of(run.records, run.settings)
    scales = {name: _scale(rows, name) for name in layout.heads}
    lines = list(zip(layout.blocks[0].lines, rows.to_dict("records"), strict=True))
    width = 2 + len(layout.heads)
    groups = []
    for kind, title in (("models", ""), ("anchors", "Anchors: points of reference, never ranked")):
        mine = [pair for pair in lines if pair[0].anchor == (kind == "anchors")]
        if not mine:
            continue
        head = tag("tr", tag("th", title, colspan=width, scope="rowgroup"), class_="group")
        body = [_row(line, row, scales, run, names or {}) for line, row in mine]
        groups.append(tag("tbody", head if title else None, body, class_=kind))
    return framed(
        tag(
            "table",
            tag("caption", layout.blocks[0].title, id=caption_id),
            tag("thead", tag("tr", _heads(columns))),
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


def signed(name: str, shown: Child) -> list[Child]:
    """A row's name as it is `shown`, and the signs behind it with what they mean."""
    signs = name[len(name.rstrip("".join(SIGNS))) :]
    written = [tag("abbr", sign, title=SIGNS[sign], class_="sign") for sign in signs]
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
    row: Mapping[Any, Any],
    scales: Mapping[str, tuple[float, float]],
    run: Run,
    names: Mapping[str, Child],
) -> Markup:
    columns = columns_of(run.records, run.settings)
    cells = [_cell(line.cells[n], row, columns[n], scales[n], run) for n in line.cells]
    model = str(row["model"])
    shown = model if line.anchor else names.get(model, model)
    name = tag("th", signed(line.name, shown), scope="row")
    faces = tag("td", line.faces, class_="number", data_value=int(row["n"]) - int(row["failed"]))
    return tag("tr", name, faces, cells)


def _cell(
    cell: Cell, row: Mapping[Any, Any], column: Column, scale: tuple[float, float], run: Run
) -> Markup:
    name = column.name
    value: Any = row.get(name)
    if not cell.text:
        return tag("td", tag("span", "no value", class_="hidden"), class_="number")
    return tag(
        "td",
        tag("span", cell.text, class_="value"),
        tag("span", " best of the models", class_="hidden") if cell.best else None,
        tag("span", cell.interval, class_="interval") if cell.interval else None,
        _whisker(value, row, name, scale),
        _test(row, column, str(run.settings["versus"])),
        class_="number best" if cell.best else "number",
        data_value=repr(float(value)),
    )


def _test(row: Mapping[Any, Any], column: Column, versus: str) -> Markup | None:
    """The paired difference to `versus` with its interval and corrected p."""
    parts = [row.get(f"{column.name}_{part}") for part in ("diff", "diff_low", "diff_high", "p")]
    if not all(map(is_number, parts)):
        return None
    places = column.spec.digits
    difference, low, high = (f"{part:+.{places}f}" for part in parts[:3])
    p: Any = parts[3]
    written = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    text = f"{difference} [{low}, {high}], {written}"
    return tag("span", tag("span", f"against {versus}: ", class_="hidden"), text, class_="test")


def _whisker(
    value: Any, row: Mapping[Any, Any], name: str, scale: tuple[float, float]
) -> Markup | None:
    """The interval as a line on the column's own scale; its numbers are beside it."""
    low: Any = row.get(f"{name}_low")
    high: Any = row.get(f"{name}_high")
    if not (is_number(low) and is_number(high)) or scale[1] <= scale[0]:
        return None
    at = [100 * (v - scale[0]) / (scale[1] - scale[0]) for v in (low, value, high)]
    if not all(-1 <= v <= 101 for v in at):
        return None
    style = f"--low:{at[0]:.1f}%;--at:{at[1]:.1f}%;--high:{100 - at[2]:.1f}%"
    return tag("span", class_="whisker", aria_hidden="true", style=style)


def _scale(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """The range of the models' intervals: anchors may lie far outside."""
    columns = [c for c in (f"{name}_low", f"{name}_high") if c in rows]
    values = rows.loc[rows["role"] == "model", columns].to_numpy(dtype=float).ravel()
    values = values[abs(values) < float("inf")]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
