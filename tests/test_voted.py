"""Would people give the expression that a judge reads from a result? A run against votes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_runs import write_run

from affectbench.errors import InputError
from affectbench.report.labelled import main
from affectbench.results.labelled import labelled_accuracy, read_labels
from affectbench.results.runs import Run, load_run
from affectbench.results.voted import VOTER, read_votes, voted_shares
from affectbench.types import EXPRESSIONS

N = 120


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load_run(write_run(tmp_path, n=N, images=0, judges=("mini-xception",)))


@pytest.fixture
def votes(run: Run) -> dict[str, np.ndarray]:
    """Ten votes a face, drawn from what the judge reads from the originals."""
    rng = np.random.default_rng(5)
    columns = run.columns(next(r for r in run.records if r.metric["name"] == "ecm"))
    p = np.stack([columns[f"p_{name}"] for name in EXPRESSIONS], 1).astype(np.float64)
    drawn = rng.multinomial(10, p / p.sum(1, keepdims=True))
    return {str(i): row for i, row in zip(columns["id"], drawn, strict=True)}


def test_the_figures_are_those_of_plain_code(run: Run, votes: dict[str, np.ndarray]) -> None:
    table = voted_shares(run, votes, "bicubic").set_index("model")
    for name in ("sharp", "bicubic", "worst"):
        record = next(r for r in run.records if r.row == name and r.metric["name"] == "ecm")
        columns = run.columns(record)
        shares, distances = [], []
        for k, face in enumerate(columns["id"]):
            share = dict(zip(EXPRESSIONS, votes[str(face)] / 10, strict=True))
            q = {n: float(columns[f"q_{n}"][k]) for n in EXPRESSIONS}
            shares.append(share[str(columns["label_sr"][k])])
            distances.append(np.sqrt(max(0, 1 - sum(np.sqrt(share[n] * q[n]) for n in q))))
        assert table.loc[name, "share"] == pytest.approx(np.mean(shares))
        assert table.loc[name, "hellinger"] == pytest.approx(np.mean(distances), abs=1e-6)
        most = [int(votes[str(face)].argmax()) for face in columns["id"]]
        by_class = pd.Series(shares).groupby(most).mean()
        assert table.loc[name, "balanced_share"] == pytest.approx(by_class.mean())
    assert (table["n"] == N).all()


def test_better_results_are_nearer_to_people(run: Run, votes: dict[str, np.ndarray]) -> None:
    table = voted_shares(run, votes, "bicubic").set_index("model")
    order = ["HR", "sharp", "bicubic", "worst"]
    assert table.loc[order, "share"].is_monotonic_decreasing
    assert table.loc[order, "hellinger"].is_monotonic_increasing
    assert table.loc["bicubic", "share_difference"] == 0
    assert table.loc["sharp", "share_p"] < 0.05
    assert table.loc["sharp", "hellinger_difference_high"] < 0
    assert (table.share_low <= table.share).all() and (table.share <= table.share_high).all()
    counts = np.stack(list(votes.values()))
    alike = [(c * (c - 1)).sum() / 90 for c in counts]
    assert table.loc[VOTER, "share"] == pytest.approx(np.mean(alike))
    assert np.isnan(table.loc[VOTER, "hellinger"])


def test_faces_with_few_votes_are_left_out(run: Run, votes: dict[str, np.ndarray]) -> None:
    few = dict(votes)
    for face in list(few)[:20]:
        few[face] = np.zeros(7, dtype=np.int64)
    assert (voted_shares(run, few, "bicubic")["n"] == N - 20).all()
    none = dict.fromkeys(votes, np.array([1, 1, 1, 1, 0, 0, 0]))
    with pytest.raises(InputError, match="n too small"):
        voted_shares(run, none, "bicubic")
    del few["000007"]
    with pytest.raises(InputError, match="1 faces are not in the table of votes: 000007"):
        voted_shares(run, few, "bicubic")
    with pytest.raises(InputError, match="no ecm of the model 'best'"):
        voted_shares(run, votes, "best")


def test_the_command_reads_votes_in_any_spelling(
    run: Run, votes: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["Anger", "DISGUST", "fear", "happiness", "Neutral", "sadness", "Surprise"]
    table = pd.DataFrame(np.stack(list(votes.values())), columns=names)
    table.insert(0, "file", [f"{face}.png" for face in votes])
    table["NF"] = 0
    table.to_csv(tmp_path / "votes.csv", index=False)
    given = [str(run.folder), "--labels", str(tmp_path / "votes.csv"), "--votes"]
    main([*given, "--out", str(tmp_path / "out.csv")])
    found = pd.read_csv(tmp_path / "out.csv")
    assert np.allclose(found["share"], voted_shares(run, votes, "bicubic")["share"], atol=1e-4)
    (tmp_path / "votes.csv").write_text("file,emotion\n000001.png,happy\n")
    with pytest.raises(SystemExit, match="2"):
        main([*given, "--out", str(tmp_path / "out.csv")])
    assert "holds no votes" in capsys.readouterr().err


def test_labels_of_other_spellings_give_the_same_table(run: Run, tmp_path: Path) -> None:
    record = next(r for r in run.records if r.metric["name"] == "ecm")
    columns = run.columns(record)
    tables = []
    for spell in (str, str.capitalize, str.upper):
        path = tmp_path / "labels.csv"
        rows = {"file": columns["id"], "emotion": [spell(str(e)) for e in columns["label_hr"]]}
        pd.DataFrame(rows).to_csv(path, index=False)
        tables.append(labelled_accuracy(run, read_labels(path), "bicubic"))
    assert tables[0].set_index("model").loc["HR", "accuracy"] == 1
    assert tables[0].equals(tables[1]) and tables[0].equals(tables[2])


def test_ids_that_mean_two_files_and_labels_that_no_judge_gives(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,emotion\na.png,happy\na.jpg,sad\n")
    with pytest.raises(InputError, match="several files of the id a"):
        read_labels(path)
    ids = run.columns(next(r for r in run.records if r.metric["name"] == "ecm"))["id"]
    labels = dict.fromkeys(map(str, ids), "contempt")
    with pytest.raises(InputError, match=f"{N} faces are labelled contempt"):
        labelled_accuracy(run, labels, "bicubic")
    with pytest.raises(InputError, match="votes"):
        read_votes(path)
