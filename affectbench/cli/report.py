"""`affectbench report`: write the report page of a run."""

from __future__ import annotations

import argparse

from affectbench.cli.options import Verbs, new_parser, path_option
from affectbench.cli.output import note, say

_EXAMPLES = """\
  affectbench compare --models nearest,bicubic,lanczos --save-images --out runs/demo
  affectbench report runs/demo
  affectbench report runs/demo --html demo.html --figures figures
  affectbench report runs/demo --png slide.png
  affectbench report runs/demo --no-faces
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    summary = "tables, figures and faces of a run as one page"
    parser = new_parser(verbs, common, "report", summary, _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument(
        "folder", type=path_option, metavar="RUN_DIR", help="what compare or score kept"
    )
    parser.add_argument(
        "--html", type=path_option, metavar="FILE", help="the page (default: RUN_DIR/report.html)"
    )
    parser.add_argument(
        "--figures",
        type=path_option,
        metavar="DIR",
        help="keep the figures here too, as PDF, PNG and SVG",
    )
    parser.add_argument(
        "--png",
        type=path_option,
        metavar="FILE",
        help="the main figure for slides: quality against emotion, 2560 x 1440",
    )
    faces = parser.add_mutually_exclusive_group()
    faces.add_argument(
        "--faces",
        choices=("default", "all"),
        default="default",
        help="pictures: the most informative ones in the page, or also all in a folder beside it",
    )
    faces.add_argument(
        "--no-faces",
        dest="faces",
        action="store_const",
        const="none",
        help="no picture of anybody: for faces that must not be passed on",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page; print its path."""
    from affectbench.report.html.build import write_report

    written = write_report(
        arguments.folder,
        arguments.html,
        faces=arguments.faces,
        figures=arguments.figures,
        png=arguments.png,
    )
    for remark in written.remarks:
        note(remark)
    note(f"{written.size / 1e6:.1f} MB")
    say(written.page)
    for path in filter(None, (written.faces, arguments.figures, arguments.png)):
        say(path)
    return 0
