"""`affectbench report`: the page of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from affectbench.cli.options import Verbs, new_parser

_EXAMPLES = """\
  affectbench compare --models nearest,bicubic,lanczos --save-images --out runs/demo
  affectbench report runs/demo
  affectbench report runs/demo --html demo.html --figures figures
  affectbench report runs/demo --no-faces
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    summary = "tables, figures and faces of a run as one page"
    parser = new_parser(verbs, common, "report", summary, _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("folder", type=Path, metavar="RUN_DIR", help="what compare or score kept")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="the page (default: RUN_DIR/report.html)"
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="figures as PDF, PNG and SVG")
    faces = parser.add_mutually_exclusive_group()
    faces.add_argument(
        "--faces",
        choices=("default", "all"),
        default="default",
        help="pictures: the most telling ones in the page, or also all in a folder beside it",
    )
    faces.add_argument(
        "--no-faces",
        dest="faces",
        action="store_const",
        const="none",
        help="no picture of anybody: for faces that must not be passed on",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page; prints its path."""
    from affectbench.report.html.build import write_report

    written = write_report(
        arguments.folder, arguments.html, faces=arguments.faces, figures=arguments.figures
    )
    for remark in written.remarks:
        print(remark, file=sys.stderr)
    print(f"{written.size / 1e6:.1f} MB", file=sys.stderr)
    print(written.page)
    for path in filter(None, (written.faces, arguments.figures)):
        print(path)
    return 0
