"""What makes the judge `resnet-ferplus`: data, augmentation, training parts, measures."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import drawn_faces
from safetensors.torch import save_file
from tiny_judge import TinyJudge
from tools.judge.augment import AugmentConfig, View, augment, blur, down_up, jpeg
from tools.judge.calibration import fit_temperature, prior_of, without_prior
from tools.judge.candidates import add_rows
from tools.judge.checkpoints import network_of, read_state
from tools.judge.config import load_config
from tools.judge.data import load_split
from tools.judge.duplicates import SAME_PICTURE, similarity
from tools.judge.former import load_former
from tools.judge.measures import (
    accuracy_figures,
    agreement,
    classwise_ece,
    ecm_of_pairs,
    kl,
    mirror_disagreement,
    random_pairs,
    top_ece,
    vote_figures,
)
from tools.judge.schedule import Progress, learning_rate, seconds_until
from tools.judge.start import RECOGNISER, warm_start
from tools.judge.train import draw_epoch, pair_error, sampling_weights
from tools.study.judge_table import judge_row

from affectbench.faces.identity import MEAN_RGB, load_face_descriptor
from affectbench.judges.network_judge import coloured
from affectbench.judges.resnet_ferplus import ResNetFerPlus
from affectbench.metrics.ecm import ecm_parts
from affectbench.types import EXPRESSIONS

CLASSES = np.array(["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"])
COLUMNS = np.array(
    [
        *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"),
        *("contempt", "unknown", "NF"),
    ]
)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def smooth_faces(count: int, seed: int) -> torch.Tensor:
    """Unlike pictures (N,48,48) uint8 with as much local structure as faces have."""
    noise = torch.rand(count, 1, 48, 48, generator=torch.Generator().manual_seed(seed))
    return blur(noise, 1.5).sub(0.5).mul(6).sigmoid().mul(255).round().to(torch.uint8)[:, 0]


# Near-duplicates and data


def test_copies_are_found_and_others_are_not() -> None:
    originals, others = smooth_faces(6, 1), smooth_faces(40, 2)
    grey = originals.float()
    copies = {
        "equal": grey,
        "darker, less contrast": grey * 0.5 + 20,
        "mirrored": grey.flip(2),
        "shifted": grey.roll((2, -4), dims=(1, 2)),
        "compressed": torch.stack([jpeg(face[None] / 255, 40)[0] * 255 for face in grey]),
        "noisy": (grey + 6 * torch.randn(grey.shape, generator=torch.Generator())).clamp(0, 255),
    }
    for name, changed in copies.items():
        found = similarity(changed.round().to(torch.uint8), originals)
        assert (found > SAME_PICTURE).all(), name
    assert (similarity(others, originals) < SAME_PICTURE).all()


def test_a_flat_face_resembles_nothing() -> None:
    flat = torch.full((1, 48, 48), 128, dtype=torch.uint8)
    assert similarity(flat, smooth_faces(3, 1)).isfinite().all()
    assert similarity(flat, smooth_faces(3, 1)) < SAME_PICTURE


@pytest.fixture
def fer_folder(tmp_path: Path) -> Path:
    """FER2013 and FER+ of a few drawn faces; training face 0 is in the private test."""
    private = smooth_faces(2, 3)
    images = {
        "train": torch.cat([private[:1], smooth_faces(5, 4)]),
        "public_test": smooth_faces(2, 5),
        "private_test": private,
    }
    for name, faces in images.items():
        labels = np.zeros(len(faces), dtype=np.int64)
        np.savez(tmp_path / f"{name}.npz", images=faces.numpy(), labels=labels, classes=CLASSES)
    votes = np.zeros((6, 10), dtype=np.uint8)
    votes[0, 0] = votes[1, 1] = 10
    votes[2, [0, 4, 7, 8]] = 3, 3, 3, 1  # 6 of 10 for the seven
    votes[3, [0, 7]] = 4, 6  # mostly contempt
    votes[4, [3, 9]] = 5, 5  # just enough
    every = {"public_test": votes[1:3], "private_test": votes[1:3]}
    np.savez(tmp_path / "ferplus.npz", columns=COLUMNS, train=votes, **every)
    return tmp_path


def test_votes_become_shares_of_the_seven_expressions(fer_folder: Path) -> None:
    split = load_split(fer_folder, "train", fer_folder / "similarity.npz")
    assert split.counts == {
        "faces": 6,
        "resemble_a_test_face": 1,
        "without_votes": 1,
        "mostly_none_of_the_seven": 1,
        "kept": 3,
    }
    expected = torch.zeros(3, 7)
    expected[0, EXPRESSIONS.index("happy")] = 1.0
    expected[1, [EXPRESSIONS.index("neutral"), EXPRESSIONS.index("angry")]] = 0.5
    expected[2, EXPRESSIONS.index("sad")] = 1.0
    assert torch.equal(split.shares, expected)
    assert split.faces.shape == (3, 48, 48)


def test_the_private_test_is_left_whole(fer_folder: Path) -> None:
    split = load_split(fer_folder, "private_test", fer_folder / "similarity.npz")
    assert (split.counts["kept"], split.counts["resemble_a_test_face"]) == (2, 0)


# Measures


def test_ecm_of_pairs_is_the_librarys(generator: torch.Generator) -> None:
    first, second = (3 * torch.randn(50, 7, generator=generator).double() for _ in range(2))
    own = ecm_of_pairs(first.softmax(1).numpy(), second.softmax(1).numpy())
    assert np.allclose(own, ecm_parts(first, second).ecm.numpy(), atol=1e-12)


def test_figures_of_a_judge_that_gives_the_votes_themselves(generator: torch.Generator) -> None:
    shares = (4 * torch.randn(200, 7, generator=generator)).softmax(1)
    figures = vote_figures(shares.log(), shares)
    assert figures["spearman"] == pytest.approx(1.0)
    assert figures["accuracy"] == figures["balanced"] == 1.0
    assert figures["kl"] == pytest.approx(0.0, abs=1e-6)
    assert figures["hellinger"] == pytest.approx(0.0, abs=1e-3)
    assert figures["ece"] == pytest.approx(0.0, abs=1e-6)
    assert figures["ece_top"] == pytest.approx(0.0, abs=1e-6)


def test_figures_on_a_case_done_by_hand() -> None:
    votes = np.zeros((4, 7))
    votes[3, :2] = 0.5  # nobody agrees: counts for no accuracy
    p = np.full((4, 7), 0.05)
    p[[0, 1, 2, 3], [0, 1, 2, 3]] = 0.7
    votes[0] = np.eye(7)[0]
    votes[1] = votes[2] = np.eye(7)[1]
    found = accuracy_figures(p, votes)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["balanced"] == pytest.approx(0.75)  # recalls 1 and 1/2, no other class is there
    assert math.isnan(found["recall_sad"])
    assert kl(p[:1], votes[:1]) == pytest.approx(-math.log(0.7))
    # Confidence 0.7 four times; the first choice has 1, 1, 0 and 0 of the votes.
    assert top_ece(p, votes) == pytest.approx(0.2)
    assert 0.0 < classwise_ece(p, votes) < 0.2


def test_agreement_falls_with_noise(generator: torch.Generator) -> None:
    votes = (3 * torch.randn(300, 7, generator=generator)).softmax(1).double()
    near = (votes.log() + torch.randn(300, 7, generator=generator)).softmax(1)
    far = (votes.log() + 5 * torch.randn(300, 7, generator=generator)).softmax(1)
    pairs = random_pairs(300, 5_000)
    assert (pairs[0] != pairs[1]).all()
    values = [agreement(p.numpy(), votes.numpy(), pairs) for p in (votes, near, far)]
    assert values[0] > values[1] > values[2]


def test_mirror_disagreement_of_equal_logits_is_zero(generator: torch.Generator) -> None:
    logits = torch.randn(5, 7, generator=generator)
    assert set(mirror_disagreement(logits, logits).values()) == {0.0}
    assert mirror_disagreement(logits, logits.flip(1))["max_logit_difference"] > 0


def test_the_row_of_a_judge_on_labelled_faces() -> None:
    faces = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(3))
    judge = TinyJudge()
    p = judge.logits(faces).softmax(1)
    said = [judge.classes[k] for k in p.argmax(1).tolist()]
    row = judge_row(judge, faces, said)
    assert (row["judge"], row["temperature"]) == ("tiny", 1.0)
    assert row["accuracy"] == row["balanced_accuracy"] == row[f"recall_{said[0]}"] == 1.0
    # Each of the three is in a bin of its own, and right.
    assert row["ece"] == pytest.approx(1.0 - p.amax(1).mean().item())
    wrong = "fear" if "fear" not in said else "disgust"
    assert judge_row(judge, faces, [wrong, *said[1:]])["accuracy"] == pytest.approx(2 / 3)


# Calibration


def test_the_fitted_temperature_is_the_one_that_was_used(generator: torch.Generator) -> None:
    logits = torch.randn(2_000, 7, generator=generator) * 2
    assert fit_temperature(logits, (logits / 1.7).softmax(1)) == pytest.approx(1.7, rel=1e-3)


def test_without_the_whole_prior_the_mean_reading_is_uniform() -> None:
    prior = prior_of(torch.tensor([[0.5, 0.3, 0.2], [0.7, 0.1, 0.2]]))
    logits = prior.log().expand(4, -1)
    assert torch.allclose(without_prior(logits, prior, 1.0).softmax(1), torch.full((4, 3), 1 / 3))
    assert torch.equal(without_prior(logits, prior, 0.0), logits)


def test_a_candidate_scored_again_replaces_its_row(tmp_path: Path) -> None:
    table = tmp_path / "candidates.csv"
    add_rows([{"candidate": "a", "strength": 0.0, "spearman": 0.1}], table)
    add_rows([{"candidate": "b", "strength": 0.0, "spearman": 0.2}], table)
    add_rows([{"candidate": "a", "strength": 0.0, "spearman": 0.3}], table)
    lines = table.read_text(encoding="utf-8").split()
    assert lines == ["candidate,strength,spearman", "b,0.0,0.2", "a,0.0,0.3"]


# Training


def test_rare_expressions_are_drawn_more_often() -> None:
    shares = torch.zeros(100, 7)
    shares[:90, 4] = 1.0
    shares[90:, 1] = 1.0
    shares[:, [0, 2, 3, 5, 6]] = 1e-14
    weights = sampling_weights(shares, 0.5)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[95] / weights[0] == pytest.approx(3.0, rel=1e-3)  # the root of 90 / 10
    assert torch.allclose(sampling_weights(shares, 0.0), torch.ones(100))
    draws = torch.stack(
        [draw_epoch(weights, torch.Generator().manual_seed(s)) for s in range(40)]
    ).flatten()
    times = torch.bincount(draws, minlength=100) / 40
    assert times[90:].mean() == pytest.approx(weights[95].item(), rel=0.1)
    assert len(draws) == 40 * 100


def test_the_error_of_pairs_is_that_of_ecm(generator: torch.Generator) -> None:
    logits = torch.randn(6, 7, generator=generator, requires_grad=True)
    votes = torch.rand(6, 7, generator=generator).softmax(1)
    p, q = (x.detach().double().numpy() for x in (logits.softmax(1), votes))
    first, second = (x.ravel() for x in np.indices((6, 6)))
    wanted = (ecm_of_pairs(p[first], p[second]) - ecm_of_pairs(q[first], q[second])) ** 2
    error = pair_error(logits.softmax(1), votes)
    assert error.item() == pytest.approx(wanted.mean(), abs=1e-5)
    error.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert pair_error(votes, votes).item() == 0


def test_the_trunk_is_the_recognisers_on_grey_faces(generator: torch.Generator) -> None:
    model, source = ResNetFerPlus(), load_face_descriptor(torch.device("cpu"))
    warm_start(model, RECOGNISER, Path(), generator)
    grey = torch.rand(2, 1, 96, 96, generator=generator)
    with torch.no_grad():
        mean = torch.tensor(MEAN_RGB).view(1, 3, 1, 1)
        expected = source.blocks[0](source.stem(grey.expand(-1, 3, -1, -1) - mean).relu())
        found = model.blocks[0](model.stem(grey).relu())
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_run_starts_from_a_file_or_from_one_run_on_anothers_lower_blocks(
    tmp_path: Path, generator: torch.Generator
) -> None:
    given, other = ResNetFerPlus().state_dict(), ResNetFerPlus().state_dict()
    save_file(given, tmp_path / "old.safetensors")
    model = ResNetFerPlus()
    warm_start(model, str(tmp_path / "old.safetensors"), tmp_path, generator)
    assert all(torch.equal(given[k], v) for k, v in model.state_dict().items())
    for name, state in (("a", given), ("b", other)):
        (tmp_path / name).mkdir()
        torch.save({"ema": state}, tmp_path / name / "checkpoint.pt")
    warm_start(model, "a on b", tmp_path, generator)
    found = model.state_dict()
    assert torch.equal(found["blocks.3.conv1.weight"], other["blocks.3.conv1.weight"])
    assert torch.equal(found["blocks.4.conv1.weight"], given["blocks.4.conv1.weight"])


def test_the_former_judge_is_where_two_runs_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = Path(load_config.__code__.co_filename).parent / "configs"
    starts = {load_config(configs / f"{name}.json").start for name in ("warm-96", "warm-112")}
    assert starts == {"tools/judge/weights/resnet_fer.safetensors"}
    monkeypatch.chdir(configs.parents[2])  # where `python -m tools.judge` runs
    model = ResNetFerPlus().eval()
    warm_start(model, starts.pop(), tmp_path, torch.Generator())
    former, faces = load_former(), drawn_faces(48)
    with torch.no_grad():
        expected = model(coloured(faces, "grey")) / former.spec.temperature
    assert torch.allclose(former.logits(faces), expected, atol=1e-4)
    said = torch.tensor([-0.25259, -1.66784, -0.38188, -1.25891, 2.15399, 1.18010, -0.86371])
    assert torch.allclose(former.logits(faces)[0], said, atol=1e-4)  # as when it was the default
    assert former.spec.revision == "1a9b5a5d781e951e"  # which old records name


def test_weights_are_shipped_in_half_precision(tmp_path: Path) -> None:
    model = ResNetFerPlus().eval()
    torch.save({"ema": model.state_dict(), "size": 96}, tmp_path / "checkpoint.pt")
    state, size = read_state(tmp_path)
    assert {value.dtype for value in state.values()} == {torch.float16}
    faces = torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(network_of(state, size)(faces), model(faces), atol=0.01)


def test_augmentation_is_reproducible_and_in_range(generator: torch.Generator) -> None:
    faces = torch.rand(32, 1, 48, 48, generator=generator)
    config, view = AugmentConfig(), View(1.0, 40, 0.9)
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


def test_every_configuration_can_be_read() -> None:
    folder = Path(load_config.__code__.co_filename).parent / "configs"
    assert [load_config(path) for path in folder.glob("*.json")]
