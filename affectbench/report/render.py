"""A run's table as CSV, JSON, Markdown, and for the terminal; `report.latex` has LaTeX."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from affectbench.records import write_atomic
from affectbench.report.cells import Cell, Layout, lay_out
from affectbench.report.latex import to_latex
from affectbench.report.published import long_table, short_table
from affectbench.results.cost import cost_table
from affectbench.results.frame import Frame
from affectbench.results.panel import agreement, build_panel, has_panel

FLOAT_FORMAT = "%.9g"
"""Nine digits: more than the tables show, few enough to be equal on all processors."""


TABLES = (
    *("table.csv", "long.csv", "table.md", "table.tex", "cost.csv"),
    *("panel.csv", "panel-agreement.csv"),
)
"""The files of a run that are rendered from its records."""
SHORT_FORMAT = "%.6g"
"""In `table.csv`, which people read; `long.csv` has all digits."""

_UNLIMITED = 1 << 16


def write_tables(frame: Frame, folder: Path) -> None:
    """Write the tables of a run, each whole or not at all: `TABLES`.

    The panel's only with several judges.
    """
    layout = lay_out(frame)
    contents = {
        "table.csv": to_csv(short_table(frame), SHORT_FORMAT),
        "long.csv": to_csv(long_table(frame)),
        "table.md": to_markdown(layout),
        "table.tex": to_latex(layout),
        "cost.csv": to_csv(cost_table(frame.run)),
    }
    if has_panel(frame):
        contents["panel.csv"] = to_csv(build_panel(frame))
        contents["panel-agreement.csv"] = to_csv(agreement(frame))
    for name, text in contents.items():
        write_atomic(folder / name, text.encode("utf-8"))


def to_csv(table: pd.DataFrame, float_format: str = FLOAT_FORMAT) -> str:
    """Return a table as CSV; spreadsheet formulas get a leading quote."""
    safe = table.rename(columns=_harmless)
    for name in safe.columns[safe.dtypes.map(lambda t: not pd.api.types.is_numeric_dtype(t))]:
        # As objects: pandas would make floats of whole numbers beside an unknown one.
        safe[name] = pd.Series(list(map(_harmless, safe[name])), safe.index, dtype=object)
    return safe.to_csv(index=False, float_format=float_format, lineterminator="\n")


def to_json(table: pd.DataFrame) -> str:
    """Return the rows of a table as JSON; a missing value is null, infinity is "inf"."""
    rows = [{str(k): _json_value(v) for k, v in row.items()} for row in table.to_dict("records")]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def to_markdown(layout: Layout) -> str:
    """Return Markdown: a table per data set, anchors in italics below the models, notes last."""
    head = ["model", "n", *layout.heads.values()]
    lines: list[str] = []
    for block in layout.blocks:
        lines += [f"### {_markdown(block.title)}", "", "| " + " | ".join(head) + " |"]
        lines.append("|---|" + "---:|" * (len(head) - 1))
        for line in block.lines:
            name = f"*{_markdown(line.name)}*" if line.anchor else _markdown(line.name)
            cells = [_markdown_cell(line.cells[key]) for key in layout.heads]
            lines.append("| " + " | ".join([name, line.faces, *cells]) + " |")
        lines.append("")
    return "\n".join([*lines, *(f"- {_markdown(note)}" for note in layout.notes)]) + "\n"


def to_terminal(layout: Layout, width: int | None = None, colour: bool = False) -> str:
    """Return text for a terminal: intervals if it is wide enough, anchors dimmed below the models.

    Without colour there is no bold, so the best model gets two stars instead. A table that does not
    fit is wider than the terminal: a name or number is never cut.
    """
    buffer = StringIO()
    console = Console(
        file=buffer, width=width, force_terminal=colour or None, highlight=False, soft_wrap=False
    )
    needed = 26 + sum(24 for _ in layout.heads)
    with_intervals = console.width >= needed
    for block in layout.blocks:
        console.print(Text(block.title, "bold"))
        table = Table(box=None, pad_edge=False)
        table.add_column("model", overflow="fold")
        table.add_column("n", justify="right", no_wrap=True)
        for head in layout.heads.values():
            table.add_column(Text(head), justify="right", no_wrap=True)
        was_anchor = False
        for line in block.lines:
            if line.anchor and not was_anchor:
                table.add_section()
                table.add_row(Text("anchors", "dim italic"))
            was_anchor = line.anchor
            style = "dim" if line.anchor else ""
            cells = [_terminal_cell(line.cells[key], with_intervals) for key in layout.heads]
            table.add_row(Text(line.name), line.faces, *cells, style=style)
        table.columns[0].min_width = max(len(line.name) for line in block.lines)
        unlimited = console.options.update(max_width=_UNLIMITED)
        needed = Measurement.get(console, unlimited, table).maximum
        own_width, console.width = console.width, max(console.width, needed)
        console.print(table)
        console.width = own_width
        console.print()
    for note in layout.notes:
        console.print(Text(note))
    return buffer.getvalue().rstrip("\n") + "\n"


def panel_lines(frame: Frame) -> Sequence[str]:
    """Return the panel as text: a line per model with its mean rank, and per pair of judges."""
    lines = ["panel: mean rank over the judges, and ECM over the judge's wrong-face ECM"]
    judges = frame.run.settings["judges"]
    for row in build_panel(frame).to_dict("records"):
        rank = "-" if math.isnan(row["mean_rank"]) else f"{row['mean_rank']:.1f}"
        ratios = {judge: row.get(f"over_wrong_face[{judge}]") for judge in judges}
        shares = ", ".join(f"{r:.2f} {judge}" for judge, r in ratios.items() if pd.notna(r))
        lines.append(f"  {row['dataset']}: {row['model']}  {rank}  ({shares})")
    lines += [
        f"  {row['dataset']}: Kendall's tau {row['tau']:.2f} ({row['judges']}; {row['n']} models)"
        for row in agreement(frame).to_dict("records")
        if pd.notna(row["tau"])
    ]
    return lines


def _terminal_cell(cell: Cell, with_interval: bool) -> Text:
    text = Text(f"{cell.text}**" if cell.best else cell.text, "bold" if cell.best else "")
    if with_interval and cell.interval:
        text.append(f" {cell.interval}", "dim")
    return text


def _markdown_cell(cell: Cell) -> str:
    text = cell.written(r"\~", r"\*", "†")
    text = f"**{text}**" if cell.best and text else text
    return f"{text} {cell.interval}".strip()


_MARKDOWN = {c: f"\\{c}" for c in r"\`*_[]|#~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def _markdown(text: str) -> str:
    return "".join(_MARKDOWN.get(c, c) for c in " ".join(text.split()))


def _harmless(value: Any) -> Any:
    """Return the value, with a leading quote if it is text that starts like a formula.

    Spreadsheets skip invisible characters before the formula sign and accept full-width signs too.
    """
    if not isinstance(value, str):
        return value
    begun = unicodedata.normalize("NFKC", value.lstrip(_SKIPPED))
    starts = begun.startswith(("=", "+", "-", "@")) or value.startswith(("\t", "\r", "\n"))
    return f"'{value}" if starts else value


_SKIPPED = (
    "".join(map(chr, range(0x21)))
    + "\x7f\xa0\u1680\u180e\u202f\u205f\u3000\ufeff"
    + "".join(map(chr, range(0x2000, 0x2010)))
)
"""White space, control characters and zero-width characters."""


def _json_value(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)
