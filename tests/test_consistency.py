"""emotion_consistency, its loss, and the runner's metric, on images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_judge import OPAQUE, TinyJudge

from affectbench import emotion_consistency, emotion_consistency_loss, load_judge
from affectbench.errors import InputError, UnknownNameError
from affectbench.faces.regions import crop
from affectbench.metrics.ecm import ecm_parts
from affectbench.metrics.ecm_metric import CHUNK, EcmMetric
from affectbench.stats import bca_interval
from affectbench.types import EXPRESSIONS

JUDGE = TinyJudge()


def faces(rng: np.random.Generator, n: int = 8, size: int = 40) -> np.ndarray:
    """Patchy uint8 images (N, size, size, 3), so that the judge's labels vary."""
    coarse = rng.integers(0, 256, (n, 5, 5, 3), dtype=np.uint8)
    return coarse.repeat(size // 5, axis=1).repeat(size // 5, axis=2)


def unit(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0


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
    assert result.interval == bca_interval(frame["ecm"].to_numpy(), np.random.default_rng(3))
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


# the loss


def test_loss_is_close_to_the_score(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    result = emotion_consistency(sr, hr, JUDGE)
    each = emotion_consistency_loss(unit(sr), hr, JUDGE, reduction="none")
    np.testing.assert_allclose(each, result.to_frame()["ecm"], rtol=0, atol=1e-4)
    mean = emotion_consistency_loss(unit(sr), hr, JUDGE)
    total = emotion_consistency_loss(unit(sr), hr, JUDGE, reduction="sum")
    assert float(mean) == pytest.approx(float(result), abs=1e-4)
    torch.testing.assert_close(total, each.sum())


def test_loss_takes_alpha_and_framing(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    loss = emotion_consistency_loss(unit(sr), hr, JUDGE, alpha=2.0, framing="whole")
    score = emotion_consistency(sr, hr, JUDGE, alpha=2.0, framing="whole")
    assert float(loss) == pytest.approx(float(score), abs=1e-4)


def test_loss_gradient_agrees_with_a_finite_difference(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    sr, hr = (unit(images) * 0.8 + 0.1 for images in pair)
    sr.requires_grad_()
    emotion_consistency_loss(sr, hr, JUDGE).backward()
    step = 1e-2 * sr.grad / sr.grad.norm()
    ahead, behind = (emotion_consistency_loss(sr.detach() + s, hr, JUDGE) for s in (step, -step))
    assert float(ahead - behind) / 0.02 == pytest.approx(float(sr.grad.norm()), rel=1e-2)
    border = torch.ones_like(sr, dtype=torch.bool)
    crop(border, "centre")[:] = False
    assert not sr.grad[border].any()
    assert sr.grad[~border].all()


def test_descending_the_loss_lowers_the_score(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = (unit(images) for images in pair)
    start = float(emotion_consistency(sr, hr, JUDGE))
    sr = sr.clone().requires_grad_()
    optimizer = torch.optim.Adam([sr], lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        emotion_consistency_loss(sr, hr, JUDGE).backward()
        optimizer.step()
    assert float(emotion_consistency(sr.detach().clamp(0, 1), hr, JUDGE)) < 0.5 * start


def test_loss_of_identical_images_has_gradient_zero(pair: tuple[np.ndarray, np.ndarray]) -> None:
    hr = unit(pair[1])
    sr = hr.clone().requires_grad_()
    emotion_consistency_loss(sr, hr, JUDGE).backward()
    assert torch.equal(sr.grad, torch.zeros_like(sr))


def test_loss_accepts_overshoot_with_its_gradient(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = (unit(images) for images in pair)
    sr = (3.0 * sr - 1.0).requires_grad_()
    emotion_consistency_loss(sr, hr, JUDGE).backward()
    outside = crop((sr < 0) | (sr > 1), "centre")
    assert outside.any()
    assert crop(sr.grad, "centre")[outside].all()


def test_loss_lets_nan_through_and_needs_no_gradient_of_hr(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    sr, hr = (unit(images).requires_grad_() for images in pair)
    emotion_consistency_loss(sr, hr, JUDGE).backward()
    assert hr.grad is None
    assert emotion_consistency_loss(sr * math.nan, hr, JUDGE).isnan()


def test_loss_computes_in_float32_under_autocast(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = (unit(images) for images in pair)
    expected = emotion_consistency_loss(sr, hr, JUDGE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(emotion_consistency_loss(sr, hr, JUDGE), expected)
    half = sr.bfloat16().requires_grad_()
    loss = emotion_consistency_loss(half, hr, JUDGE)
    loss.backward()
    assert loss.dtype == torch.float32
    assert half.grad.isfinite().all()


def test_loss_refuses_what_cannot_be_trained(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    with pytest.raises(InputError, match="judge 'opaque' gives no gradients"):
        emotion_consistency_loss(unit(sr), hr, OPAQUE)
    with pytest.raises(InputError, match="sr: a ndarray has no gradient"):
        emotion_consistency_loss(sr, hr, JUDGE)
    with pytest.raises(InputError, match=r"sr: a torch.uint8 tensor has no gradient"):
        emotion_consistency_loss((unit(sr) * 255).byte(), hr, JUDGE)
    with pytest.raises(InputError, match="must be the same"):
        emotion_consistency_loss(unit(sr)[:1], hr, JUDGE)
    with pytest.raises(InputError, match="sr: the tensor has the shape"):
        emotion_consistency_loss(unit(sr)[:, :1], hr, JUDGE)
    with pytest.raises(InputError, match=r"hr: values lie in"):
        emotion_consistency_loss(unit(sr), unit(hr) * 2 - 1, JUDGE)
    with pytest.raises(InputError, match="unknown reduction 'max'"):
        emotion_consistency_loss(unit(sr), hr, JUDGE, reduction="max")
    with pytest.raises(TypeError, match="distance"):
        emotion_consistency_loss(unit(sr), hr, JUDGE, distance="hamming")


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
    columns = metric.score(*tensors, metric.reference(tensors[1]))
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
