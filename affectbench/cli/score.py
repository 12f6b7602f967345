"""`affectbench score`: two folders of images, paired by file name."""

from __future__ import annotations

import argparse
from pathlib import Path

from affectbench.cli.options import Verbs, add_measuring, measuring, new_parser
from affectbench.cli.tables import print_comparison, print_place

_EXAMPLES = """\
  affectbench score --sr my_results --hr ground_truth
  affectbench score --sr my_results --hr ground_truth --framing ffhq --out scores
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = new_parser(verbs, common, "score", "score a folder of results", _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("--sr", type=Path, required=True, metavar="DIR", help="the results")
    parser.add_argument("--hr", type=Path, required=True, metavar="DIR", help="the originals")
    parser.add_argument(
        "--framing",
        default="centre",
        help="where the face is: celeba, ffhq, helen, whole, centre (default: centre)",
    )
    add_measuring(parser)
    parser.add_argument(
        "--save-images", action="store_true", help="keep HR, LR and SR of each face (with --out)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Score; 1 if a cell failed."""
    from affectbench.api import score
    from affectbench.cli.progress import reporter

    with reporter() as shown:
        result = score(
            arguments.sr,
            arguments.hr,
            framing=arguments.framing,
            save_images=arguments.save_images,
            note=shown.note,
            progress=shown.advance,
            **measuring(arguments),
        )
    print_comparison(result, as_json=arguments.json)
    if arguments.out:
        print_place(arguments.out)
    return 1 if result.failed else 0
