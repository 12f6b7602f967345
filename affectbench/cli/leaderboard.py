"""`affectbench leaderboard build | check | site`: the published tables and their records."""

from __future__ import annotations

import argparse
from pathlib import Path

from affectbench.cli.options import Verbs, comma_list, new_action, new_parser, path_option
from affectbench.cli.output import note, say

_EXAMPLES = """\
  affectbench leaderboard build
  affectbench leaderboard check
  affectbench leaderboard check --data-root faces --weights weights
  affectbench leaderboard site --out site
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    summary = "build, check or show the leaderboards"
    parser = new_parser(verbs, common, "leaderboard", summary, _EXAMPLES)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = new_action(actions, common, "build", "pack the records and render the tables from them")
    check = new_action(
        actions, common, "check", "render, recompute and, where the data are, run again"
    )
    site = new_action(actions, common, "site", "write them as static pages")
    site.add_argument(
        "--out", type=path_option, required=True, metavar="DIR", help="where the pages are written"
    )
    site.add_argument(
        "--cards", type=path_option, metavar="DIR", help="holds NAME.md, a model's card"
    )
    for action in (build, check, site):
        action.add_argument(
            "--root",
            type=path_option,
            default=Path("leaderboards"),
            metavar="DIR",
            help="the boards and their records",
        )
    check.add_argument(
        "--data-root", type=path_option, metavar="DIR", help="re-run faces found here"
    )
    check.add_argument("--weights", type=path_option, metavar="DIR", help="third-party checkpoints")
    check.add_argument(
        "--faces",
        type=int,
        default=20,
        metavar="N",
        help="re-run whole batches with at least so many faces",
    )
    check.add_argument(
        "--metrics", type=comma_list, metavar="NAME,...", help="re-run only these (default: all)"
    )
    build.set_defaults(run=run_build)
    check.set_defaults(run=run_check)
    site.set_defaults(run=run_site)


def run_build(arguments: argparse.Namespace) -> int:
    """Render the boards."""
    from affectbench.report.leaderboard import build
    from affectbench.run.lock import locked

    for path in build(arguments.root, locked):
        say(path)
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Check the boards; return 1 if something differs."""
    from affectbench.api import rerun_leaderboard
    from affectbench.report.leaderboard import check

    problems = list(check(arguments.root))
    if arguments.data_root:
        problems += rerun_leaderboard(
            arguments.root,
            arguments.data_root,
            arguments.weights,
            faces=arguments.faces,
            metrics=arguments.metrics,
            note=note,
        )
    for problem in problems:
        say(problem)
    if not problems:
        say("the leaderboards agree with their records")
    return 1 if problems else 0


def run_site(arguments: argparse.Namespace) -> int:
    """Write the pages; print the path of the index."""
    from affectbench.report.site.build import write_site

    say(write_site(arguments.root, arguments.out, arguments.cards)[0])
    return 0
