"""A judge of the user's own, `python:FILE:NAME`: a plug-in, or a factory of a module."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from affectbench.devices import usable_device
from affectbench.errors import AffectBenchError, InputError
from affectbench.local_code.plugins import NamedObject, named_object
from affectbench.registry import Late
from affectbench.types import Judge, JudgePlugin, JudgeSpec

if TYPE_CHECKING:
    import torch

_held_judge = Late("affectbench.judges.held:held_judge")


def local_judge(argument: str) -> JudgePlugin:
    """Return the judge that `python:FILE:NAME` names, identified by its code too.

    NAME is a `JudgePlugin`, or a function without arguments that returns a module from face crops
    to logits (see `affectbench.judges.held`). Raises InputError for anything else.
    """
    found = named_object(argument)
    if isinstance(found.value, JudgePlugin):
        plugin = found.value
        own = plugin.found
        known = None if own is None else lambda: _with_code(own(), found.sha256)
        return replace(plugin, spec=_with_code(plugin.spec, found.sha256), found=known)
    if not callable(found.value):
        raise InputError(
            f"{argument}: is a {type(found.value).__name__}; a JudgePlugin is needed, or a "
            "function that returns a module from face crops to logits"
        )
    load = partial(_load, found)
    return JudgePlugin(load(usable_device("cpu")).spec, load)


def _load(found: NamedObject, device: torch.device) -> Judge:
    module = _called(found.argument, found.value)
    if not callable(module):
        raise InputError(f"{found.argument}: returned a {type(module).__name__}, not a module")
    judge: Judge = _held_judge(module, device, found.stem, found.sha256)
    return judge


def _called(argument: str, factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except AffectBenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise InputError(f"{argument}: raised {reason}") from error


def _with_code(spec: JudgeSpec, code: str) -> JudgeSpec:
    """Return the spec with a hash of weights and code in place of that of the weights."""
    return replace(spec, sha256=hashlib.sha256(f"{spec.sha256} {code}".encode()).hexdigest())
