"""Our own judge's network, training parts and measures."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
import torch
from torch.nn import functional as F

from affectbench.faces.identity import MEAN_RGB, load_face_descriptor
from affectbench.judges.resnet_fer.augment import View, augment, blur, down_up, jpeg
from affectbench.judges.resnet_fer.config import load_config
from affectbench.judges.resnet_fer.measures import (
    accuracy,
    calibration_bins,
    confusion,
    expected_calibration_error,
    fit_temperature,
    mirror_disagreement,
    recalls,
)
from affectbench.judges.resnet_fer.network import ResNetFer
from affectbench.judges.resnet_fer.schedule import Progress, learning_rate, seconds_until


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_a_mirrored_face_has_the_same_features(generator: torch.Generator) -> None:
    model = ResNetFer(generator).eval()
    model.start_from_recogniser()
    with torch.no_grad():
        faces = torch.rand(4, 1, 48, 48, generator=generator)
        there, back = model.features(faces), model.features(faces.flip(3))
        upside_down = model.features(faces.flip(2))
        one_sided = model.one_sided(faces)
    assert torch.allclose(there, back, atol=1e-5)
    assert not torch.allclose(there, upside_down, atol=1e-2)
    assert not torch.allclose(there, one_sided, atol=1e-2)


def test_the_trunk_is_the_recognisers_on_grey_faces(generator: torch.Generator) -> None:
    model, source = ResNetFer(), load_face_descriptor(torch.device("cpu"))
    model.start_from_recogniser()
    grey = torch.rand(2, 1, 96, 96, generator=generator)
    with torch.no_grad():
        mean = torch.tensor(MEAN_RGB).view(1, 3, 1, 1)
        expected = source.blocks[0](source.stem(grey.expand(-1, 3, -1, -1) - mean).relu())
        found = model.blocks[0](model.stem(grey).relu())
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_frozen_trunk_takes_no_gradient() -> None:
    model = ResNetFer()
    model.freeze_trunk(2)
    trained = {
        n.split(".")[1] for n, p in model.blocks.named_parameters(prefix="b") if p.requires_grad
    }
    assert trained == {str(i) for i in range(2, len(model.blocks))}
    assert not model.stem.weight.requires_grad
    assert model.head.weight.requires_grad


def test_the_configured_network_is_small_enough() -> None:
    assert sum(p.numel() for p in ResNetFer().parameters()) <= 3_000_000


def test_exposure_and_contrast_do_not_matter(generator: torch.Generator) -> None:
    model = ResNetFer(generator).eval()
    model.start_from_recogniser()
    faces = 0.3 + 0.4 * torch.rand(2, 1, 48, 48, generator=generator)
    with torch.no_grad():
        plain, changed = model(faces), model(faces * 1.2 - 0.1)
        flat = model(torch.full((1, 1, 48, 48), 0.5))
    assert torch.allclose(plain, changed, atol=0.05)
    assert flat.isfinite().all()


def test_augmentation_is_reproducible_and_in_range(generator: torch.Generator) -> None:
    faces = torch.rand(32, 1, 48, 48, generator=generator)
    config, view = load_config().augment, View(1.0, 40, 0.9)
    one, two = (augment(faces, view, config, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == (32, 1, 40, 40)
    assert torch.equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 1
    assert not torch.equal(one, augment(faces, view, config, torch.Generator().manual_seed(4)))


def test_degradations_take_detail_away(generator: torch.Generator) -> None:
    faces = torch.rand(2, 1, 48, 48, generator=generator)
    for changed in (down_up(faces, 12), blur(faces, 1.5), jpeg(faces[0], 20)[None]):
        assert changed.std() < faces.std()
    assert torch.allclose(blur(torch.full((1, 1, 48, 48), 0.25), 2.0), torch.tensor(0.25))


def test_measures_on_a_case_done_by_hand() -> None:
    logits = torch.zeros(4, 7)
    logits[0, 0] = logits[1, 1] = logits[2, 1] = logits[3, 2] = math.log(6)
    labels = torch.tensor([0, 1, 2, 2])
    assert accuracy(logits, labels) == 0.75
    counts = confusion(logits, labels)
    assert counts[2, 1] == 1
    assert recalls(counts)[:3].tolist() == [1.0, 1.0, 0.5]
    table = calibration_bins(F.softmax(logits, dim=1), labels)
    assert table[:, 0].sum() == 4
    # Confidence 6 / 12 everywhere, accuracy 3 / 4.
    assert expected_calibration_error(logits, labels) == pytest.approx(0.25)


def test_the_fitted_temperature_is_the_one_that_was_used(generator: torch.Generator) -> None:
    logits = torch.randn(20_000, 7, generator=generator) * 2
    labels = torch.multinomial(F.softmax(logits / 1.7, dim=1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(1.7, rel=0.03)


def test_mirror_disagreement_of_equal_logits_is_zero(generator: torch.Generator) -> None:
    logits = torch.randn(5, 7, generator=generator)
    assert set(mirror_disagreement(logits, logits).values()) == {0.0}
    assert mirror_disagreement(logits, logits.flip(1))["max_logit_difference"] > 0


def test_the_learning_rate_falls_with_the_clock_and_the_steps() -> None:
    progress = Progress(total_steps=100, start=0.0, now=0.0, budget=1000.0)
    assert progress.update(step=10, now=50.0) == pytest.approx(0.1)
    assert progress.update(step=11, now=500.0) == pytest.approx(0.5)
    assert progress.update(step=12, now=400.0) == pytest.approx(0.5)  # never falls
    assert learning_rate(0.1, 1.0, 1000, 100) == pytest.approx(0.0)
    assert learning_rate(0.1, 0.0, 100, 100) == pytest.approx(0.1)
    assert learning_rate(0.1, 0.0, 0, 100) < 0.01


def test_a_clock_time_is_the_next_one() -> None:
    now = datetime(2026, 1, 1, 22, 0, 0)
    assert seconds_until("22:30", now) == 1800
    assert seconds_until("21:00", now) == 23 * 3600
