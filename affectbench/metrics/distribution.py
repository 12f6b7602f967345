"""Do the super-resolved faces as a set look like the originals? `fid`, `kid` and `fed`.

Each compares the features that a network gives of all SR faces with those of all HR faces. The
cells hold these features, so that a value can be made again without the network.

- `fid`: squared Frechet distance of InceptionV3's 2,048 features of the whole image, as
  `torch-fidelity` computes it. Under 2,048 faces the covariances have no full rank and the value
  depends on their number: a table says so, and `kid` stands beside it. No interval, no test: read
  those of `kid`.
- `kid`: squared maximum mean discrepancy of the same features with the kernel (u.v / 2048 + 1)^3,
  over the whole set, unbiased for a set and its results: a face is never set against its own
  result. (Version 1 did so, and was too small by about 2 / n of what they have in common: at 50
  faces through bicubic x2 by nine tenths.) Exchanging two models' results of a face only turns the
  sign of one term of their difference, so that its test by label swap has as many draws as any
  other.
- `kid-torch-fidelity`: the same with each face and its own result among the pairs, as
  `torch-fidelity` has it, and what its mean over random subsets estimates. For numbers to be set
  beside those of others: biased here, without interval and test.
- `fed`, the Frechet expression distance: the distance of `fid` on a judge's features of the face
  regions. It is not FID, and its numbers compare within one judge only. Its test is that of the
  jackknife in `distances.GROUPS` groups: a label swap would take the eigenvalues of two matrices
  each time.

A value says nothing of pairs: the anchor `wrong-face`, the same faces in another order, has 0, and
a `kid` a little below, since every face meets itself there as another's result.

Intervals are those of the jackknife over faces: how far the value moves with other faces.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch

from affectbench.assets.untrusted import read_weights
from affectbench.errors import AffectBenchError, MissingExtraError, WeightsError
from affectbench.faces.regions import CROP_VERSION
from affectbench.images.tensors import unit_range
from affectbench.metrics import assets
from affectbench.metrics.base import undisturbed
from affectbench.metrics.distances import pack
from affectbench.metrics.ecm import face_features, judged
from affectbench.types import Columns, FeatureJudge, Judge, MetricSettings

CHUNK = 32
"""Images that InceptionV3 sees at once: it enlarges each to 299x299."""
_LAYER = "2048"

Describe = Callable[[torch.Tensor], torch.Tensor]
"""Features (N, D) of uint8 images (N, 3, H, W), on any device."""


class FeatureMetric:
    """Features of HR and SR side by side, on uint8 images (N, 3, H, W)."""

    def __init__(self, describe: Describe, device: torch.device) -> None:
        self._describe, self._device = describe, device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Features (N, D) of the HR faces, computed once for all models."""
        return self._describe(hr.to(self._device)).float().cpu()

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """`features_hr` and `features_sr`: a vector of bytes for each image."""
        return {
            "features_hr": pack(reference.numpy()),
            "features_sr": pack(self.reference(sr).numpy()),
        }


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
        with undisturbed(images.device):
            return torch.cat([network(chunk)[0] for chunk in torch.split(images, CHUNK)])

    return describe


def build_inception(
    settings: MetricSettings,  # noqa: ARG001
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> FeatureMetric:
    """Return the features that `fid` and `kid` are made of."""
    assets.require_inception()
    return FeatureMetric(load_inception(assets.INCEPTION.verified()[0], device), device)


def identify_inception(_settings: MetricSettings) -> Mapping[str, Any]:
    """InceptionV3's weights, the layer, and the package that has the network."""
    assets.require_inception()
    weights = assets.INCEPTION.verified()[1]
    return {"weights": weights, "features": 2048, "package": version("torch-fidelity")}


def build_fed(settings: MetricSettings, judge: Judge | None, device: torch.device) -> FeatureMetric:
    """Return the features of the face regions by a judge that gives some."""
    if judge is None or not judge.spec.features:
        raise AffectBenchError("metric 'fed' needs a judge that gives features")
    found, framing = cast(FeatureJudge, judge), settings.framing
    return FeatureMetric(lambda x: face_features(found, unit_range(x), framing), device)


def identify_fed(settings: MetricSettings) -> Mapping[str, Any]:
    """The judge and the region, which is `crop/1` whatever region ECM is taken on."""
    return judged(replace(settings, crop=CROP_VERSION))
