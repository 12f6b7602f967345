"""A model of a run: who it is, known before anything is computed, and the model when it is wanted.

Who a `python:` model is shows only once it is built. It is built once, and kept until it is first
wanted; a model of any other kind is loaded then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affectbench.adapters import ModelRequest
from affectbench.adapters.prefix import LR_SIZE
from affectbench.errors import AffectBenchError, ModelError
from affectbench.types import Model, ModelSpec, StoredResults

if TYPE_CHECKING:
    import torch


@dataclass
class OpenedModel:
    """A model by request. One that is pickled is loaded anew where it arrives."""

    request: ModelRequest
    scale: int
    lr_size: int
    spec: ModelSpec
    kept: Model | StoredResults | AffectBenchError | None = None

    def load(self, device: torch.device) -> Model | StoredResults:
        """The model; the one that is kept the first time. Raises as `ModelRequest.load` does.

        Raises ModelError if it is no longer the one that the run began with.
        """
        kept, self.kept = self.kept, None
        if isinstance(kept, AffectBenchError):
            raise kept
        if kept is not None:
            return kept
        model = self.request.load(self.scale, device, self.lr_size)
        if not self.spec.revision_lacks and model.spec.revision != self.spec.revision:
            raise ModelError(
                f"{self.request.argument}: is another model than when the run began: what it "
                "consists of was changed meanwhile; run the same command again"
            )
        return model

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "kept": None}


def open_model(
    request: ModelRequest,
    scale: int,
    lr_size: int = LR_SIZE,
    device: str | torch.device = "cpu",
) -> OpenedModel:
    """Find out who a model is, and build it if that takes it: on `device`, where it will run.

    A model that cannot be built has the revision of what is known of it, and fails when it is
    wanted.
    """
    spec = request.describe(scale)
    if not request.known_when_built:
        return OpenedModel(request, scale, lr_size, spec)
    try:
        model = request.load(scale, device, lr_size)
    except AffectBenchError as error:
        return OpenedModel(request, scale, lr_size, spec, error)
    return OpenedModel(request, scale, lr_size, model.spec, model)
