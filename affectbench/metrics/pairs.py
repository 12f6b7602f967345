"""Metrics of pairs of 8-bit images, as the runner and as users call them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from affectbench.errors import InputError
from affectbench.images.tensors import ImageLike, as_pair, require_same_shape
from affectbench.types import Columns, MetricSpec

CHUNK_VALUES = 1 << 22
"""Values that a measure sees at once, so that memory does not grow with the batch."""

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""SR and HR (N, 3, H, W), uint8, to one value per image (N,)."""


class PairMetric:
    """A measure as the runner calls it: on uint8 images (N, 3, H, W)."""

    def __init__(
        self,
        spec: MetricSpec,
        measure: Measure,
        device: torch.device,
        chunk_values: int = CHUNK_VALUES,
    ) -> None:
        self._spec = spec
        self._measure = measure
        self._device = device
        self._chunk_values = chunk_values

    def reference(self, hr: torch.Tensor) -> None:  # noqa: ARG002
        """Nothing: what depends on the HR images alone is as large as they are."""
        return

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: None) -> Columns:  # noqa: ARG002
        """One column, named like the metric."""
        sr, hr = sr.to(self._device), hr.to(self._device)
        values = pair_values(self._spec, self._measure, sr, hr, self._chunk_values)
        return {self._spec.name: values.cpu().numpy().astype(np.float64)}


def pair_values(
    spec: MetricSpec,
    measure: Measure,
    sr: torch.Tensor,
    hr: torch.Tensor,
    chunk_values: int = CHUNK_VALUES,
) -> torch.Tensor:
    """A measure (N,) of uint8 images (N, 3, H, W), in chunks and without gradient.

    A mixed-precision context of the caller is left out of it: it would change the numbers. Raises
    InputError if the shapes differ or the images are smaller than the spec says.
    """
    require_same_shape(sr, hr)
    require_size(spec, sr)
    images = max(1, chunk_values // sr[0].numel())
    chunks = zip(torch.split(sr, images), torch.split(hr, images), strict=True)
    with torch.no_grad(), torch.autocast(sr.device.type, enabled=False):
        return torch.cat([measure(x, y) for x, y in chunks])


def require_size(spec: MetricSpec, images: torch.Tensor) -> None:
    """InputError for images (N, C, H, W) that are smaller than the metric needs."""
    if gap := spec.size_gap(*images.shape[-2:]):
        raise InputError(gap)


def measured(
    spec: MetricSpec,
    measure: Measure,
    sr: ImageLike,
    hr: ImageLike,
    chunk_values: int = CHUNK_VALUES,
) -> torch.Tensor:
    """A measure of images as users pass them: float64."""
    return pair_values(spec, measure, *as_pair(sr, hr), chunk_values).double()
