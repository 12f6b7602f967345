"""Facial expression classifiers (judges) by name: the library's own, and others by entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from affectbench.devices import usable_device
from affectbench.errors import InputError, UnknownNameError
from affectbench.judges.catalogue import BUNDLED, ENTRIES, RETIRED
from affectbench.judges.local import local_judge
from affectbench.local_code.plugins import is_local
from affectbench.registry import Late, Registry
from affectbench.types import Judge, JudgePlugin, JudgeSpec

if TYPE_CHECKING:
    import torch

DEFAULT_JUDGE = BUNDLED[0]

_OWN = {name: entry.plugin for name, entry in ENTRIES.items()}
JUDGES = Registry("affectbench.judges", "judge", JudgePlugin, own=_OWN)


_held_judge = Late("affectbench.judges.held:held_judge")

JudgeLike: TypeAlias = "str | Judge | Callable[..., Any]"
"""The name of a judge, a loaded judge, or a module or function from face crops to logits."""


def load_judge(name: JudgeLike = DEFAULT_JUDGE, device: torch.device | str = "cpu") -> Judge:
    """Return the judge with that name, with its weights, on a device (`auto`: the GPU if any).

    A module or function that maps face crops (N, 3, H, W) in [0, 1] to logits (N, K) becomes a
    judge, see `affectbench.judges.held`; a judge is returned as it is.

    Raises UnknownNameError, with a suggestion, for an unknown name, InputError for a device that
    does not exist, and WeightsError if the judge's weights are missing or damaged.

    >>> load_judge("mini-xception").classes
    ('angry', 'disgust', 'fear', 'happy', 'neutral', 'sad', 'surprise')
    """
    if is_judge(name):
        return cast(Judge, name)
    if not isinstance(name, str):
        if not callable(name) or isinstance(name, type):
            raise InputError(f"{name!r} is not a judge; pass a name, or a module that gives logits")
        held: Judge = _held_judge(name, usable_device(device, f"device '{device}'"))
        return held
    plugin = _plugin(name)
    return plugin.load(usable_device(device, f"device '{device}'"))


def is_judge(given: object) -> bool:
    """Return whether an object is a loaded judge."""
    return isinstance(getattr(given, "spec", None), JudgeSpec) and hasattr(given, "logits")


def expand_judges(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, with `panel` replaced by all bundled judges, the default one first.

    A judge of a file (`python:FILE:NAME`) is imported and made known under its own name.

    >>> expand_judges(["panel"]) == BUNDLED
    True
    """
    known = [registered(name) for name in names]
    return tuple(name for given in known for name in (BUNDLED if given == "panel" else (given,)))


def registered(name: str) -> str:
    """Return the name of a judge; that of a file, `python:FILE:NAME`, is imported and made known.

    Raises InputError for a file that cannot be used, or whose judge has the name of another.
    """
    if not is_local(name):
        return name
    plugin = local_judge(name)
    JUDGES.add(plugin.spec.name, plugin)
    return plugin.spec.name


def list_judges() -> list[JudgeSpec]:
    """Return the specs of all installed judges, sorted by name; no weights are read.

    `sha256` is empty for judges whose weights do not ship with the library.
    """
    return [JUDGES.load(name).spec for name in JUDGES]


def judge_spec(name: str) -> JudgeSpec:
    """Return the spec of the judge with that name, with the SHA-256 of its weights.

    Weights that do not ship with the library are located or downloaded; bundled ones are not read.

    Raises UnknownNameError, with a suggestion, for an unknown name, and WeightsError if the weights
    cannot be obtained.
    """
    plugin = _plugin(name)
    return plugin.found() if plugin.found else plugin.spec


def _plugin(name: str) -> JudgePlugin:
    name = registered(name)
    if name in RETIRED and name not in JUDGES:
        raise UnknownNameError(
            f"judge '{name}' no longer comes with affectbench; '{RETIRED[name]}' took its place"
        )
    return JUDGES.load(name)
