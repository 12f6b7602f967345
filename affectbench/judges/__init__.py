"""Facial expression classifiers (judges) by name: the library's own, and others by entry point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from affectbench.devices import usable_device
from affectbench.errors import UnknownNameError
from affectbench.judges.catalogue import BUNDLED, ENTRIES, RETIRED
from affectbench.registry import Registry
from affectbench.types import Judge, JudgePlugin, JudgeSpec

if TYPE_CHECKING:
    import torch

DEFAULT_JUDGE = BUNDLED[0]

_OWN = {name: entry.plugin for name, entry in ENTRIES.items()}
_REGISTRY = Registry("affectbench.judges", "judge", JudgePlugin, own=_OWN)


def load_judge(name: str = DEFAULT_JUDGE, device: torch.device | str = "cpu") -> Judge:
    """Return the judge with that name, with its weights, on a device.

    Raises UnknownNameError, with a suggestion, for an unknown name, InputError for a device that
    does not exist, and WeightsError if the judge's weights are missing or damaged.

    >>> load_judge("mini-xception").classes
    ('angry', 'disgust', 'fear', 'happy', 'neutral', 'sad', 'surprise')
    """
    plugin = _plugin(name)
    return plugin.load(usable_device(device, f"device '{device}'"))


def expand_judges(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, with `panel` replaced by all bundled judges, the default one first.

    >>> expand_judges(["panel"]) == BUNDLED
    True
    """
    return tuple(name for given in names for name in (BUNDLED if given == "panel" else (given,)))


def list_judges() -> list[JudgeSpec]:
    """Return the specs of all installed judges, sorted by name; no weights are read.

    `sha256` is empty for judges whose weights do not ship with the library.
    """
    return [_REGISTRY.load(name).spec for name in _REGISTRY]


def judge_spec(name: str) -> JudgeSpec:
    """Return the spec of the judge with that name, with the SHA-256 of its weights.

    Weights that do not ship with the library are located or downloaded; bundled ones are not read.

    Raises UnknownNameError, with a suggestion, for an unknown name, and WeightsError if the weights
    cannot be obtained.
    """
    plugin = _plugin(name)
    return plugin.found() if plugin.found else plugin.spec


def _plugin(name: str) -> JudgePlugin:
    if name in RETIRED and name not in _REGISTRY:
        raise UnknownNameError(
            f"judge '{name}' no longer comes with affectbench; '{RETIRED[name]}' took its place"
        )
    return _REGISTRY.load(name)
