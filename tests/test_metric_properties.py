"""What every metric of image pairs promises, in one table: a new metric is a new row.

Identical images have the best value; values lie in the metric's range; a symmetric metric gives
the same whichever image is the reference; an image has the value that it has alone; more noise is
worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from tiny_judge import TinyJudge

from affectbench.datasets import load_dataset
from affectbench.images.resizing import resize
from affectbench.images.tensors import stack
from affectbench.metrics import list_metrics, metric_plugin
from affectbench.metrics.selection import missing
from affectbench.types import ImageMetric, MetricPlugin, MetricSettings

CPU = torch.device("cpu")
LEVELS = (3.0, 12.0, 40.0)
"""Standard deviations of the noise, in 255ths."""


@dataclass(frozen=True)
class Row:
    """The value of identical images (None: it depends on them), and what does not hold."""

    best: float | None
    symmetric: bool = True
    ordered: bool = True
    """Whether each level of noise is worse than the one below, on either face."""


ROWS = {
    "agreement": Row(1.0, ordered=False),
    "arousal_drift": Row(0.0, ordered=False),
    "au_proxy": Row(0.0, symmetric=False, ordered=False),
    "confidence_drift": Row(0.0, symmetric=False, ordered=False),
    "dists": Row(0.0),
    "ecm": Row(0.0, symmetric=False, ordered=False),
    "facenet": Row(1.0),
    "gmsd": Row(0.0),
    "haarpsi": Row(1.0),
    "identity": Row(1.0),
    "js_divergence": Row(0.0, ordered=False),
    "lpips-alex": Row(0.0),
    "lpips-alex_eyes": Row(0.0, symmetric=False),
    "lpips-alex_mouth": Row(0.0, symmetric=False),
    "lpips-vgg": Row(0.0),
    "mae": Row(0.0),
    "ms_ssim": Row(1.0),
    "ms_ssim_small": Row(1.0),
    "niqe": Row(None, symmetric=False),
    "nme": Row(0.0, symmetric=False, ordered=False),
    "psnr": Row(math.inf),
    "psnr_eyes": Row(math.inf, symmetric=False),
    "psnr_mouth": Row(math.inf, symmetric=False),
    "ssim": Row(1.0),
    "ssim_eyes": Row(1.0, symmetric=False),
    "ssim_mouth": Row(1.0, symmetric=False),
    "valence_drift": Row(0.0, ordered=False),
    "vif": Row(1.0, symmetric=False),
}


@cache
def noisy(level: float, side: int) -> torch.Tensor:
    """The two demo faces with noise; of level 0, as they are."""
    dataset = load_dataset("demo")
    faces = stack([resize(dataset.read(n), side, side, "pil-bicubic") for n in dataset.ids])
    noise = np.random.default_rng(3).normal(0.0, 1.0, faces.shape)
    return (faces + level * torch.from_numpy(noise)).clamp(0, 255).round().to(torch.uint8)


@cache
def built(name: str) -> tuple[MetricPlugin, ImageMetric]:
    """The metric, with a judge if it needs one; skipped if it needs more than the tiny judge."""
    plugin = metric_plugin(name)
    judge = TinyJudge() if plugin.spec.per_judge else None
    if judge and plugin.unfit(judge.spec):
        pytest.skip(plugin.unfit(judge.spec))
    spec = judge.spec if judge else None
    settings = MetricSettings(convention="rgb", scale=4, framing="centre", judge=spec)
    return plugin, plugin.build(settings, judge, CPU)


def values(name: str, sr: torch.Tensor, hr: torch.Tensor) -> np.ndarray:
    """The metric's value of each pair."""
    plugin, metric = built(name)
    columns = plugin.derive(metric.score(sr, hr, metric.reference(hr)))
    assert columns[name].shape == (len(sr),)
    return columns[name].astype(np.float64)


@cache
def of_noise(name: str, level: float) -> np.ndarray:
    """The metric's values of the faces with noise against the faces themselves."""
    return values(name, noisy(level, side_of(name)), noisy(0.0, side_of(name)).clone())


def side_of(name: str) -> int:
    """A side that is enough for the metric, and for faces to be found."""
    return max(96, metric_plugin(name).spec.min_size)


@pytest.fixture(params=ROWS)
def name(request: pytest.FixtureRequest) -> str:
    """A metric that can be computed here."""
    if missing(request.param):
        pytest.skip(missing(request.param))
    return str(request.param)


def test_every_metric_of_an_image_has_a_row() -> None:
    image = {spec.name for spec in list_metrics() if spec.kind == "image"}
    assert image - set(ROWS) == set(), "add a Row to ROWS for each of these"
    assert set(ROWS) - image == set(), "no such metric is installed: is it in pyproject.toml?"


def test_identical_images_have_the_best_value(name: str) -> None:
    best = ROWS[name].best
    if best is not None:
        assert of_noise(name, 0.0).tolist() == [best] * 2


def test_values_lie_in_the_range(name: str) -> None:
    low, high = metric_plugin(name).spec.range
    faces = noisy(0.0, side_of(name))
    for found in (*(of_noise(name, x) for x in LEVELS), values(name, faces.flip(0), faces)):
        assert ((found >= low) & (found <= high)).all()


def test_either_image_may_be_the_reference(name: str) -> None:
    faces = noisy(0.0, side_of(name))
    others = (noisy(12.0, side_of(name)), faces.flip(0), 255 - faces)
    pairs = ((values(name, x, faces), values(name, faces, x)) for x in others)
    same = all(np.allclose(there, back, rtol=0, atol=1e-6) for there, back in pairs)
    assert same == ROWS[name].symmetric


def test_an_image_has_the_value_that_it_has_alone(name: str) -> None:
    sr, hr = noisy(12.0, side_of(name)), noisy(0.0, side_of(name))
    alone = [values(name, sr[i : i + 1], hr[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(of_noise(name, 12.0), alone, rtol=0, atol=1e-4)


def test_more_noise_is_worse(name: str) -> None:
    if not ROWS[name].ordered:
        pytest.skip("a network's answer, which noise need not make worse on each face")
    found = np.stack([of_noise(name, level) for level in LEVELS])
    sign = 1 if metric_plugin(name).spec.direction == "lower" else -1
    assert (sign * np.diff(found, axis=0) > 0).all()
