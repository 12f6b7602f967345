"""`python:FILE:NAME` for metrics and judges: what an entry point would name, without installing.

**The code is executed**, as for models. What it is made of, the file and the local modules that it
imports, becomes part of the identity of every number that it gives.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectbench.errors import AffectBenchError, InputError
from affectbench.local_code.importing import import_file, without_traces
from affectbench.local_code.origins import local_sources
from affectbench.local_code.target import is_file, source_of, split_target

PREFIX = "python:"


@dataclass(frozen=True)
class NamedObject:
    """What a `python:FILE:NAME` names, and the SHA-256 of the local code that it comes from."""

    argument: str
    name: str
    stem: str
    value: Any
    sha256: str


def is_local(name: object) -> bool:
    """Return whether a text names code by its file or module."""
    return isinstance(name, str) and name.startswith(PREFIX)


def named_object(argument: str) -> NamedObject:
    """Import the file or module of `python:FILE:NAME`, and return what NAME is there.

    Raises InputError if there is no such file or name, or if the code raises.
    """
    target = argument.removeprefix(PREFIX)
    home, name = split_target(target)
    source = source_of(target)
    known = set(sys.modules)
    with without_traces(source if is_file(home) else None):
        try:
            if is_file(home):
                module = import_file(source, source.read_bytes())
            else:
                module = importlib.import_module(home)
        except AffectBenchError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise InputError(f"{argument}: cannot be imported ({reason})") from error
        new = [m for n, m in list(sys.modules.items()) if n not in known]
        files = sorted({source.resolve(), *local_sources(module, new)})
    value = getattr(module, name, None)
    if value is None:
        raise InputError(f"{argument}: {home} has no '{name}'")
    return NamedObject(argument, name, source.stem, value, _digest(files))


def _digest(files: list[Path]) -> str:
    parts = sorted((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
