"""A row of a comparison: a model, or an anchor made by the runner itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from affectbench.adapters.opened import OpenedModel
from affectbench.types import ModelSpec, Role


@dataclass(frozen=True)
class Row:
    """What gives the SR faces of one row.

    `model` loads the model; anchors other than `bicubic` have none, `spec.name` says what they
    are, and `judge` names the judge for whom `one-face` is chosen.
    """

    label: str
    role: Role
    spec: ModelSpec
    model: OpenedModel | None = field(default=None, compare=False)
    judge: str = ""
