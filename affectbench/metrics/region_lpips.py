"""From images to LPIPS over the masks of eyes and mouth."""

from __future__ import annotations

import torch

from affectbench.faces.landmarks import Landmarker
from affectbench.images.tensors import require_same_shape
from affectbench.metrics.pairs import require_size
from affectbench.metrics.perceptual import CHUNK_VALUES
from affectbench.metrics.perceptual_networks import Lpips, region_distances
from affectbench.metrics.region_kernels import reference_masks
from affectbench.types import Columns, MetricSpec

REGIONS = ("eyes", "mouth")


class RegionLpips:
    """LPIPS over regions, as the runner calls it: on uint8 images (N, 3, H, W)."""

    def __init__(
        self, whole: MetricSpec, network: Lpips, landmarker: Landmarker, device: torch.device
    ) -> None:
        self._whole, self._network = whole, network
        self._landmarker, self._device = landmarker, device

    def reference(self, hr: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each region's masks (N, H, W) on the HR images, empty for a face that is not found."""
        return reference_masks(self._landmarker, hr, REGIONS)

    def score(
        self, sr: torch.Tensor, hr: torch.Tensor, reference: dict[str, torch.Tensor]
    ) -> Columns:
        """A column for each region, named like its metric: float64, NaN for an empty mask."""
        require_same_shape(sr, hr)
        require_size(self._whole, hr)
        masks = torch.stack([reference[region] for region in REGIONS], 1).to(self._device)
        sr, hr = sr.to(self._device), hr.to(self._device)
        values = region_distances(self._network, sr, hr, masks, CHUNK_VALUES).cpu().numpy()
        return {f"{self._whole.name}_{name}": values[:, i] for i, name in enumerate(REGIONS)}
