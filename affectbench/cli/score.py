"""`affectbench score`: score two folders of images, paired by file name."""

from __future__ import annotations

import argparse
from typing import Any

from affectbench.cli.options import (
    Verbs,
    add_framing,
    add_measuring,
    measuring,
    new_parser,
    path_option,
)
from affectbench.cli.output import note, say
from affectbench.cli.tables import print_comparison, print_place
from affectbench.errors import InputError
from affectbench.metrics.selection import DEFAULT_METRICS

_EXAMPLES = """\
  affectbench score --sr my_results --hr ground_truth
  affectbench score --sr my_results --hr ground_truth --framing ffhq --out scores
  affectbench score --sr paper_results --hr ground_truth --as sfmnet
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = new_parser(verbs, common, "score", "score a folder of results", _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("--sr", type=path_option, required=True, metavar="DIR", help="the results")
    parser.add_argument(
        "--hr", type=path_option, required=True, metavar="DIR", help="the originals"
    )
    add_framing(parser, default="centre")
    add_measuring(parser)
    parser.add_argument(
        "--save-images", action="store_true", help="keep HR, LR and SR of each face (with --out)"
    )
    parser.add_argument(
        "--allow-mismatch",
        action="store_true",
        help="score results that do not look like the originals of their names",
    )
    parser.add_argument(
        "--as",
        dest="published",
        metavar="CONVENTION",
        help="recompute a paper's PSNR and SSIM by its convention, and say what that is",
    )
    # --as must know whether these were given.
    parser.set_defaults(metrics=None, convention=None)


def run(arguments: argparse.Namespace) -> int:
    """Score the folder; return 1 if a cell failed."""
    options = _measuring(arguments)
    from affectbench.api import score
    from affectbench.cli.progress import reporter

    with reporter() as shown:
        result = score(
            arguments.sr,
            arguments.hr,
            framing=arguments.framing,
            save_images=arguments.save_images,
            allow_mismatch=arguments.allow_mismatch,
            note=shown.note,
            progress=shown.advance,
            **options,
        )
    try:
        print_comparison(result, as_json=arguments.json)
        if arguments.published:
            show = note if arguments.json else say
            show("", *_described(arguments.published, arguments.scale))
    finally:
        if arguments.out:
            print_place(arguments.out)
    return 1 if result.failed else 0


def _measuring(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the shared options as keywords of `api.score`, with those implied by `--as`."""
    if arguments.published and arguments.convention:
        raise InputError("--as names a convention already; leave --convention out")
    options = measuring(arguments)
    options["convention"] = arguments.published or arguments.convention or "rgb"
    if arguments.metrics is None:
        options["metrics"] = ("psnr", "ssim") if arguments.published else DEFAULT_METRICS
    return options


def _described(name: str, scale: int) -> list[str]:
    """Return all fields of a convention, one per line."""
    from affectbench.metrics.conventions import find_convention

    convention = find_convention(name)
    border = f"{convention.border_at(scale)} pixels at scale {scale}"
    lines = [f"convention {convention.name}: {convention.title}"]
    for field, value in vars(convention).items():
        if field in ("name", "title", "our_choice"):
            continue
        text = f"{value} ({border})" if field == "border" else str(value)
        lines.append(f"  {field.replace('_', ' ')}: {text}")
    ours = ", ".join(field.replace("_", " ") for field in convention.our_choice)
    lines.append(f"  not said by its source, our choice: {ours or 'nothing'}")
    return lines
