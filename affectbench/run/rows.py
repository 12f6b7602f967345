"""A row of a comparison: a model, or an anchor made by the runner itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from affectbench.adapters.opened import OpenedModel
from affectbench.types import ModelSpec, Role


@dataclass(frozen=True)
class Row:
    """What gives the SR faces of one row.

    `model` loads the model; anchors other than `bicubic` have none, `spec.name` says what they
    are, and `judge` names the judge for whom `one-face` is chosen. A model may have the label of an
    anchor: `key` tells the two apart.
    """

    label: str
    role: Role
    spec: ModelSpec
    model: OpenedModel | None = field(default=None, compare=False)
    judge: str = ""

    @property
    def key(self) -> tuple[Role, str]:
        """What no two rows of a data set share, but for the `one-face` of several judges."""
        return self.role, self.label
