"""`affectbench score`: score two folders of images, paired by file name."""

from __future__ import annotations

import argparse
from typing import Any

from affectbench.arguments import DEFAULT_METRICS
from affectbench.cli.options import (
    Verbs,
    add_computing,
    add_framing,
    add_gates,
    add_measures,
    add_output,
    add_scale,
    add_table,
    gates,
    measuring,
    named_or_plain,
    new_parser,
    table_choice,
)
from affectbench.cli.output import note, say
from affectbench.cli.tables import print_comparison, print_failures, print_place
from affectbench.errors import InputError

_EXAMPLES = """\
  affectbench score --sr my_results --hr ground_truth
  affectbench score --sr my_results --hr ground_truth --framing ffhq --out scores
  affectbench score --sr ours=results/ours --sr theirs=results/theirs --hr ground_truth \\
      --versus theirs
  affectbench score --sr 'results/{set}/ours' --hr celeba=faces/celeba --hr helen=faces/helen
  affectbench score --sr results/EDSR --hr ground_truth --pattern '{name}_EDSR_x8'
  affectbench score --sr paper_results --hr ground_truth --as sfmnet

A folder of results holds the images, or a folder for each set (DIR/celeba/). Results have the names
of their originals, or one suffix or prefix (0001_EDSR_x8.png, sr_0001.png), which is found and
named.
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = new_parser(verbs, common, "score", "score a folder of results", _EXAMPLES)
    parser.set_defaults(run=run)
    group = parser.add_argument_group("what is scored")
    group.add_argument(
        "--sr",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help="the results; again for those of another method",
    )
    group.add_argument(
        "--hr",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help="the originals, or a folder that holds those of each set; again for another set",
    )
    group.add_argument(
        "--pattern",
        default="",
        help="names of the results, such as '{name}_x8' or '{set}/{name}_*' (default: as the "
        "originals, or with one suffix or prefix)",
    )
    group.add_argument(
        "--allow-mismatch",
        action="store_true",
        help="score results that do not look like the originals of their names",
    )
    group.add_argument(
        "--versus",
        metavar="NAME",
        help="the results that the others are tested against (default: no tests)",
    )
    group.add_argument(
        "--bicubic", action="store_true", help="add bicubic interpolation of originals / --scale"
    )
    add_scale(group)
    add_framing(group, default="centre")
    add_measures(parser)
    parser.add_argument_group("a paper's numbers").add_argument(
        "--as",
        dest="published",
        metavar="CONVENTION",
        help="recompute a paper's PSNR and SSIM by its convention, and say what that is",
    )
    add_computing(parser)
    add_output(parser)
    add_table(parser)
    add_gates(parser)
    # --as must know whether these were given.
    parser.set_defaults(metrics=None, convention=None)


def run(arguments: argparse.Namespace) -> int:
    """Score the folder; return 1 if a cell failed."""
    options = _measuring(arguments)
    limits, rows = gates(arguments)
    choice = table_choice(arguments)
    from affectbench.api import score
    from affectbench.cli.progress import reporter
    from affectbench.results.compare import compared

    with reporter() as shown:
        result = score(
            named_or_plain("--sr", arguments.sr),
            named_or_plain("--hr", arguments.hr),
            pattern=arguments.pattern,
            versus=arguments.versus,
            bicubic=arguments.bicubic,
            framing=arguments.framing,
            save_images=arguments.save_images,
            allow_mismatch=arguments.allow_mismatch,
            note=shown.note,
            progress=shown.advance,
            **options,
        )
    try:
        print_comparison(result, choice, as_json=arguments.json)
        if arguments.published:
            show = note if arguments.json else say
            show("", *_described(arguments.published, arguments.scale))
    finally:
        if arguments.out:
            print_place(arguments.out)
    code = print_failures(compared(result.run), limits, rows) if limits or rows else 0
    return 1 if result.failed else code


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
