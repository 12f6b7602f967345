"""InceptionV3 as FID needs it: the network of torch-fidelity, with weights read as data."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import torch

from affectbench.assets.untrusted import read_weights
from affectbench.errors import MissingExtraError, WeightsError

CHUNK = 32
"""Images that the network sees at once: it enlarges each to 299x299."""
_LAYER = "2048"


def load_inception(weights: Path, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Features (N, 2048), after the last pooling, of uint8 images (N, 3, H, W) on `device`.

    The network enlarges images to 299x299 as TensorFlow 1 did. Raises WeightsError for a file that
    holds more than tensors or does not fit, and MissingExtraError without torch-fidelity.
    """
    try:
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError as error:
        raise MissingExtraError("features of InceptionV3", "distribution") from error
    # torch-fidelity unpickles whatever it is given: it gets a copy made of tensors alone.
    copy = io.BytesIO()
    torch.save(read_weights(weights), copy)
    copy.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # the weights it starts with are thrown away
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", [_LAYER], feature_extractor_weights_path=copy
            )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{weights}: does not fit InceptionV3 ({reason})") from error
    network = network.to(device).eval()

    def describe(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return torch.cat([network(chunk)[0] for chunk in torch.split(images, CHUNK)])

    return describe
