"""The named configurations, and networks built from them. torch is imported lazily."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.errors import InputError, UnknownNameError, hint
from affectbench.registry import Late
from affectbench.texts import parse_json

if TYPE_CHECKING:
    from affectbench_baselines.base import Network

FAMILIES = ("affectsrnet", "fadn", "rrdbnet", "sadn", "wnet")
"""The networks of this package."""

_HOME = Path(__file__).parent


@dataclass(frozen=True)
class Config:
    """A network family, its sizes, and the weights of its own losses.

    `note` lists what is not from the paper.
    """

    family: str
    name: str
    network: Mapping[str, Any]
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def load_config(family: str, name: str = "compact") -> Config:
    """Return the config with that name (`paper`, `compact`), or of a JSON file at that path.

    Raises UnknownNameError for an unknown name, InputError for an invalid file.
    """
    path = Path(name)
    try:
        if path.suffix == ".json":
            return Config(family, path.stem, **parse_json(path.read_bytes()))
        known = json.loads((_HOME / family / "configs.json").read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{name}: is not a config ({error})") from error
    if name not in known:
        raise UnknownNameError(f"{family} has no config '{name}'; {hint(name, known)}")
    return Config(family, name, **known[name])


def build_network(family: str, settings: Mapping[str, Any]) -> Network:
    """Return a network with initial weights, drawn from torch's global random state.

    Raises InputError for settings that the family does not have.
    """
    try:
        network: Network = _BUILDERS[family](dict(settings))
    except (TypeError, ValueError) as error:
        raise InputError(f"{family}: these settings do not fit it ({error})") from error
    return network


_BUILDERS = {family: Late(f"affectbench_baselines.{family}.network:build") for family in FAMILIES}
