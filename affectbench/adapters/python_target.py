"""The target of `python:`: `FILE:FACTORY` or `PACKAGE.MODULE:FACTORY`. No code of it is run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from affectbench.adapters.prefix import file_hash
from affectbench.errors import InputError

SYNTAX = "python:FILE_OR_MODULE:FACTORY"


def split_target(target: str) -> tuple[str, str]:
    """The file or module, and the factory's name."""
    home, _, factory = target.rpartition(":")
    if not home or not factory.isidentifier():
        raise InputError(f"python:{target}: write {SYNTAX}, such as python:my_model.py:build")
    return home, factory


def is_file(home: str) -> bool:
    """Whether it is written as a file, not as a module."""
    return home.endswith(".py") or "/" in home or "\\" in home


def source_of(target: str) -> Path:
    """The source file of the factory. The parents of a dotted module name are imported."""
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


def content_of(target: str) -> dict[str, Any]:
    """What is known of a model before its code is run."""
    return {"source": file_hash(source_of(target)), "factory": split_target(target)[1]}
