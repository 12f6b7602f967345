"""A model of a run: its spec, known before anything is computed, and the model on demand.

The spec of a `python:` model is known only once the model is built. It is built once and kept until
its first use; a model of any other kind is loaded on its first use.
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
    """A model loaded on demand. A pickled one is loaded again in the other process."""

    request: ModelRequest
    scale: int
    lr_size: int
    spec: ModelSpec
    kept: Model | StoredResults | AffectBenchError | None = None

    def load(self, device: torch.device) -> Model | StoredResults:
        """Return the kept model on the first call, else load it; errors as in `ModelRequest.load`.

        Raises ModelError if the model has changed since the run began.
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
    """Determine a model's spec, and build the model on `device` if the spec requires it.

    A model that cannot be built gets a revision from what is known of it, and fails on first use.
    """
    spec = request.describe(scale)
    if not request.known_when_built:
        return OpenedModel(request, scale, lr_size, spec)
    try:
        model = request.load(scale, device, lr_size)
    except AffectBenchError as error:
        return OpenedModel(request, scale, lr_size, spec, error)
    return OpenedModel(request, scale, lr_size, model.spec, model)
