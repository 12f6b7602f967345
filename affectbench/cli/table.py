"""`affectbench table`: print the table of a run for a paper, a page or a terminal."""

from __future__ import annotations

import argparse
import sys

from affectbench.cli.options import (
    Verbs,
    add_gates,
    add_table,
    gates,
    new_parser,
    path_option,
    table_choice,
)
from affectbench.cli.output import is_terminal, say_rendered
from affectbench.cli.tables import print_failures, terminal_width

_EXAMPLES = """\
  affectbench table runs/mine
  affectbench table runs/mine --format latex --columns psnr,lpips,ecm --no-intervals > table.tex
  affectbench table runs/mine --format markdown --no-anchors --digits 2
  affectbench table runs/mine --fail-if 'ecm>0.3' --fail-if-worse-than bicubic:ecm
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    summary = "print the table of a run as LaTeX, Markdown or text"
    parser = new_parser(verbs, common, "table", summary, _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument(
        "folder", type=path_option, metavar="RUN_DIR", help="what compare or score kept"
    )
    parser.add_argument(
        "--format", choices=("text", "markdown", "latex"), default="text", help="what it is for"
    )
    parser.add_argument(
        "--two-columns", action="store_true", help="latex: as wide as a page of two columns"
    )
    add_table(parser)
    add_gates(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; return 1 if a condition is not met."""
    from affectbench.report.cells import lay_out
    from affectbench.report.latex import to_latex
    from affectbench.report.render import to_markdown, to_terminal
    from affectbench.results.compare import compared
    from affectbench.results.runs import load_run

    limits, rows = gates(arguments)
    choice = table_choice(arguments)
    frame = compared(load_run(arguments.folder))
    layout = lay_out(frame, choice)
    if arguments.format == "latex":
        say_rendered(to_latex(layout, arguments.two_columns))
    elif arguments.format == "markdown":
        say_rendered(to_markdown(layout))
    else:
        say_rendered(to_terminal(layout, terminal_width(), colour=is_terminal(sys.stdout)))
    return print_failures(frame, limits, rows)
