"""Options shared by several verbs, and the conversion of their values."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from affectbench.arguments import DEFAULT_METRICS, is_folder, usable_path, whole
from affectbench.cli.output import note, say_rendered, tell
from affectbench.errors import InputError
from affectbench.faces.regions import CROP_VERSION, CROPS

if TYPE_CHECKING:
    from affectbench.report.cells import Choice
    from affectbench.results.gates import Limit

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Group: TypeAlias = "argparse._ActionsContainer"

_NAMES = {
    "{conventions}": "affectbench.metrics.conventions:CONVENTIONS",
    "{framings}": "affectbench.faces.regions:FRAMINGS",
    "{judge}": "affectbench.judges:DEFAULT_JUDGE",
}
"""Names in help texts, loaded only when the help is printed."""


def new_parser(
    verbs: Verbs, common: argparse.ArgumentParser, name: str, summary: str, examples: str
) -> argparse.ArgumentParser:
    """Return a verb's parser, with its examples below the options."""
    return verbs.add_parser(
        name,
        parents=[common],
        help=summary,
        description=summary,
        epilog=f"examples:\n{examples}",
        formatter_class=HelpFormatter,
    )


def new_action(
    actions: Verbs, common: argparse.ArgumentParser, name: str, summary: str
) -> argparse.ArgumentParser:
    """Return the parser of one action of a verb."""
    return actions.add_parser(
        name, parents=[common], help=summary, description=summary, formatter_class=HelpFormatter
    )


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """A formatter that keeps the examples as they are, and tells the default of each option."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        for mark, place in _NAMES.items():
            if mark in text:
                text = text.replace(mark, _names(place))
        default = action.default
        if "default:" in text or not action.option_strings:
            return text
        if default is None or default is False or default in ([], (), argparse.SUPPRESS):
            return text
        shown = ",".join(default) if isinstance(default, tuple) else str(default)
        return f"{text} (default: {shown.replace('%', '%%')})"


def _names(place: str) -> str:
    module, _, name = place.partition(":")
    found = getattr(importlib.import_module(module), name)
    return found if isinstance(found, str) else ", ".join(found)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are printed like all other errors."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, then exit."""
        tell(self.format_usage())
        note(f"{self.prog}: error: {message}")
        raise SystemExit(2)

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse ignores write errors of stdout; this method prints help and version.
        if file is not None and file is sys.stdout:
            say_rendered(message)
        else:
            tell(message)


def path_option(text: str) -> Path:
    """Return an option's value as a path."""
    try:
        return usable_path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def comma_list(text: str) -> tuple[str, ...]:
    """Return the entries of a comma-separated list, without empty ones.

    >>> comma_list("ecm, psnr,")
    ('ecm', 'psnr')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def named_folders(pairs: Sequence[str]) -> dict[str, Path]:
    """Return `NAME=DIR` texts as a mapping; InputError for anything else."""
    folders: dict[str, Path] = {}
    for pair in pairs:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise InputError(f"--data {pair}: must be NAME=DIR, such as --data mine=faces")
        folders[name] = usable_path(folder)
    return folders


def named_or_plain(option: str, given: Sequence[str]) -> Path | str | dict[str, Path | str]:
    """Return `DIR` as it is, and several folders, `NAME=DIR` or not, by name.

    A folder without a name is called as its last part is; two of one name are an InputError.
    """
    if len(given) == 1 and not _is_named(given[0]):
        return given[0]
    from affectbench.images.results import label_of

    folders: dict[str, Path | str] = {}
    for text in given:
        name, _, folder = text.partition("=") if _is_named(text) else (label_of(text), "", text)
        if name in folders:
            raise InputError(
                f"{option}: two folders would be called '{name}'; name them, such as "
                f"{option} mine={folder}"
            )
        folders[name] = folder
    return folders


def _is_named(text: str) -> bool:
    """Return whether a text is `NAME=DIR` for one row, not a folder or `SET=DIR;SET=DIR`."""
    name, equals, folder = text.partition("=")
    single = ";" not in text or "/" in name or "=" in folder.partition(";")[0]
    return bool(equals and name and folder) and single and not is_folder(text)


def add_measures(parser: argparse.ArgumentParser) -> None:
    """Add options for metrics, their settings and judges."""
    group = parser.add_argument_group("what is measured")
    group.add_argument(
        "--metrics",
        type=comma_list,
        default=DEFAULT_METRICS,
        metavar="NAME,...",
        help="metrics, groups of them, or all; see `affectbench metrics`; or python:FILE:NAME",
    )
    group.add_argument(
        "--judges",
        type=comma_list,
        metavar="NAME,...",
        help="the first is the headline judge; panel: all that come with the library; see "
        "`affectbench judges`; or python:FILE:NAME (default: {judge})",
    )
    group.add_argument(
        "--convention",
        default="rgb",
        metavar="NAME",
        help="rules of PSNR and SSIM: {conventions}",
    )
    group.add_argument(
        "--crop",
        default=CROP_VERSION,
        choices=CROPS,
        help="face region of ecm: the framing's box, or from each reference's landmarks",
    )


def add_output(parser: argparse.ArgumentParser, default: Path | None = None) -> None:
    """Add options for what is kept and printed."""
    group = parser.add_argument_group("results")
    where = "keep the results here" if default else "keep the results here (default: nowhere)"
    group.add_argument("--out", type=path_option, default=default, metavar="DIR", help=where)
    group.add_argument(
        "--save-images", action="store_true", help="keep HR, LR and SR of each face as PNG in --out"
    )
    group.add_argument("--json", action="store_true", help="print the whole table as JSON")


def add_table(parser: argparse.ArgumentParser) -> None:
    """Add options for the table that is printed."""
    group = parser.add_argument_group("printed table")
    group.add_argument(
        "--columns",
        type=comma_list,
        default=(),
        metavar="NAME,...",
        help="these columns in this order (default: all)",
    )
    group.add_argument("--no-intervals", action="store_true", help="values alone")
    group.add_argument("--no-anchors", action="store_true", help="models alone")
    group.add_argument(
        "--digits",
        type=int,
        metavar="N",
        help="digits behind the point (default: each metric's own)",
    )


def table_choice(arguments: argparse.Namespace) -> Choice:
    """Return the options of `add_table`; InputError, before anything runs, for an odd number."""
    from affectbench.report.cells import Choice

    digits = arguments.digits
    return Choice(
        columns=arguments.columns,
        intervals=not arguments.no_intervals,
        anchors=not arguments.no_anchors,
        digits=None if digits is None else whole("--digits", digits, least=0),
    )


def add_framing(group: Group, default: str | None = None) -> None:
    """Add the option for the framing of a user's folder."""
    group.add_argument(
        "--framing",
        default=default,
        metavar="NAME",
        help="where the face is in your own folder: {framings}"
        + ("" if default else " (default: centre)"),
    )


def add_scale(group: Group) -> None:
    """Add the scale."""
    group.add_argument("--scale", type=int, default=8, metavar="N", help="2, 4, 8 or 16")


def add_computing(parser: argparse.ArgumentParser) -> Group:
    """Add options for how it is computed; return their group."""
    group = parser.add_argument_group("computing")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    group.add_argument("--batch-size", type=int, default=32, metavar="N", help="faces at a time")
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of models and metrics that draw"
    )
    return group


def add_isolating(group: Group) -> None:
    """Add options for running models in their own processes, with a time limit per call."""
    group.add_argument(
        "--isolate",
        action="store_true",
        help="run each model in a process of its own: one that crashes costs its row alone",
    )
    group.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="how long a model may take to load, and for each batch; implies --isolate (default: "
        "no limit)",
    )


def add_cluster(group: Group) -> None:
    """Add options for running on the workers of a Ray cluster."""
    group.add_argument(
        "--executor",
        default="local",
        choices=("local", "ray"),
        help="where to compute: in this process, or on workers of a Ray cluster",
    )
    group.add_argument(
        "--address",
        metavar="ADDRESS",
        help="the Ray cluster to use; auto: the one of this machine (default: one is started here)",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="how many workers (default: as many as there is room for)",
    )
    group.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="X",
        help="GPUs for each worker, such as 1 or 0.5 (default: 0)",
    )


def add_gates(parser: argparse.ArgumentParser) -> None:
    """Add options that make the command fail if a model is not good enough."""
    group = parser.add_argument_group("conditions")
    group.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="CONDITION",
        help="exit with 1 if a model's value is such, as in 'ecm>0.3'; may be repeated",
    )
    group.add_argument(
        "--fail-if-worse-than",
        action="append",
        default=[],
        metavar="ROW[:METRIC]",
        help="exit with 1 if the paired test finds a model worse than this row (p < 0.05; default: "
        "by the first metric); may be repeated",
    )


def gates(arguments: argparse.Namespace) -> tuple[list[Limit], list[str]]:
    """Return the conditions of `add_gates`; InputError, before anything runs, for an odd one."""
    from affectbench.results.gates import parse_limit

    return [parse_limit(text) for text in arguments.fail_if], arguments.fail_if_worse_than


def measuring(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the shared options as keywords of `api.compare` and `api.score`."""
    names = (
        "metrics",
        "convention",
        "crop",
        "scale",
        "batch_size",
        "device",
        "seed",
        "out",
        "command",
    )
    values = {name: getattr(arguments, name) for name in names}
    if arguments.judges:
        values["judges"] = arguments.judges
    return values
