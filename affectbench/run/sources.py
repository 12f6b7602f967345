"""Sources of a row's SR faces, batch by batch: a model, stored results, or an anchor."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from affectbench.adapters.contract import checked_sr
from affectbench.adapters.identity import Watched
from affectbench.adapters.independence import require_independent
from affectbench.adapters.isolation import apply
from affectbench.datasets.pairs import FacePairs
from affectbench.errors import InputError, ModelError
from affectbench.images.reading import Pixels
from affectbench.images.tensors import pixels, quantise, stack, unit_range
from affectbench.metrics.cost import measure_cost
from affectbench.run.anchors import JPEG_QUALITY, derangement
from affectbench.run.pairing import checked_spec
from affectbench.run.plan import DatasetPlan
from affectbench.run.rows import Row
from affectbench.types import Model, ModelSpec, ResultsOfSets, StoredResults


@dataclass(frozen=True)
class Batch:
    """A batch of faces: uint8 HR (N, 3, H, W) and LR (N, 3, h, w)."""

    ids: tuple[str, ...]
    hr: torch.Tensor
    lr: torch.Tensor

    @cached_property
    def hr_pixels(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """HR as an array (N, H, W, 3)."""
        return pixels(self.hr)


@dataclass(frozen=True)
class Produced:
    """SR faces (M, 3, H, W) uint8 for the ids at `kept`; errors of the others; seconds used.

    `lacks` lists dependencies that the model's revision does not cover.
    """

    sr: torch.Tensor
    kept: tuple[int, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    lacks: str = ""


class FaceSource(Protocol):
    """Produces a row's SR faces. Raises ModelError if the row as a whole cannot continue."""

    @property
    def spec(self) -> ModelSpec:
        """The spec for the record."""
        ...

    def produce(self, batch: Batch) -> Produced:
        """Return the SR faces of a batch."""
        ...


def read_batch(pairs: FacePairs, ids: Sequence[str]) -> Batch:
    """Return the faces with these ids."""
    found = [pairs.read(image_id) for image_id in ids]
    return Batch(tuple(ids), stack([hr for hr, _ in found]), stack([lr for _, lr in found]))


class ModelSource:
    """A model: gets the LR faces and nothing else.

    A batch is compared with single faces unless the source `is_independent`; ModelError if a face
    depends on its batch.
    """

    def __init__(self, model: Model, scale: int, device: torch.device) -> None:
        self._model = model
        self._scale = scale
        self._device = device
        self.is_independent = False

    @property
    def spec(self) -> ModelSpec:
        """The model's spec, updated with everything observed during the run."""
        return self._model.final_spec() if isinstance(self._model, Watched) else self._model.spec

    def produce(self, batch: Batch) -> Produced:
        """Run the model; only the model itself is timed."""
        lr = unit_range(batch.lr).to(self._device)
        began = time.perf_counter()
        sr = checked_sr(self._model, lr, self._scale)
        shown = quantise(sr).cpu()
        seconds = time.perf_counter() - began
        if not self.is_independent:
            # Converted again, since a model may have modified its input in place.
            lr = unit_range(batch.lr).to(self._device)
            require_independent(self._model, lr, sr, self._scale)
            self.is_independent = True
        lacks = self._model.unforeseen if isinstance(self._model, Watched) else ""
        return Produced(shown, tuple(range(len(batch.ids))), {}, seconds, lacks)

    def cost(self, lr: torch.Tensor) -> dict[str, float]:
        """Return the model's cost for one uint8 LR face (1, 3, h, w): see `metrics.cost`."""
        try:
            return apply(measure_cost, self._model, unit_range(lr).to(self._device))
        except ModelError:  # all its faces are there: a missing cost must not lose them
            return {}


class StoredSource:
    """Stored results. A missing or invalid one fails alone; if all do, the row fails."""

    def __init__(self, results: StoredResults, spec: ModelSpec) -> None:
        self._results = results
        self.spec = spec

    def produce(self, batch: Batch) -> Produced:
        """Read the stored results of a batch."""
        found, kept, failed = [], [], {}
        height, width = batch.hr.shape[-2:]
        for index, image_id in enumerate(batch.ids):
            try:
                image = self._results.read(image_id)
                if image.shape[:2] != (height, width):
                    raise InputError(
                        f"{image_id}: the result has {image.shape[1]}x{image.shape[0]} pixels, "
                        f"its reference {width}x{height}"
                    )
            except InputError as error:
                failed[image_id] = str(error)
                continue
            found.append(image)
            kept.append(index)
        sr = stack(found) if found else batch.hr[:0]
        return Produced(sr, tuple(kept), failed)


class ReferenceSource:
    """The HR faces after JPEG compression."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def produce(self, batch: Batch) -> Produced:
        """Encode and decode each face."""
        return _all(batch, stack([_jpeg(image) for image in batch.hr_pixels]))


class WrongFaceSource:
    """For each face, another face of the set."""

    def __init__(self, spec: ModelSpec, plan: DatasetPlan) -> None:
        if len(plan.ids) < 2:
            raise ModelError("wrong-face needs at least two faces")
        self.spec = spec
        order = derangement(len(plan.ids), np.random.default_rng(plan.seed))
        self._answer = {plan.ids[i]: plan.ids[j] for i, j in enumerate(order)}
        self._pairs = plan.pairs

    def produce(self, batch: Batch) -> Produced:
        """Read the assigned faces."""
        return _all(batch, stack([self._pairs.read(self._answer[i])[0] for i in batch.ids]))


class OneFaceSource:
    """The same face of the set for every input."""

    def __init__(self, spec: ModelSpec, face: Pixels) -> None:
        self.spec = spec
        self._face = stack([face])

    def produce(self, batch: Batch) -> Produced:
        """Return the same face for each input of the batch."""
        return _all(batch, self._face.repeat(len(batch.ids), 1, 1, 1))


def load_source(row: Row, plan: DatasetPlan, device: torch.device) -> FaceSource:
    """Return the source of any row except `one-face`, which is chosen from results."""
    if row.model is None:
        if row.spec.name == "reference":
            return ReferenceSource(row.spec)
        return WrongFaceSource(row.spec, plan)
    loaded = row.model.load(device)
    if isinstance(loaded, StoredResults):
        if loaded.spec.revision != row.spec.revision:
            raise ModelError(f"{row.label}: results changed while the run was under way; run again")
        if isinstance(loaded, ResultsOfSets):
            loaded = loaded.of(plan.name, plan.ids)
        allowed = getattr(loaded, "mismatch_allowed", False)
        return StoredSource(loaded, loaded.spec if allowed else checked_spec(loaded, plan))
    return ModelSource(loaded, plan.protocol.scale, device)


def _all(batch: Batch, sr: torch.Tensor) -> Produced:
    return Produced(sr, tuple(range(len(batch.ids))))


def _jpeg(image: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return np.asarray(Image.open(buffer), dtype=np.uint8)
