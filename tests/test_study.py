"""The validation study: its statistics on cases with known answers, and one small run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import pattern
from PIL import Image
from tools.study.definition import Scored, candidate_scores, choose, halves, report

from affectbench.cli.main import main
from affectbench.errors import InputError
from affectbench.stats import Interval
from affectbench.study.damage import DAMAGE, NUISANCE
from affectbench.study.faces import LabelledFaces, read_faces
from affectbench.study.pairs import (
    auc,
    capped_weights,
    cross_person_pairs,
    gap,
    pair_auc,
    pair_auc_difference,
    same_person_pairs,
    weighted_auc,
)


def plain_auc(scores: np.ndarray, different: np.ndarray) -> float:
    """By counting all pairs of pairs."""
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in scores[different]
        for b in scores[~different]
    ]
    return float(np.mean(wins))


def test_auc_counts_pairs_and_half_of_ties(rng: np.random.Generator) -> None:
    scores = rng.integers(0, 6, 40).astype(float)
    different = rng.random(40) < 0.4
    found = auc(scores, different, np.ones((1, 40)))[0]
    assert found == pytest.approx(plain_auc(scores, different), abs=1e-12)


def test_auc_with_whole_weights_is_auc_of_repeated_pairs(rng: np.random.Generator) -> None:
    scores, different = rng.random(20), rng.random(20) < 0.5
    weights = rng.integers(1, 4, 20)
    repeated = plain_auc(np.repeat(scores, weights), np.repeat(different, weights))
    assert auc(scores, different, weights[None].astype(float))[0] == pytest.approx(repeated)


def test_nobody_has_more_than_the_cap() -> None:
    persons = np.concatenate([np.zeros(500, int), np.repeat(np.arange(1, 60), 2)])
    weights = capped_weights(persons, cap=0.05)
    assert weights.sum() == pytest.approx(1)
    assert weights[persons == 0].sum() == pytest.approx(0.05)
    assert np.ptp(weights[persons > 0]) < 1e-12
    few = capped_weights(np.array([0, 0, 0, 1]), cap=0.05)
    assert few.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_pairs_are_of_one_person_or_of_two(rng: np.random.Generator) -> None:
    persons = rng.integers(0, 8, 60)
    emotions = rng.choice(["happy", "sad"], 60)
    same = same_person_pairs(persons, emotions)
    assert (same.person_first == same.person_second).all()
    expected = sum(n * (n - 1) // 2 for n in np.bincount(persons))
    assert len(same) == expected
    cross = cross_person_pairs(persons, emotions, rng, 200)
    assert (cross.person_first != cross.person_second).all()
    assert cross.different.sum() == (~cross.different).sum() == 100


def test_pair_auc_covers_chance_and_finds_a_difference(rng: np.random.Generator) -> None:
    persons = np.repeat(np.arange(40), 4)
    emotions = np.tile(["happy", "happy", "sad", "fear"], 40)
    pairs = same_person_pairs(persons, emotions)
    value, interval = pair_auc(rng.random(len(pairs)), pairs, rng, draws=300)
    assert interval.low < 0.5 < interval.high
    assert interval.low < value < interval.high
    clear = pairs.different + 0.3 * rng.random(len(pairs))
    value, interval = pair_auc(clear, pairs, rng, draws=300)
    assert (value, interval.low) == pytest.approx((1.0, 1.0), abs=1e-12)
    assert gap(pairs.different.astype(float), pairs) == pytest.approx(1)


def test_the_difference_of_two_scores_is_paired(rng: np.random.Generator) -> None:
    persons = np.repeat(np.arange(40), 4)
    pairs = same_person_pairs(persons, np.tile(["happy", "happy", "sad", "fear"], 40))
    noisy = pairs.different + rng.normal(size=len(pairs))
    assert pair_auc_difference(noisy, 3 * noisy + 1, pairs, rng, draws=300) == (
        0.0,
        Interval(0.0, 0.0),
    )
    clearer = noisy + 0.5 * pairs.different
    value, interval = pair_auc_difference(clearer, noisy, pairs, rng, draws=300)
    assert value == pytest.approx(weighted_auc(clearer, pairs) - weighted_auc(noisy, pairs))
    assert 0 < interval.low < value < interval.high


def test_a_definition_is_chosen_on_one_half_and_reported_on_the_other(
    rng: np.random.Generator,
) -> None:
    persons = np.repeat(np.arange(60), 2)
    emotions = rng.choice(["happy", "sad"], 120)
    faces = LabelledFaces("x", persons.astype(str), torch.zeros(120, 3, 8, 8), emotions, persons)
    one, two = halves(faces, rng)
    assert not set(one.persons) & set(two.persons)
    assert len(one) == len(two) == 60
    pairs = cross_person_pairs(persons, emotions, rng, 400)
    logits = 3.0 * torch.randn(120, 7, generator=torch.Generator().manual_seed(0))
    own = candidate_scores(logits[pairs.first], logits[pairs.second])
    assert own["ecm/1"] == pytest.approx(0.5 * own["L_H alone"] + own["ln(L_conf) alone"])
    best = {**own, "alpha = 2": pairs.different + 0.0}
    chosen, tried = choose([Scored("judge", "x", pairs, best)])
    assert chosen == "alpha = 2"
    assert tried["mean auc"].is_monotonic_decreasing
    row = report([Scored("judge", "x", pairs, best)], chosen, 0).iloc[0]
    assert row["chosen"] == pytest.approx(1.0)
    assert row["difference"] == pytest.approx(1.0 - row["ecm/1"])


@pytest.mark.parametrize("condition", [*DAMAGE, *NUISANCE], ids=lambda c: c.name)
def test_every_condition_keeps_size_and_is_reproducible(condition) -> None:  # type: ignore[no-untyped-def]
    images = torch.from_numpy(np.stack([pattern(i) for i in range(2)]).transpose(0, 3, 1, 2).copy())
    one, two = condition.apply(images, 0), condition.apply(images, 0)
    assert one.shape == images.shape
    assert one.dtype == torch.uint8
    assert torch.equal(one, two)
    assert not torch.equal(one, images)


def test_noise_is_new_for_each_face_and_seed() -> None:
    noise = next(c for c in DAMAGE if c.family == "noise")
    images = torch.full((2, 3, 16, 16), 128, dtype=torch.uint8)
    made = noise.apply(images, 0)
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made, noise.apply(images, 1))


def test_labels_that_cannot_be_used(tmp_path: Path) -> None:
    Image.fromarray(pattern(0)).save(tmp_path / "a.png")
    Image.fromarray(pattern(1, 32)).save(tmp_path / "b.png")
    table = tmp_path / "labels.csv"
    for text, says in (
        ("file,mood\na.png,happy\n", "emotion"),
        ("file,emotion\n", "lists no faces"),
        ("file,emotion\nc.png,sad\n", "c.png"),
        ("file,emotion\na.png,sad\nb.png,sad\n", "b.png"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=says):
            read_faces(tmp_path, table, "x")


@pytest.mark.slow
def test_a_whole_study(tmp_path: Path) -> None:
    rows = []
    for i in range(12):
        Image.fromarray(pattern(i, 64)).save(tmp_path / f"{i}.png")
        rows.append({"file": f"{i}.png", "emotion": ["happy", "sad"][i % 2], "person": i // 4})
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    out = tmp_path / "out"
    arguments = ["validate", "--faces", str(tmp_path), "--labels", str(tmp_path / "labels.csv")]
    assert main([*arguments, "--judges", "mini-xception,face-api", "--out", str(out)]) == 0
    report = (out / "study.md").read_text()
    for part in ("(a)", "(b)", "(b, c)", "(d)", "(e)", "(f)"):
        assert part in report
    separated = pd.read_csv(out / "same-person.csv")
    assert separated["auc"].between(0, 1).all()
    assert (out / "study.svg").stat().st_size > 0
