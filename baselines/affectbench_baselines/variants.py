"""The trained and ranked variants: a network each, with parts switched on or off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from affectbench.errors import UnknownNameError


@dataclass(frozen=True)
class Variant:
    """`overrides` change the config's network; `emotion` adds the emotion loss in the last stage.

    `ranked` is False for ablations and trials, which are compared on the validation slice only.
    """

    family: str
    title: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    emotion: bool = False
    ranked: bool = True
    base: str = ""
    """The variant whose base stage it shares; empty for a base stage of its own."""
    row: str = ""
    """The model whose weights at this scale they are; empty for its own name."""
    scale: int = 8


VARIANTS: dict[str, Variant] = {
    "rrdbnet": Variant("rrdbnet", "RRDBNet, the generator of ESRGAN"),
    "rrdbnet-emotion": Variant(
        "rrdbnet", "RRDBNet with the emotion loss (a control)", emotion=True, base="rrdbnet"
    ),
    "affectsrnet": Variant(
        "affectsrnet", "AffectSRNet: landmark graph and emotion loss", emotion=True
    ),
    "affectsrnet-noemotion": Variant(
        "affectsrnet", "AffectSRNet without the emotion loss (a control)", base="affectsrnet"
    ),
    "affectsrnet-x4": Variant(
        "affectsrnet",
        "AffectSRNet at x4, from published RRDBNet weights",
        emotion=True,
        row="affectsrnet",
        scale=4,
    ),
    "rrdbnet-x4": Variant(
        "rrdbnet", "RRDBNet at x4 from the same start (a control)", row="rrdbnet", scale=4
    ),
    "rrdbnet-x4-emotion": Variant(
        "rrdbnet",
        "RRDBNet at x4 with the emotion loss (a control)",
        emotion=True,
        base="rrdbnet-x4",
        row="rrdbnet-emotion",
        scale=4,
    ),
    "rrdbnet-x4-chance": Variant(
        "rrdbnet", "RRDBNet at x4 from random weights (a control)", ranked=False, scale=4
    ),
    "wnet": Variant("wnet", "W-Net: guided by a face parsing map"),
    "wnet-emotion": Variant(
        "wnet", "W-Net with the emotion loss (a control)", emotion=True, base="wnet"
    ),
    "fadn": Variant("fadn", "FADN: frequency-aware dynamic branches"),
    "fadn-emotion": Variant(
        "fadn", "FADN with the emotion loss (a control)", emotion=True, base="fadn"
    ),
    "sadn": Variant("sadn", "SADN: scale-aware dynamic convolutions, x2 to x8"),
    "affectsrnet-no-prior": Variant(
        "affectsrnet", "ablation: one average face for all", {"prior": "mean"}, True, False
    ),
    "affectsrnet-no-gcn": Variant(
        "affectsrnet", "ablation: no graph convolutions", {"gcn": 0}, True, False
    ),
    "affectsrnet-no-msaf": Variant(
        "affectsrnet", "ablation: concatenation for MSAF", {"msaf": False}, True, False
    ),
    "affectsrnet-one-scale": Variant(
        "affectsrnet", "ablation: all blocks at the LR size", {"scales": 1}, True, False
    ),
}


def weights_of(model: str) -> dict[int, str]:
    """Return the variants whose weights a model has, by scale."""
    return {v.scale: name for name, v in VARIANTS.items() if (v.row or name) == model}


def variant(name: str) -> Variant:
    """Return the variant with that name; UnknownNameError with all names if there is none."""
    if name not in VARIANTS:
        raise UnknownNameError(f"there is no '{name}' to train; known: {', '.join(VARIANTS)}")
    return VARIANTS[name]
