"""emotion_consistency_loss: its value, its gradients, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_judge import OPAQUE, TinyJudge, faces, unit

from affectbench import emotion_consistency, emotion_consistency_loss
from affectbench.errors import InputError
from affectbench.faces.regions import crop

JUDGE = TinyJudge()


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return faces(rng), faces(rng)


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
        emotion_consistency_loss(unit(sr), hr, JUDGE, distance="hamming")  # type: ignore[call-arg]
