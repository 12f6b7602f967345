"""Do the super-resolved faces as a set look like the originals? `fid`, `kid` and `fed`.

Each compares a network's features of all SR faces with those of all HR faces. Cells store these
features, so that a value can be recomputed without the network.

- `fid`: squared Frechet distance of InceptionV3's 2,048 features of the whole image, as
  `torch-fidelity` computes it. With fewer than 2,048 faces the covariances are rank-deficient and
  the value depends on the number of faces: tables say so, and show `kid` next to it. It has no
  interval and no test: use those of `kid`.
- `kid`: squared maximum mean discrepancy of the same features with the kernel (u.v / 2048 + 1)^3,
  over the whole set, unbiased for paired sets: a face is never compared with its own result.
  (Version 1 did compare them, and was too small by about 2 / n of what they have in common: by
  nine tenths for 50 faces through bicubic x2.) Swapping two models' results for a face only flips
  the sign of one term of their difference, so its label-swap test has as many draws as any other.
- `kid-torch-fidelity`: the same, including the pairs of each face with its own result, as
  `torch-fidelity` defines it; this is what its mean over random subsets estimates. Use it to
  compare with published numbers. It is biased for paired sets, and has no interval or test.
- `fed`, the Frechet expression distance: the distance of `fid` on a judge's features of the face
  regions. It is not FID, and its numbers are comparable within one judge only. Its test is the
  jackknife over `distances.GROUPS` groups: every label swap would need the eigenvalues of two
  matrices.

These metrics ignore the pairing: the anchor `wrong-face`, the same faces in another order, has 0,
and a `kid` slightly below 0, since every face occurs there as the result of another.

Intervals are jackknife intervals over faces: how much the value would vary with other faces.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch

from affectbench.assets.untrusted import read_weights
from affectbench.errors import AffectBenchError, MissingExtraError, WeightsError
from affectbench.images.tensors import unit_range
from affectbench.metrics import assets
from affectbench.metrics.base import undisturbed
from affectbench.metrics.distances import pack
from affectbench.metrics.ecm import face_features
from affectbench.types import Columns, FeatureJudge, Judge, MetricSettings

CHUNK = 32
"""Images per InceptionV3 batch: it enlarges each to 299x299."""
_LAYER = "2048"

Describe = Callable[[torch.Tensor], torch.Tensor]
"""A function that returns features (N, D) of uint8 images (N, 3, H, W), on any device."""


class FeatureMetric:
    """Features of HR and SR side by side, for uint8 images (N, 3, H, W)."""

    def __init__(self, describe: Describe, device: torch.device) -> None:
        self._describe, self._device = describe, device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Return features (N, D) of the HR faces, computed once for all models."""
        return self._describe(hr.to(self._device)).float().cpu()

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """Return `features_hr` and `features_sr`: one vector, as bytes, per image."""
        return {
            "features_hr": pack(reference.numpy()),
            "features_sr": pack(self.reference(sr).numpy()),
        }


def load_inception(weights: Path, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that computes InceptionV3 features (N, 2048) of uint8 images (N, 3, H, W).

    The features are those after the last pooling, computed on `device`. The network enlarges images
    to 299x299 as TensorFlow 1 did. Raises WeightsError for a file that holds anything but tensors
    or does not fit, and MissingExtraError without torch-fidelity.
    """
    try:
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError as error:
        raise MissingExtraError("features of InceptionV3", "distribution") from error
    # torch-fidelity unpickles any file it gets, so pass it a copy that holds only tensors.
    copy = io.BytesIO()
    torch.save(read_weights(weights), copy)
    copy.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # the initial random weights are discarded
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", [_LAYER], feature_extractor_weights_path=copy
            )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{weights}: does not fit InceptionV3 ({reason})") from error
    network = network.to(device).eval()

    def describe(images: torch.Tensor) -> torch.Tensor:
        with undisturbed(images.device):
            return torch.cat([network(chunk)[0] for chunk in torch.split(images, CHUNK)])

    return describe


def build_inception(
    settings: MetricSettings,  # noqa: ARG001
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> FeatureMetric:
    """Return the feature metric behind `fid` and `kid`."""
    return FeatureMetric(load_inception(assets.INCEPTION.verified()[0], device), device)


def identify_inception(_settings: MetricSettings) -> Mapping[str, Any]:
    """Return InceptionV3's weights, the layer, and the package that defines the network."""
    weights = assets.INCEPTION.verified()[1]
    return {"weights": weights, "features": 2048, "package": version("torch-fidelity")}


def build_fed(settings: MetricSettings, judge: Judge | None, device: torch.device) -> FeatureMetric:
    """Return the face-region features of a judge that provides them."""
    if judge is None or not judge.spec.features:
        raise AffectBenchError("metric 'fed' needs a judge that gives features")
    found, framing = cast(FeatureJudge, judge), settings.framing
    return FeatureMetric(lambda x: face_features(found, unit_range(x), framing), device)
