"""`affectbench run`: run what a file says, as `compare` or `score` would.

A TOML file has one table, `[compare]` or `[score]`, whose keys are the options of that verb; paths
in it are relative to the file. A `run.json` is run again from the folder where the command was
given first.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectbench.cli import compare, score
from affectbench.cli.options import Parser, Verbs, new_parser, path_option
from affectbench.errors import InputError, hint
from affectbench.texts import parse_json

VERBS = ("compare", "score")

_EXAMPLES = """\
  affectbench run table-1.toml
  affectbench run table-1.toml --out elsewhere
  affectbench run runs/mine/run.json --out again
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    summary = "run what a TOML file says, or a run.json again"
    parser = new_parser(verbs, common, "run", summary, _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("file", type=path_option, metavar="FILE", help="a .toml, or a run.json")
    parser.add_argument(
        "--out",
        type=path_option,
        metavar="DIR",
        help="results go here instead (default: as the file says)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the file; return the exit code of its verb."""
    path = arguments.file
    out = [] if arguments.out is None else ["--out", str(arguments.out.absolute())]
    parser: argparse.ArgumentParser = Parser(prog=f"affectbench run {path}")
    verbs = parser.add_subparsers()
    for module in (compare, score):
        module.add_parser(verbs, argparse.ArgumentParser(add_help=False))
    is_record = path.suffix.lower() == ".json"
    words = _again(path) if is_record else _words(path, verbs)
    parsed = parser.parse_args([*words, *out])
    parsed.command = shlex.join(["affectbench", *words, *out])
    if not is_record:
        os.chdir(path.absolute().parent)
    return int(parsed.run(parsed))


def _again(path: Path) -> list[str]:
    """Return the words of the command that a `run.json` records."""
    found = _read(path)
    try:
        words = shlex.split(parse_json(found)["command"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not the run.json of a run") from error
    if words[:1] != ["affectbench"] or words[1:2] not in ([verb] for verb in VERBS):
        raise InputError(
            f"{path}: was made by '{' '.join(words[:2])}', and only what `affectbench compare` or "
            "`affectbench score` made can be run again"
        )
    return words[1:]


def _words(path: Path, verbs: Verbs) -> list[str]:
    """Return the words of the command that a TOML file describes."""
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        content = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is no TOML ({error})") from error
    if len(content) != 1:
        raise InputError(f"{path}: must have one table, [compare] or [score], and nothing else")
    verb, options = next(iter(content.items()))
    if verb not in VERBS or not isinstance(options, Mapping):
        raise InputError(f"{path}: [{verb}] is no table that can be run; {hint(verb, VERBS)}")
    known = re.findall(r"^ +(?:-\w, )?--([\w-]+)", verbs.choices[verb].format_help(), re.MULTILINE)
    words = [verb]
    for key, value in options.items():
        name = key.replace("_", "-")
        if name not in known:
            raise InputError(f"{path}: [{verb}] has no option '{key}'; {hint(name, known)}")
        words += _option(path, name, value)
    return words


def _option(path: Path, key: str, value: Any) -> list[str]:
    option = f"--{key}"
    if isinstance(value, bool):
        return [option] if value else []
    if isinstance(value, Mapping):
        return [word for name, item in value.items() for word in (option, f"{name}={item}")]
    if isinstance(value, list):
        if not all(isinstance(item, (str, int, float)) for item in value):
            raise InputError(f"{path}: {key} must be a list of texts or numbers")
        if key in _REPEATED:
            return [word for item in value for word in (option, str(item))]
        return [option, ",".join(map(str, value))]
    if isinstance(value, (str, int, float)):
        return [f"{option}={value}"]
    raise InputError(f"{path}: {key} must be a text, a number, true, false, a list or a table")


_REPEATED = ("sr", "hr", "data", "fail-if", "fail-if-worse-than")
"""Options whose list is the option given again, not one comma list."""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
