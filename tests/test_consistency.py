"""emotion_consistency and the runner's metric, on images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_judge import TinyJudge, faces, unit

from affectbench import (
    EmotionConsistency,
    emotion_consistency,
    emotion_consistency_loss,
    load_judge,
)
from affectbench.errors import InputError, UnknownNameError
from affectbench.metrics.ecm import CHUNK, EcmMetric, ecm_parts
from affectbench.stats import bca_interval, shared_rng
from affectbench.types import EXPRESSIONS

JUDGE = TinyJudge()


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return faces(rng), faces(rng)


def test_is_the_definition_on_the_judges_logits(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    result = emotion_consistency(sr, hr, JUDGE)
    x0, x1 = round(0.15 * 40), round(0.85 * 40)
    logits = [JUDGE.logits(unit(images)[..., x0:x1, x0:x1]) for images in (hr, sr)]
    parts = ecm_parts(*logits)
    frame = result.to_frame()
    np.testing.assert_array_equal(frame["ecm"], parts.ecm)
    np.testing.assert_array_equal(frame["js"], parts.js)
    assert list(frame["label_hr"]) == [EXPRESSIONS[i] for i in parts.label_hr]
    assert list(frame["label_sr"]) == [EXPRESSIONS[i] for i in parts.label_sr]
    assert float(result) == pytest.approx(parts.ecm.mean().item(), abs=1e-15)


def test_table_is_consistent_with_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    frame = emotion_consistency(*pair, JUDGE).to_frame()
    names = ["ecm", "l_h", "l_conf", "label_hr", "label_sr", "agreement", "p_k", "q_k", "js"]
    assert list(frame.columns) == names
    assert len(frame) == 8
    np.testing.assert_allclose(frame["ecm"], 0.5 * frame["l_h"] + np.log(frame["l_conf"]))
    np.testing.assert_allclose(frame["l_conf"], 1.0 + (frame["p_k"] - frame["q_k"]).abs())
    assert (frame["agreement"] == (frame["label_hr"] == frame["label_sr"])).all()
    assert frame["agreement"].dtype == bool


def test_every_kind_of_input_gives_the_same_score(
    pair: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    sr, hr = pair
    expected = emotion_consistency(sr, hr, JUDGE).to_frame()
    paths = [tmp_path / f"{i}.png" for i in range(len(sr))]
    for path, image in zip(paths, sr, strict=True):
        Image.fromarray(image).save(path)
    for kind in (unit(sr), list(sr), list(unit(sr)), paths, [Image.open(p) for p in paths]):
        frame = emotion_consistency(kind, hr, JUDGE).to_frame()
        np.testing.assert_array_equal(frame["ecm"], expected["ecm"])
    for kind in (unit(sr)[3], sr[3], Image.fromarray(sr[3]), paths[3], str(paths[3])):
        one = emotion_consistency(kind, hr[3], JUDGE)
        assert len(one) == 1
        assert float(one) == pytest.approx(expected["ecm"][3], abs=1e-6)


@pytest.mark.parametrize("level", [0.3, 0.49])
def test_floats_are_rounded_to_8_bits(pair: tuple[np.ndarray, np.ndarray], level: float) -> None:
    """As PSNR, SSIM and LPIPS round them: a batch in memory has the ECM of its files."""
    sr, hr = pair
    judge = TinyJudge()
    exact = emotion_consistency(sr, hr, judge).to_frame()
    between = (unit(sr) + level / 255).clamp(max=1.0)
    found = emotion_consistency(between, unit(hr), judge).to_frame()
    pd.testing.assert_frame_equal(found, exact)
    streamed = EmotionConsistency(judge)
    streamed.update(between, unit(hr))
    assert float(streamed.compute()["ecm_mean"]) == pytest.approx(exact.ecm.mean(), abs=1e-12)
    as_given = emotion_consistency_loss(between, unit(hr), judge, reduction="none")
    of_levels = emotion_consistency_loss(unit(sr), unit(hr), judge, reduction="none")
    assert not torch.equal(as_given, of_levels)  # training sees the values as they are


def test_identical_images_score_exactly_zero(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, _ = pair
    result = emotion_consistency(sr, sr, JUDGE)
    assert float(result) == 0.0
    assert result.macro == 0.0
    assert result.to_frame()["agreement"].all()


def test_framing_decides_what_is_compared(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, hr = pair
    sr = hr.copy()
    sr[:, :5] = 255 - sr[:, :5]  # outside of the central box
    assert float(emotion_consistency(sr, hr, JUDGE)) == 0.0
    whole = emotion_consistency(sr, hr, JUDGE, framing="whole")
    assert float(whole) > 0.0
    assert whole.framing == "whole"
    logits = [JUDGE.logits(unit(images)) for images in (hr, sr)]
    np.testing.assert_array_equal(whole.to_frame()["ecm"], ecm_parts(*logits).ecm)


def test_settings_name_the_definition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    plain = emotion_consistency(*pair, JUDGE)
    assert (plain.definition, plain.judge, plain.framing) == ("ecm/1", "tiny", "centre")
    other = emotion_consistency(*pair, JUDGE, alpha=0.0, distance="hamming")
    assert other.definition == "ecm/1+alpha=0.0+distance=hamming".replace("0.0", "0")
    frame = other.to_frame()
    np.testing.assert_allclose(frame["ecm"], np.log(frame["l_conf"]))


def test_macro_and_intervals(rng: np.random.Generator) -> None:
    sr, hr = faces(rng, 80), faces(rng, 80)
    result = emotion_consistency(sr, hr, JUDGE, seed=3)
    frame = result.to_frame()
    groups = frame.groupby("label_hr")["ecm"]
    means = groups.mean()[groups.size() >= 10]
    assert 2 <= len(means) < frame["label_hr"].nunique()
    assert result.macro == pytest.approx(means.mean(), abs=1e-12)
    assert result.macro != pytest.approx(float(result), abs=1e-4)
    assert result.interval == bca_interval(frame["ecm"].to_numpy(), shared_rng(3, 80))
    assert result.interval.low < float(result) < result.interval.high
    assert result.macro_interval.low < result.macro < result.macro_interval.high
    assert result.macro_interval != result.interval


def test_small_batches_have_a_macro_but_no_interval(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    result = emotion_consistency(sr[:5], hr[:5], JUDGE)
    assert result.macro == float(result)
    assert math.isnan(result.interval.low)
    assert math.isnan(result.macro_interval.high)
    assert not math.isnan(emotion_consistency(sr[:6], hr[:6], JUDGE).interval.low)


def test_repr_says_what_was_measured(pair: tuple[np.ndarray, np.ndarray]) -> None:
    result = emotion_consistency(*pair, JUDGE)
    for part in (f"({float(result):.4f},", "n=8", "ecm/1", "judge='tiny'", "framing='centre'"):
        assert part in repr(result)


def test_large_batches_are_judged_in_chunks(rng: np.random.Generator) -> None:
    sr, hr = faces(rng, CHUNK + 3, 20), faces(rng, CHUNK + 3, 20)
    together = emotion_consistency(sr, hr, JUDGE).to_frame()["ecm"]
    alone = [float(emotion_consistency(a, b, JUDGE)) for a, b in zip(sr, hr, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_a_mixed_precision_context_does_not_change_the_score(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    expected = float(emotion_consistency(*pair, JUDGE))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(emotion_consistency(*pair, JUDGE)) == expected


def test_bad_input_is_refused(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    with pytest.raises(InputError, match="must be the same"):
        emotion_consistency(sr[:1], hr, JUDGE)
    with pytest.raises(InputError, match=r"sr: values lie in .* not in \[0, 1\]"):
        emotion_consistency(unit(sr) * 2 - 1, hr, JUDGE)
    with pytest.raises(InputError, match="hr: the tensor holds NaN"):
        emotion_consistency(sr, unit(hr) * math.nan, JUDGE)
    with pytest.raises(InputError, match="sr: the list is empty"):
        emotion_consistency([], hr, JUDGE)
    with pytest.raises(InputError, match=r"sr\[1\]: the image is 40x20 and sr\[0\] is 40x40"):
        emotion_consistency([sr[0], sr[1, :20]], hr[:2], JUDGE)
    with pytest.raises(InputError, match="alpha is -1"):
        emotion_consistency(sr, hr, JUDGE, alpha=-1.0)
    with pytest.raises(UnknownNameError, match="unknown framing 'center'"):
        emotion_consistency(sr, hr, JUDGE, framing="center")
    with pytest.raises(UnknownNameError, match="did you mean 'mini-xception'"):
        emotion_consistency(sr, hr, "mini-exception")


def test_a_judge_without_finite_logits_names_the_image(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    class Broken(TinyJudge):
        def logits(self, x: torch.Tensor) -> torch.Tensor:
            return super().logits(x) / (x.mean((1, 2, 3)) < 1.0)[:, None]

    sr, hr = pair
    sr[5] = 255
    with pytest.raises(InputError, match=r"sr: .* for image 5 of the batch"):
        emotion_consistency(sr, hr, Broken())


# the bundled judges


@pytest.mark.parametrize("name", ["mini-xception", "face-api"])
def test_bundled_judges_score_and_train(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    judge = load_judge(name)
    score = emotion_consistency(sr, hr, name)
    assert score.judge == name
    assert 0.0 < float(score) < 1.2
    assert float(emotion_consistency(hr, hr, name)) == 0.0
    start = unit(sr).requires_grad_()
    loss = emotion_consistency_loss(start, hr, judge)
    loss.backward()
    assert loss.item() == pytest.approx(float(score), abs=1e-4)
    assert start.grad.isfinite().all()
    assert start.grad.any()
    assert emotion_consistency_loss(start * math.nan, hr, judge).isnan()
    same = unit(hr).requires_grad_()
    emotion_consistency_loss(same, hr, judge).backward()
    assert same.grad.isfinite().all()


# the runner's metric


def test_runner_metric_gives_the_scores_of_the_function(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    sr, hr = pair
    tensors = [torch.from_numpy(images).permute(0, 3, 1, 2) for images in (sr, hr)]
    metric = EcmMetric(JUDGE, "celeba", torch.device("cpu"))
    columns = metric.score(tensors[0], tensors[1], metric.reference(tensors[1]))
    expected = emotion_consistency(sr, hr, JUDGE, framing="celeba")
    assert list(columns)[:9] == list(expected.to_frame().columns)
    assert list(columns)[9:] == [f"{side}_{name}" for side in "pq" for name in EXPRESSIONS]
    for name, values in columns.items():
        np.testing.assert_array_equal(values, expected.columns[name])
    stacked = np.stack([columns[f"p_{name}"] for name in EXPRESSIONS], axis=1)
    np.testing.assert_allclose(stacked.sum(1), 1.0, atol=1e-6)
    labels = [EXPRESSIONS[i] for i in stacked.argmax(1)]
    assert list(columns["label_hr"]) == labels
    np.testing.assert_allclose(columns["p_k"], stacked.max(1), atol=1e-7)


def test_runner_metric_judges_the_reference_once(pair: tuple[np.ndarray, np.ndarray]) -> None:
    seen: list[int] = []

    class Counting(TinyJudge):
        def logits(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return super().logits(x).requires_grad_()

    sr, hr = (torch.from_numpy(images).permute(0, 3, 1, 2) for images in pair)
    metric = EcmMetric(Counting(), "whole", torch.device("cpu"))
    reference = metric.reference(hr)
    for _model in range(3):
        columns = metric.score(sr, hr, reference)
    assert seen == [8] * 4
    assert columns["ecm"].dtype == np.float64


# real faces


@pytest.mark.shared
def test_orders_damage_on_real_faces(shared: Path) -> None:
    hr = [Image.open(path) for path in sorted((shared / "data/celeba").glob("*.jpg"))[:40]]

    def bicubic(scale: int) -> list[Image.Image]:
        small = [i.resize((128 // scale,) * 2, Image.Resampling.BICUBIC) for i in hr]
        return [i.resize((128, 128), Image.Resampling.BICUBIC) for i in small]

    for judge in ("mini-xception", "face-api"):
        scores = [
            float(emotion_consistency(sr, hr, judge)) for sr in (hr, *map(bicubic, (2, 4, 8)))
        ]
        assert scores[0] == 0.0
        assert scores == sorted(scores)
        assert scores[1] < 0.15
        assert scores[3] > 0.4
