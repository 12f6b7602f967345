"""A metric beside its peers, as a section of a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from photographs import unit

from affectbench.errors import InputError

Image = np.ndarray
Measure = Callable[[Image, Image], float | None]
"""SR and HR, uint8, to a value; None where there is none."""


@dataclass(frozen=True)
class Case:
    """A pair of images."""

    title: str
    sr: Image
    hr: Image


@dataclass(frozen=True)
class Peer:
    """What another library says, which of our settings says the same, and why it differs."""

    title: str
    measure: Measure
    cause: str
    ours: Measure | None = None
    setting: str = ""


@dataclass(frozen=True)
class Section:
    """A metric: our value by default, its peers, and what else has to be said."""

    name: str
    ours: Measure
    peers: Sequence[Peer]
    note: str = ""


def on_tensors(function: Callable[..., Any], **options: Any) -> Measure:
    """A function of tensors in [0, 1]; what it refuses has no value."""

    def measure(sr: Image, hr: Image) -> float | None:
        try:
            return float(function(unit(sr), unit(hr), **options))
        except ValueError:
            return None

    return measure


def on_images(function: Callable[..., torch.Tensor], *arguments: Any) -> Measure:
    """One of our functions; an image that is too small for it has no value."""

    def measure(sr: Image, hr: Image) -> float | None:
        try:
            return function(sr, hr, *arguments).item()
        except InputError:
            return None

    return measure


def in_float32(network: torch.nn.Module, **options: Any) -> Measure:
    """A network of images in [0, 1]."""

    def measure(sr: Image, hr: Image) -> float:
        with torch.no_grad():
            return float(network(unit(sr).float(), unit(hr).float(), **options))

    return measure


def written(section: Section, pairs: Sequence[Case]) -> str:
    """A section as Markdown."""
    ours = [section.ours(pair.sr, pair.hr) for pair in pairs]
    titles = [pair.title for pair in pairs]
    lines = [
        f"## {section.name}",
        "",
        f"| | {' | '.join(titles)} | met by | cause of the difference |",
        "|---" * (len(pairs) + 3) + "|",
        f"| **ours** | {' | '.join(_number(value) for value in ours)} | | |",
    ]
    for peer in section.peers:
        values = [peer.measure(pair.sr, pair.hr) for pair in pairs]
        cells = [_beside(value, mine) for value, mine in zip(values, ours, strict=True)]
        met = ""
        if peer.ours:
            same = [peer.ours(pair.sr, pair.hr) for pair in pairs]
            met = f"`{peer.setting}`, {_furthest(values, same)}"
        lines.append(f"| {peer.title} | {' | '.join(cells)} | {met} | {peer.cause} |")
    return "\n".join([*lines, "", *([section.note, ""] if section.note else [])])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def _beside(value: float | None, ours: float | None) -> str:
    """A peer's value, and how far it is from ours; differences under 5e-6 are not worth digits."""
    if value is None or ours is None:
        return _number(value)
    difference = value - ours
    text = "0" if abs(difference) < 5e-6 else f"{difference:+.5f}"
    return f"{value:.5f} ({text})"


def _furthest(values: Sequence[float | None], ours: Sequence[float | None]) -> str:
    pairs = zip(values, ours, strict=True)
    furthest = max(abs(v - o) for v, o in pairs if v is not None and o is not None)
    bounds = (1e-9, 1e-6, 5e-6, 2e-5, 1e-4)
    return next((f"to {bound:.0e}" for bound in bounds if furthest <= bound), f"{furthest:.5f} off")
