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
  faces through bicubic x2 by nine tenths.) Exchanging two
  models' results of a face only turns the sign of one term of their difference, so that its test
  by label swap has as many draws as any other.
- `kid-torch-fidelity`: the same with each face and its own result among the pairs, as
  `torch-fidelity` has it, and what its mean over random subsets estimates. For numbers to be set
  beside those of others: biased here, without interval and test.
- `fed`, the Frechet expression distance: the distance of `fid` on a judge's features of the face
  regions. It is not FID, and its numbers compare within one judge only. Its test is that of the
  jackknife in `GROUPS` groups: a label swap would take the eigenvalues of two matrices each time.

A value says nothing of pairs: the anchor `wrong-face`, the same faces in another order, has 0, and
a `kid` a little below, since every face meets itself there as another's result.

Intervals are those of the jackknife over faces: how far the value moves with other faces.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from affectbench.errors import MissingExtraError
from affectbench.faces.regions import CROP_VERSION
from affectbench.metrics.assets import INCEPTION
from affectbench.metrics.distances import (
    frechet_distance,
    kernel_difference,
    kernel_sums,
)
from affectbench.metrics.emotion import judged
from affectbench.metrics.vectors import unpack
from affectbench.stats import MIN_N, jackknife_interval, jackknife_p, sign_flip_p
from affectbench.types import (
    Columns,
    ImageMetric,
    Judge,
    JudgeSpec,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
)

if TYPE_CHECKING:
    import torch

EXTRA = "distribution"
IMPORTS = ("torch_fidelity", "torchvision", "tqdm")
GROUPS = 20
"""Groups of faces that the jackknife of `fed` leaves out, one after the other."""
_FEW_FID, _FEW_FED = 2048, 1000


def require_inception() -> None:
    """MissingExtraError without torch-fidelity, AssetMissingError without InceptionV3's weights."""
    if any(importlib.util.find_spec(name) is None for name in IMPORTS):
        raise MissingExtraError("features of InceptionV3, for 'fid' and 'kid',", EXTRA)
    INCEPTION.require()


def _identify_inception(_settings: MetricSettings) -> Mapping[str, Any]:
    require_inception()
    weights = INCEPTION.verified()[1]
    return {"weights": weights, "features": 2048, "package": version("torch-fidelity")}


def _build_inception(
    settings: MetricSettings,  # noqa: ARG001
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.metrics.features_metric import FeatureMetric
    from affectbench.metrics.inception import load_inception

    require_inception()
    network = load_inception(INCEPTION.verified()[0], device)
    return FeatureMetric(network, device)


def _identify_fed(settings: MetricSettings) -> Mapping[str, Any]:
    return judged(replace(settings, crop=CROP_VERSION))  # whatever region ECM is taken on


def _build_fed(settings: MetricSettings, judge: Judge | None, device: torch.device) -> ImageMetric:
    from affectbench.metrics.features_metric import FeatureMetric, judge_features

    return FeatureMetric(judge_features(judge, settings.framing), device)


def _without_features(judge: JudgeSpec) -> str:
    return "" if judge.features else f"judge '{judge.name}' gives no features"


def _sides(columns: Columns) -> tuple[Any, Any]:
    return unpack(columns["features_hr"]), unpack(columns["features_sr"])


def _finish_fid(columns: Columns) -> Mapping[str, float]:
    hr, sr = _sides(columns)
    return {"value": frechet_distance(hr, sr), "low": math.nan, "high": math.nan, "n": len(hr)}


def _finish_kid(columns: Columns) -> Mapping[str, float]:
    hr, sr = _sides(columns)
    sums = kernel_sums(hr, sr)
    interval = jackknife_interval(sums.distance, sums.without_each())
    return {"value": sums.distance, "low": interval.low, "high": interval.high, "n": len(hr)}


def _finish_torch_fidelity(columns: Columns) -> Mapping[str, float]:
    hr, sr = _sides(columns)
    value = kernel_sums(hr, sr).unpaired
    return {"value": value, "low": math.nan, "high": math.nan, "n": len(hr)}


def _finish_fed(columns: Columns) -> Mapping[str, float]:
    hr, sr = _sides(columns)
    value = frechet_distance(hr, sr)
    rest = [frechet_distance(hr[keep], sr[keep]) for keep in _left_in(len(hr))]
    interval = jackknife_interval(value, rest)
    return {"value": value, "low": interval.low, "high": interval.high, "n": len(hr)}


def _left_in(n: int) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Masks (n,) that leave out one of the groups of faces each; none for too few faces."""
    groups = min(GROUPS, n)
    if n < MIN_N:
        return []
    return [np.arange(n) % groups != group for group in range(groups)]


def _compare_fid(a: Columns, b: Columns, _rng: np.random.Generator) -> Mapping[str, float]:
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    return _difference(frechet_distance(hr, ours) - frechet_distance(hr, theirs))


def _compare_kid(a: Columns, b: Columns, rng: np.random.Generator) -> Mapping[str, float]:
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    if len(hr) < 2:
        return _difference(math.nan)
    terms, rest = kernel_difference(hr, ours, theirs)
    value = float(terms.mean())
    interval = jackknife_interval(value, rest)
    return _difference(value, interval.low, interval.high, sign_flip_p(terms, rng))


def _compare_torch_fidelity(
    a: Columns, b: Columns, _rng: np.random.Generator
) -> Mapping[str, float]:
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    return _difference(kernel_sums(hr, ours).unpaired - kernel_sums(hr, theirs).unpaired)


def _compare_fed(a: Columns, b: Columns, _rng: np.random.Generator) -> Mapping[str, float]:
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    value = frechet_distance(hr, ours) - frechet_distance(hr, theirs)
    if len(hr) < MIN_N:
        return _difference(value)
    rest = [
        frechet_distance(hr[keep], ours[keep]) - frechet_distance(hr[keep], theirs[keep])
        for keep in _left_in(len(hr))
    ]
    interval = jackknife_interval(value, rest)
    return _difference(value, interval.low, interval.high, jackknife_p(value, rest))


def _difference(
    value: float, low: float = math.nan, high: float = math.nan, p: float = math.nan
) -> Mapping[str, float]:
    return {"diff": value, "diff_low": low, "diff_high": high, "p": p}


def _spec(
    name: str,
    title: str,
    source: str,
    few_faces: int,
    *,
    lowest: float = 0.0,
    version: str = "1",
    **more: Any,
) -> MetricSpec:
    return MetricSpec(
        name=name,
        version=version,
        title=title,
        kind="set",
        group="distribution",
        direction="lower",
        range=(lowest, math.inf),
        source=source,
        few_faces=few_faces,
        **more,
    )


FID = MetricPlugin(
    spec=_spec(
        "fid",
        "Frechet distance of InceptionV3's features",
        "Heusel et al., arXiv 1706.08500; features of torch-fidelity",
        _FEW_FID,
        per_judge=False,
        beside=("kid",),
    ),
    identify=_identify_inception,
    build=_build_inception,
    require=require_inception,
    finish=_finish_fid,
    difference=_compare_fid,
)

KID = MetricPlugin(
    spec=_spec(
        "kid",
        "Kernel distance of InceptionV3's features, unbiased for paired sets",
        "Binkowski et al., arXiv 1801.01401, over pairs of two faces; features of torch-fidelity",
        0,
        lowest=-math.inf,
        version="2",
        per_judge=False,
    ),
    identify=_identify_inception,
    build=_build_inception,
    require=require_inception,
    finish=_finish_kid,
    difference=_compare_kid,
)

KID_TORCH_FIDELITY = MetricPlugin(
    spec=_spec(
        "kid-torch-fidelity",
        "Kernel distance of InceptionV3's features as torch-fidelity has it",
        "Binkowski et al., arXiv 1801.01401; torch-fidelity, one subset of all faces",
        0,
        lowest=-math.inf,
        per_judge=False,
        beside=("kid",),
    ),
    identify=_identify_inception,
    build=_build_inception,
    require=require_inception,
    finish=_finish_torch_fidelity,
    difference=_compare_torch_fidelity,
)

FED = MetricPlugin(
    spec=_spec(
        "fed",
        "Frechet expression distance: of a judge's features",
        "our definition, after Heusel et al., arXiv 1706.08500",
        _FEW_FED,
        per_judge=True,
    ),
    identify=_identify_fed,
    build=_build_fed,
    unfit=_without_features,
    finish=_finish_fed,
    difference=_compare_fed,
)
