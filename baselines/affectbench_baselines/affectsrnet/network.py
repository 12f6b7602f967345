"""Builds AffectSRNet: the network of the paper's development code, or ours for small LR faces."""

from __future__ import annotations

from typing import Any

from affectbench_baselines.affectsrnet import multiscale, paper
from affectbench_baselines.base import Network


def build(settings: dict[str, Any]) -> Network:
    """Return the network for a config's settings; those with a `backbone` are the paper's kind."""
    return paper.build(settings) if "backbone" in settings else multiscale.build(settings)
