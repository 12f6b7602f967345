"""Print tables on stdout, as text or as JSON."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.cli.output import is_terminal, note, say, say_json, say_rendered
from affectbench.texts import printable

if TYPE_CHECKING:
    from affectbench.comparison import Comparison
    from affectbench.report.cells import Choice
    from affectbench.results.frame import Frame
    from affectbench.results.gates import Limit


_GAP = 2
"""Blanks between two columns."""


def print_comparison(result: Comparison, choice: Choice, as_json: bool) -> None:
    """Print the comparison table, and on stderr what was left out and remarks about the files."""
    from affectbench.report.cells import lay_out
    from affectbench.report.render import panel_lines, to_json, to_terminal
    from affectbench.results.compare import compared
    from affectbench.results.panel import has_panel

    if as_json:
        say_json(to_json(result.table))
    else:
        frame = compared(result.run)
        layout = lay_out(frame, choice)
        say_rendered(to_terminal(layout, terminal_width(), colour=is_terminal(sys.stdout)))
        if has_panel(frame):
            say("", *panel_lines(frame))
    for gap in result.gaps:
        note(f"left out: {gap}")
    for remark in result.remarks:
        note(f"note: {remark}")


def print_failures(frame: Frame, limits: Sequence[Limit], rows: Sequence[str]) -> int:
    """Print on stderr which conditions are not met; return the exit code."""
    from affectbench.results.gates import failures

    reasons = failures(frame, limits, rows)
    for reason in reasons:
        note(f"not good enough: {reason}")
    return 1 if reasons else 0


def print_place(folder: Path) -> None:
    """Print on stderr where the results are and how to view them."""
    command = shlex.join(["affectbench", "report", str(folder)])
    note(f"results: {folder}", f"look at them: {command}")


def terminal_width() -> int:
    """Return the terminal's width in columns (or the variable COLUMNS); 120 without a terminal."""
    return shutil.get_terminal_size((120, 24)).columns


def print_specs(specs: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print specs: all fields as JSON, or the given columns as a table.

    No word is broken: where the longest words do not fit side by side, each spec is a paragraph.
    """
    if as_json:
        say_json(json.dumps(list(specs), indent=1, ensure_ascii=False))
        return
    heads = [column.replace("_", " ") for column in columns]
    rows = [["" if spec[c] is None else printable(str(spec[c])) for c in columns] for spec in specs]
    widths = [
        max(len(word) for text in texts for word in text.split() or [""])
        for texts in zip(heads, *rows, strict=True)
    ]
    if sum(widths) + _GAP * len(widths) > terminal_width():
        say(*(line for row in rows for line in _paragraph(heads, row)))
        return
    _print_table(heads, rows, widths)


def _paragraph(heads: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a spec: its first field, and each other one below it, if it has one."""
    yield row[0]
    for head, text in zip(heads[1:], row[1:], strict=True):
        if text:
            yield f"  {head}: {text}"


def _shared_out(
    heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> list[int]:
    """Return the widths, with what is left of the terminal shared out among longer texts."""
    wanted = [
        max(map(len, texts)) - width
        for texts, width in zip(zip(heads, *rows, strict=True), widths, strict=True)
    ]
    spare = max(0, terminal_width() - sum(widths) - _GAP * len(widths))
    share = min(1.0, spare / max(1, sum(wanted)))
    return [width + int(share * more) for width, more in zip(widths, wanted, strict=True)]


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], widths: list[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for head, width in zip(heads, _shared_out(heads, rows, widths), strict=True):
        table.add_column(head, width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    shown = StringIO()
    colour = is_terminal(sys.stdout) or None
    Console(file=shown, width=terminal_width(), force_terminal=colour).print(table)
    say_rendered(shown.getvalue())
