"""The parts of the study that ask people: agreement of ECM with their votes, and calibration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tools.study.definition_votes import compare

from affectbench.errors import InputError
from affectbench.metrics.ecm import ecm_parts
from affectbench.study.agreement import (
    CEILING,
    Ranked,
    agreement,
    correlations,
    halves,
    random_pairs,
    weighted_correlation,
)
from affectbench.study.faces import LabelledFaces
from affectbench.study.judged import HR, Judged
from affectbench.study.people import calibration, calibration_error, disagreements, recalls
from affectbench.study.people_sections import people_sections
from affectbench.study.votes import seven_logits, vote_logits, voted_faces
from affectbench.types import EXPRESSIONS


def faces_of(votes: Any, others: Any = 0) -> LabelledFaces:
    counts = np.asarray(votes, dtype=np.int64)
    n = len(counts)
    return LabelledFaces(
        name="made",
        files=np.array([f"{i}.png" for i in range(n)], dtype=str),
        images=torch.zeros(n, 3, 8, 8, dtype=torch.uint8),
        emotions=np.full(n, "happy"),
        persons=np.arange(n),
        votes=counts,
        all_votes=counts.sum(1) + others,
    )


def judged_as(
    logits: torch.Tensor, name: str = "made", classes: tuple[str, ...] = EXPRESSIONS
) -> Judged:
    judge = SimpleNamespace(spec=SimpleNamespace(name=name), classes=classes)
    return Judged(cast(Any, judge), np.full(len(logits), "happy"), {HR: logits})


def people(n: int, voters: int, seed: int = 0) -> tuple[torch.Tensor, LabelledFaces]:
    """The logits of what everybody would vote, and the votes of some."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(n, 7))
    truth = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return torch.from_numpy(logits), faces_of(rng.multinomial(voters, truth))


def test_only_faces_with_five_votes_for_the_seven_count() -> None:
    faces = faces_of([[5, 0, 0, 0, 0, 0, 0], [2, 2, 0, 0, 0, 0, 0], [0] * 7, [0, 6, 4, 0, 0, 0, 0]])
    voted = voted_faces(faces)
    assert voted.files.tolist() == ["0.png", "3.png"]
    assert voted.shares[1].tolist() == [0, 0.6, 0.4, 0, 0, 0, 0]
    assert voted.clear.tolist() == [True, True]
    # Over half of all who were asked: ten more saw something else.
    assert voted_faces(faces_of(faces.votes, 2)).clear.tolist() == [True, False]


def test_vote_logits_give_the_shares_back() -> None:
    votes = np.array([[10, 0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 0, 0, 0]])
    p = vote_logits(votes).softmax(1).numpy()
    assert p == pytest.approx(votes / 10, abs=1e-15)
    same = ecm_parts(vote_logits(votes), vote_logits(votes)).ecm
    assert same.tolist() == [0, 0]
    a, b = vote_logits(votes[:1]), vote_logits(votes[::-1][:1])
    found = ecm_parts(a, b)
    assert found.l_h.item() == pytest.approx(np.sqrt(1 - np.sqrt(0.1)))
    assert found.ecm.item() == pytest.approx(0.5 * np.sqrt(1 - np.sqrt(0.1)) + np.log(1.9))


def test_a_judge_of_eight_classes_is_asked_about_the_seven() -> None:
    voted = voted_faces(faces_of([[9, 1, 0, 0, 0, 0, 0]]))
    order = ("contempt", *reversed(EXPRESSIONS))
    logits = torch.arange(8.0, dtype=torch.float64)[None]
    seven = seven_logits(judged_as(logits, classes=order), voted)
    assert seven[0].tolist() == [7, 6, 5, 4, 3, 2, 1]
    with pytest.raises(InputError, match="has no class fear"):
        seven_logits(
            judged_as(logits[:, 1:], classes=("a", *EXPRESSIONS[:2], *EXPRESSIONS[3:])), voted
        )


def test_weighted_ranks_are_those_of_repeated_scores(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 9, 60).astype(float), rng.integers(0, 9, 60).astype(float)
    weights = rng.integers(0, 4, (3, 60)).astype(float)
    found = weighted_correlation(Ranked(a).ranks(weights), Ranked(b).ranks(weights), weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        assert value == pytest.approx(spearmanr(np.repeat(a, row), np.repeat(b, row)).statistic)


def test_pairs_are_of_two_faces_and_draws_take_faces_whole(rng: np.random.Generator) -> None:
    every = random_pairs(np.arange(8), rng, 100)
    assert len(every) == 28
    some = random_pairs(np.arange(50), rng, 300)
    assert len(some) == 300
    assert (some.first != some.second).all()
    one, two = some.draws(rng, 1)
    assert (one == 1).all()
    never = np.setdiff1d(np.arange(50), some.first[two[0] > 0])
    assert (two[0][np.isin(some.first, never)] == 0).all()
    # Two pictures of one person are drawn together, once for each time that the person is.
    same = random_pairs(np.array([4, 4]), rng, 10)
    assert [w.tolist() for w in same.draws(rng, 2)] == [[[1.0]], [[1.0], [1.0]]]


def test_an_own_correlation_is_one_and_an_unrelated_one_is_not(rng: np.random.Generator) -> None:
    pairs = random_pairs(np.arange(200), rng, 2_000)
    a, b = rng.random(2_000), rng.random(2_000)
    found = correlations({"own": (a, a), "other": (a, b), "flat": (a, 0 * b)}, pairs, rng, 50)
    assert found["own"] == pytest.approx(np.ones(51))
    assert found["other"][0] == pytest.approx(spearmanr(a, b).statistic)
    assert np.quantile(found["other"][1:], 0.025) < 0 < np.quantile(found["other"][1:], 0.975)
    assert np.isnan(found["flat"]).all()


def test_halves_share_all_votes(rng: np.random.Generator) -> None:
    votes = rng.integers(0, 5, (40, 7))
    one, two = halves(votes, rng)
    assert (one + two == votes).all()
    assert (one >= 0).all() and (two >= 0).all()
    assert (one.sum(1) == votes.sum(1) // 2).all()


def test_who_knows_how_everybody_would_vote_reaches_the_ceiling() -> None:
    truth, faces = people(600, 10)
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(600, 7)))
    judged = [judged_as(truth, "knows"), judged_as(truth + 2.0 * noise, "guesses")]
    table = agreement(judged, voted_faces(faces), 0, draws=50).set_index("judge")
    assert table.loc["knows", "of_ceiling"] == pytest.approx(1.0, abs=0.04)
    assert table.loc["guesses", "of_ceiling"] < 0.85
    assert table.loc[CEILING, "of_ceiling"] == 1.0
    assert (table.spearman_low < table.spearman).all()
    assert (table.spearman < table.spearman_high).all()
    again = agreement(judged, voted_faces(faces), 0, draws=50).set_index("judge")
    assert again.equals(table)


def test_the_spearman_of_a_judge_is_that_of_plain_code() -> None:
    truth, faces = people(60, 10)
    found = agreement([judged_as(truth)], voted_faces(faces), 0, draws=2)["spearman"][0]
    i, j = np.triu_indices(60, 1)
    said = ecm_parts(truth[i], truth[j]).ecm
    votes = vote_logits(cast(Any, faces.votes))
    assert found == pytest.approx(spearmanr(said, ecm_parts(votes[i], votes[j]).ecm).statistic)


def test_a_calibration_error_is_the_gap_of_each_bin() -> None:
    confidence = np.array([0.31, 0.32, 0.91, 0.92])
    shares = np.array([0.2, 0.3, 1.0, 0.5])
    # Bins of 1/15: the first two faces share one, the last two another.
    expected = (abs(0.63 - 0.5) + abs(1.83 - 1.5)) / 4
    assert calibration_error(confidence, shares, np.ones(4)) == pytest.approx(expected)
    assert calibration_error(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.ones(2)) == 0


def test_a_judge_that_says_what_people_say_is_calibrated() -> None:
    _, faces = people(300, 10)
    voted = voted_faces(faces)
    row = calibration([judged_as(vote_logits(voted.votes))], voted, 0).iloc[0]
    for name in ("hellinger", "kl", "ece_first", "ece_each"):
        assert row[name] == pytest.approx(0, abs=1e-7)
    assert row["accuracy"] == row["balanced"] == 1
    uniform = calibration([judged_as(torch.zeros(300, 7))], voted, 0).iloc[0]
    entropy = -(voted.shares * np.log(np.where(voted.shares > 0, voted.shares, 1))).sum(1)
    assert uniform["kl"] == pytest.approx((np.log(7) - entropy).mean())
    distance = np.sqrt(1 - np.sqrt(voted.shares / 7).sum(1))
    assert uniform["hellinger"] == pytest.approx(distance.mean())


def test_balanced_accuracy_is_the_mean_recall_of_what_over_half_see() -> None:
    votes = (
        [[0, 0, 0, 10, 0, 0, 0]] * 8 + [[0, 0, 0, 0, 10, 0, 0]] * 4 + [[5, 5, 0, 0, 0, 0, 0]] * 3
    )
    logits = torch.zeros(15, 7)
    logits[:10, 3] = 4.0  # happy for all happy faces and two neutral ones
    logits[10:, 4] = 4.0
    voted = voted_faces(faces_of(votes))
    row = calibration([judged_as(logits)], voted, 0).iloc[0]
    assert (row["clear"], row["faces"]) == (12, 15)
    assert row["accuracy"] == pytest.approx(10 / 12)
    assert row["balanced"] == pytest.approx((1 + 0.5) / 2)
    found = recalls([judged_as(logits)], voted).set_index("expression")
    assert found.loc["happy", "recall"] == 1 and found.loc["neutral", "recall"] == 0.5
    assert found.loc["fear", "faces"] == 0 and np.isnan(found.loc["fear", "recall"])


def test_the_faces_that_disagree_most_come_first_by_name() -> None:
    votes = [[0, 0, 0, 10, 0, 0, 0], [0, 0, 0, 6, 4, 0, 0], [0, 0, 0, 0, 0, 0, 10]]
    table = disagreements([judged_as(20 * torch.eye(7)[[3, 3, 5]])], voted_faces(faces_of(votes)))
    assert table["file"].tolist() == ["2.png", "1.png", "0.png"]
    assert table.loc[0, ["most_voted", "judge_says"]].tolist() == ["surprise", "sad"]
    assert table.loc[0, "hellinger"] == pytest.approx(1, abs=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_too_few_voted_faces_say_so(n: int) -> None:
    votes = [[0, 0, 0, 9, 1, 0, 0]] * n + [[1, 0, 0, 0, 0, 0, 0]]
    faces = faces_of(votes)
    sections = {s.slug: s for s in people_sections([judged_as(torch.zeros(n + 1, 7))], faces, 0)}
    assert "n too small" in sections["agreement"].reading
    assert sections["agreement"].table["spearman"].isna().all()
    assert sections["calibration"].table["faces"].tolist() == [n]
    assert len(sections["disagreement"].table) == n


@pytest.mark.filterwarnings("error")
def test_a_judge_that_says_one_thing_agrees_with_nobody() -> None:
    _, faces = people(30, 10)
    table = agreement([judged_as(torch.zeros(30, 7))], voted_faces(faces), 0, draws=5)
    assert np.isnan(table["spearman"][0]) and table["spearman"][1] > 0


def test_a_set_without_votes_has_none_of_these_parts() -> None:
    faces = faces_of([[9, 0, 0, 0, 0, 0, 0]])
    plain = LabelledFaces("x", faces.files, faces.images, faces.emotions, faces.persons)
    assert people_sections([], plain, 0) == []
    with pytest.raises(InputError, match="hold no votes"):
        voted_faces(plain)


def test_the_candidates_of_the_definition_stand_against_votes() -> None:
    truth, faces = people(80, 10)
    table, ceilings = compare([judged_as(truth)], voted_faces(faces), 0, draws=20)
    rows = table.set_index("candidate")
    found = agreement([judged_as(truth)], voted_faces(faces), 0, draws=2)["spearman"][0]
    assert rows.loc["ecm/1", "spearman"] == pytest.approx(found)
    assert rows.loc["ecm/1", "with_ecm_1"] == pytest.approx(found)
    assert (
        rows.loc["ecm/1", ["difference", "difference_low", "difference_high"]].tolist() == [0] * 3
    )
    i, j = np.triu_indices(80, 1)
    votes = vote_logits(cast(Any, faces.votes))
    said, felt = ecm_parts(truth[i], truth[j]), ecm_parts(votes[i], votes[j])
    assert rows.loc["L_H alone", "spearman"] == pytest.approx(
        spearmanr(said.l_h, felt.l_h).statistic
    )
    assert rows.loc["L_H alone", "with_ecm_1"] == pytest.approx(
        spearmanr(said.l_h, felt.ecm).statistic
    )
    assert len(table) == len(ceilings) == 6
    assert ceilings["ceiling"].between(0.5, 1).all()
