"""LPIPS where expressions live: `lpips-alex_eyes` and `lpips-alex_mouth`.

The mean of LPIPS' map of distances over the region's mask (`perceptual.lpips_over`), drawn from the
landmarks of the reference as for `psnr_eyes` (`region_fidelity`). The network sees the whole face.
A face whose landmarks are not found on the reference, or whose mask is empty, has no value (NaN)
and is counted. Both regions come from one pass of the network.

A pixel's distance depends on its surroundings, so that damage outside of a mask counts as well,
less the further away it is: read it beside `psnr_eyes`, which ends at the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from affectbench.faces.landmark_points import landmarks_record
from affectbench.metrics.perceptual import LPIPS_ALEX
from affectbench.metrics.region_fidelity import MASKS_VERSION, Region
from affectbench.types import Columns, ImageMetric, Judge, MetricPlugin, MetricSettings

if TYPE_CHECKING:
    import torch


def identify(settings: MetricSettings) -> Mapping[str, Any]:
    """The network's weights, and how masks are made."""
    return {
        **LPIPS_ALEX.identify(settings),
        **landmarks_record(settings.framing),
        "masks": MASKS_VERSION,
    }


def _build(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.faces.landmarks import landmarker
    from affectbench.metrics.perceptual import load_network
    from affectbench.metrics.region_lpips import RegionLpips

    network = load_network(LPIPS_ALEX, device)
    return RegionLpips(LPIPS_ALEX.spec, network, landmarker(settings.framing, device), device)


def _own(name: str) -> Callable[[Columns], Columns]:
    def derive(columns: Columns) -> Columns:
        return {name: columns[name]}

    return derive


def _plugin(region: Region, title: str) -> MetricPlugin:
    """LPIPS of a region, from the metric of the whole image."""
    name = f"{LPIPS_ALEX.spec.name}_{region}"
    spec = replace(LPIPS_ALEX.spec, name=name, version="1", title=title)
    return MetricPlugin(spec, identify, _build, require=LPIPS_ALEX.require, derive=_own(name))


LPIPS_ALEX_EYES = _plugin("eyes", "LPIPS of AlexNet, of the eyes with their lids")
LPIPS_ALEX_MOUTH = _plugin("mouth", "LPIPS of AlexNet, of the mouth")
