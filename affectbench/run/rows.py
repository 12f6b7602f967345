"""A row of a comparison: a model, or an anchor made by the runner."""

from __future__ import annotations

from dataclasses import dataclass, field

from affectbench.adapters.opened import OpenedModel
from affectbench.types import ModelSpec, Role


@dataclass(frozen=True)
class Row:
    """The source of one row's SR faces.

    `model` loads the model. Anchors other than `bicubic` have none: `spec.name` says which anchor
    it is, and `judge` names the judge that `one-face` is chosen for. A model may share an anchor's
    label; `key` distinguishes the two.
    """

    label: str
    role: Role
    spec: ModelSpec
    model: OpenedModel | None = field(default=None, compare=False)
    judge: str = ""

    @property
    def key(self) -> tuple[Role, str]:
        """Unique among the rows of a data set, except for the `one-face` of several judges."""
        return self.role, self.label
