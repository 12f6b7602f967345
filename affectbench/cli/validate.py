"""`affectbench validate`: study what ECM measures on faces with labelled expressions."""

from __future__ import annotations

import argparse
from pathlib import Path

from affectbench.arguments import whole
from affectbench.cli.options import Verbs, add_framing, comma_list, new_parser, path_option
from affectbench.cli.output import say
from affectbench.texts import printable

_EXAMPLES = """\
  affectbench validate --faces faces --labels labels.csv --out study
  affectbench validate --faces faces --labels labels.csv --judges mini-xception,face-api
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    summary = "study what ECM measures on labelled faces"
    parser = new_parser(verbs, common, "validate", summary, _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--faces", type=path_option, required=True, metavar="DIR", help="the images"
    )
    parser.add_argument(
        "--labels",
        type=path_option,
        required=True,
        metavar="CSV",
        help="file,emotion[,person], or votes",
    )
    parser.add_argument(
        "--judges",
        type=comma_list,
        default=("panel",),
        metavar="NAME,...",
        help="panel: all that come with the library; see `affectbench judges`",
    )
    parser.add_argument(
        "--parts",
        type=comma_list,
        default=("labels", "votes"),
        metavar="PART,...",
        help="what is studied; votes alone takes a thirtieth of the time",
    )
    add_framing(parser, default="whole")
    parser.add_argument(
        "--name", metavar="TEXT", help="title of the set (default: the folder's name)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the resampling")
    parser.add_argument(
        "--out",
        type=path_option,
        default=Path("affectbench-study"),
        metavar="DIR",
        help="where the report is written",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the study; print the path of the report."""
    from affectbench.cli.progress import reporter
    from affectbench.judges import expand_judges
    from affectbench.study.faces import read_faces
    from affectbench.study.run import run_study

    name = printable(arguments.name or arguments.faces.resolve().name)
    faces = read_faces(arguments.faces, arguments.labels, name)
    with reporter() as shown:
        path = run_study(
            faces,
            expand_judges(arguments.judges),
            arguments.out,
            framing=arguments.framing,
            seed=whole("--seed", arguments.seed, least=0),
            parts=arguments.parts,
            progress=shown.advance,
        )
    say(path)
    return 0
