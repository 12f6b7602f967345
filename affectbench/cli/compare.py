"""`affectbench compare`: compare models on data sets in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from affectbench.cli.options import (
    Verbs,
    add_cluster,
    add_computing,
    add_framing,
    add_gates,
    add_isolating,
    add_measures,
    add_output,
    add_scale,
    add_table,
    comma_list,
    gates,
    measuring,
    named_folders,
    new_parser,
    path_option,
    table_choice,
)
from affectbench.cli.output import note
from affectbench.cli.tables import print_comparison, print_failures, print_place

DEFAULT_OUT = Path("affectbench-out")

_EXAMPLES = """\
  affectbench compare --models nearest,bicubic,lanczos
  affectbench compare --models bicubic,checkpoint:x8.pth --datasets celeba --data celeba=faces
  affectbench compare --models checkpoint:x4.pth@then=bicubic --datasets celeba,helen \\
      --data-root faces --judges mini-xception,face-api --out results
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = new_parser(verbs, common, "compare", "compare models in one table", _EXAMPLES)
    parser.set_defaults(run=run)
    group = parser.add_argument_group("what is compared")
    group.add_argument(
        "--models",
        required=True,
        metavar="MODEL,...",
        help="names, checkpoint:PATH, onnx:PATH, torchscript:PATH, python:FILE:FACTORY, "
        "images:DIR; see `affectbench models`",
    )
    group.add_argument(
        "--versus",
        default="bicubic",
        metavar="MODEL",
        help="the row that others are tested against",
    )
    group.add_argument(
        "--datasets",
        type=comma_list,
        metavar="NAME,...",
        help="see `affectbench datasets` (default: those of --data, else demo)",
    )
    group.add_argument(
        "--data-root", type=path_option, metavar="DIR", help="holds a folder per data set"
    )
    group.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="folder of one data set; may be repeated",
    )
    add_framing(group)
    group.add_argument(
        "--limit", type=int, metavar="N", help="only the first N faces of each set (default: all)"
    )
    _add_protocol(parser)
    add_measures(parser)
    computing = add_computing(parser)
    add_isolating(computing)
    computing.add_argument(
        "--rerun",
        default="missing",
        choices=("missing", "failed", "all"),
        help="which cells to compute again",
    )
    computing.add_argument(
        "--verify",
        action="store_true",
        help="read every face again, also where size and times say that it is unchanged",
    )
    add_cluster(parser.add_argument_group("cluster"))
    add_output(parser, DEFAULT_OUT)
    add_table(parser)
    add_gates(parser)


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("low-resolution faces")
    add_scale(group)
    group.add_argument(
        "--hr-size", type=int, default=128, metavar="PX", help="side of the originals"
    )
    group.add_argument(
        "--kernel",
        default="pil-bicubic",
        choices=("pil-bicubic", "matlab-bicubic", "opencv-area"),
        help="how LR is made",
    )
    group.add_argument(
        "--lr",
        type=path_option,
        metavar="DIR",
        help="LR faces that exist already, instead of --kernel (blind restoration); nothing is "
        "resized",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the comparison; return 1 if a model failed."""
    from affectbench.api import compare
    from affectbench.cli.progress import reporter
    from affectbench.results.compare import compared

    options = measuring(arguments)
    limits, rows = gates(arguments)
    choice = table_choice(arguments)
    with reporter() as shown:
        result = compare(
            arguments.models,
            arguments.datasets,
            data_root=arguments.data_root,
            data=named_folders(arguments.data),
            lr=arguments.lr,
            framing=arguments.framing,
            hr_size=arguments.hr_size,
            kernel=arguments.kernel,
            versus=arguments.versus,
            limit=arguments.limit,
            save_images=arguments.save_images,
            rerun=arguments.rerun,
            verify=arguments.verify,
            isolate=arguments.isolate,
            timeout=arguments.timeout,
            executor=arguments.executor,
            address=arguments.address,
            workers=arguments.workers,
            gpus_per_worker=arguments.gpus_per_worker,
            note=shown.note,
            progress=shown.advance,
            **options,
        )
    try:
        print_comparison(result, choice, as_json=arguments.json)
    finally:
        print_place(result.folder)
    if before := result.outcome.failed_before:
        note(f"{before} of the failures are of an earlier run; --rerun failed tries them again")
    code = print_failures(compared(result.run), limits, rows) if limits or rows else 0
    return 1 if result.failed else code
