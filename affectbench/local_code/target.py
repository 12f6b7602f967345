"""The target of `python:`: `FILE:FACTORY` or `PACKAGE.MODULE:FACTORY`. Its code is not run here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from affectbench.errors import InputError

SYNTAX = "python:FILE_OR_MODULE:FACTORY"


def split_target(target: str) -> tuple[str, str]:
    """Split a target into the file or module and the factory's name."""
    home, _, factory = target.rpartition(":")
    if not home or not factory.isidentifier():
        raise InputError(f"python:{target}: write {SYNTAX}, such as python:my_model.py:build")
    return home, factory


def is_file(home: str) -> bool:
    """Return whether a target names a file rather than a module."""
    return home.endswith(".py") or "/" in home or "\\" in home


def source_of(target: str) -> Path:
    """Return the factory's source file. Parent packages of a dotted module name are imported."""
    home, _ = split_target(target)
    if is_file(home):
        if not Path(home).is_file():
            raise InputError(f"python:{target}: {home}: no such file")
        return Path(home)
    try:
        found = importlib.util.find_spec(home)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise InputError(
            f"python:{target}: there is no module '{home}' here; install it, or name the file"
        )
    return Path(found.origin)
