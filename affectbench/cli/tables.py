"""Print tables on stdout, as text or as JSON."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
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
    """Print specs: all fields as JSON, or the given columns as a table."""
    if as_json:
        say_json(json.dumps(list(specs), indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for spec in specs:
        texts = ("" if spec[c] is None else printable(str(spec[c])) for c in columns)
        table.add_row(*map(Text, texts))
    shown = StringIO()
    colour = is_terminal(sys.stdout) or None
    Console(file=shown, width=terminal_width(), force_terminal=colour).print(table)
    say_rendered(shown.getvalue())
