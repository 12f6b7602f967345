"""LPIPS and DISTS as the runner calls them: what they see of the originals is kept for all rows."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from affectbench.images.tensors import require_same_shape, unit_range
from affectbench.metrics.pairs import pair_values, require_size
from affectbench.metrics.perceptual_networks import Dists, Features, Lpips
from affectbench.types import Columns, MetricSpec

KEPT_VALUES = 1 << 21
"""Values of images whose features are kept, at some 160 bytes each; more are computed anew."""


class PerceptualMetric:
    """A network's distance of uint8 images (N, 3, H, W), divided by 255."""

    def __init__(
        self, spec: MetricSpec, network: Lpips | Dists, device: torch.device, chunk_values: int
    ) -> None:
        self._spec, self._network = spec, network
        self._device, self._chunk_values = device, chunk_values

    def reference(self, hr: torch.Tensor) -> list[Features] | None:
        """The features of HR, chunk by chunk; None for more images than are kept."""
        require_size(self._spec, hr)
        if hr.numel() > KEPT_VALUES:
            return None
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            return [self._network.features(x) for x in self._chunks(hr)]

    def score(
        self, sr: torch.Tensor, hr: torch.Tensor, reference: list[Features] | None
    ) -> Columns:
        """One column, named like the metric."""
        require_same_shape(sr, hr)
        if reference is None:
            sr, hr = sr.to(self._device), hr.to(self._device)
            values = pair_values(self._spec, self._distance, sr, hr, self._chunk_values)
        else:
            values = self._compared(sr, reference)
        return {self._spec.name: values.cpu().numpy().astype(np.float64)}

    def _distance(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._network(unit_range(sr), unit_range(hr)))

    @torch.no_grad()
    def _compared(self, sr: torch.Tensor, reference: list[Features]) -> torch.Tensor:
        network, chunks = self._network, zip(self._chunks(sr), reference, strict=True)
        with torch.autocast(self._device.type, enabled=False):
            return torch.cat([network.compare(network.features(x), kept) for x, kept in chunks])

    def _chunks(self, images: torch.Tensor) -> list[torch.Tensor]:
        size = max(1, self._chunk_values // images[0].numel())
        return [unit_range(part) for part in torch.split(images.to(self._device), size)]
