"""Does an image look natural, whatever it shows? The plug-in `niqe`, which needs no reference.

It knows nothing of faces, and rewards texture that was made up: read it beside `lpips-alex` or
`psnr`. Below 192 pixels there are too few blocks for it to mean anything: there is no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from affectbench.metrics.assets import NIQE as NIQE_NUMBERS
from affectbench.types import (
    Columns,
    ImageMetric,
    Judge,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
)

if TYPE_CHECKING:
    import torch

    from affectbench.images.tensors import ImageLike


def niqe(image: ImageLike) -> torch.Tensor:
    """Natural image quality evaluator, one value per image, at least 0, lower is better.

    How far the statistics of local contrast are from those of natural photographs; about 3 to 6
    for good ones. Formula: `niqe_kernels`. `image` is an image or a batch as in
    `affectbench.metrics.fidelity.psnr`, of 192 pixels or more a side; floats are rounded to 8 bits.
    Gives float64 (N,), NaN for an image that is flat but for one block of 96x96 pixels. Raises
    InputError for images that cannot be used. Source: Mittal, Soundararajan and Bovik, "Making a
    completely blind image quality analyzer", IEEE SPL 20(3), 2013.
    """
    import torch

    from affectbench.images.tensors import as_batch, quantise
    from affectbench.metrics.niqe_kernels import niqe_values

    return torch.from_numpy(niqe_values(NIQE.spec, quantise(as_batch(image))))


def _identify(_settings: MetricSettings) -> Mapping[str, Any]:
    return {"numbers": NIQE_NUMBERS.source.sha256}


def _build(
    settings: MetricSettings,  # noqa: ARG001
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,  # noqa: ARG001
) -> ImageMetric:
    from affectbench.metrics.niqe_kernels import NiqeMetric

    return NiqeMetric(NIQE.spec)


def _of_originals(columns: Columns) -> Mapping[str, float]:
    """`niqe_hr`: the mean of the originals, which a model should come near to, not below."""
    values = np.asarray(columns["niqe_hr"], dtype=np.float64)
    values = values[~np.isnan(values)]
    return {"niqe_hr": float(values.mean()) if values.size else float("nan")}


NIQE = MetricPlugin(
    spec=MetricSpec(
        name="niqe",
        version="1",
        title="Natural image quality evaluator (no reference)",
        group="naturalness",
        direction="lower",
        range=(0.0, float("inf")),
        source="Mittal et al., IEEE SPL 20(3), 2013; numbers of BasicSR 1.4.2",
        min_size=192,
    ),
    identify=_identify,
    build=_build,
    summarise=_of_originals,
)
