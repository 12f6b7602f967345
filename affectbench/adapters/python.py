"""`python:FILE:FACTORY` or `python:PACKAGE.MODULE:FACTORY`: a model built by the user's own code.

**The code is run**; that is its purpose. `FACTORY(scale, ...)` returns a module or a function
that maps LR (N, 3, h, w) to SR; it is given those of `scale` and `device` that it takes, and
every option `@key=value` as the keyword `key="value"`. A `spec` (a ModelSpec, or a dict of its
fields) on the model, the factory or the module declares scale, value_range, size_multiple,
licence, parameters, trained_on, trained_against and note. The
revision is known once the model is built: see `adapters.identity`. `@revision=TEXT` is one that
the user vouches for; then nothing is looked at.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.adapters.prefix import Loading, PrefixAdapter, file_hash
from affectbench.errors import InputError
from affectbench.types import Model

if TYPE_CHECKING:
    import torch

_SYNTAX = "python:FILE_OR_MODULE:FACTORY"


def split_target(target: str) -> tuple[str, str]:
    """The file or module, and the factory's name."""
    home, _, factory = target.rpartition(":")
    if not home or not factory.isidentifier():
        raise InputError(f"python:{target}: write {_SYNTAX}, such as python:my_model.py:build")
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


def _check(target: str) -> str:
    return source_of(target).stem


def content_of_target(target: str) -> dict[str, Any]:
    """What is known of a model before its code is run."""
    return {"source": file_hash(source_of(target)), "factory": split_target(target)[1]}


def _load(loading: Loading, device: torch.device) -> Model:
    from affectbench.adapters.user_code import load_user_model

    return load_user_model(loading, device)


PYTHON = PrefixAdapter(
    prefix="python",
    syntax=_SYNTAX,
    title="a factory in a Python file or module (its code is run); other options go to it",
    options=("then", "revision"),
    check=_check,
    content=content_of_target,
    covers="source file",
    lacks="what the loaded model holds and reads",
    load=_load,
    any_option=True,
)
