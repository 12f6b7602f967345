"""The study on sets that are too small or too uniform for some of its parts: no traceback, no NaN
without a word, and the report says what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import pattern
from PIL import Image

from affectbench.cli.main import main
from affectbench.judges.network_judge import NetworkJudge


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred random pairs instead of 20,000: time, and nothing else."""
    monkeypatch.setattr("affectbench.study.run.CROSS_PAIRS", 200)


SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def study(
    folder: Path, rows: Sequence[dict[str, object]], judges: str = "mini-xception"
) -> tuple[int, Path]:
    """The exit code of `validate` on made faces, one for each row of labels, and its report."""
    for i, row in enumerate(rows):
        Image.fromarray(pattern(i, 48)).save(folder / f"{i}.png")
        row["file"] = f"{i}.png"
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    arguments = ["validate", "--faces", str(folder), "--labels", str(folder / "labels.csv")]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        code = main([*arguments, "--judges", judges, "--out", str(folder / "out")])
    return code, folder / "out" / "study.md"


def labels(emotions: Sequence[str], persons: Sequence[str] = ()) -> list[dict[str, object]]:
    people = persons or [str(i) for i in range(len(emotions))]
    return [{"emotion": e, "person": p} for e, p in zip(emotions, people, strict=True)]


SETS = {
    "one class": (labels(["happy"] * 7), "one labelled expression"),
    "one person": (labels(["happy", "sad", "sad"], ["x"] * 3), "one person"),
    "one face": (labels(["happy"]), "need 6 faces, here are 1"),
    "two faces": (labels(["happy", "sad"]), "need 6 faces, here are 2"),
    "one expression a person": (
        labels(["happy", "happy", "sad", "sad", "fear", "fear"], ["x", "x", "y", "y", "z", "z"]),
        "without pairs of both kinds",
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_small_sets_say_what_they_are_too_small_for(tmp_path: Path, name: str) -> None:
    rows, says = SETS[name]
    code, report = study(tmp_path, [dict(row) for row in rows])
    assert code == 0
    text = report.read_text()
    assert "n too small" in text
    assert says in text
    assert "nan" not in text.lower()


def test_a_judge_that_says_one_thing_of_every_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def constant(self: NetworkJudge, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 7)

    monkeypatch.setattr(NetworkJudge, "logits", constant)
    rows = labels(["happy", "sad"] * 4, [str(i // 4) for i in range(8)])
    code, report = study(tmp_path, rows, "mini-xception,face-api")
    assert code == 0
    separated = pd.read_csv(report.parent / "same-person.csv").set_index(["judge", "score"])
    assert separated.loc[("face-api", "ecm"), "auc"] == 0.5
    assert pd.read_csv(report.parent / "terms.csv")["pearson"].isna().all()
    assert pd.read_csv(report.parent / "transfer.csv")["spearman"].isna().all()


def test_votes_without_one_label_a_face(tmp_path: Path) -> None:
    happy, tie = dict.fromkeys(SEVEN, 0), dict.fromkeys(SEVEN, 0)
    happy["happy"], tie["sad"], tie["fear"] = 9, 5, 5
    rows: list[dict[str, object]] = [dict(happy) for _ in range(4)] + [dict(tie) for _ in range(3)]
    code, report = study(tmp_path, rows)
    assert code == 0
    text = report.read_text()
    assert "no label 3" in text
    assert "7 of 7 faces have at least 5 votes" in text
    code, report = study(tmp_path, [dict(tie) for _ in range(2)])
    assert code == 0
    assert "(a)" not in report.read_text()
    assert "(g)" in report.read_text()


@pytest.mark.parametrize(
    ("emotion", "says"),
    [
        ("hapy", "did you mean 'happy'"),
        ("4", "unknown expression '4'"),
        ("contempt", "no class of the judge mini-xception"),
        ("Contempt", "leave them out, or name judges that have it"),
    ],
)
def test_labels_that_no_judge_can_give_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], emotion: str, says: str
) -> None:
    code, report = study(tmp_path, labels(["happy", emotion]))
    assert code == 2
    assert says in capsys.readouterr().err
    assert not report.exists()


@pytest.mark.slow
def test_spellings_do_not_change_a_digit(tmp_path: Path) -> None:
    reports = []
    words = (
        ["happy", "sad", "angry"],
        ["Happy", "SAD", "Angry"],
        ["happiness", "Sadness", "anger"],
    )
    for i, three in enumerate(words):
        folder = tmp_path / str(i) / "set"
        folder.mkdir(parents=True)
        code, report = study(folder, labels(three * 2))
        assert code == 0
        reports.append(report.read_text())
    assert reports[0] == reports[1] == reports[2]
