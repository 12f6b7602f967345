"""`affectbench datasets`: list data sets, or verify a folder against the published manifest."""

from __future__ import annotations

import argparse

from affectbench.cli.options import Verbs, add_scale, new_action, new_parser, path_option
from affectbench.cli.output import say
from affectbench.cli.tables import print_specs

_EXAMPLES = """\
  affectbench datasets
  affectbench datasets verify celeba faces/celeba
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = new_parser(verbs, common, "datasets", "list data sets, verify a folder", _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="all fields, as JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    verify = new_action(
        actions, common, "verify", "which faces are those of the published leaderboard"
    )
    verify.add_argument("name", metavar="NAME", help="the data set")
    verify.add_argument("folder", type=path_option, metavar="DIR", help="where its faces are")
    add_scale(verify)
    verify.add_argument(
        "--hr-size", type=int, default=128, metavar="PX", help="side of the originals"
    )
    verify.set_defaults(run=run_verify)


def run(arguments: argparse.Namespace) -> int:
    """List the data sets."""
    from affectbench.datasets import list_datasets
    from affectbench.types import as_json

    specs = [as_json(spec) for spec in list_datasets()]
    print_specs(specs, ("name", "title", "framing", "licence", "layout"), arguments.json)
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Compare a folder with the manifest; return 1 if they differ."""
    from affectbench.datasets import load_dataset
    from affectbench.datasets.manifest import verify
    from affectbench.types import TestProtocol

    protocol = TestProtocol(scale=arguments.scale, hr_size=arguments.hr_size)
    found = verify(load_dataset(arguments.name, arguments.folder), protocol)
    say(*found.summary().splitlines())
    return 0 if found.ok else 1
