"""Balanced accuracy of a run's results on labelled faces."""

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


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load_run(write_run(tmp_path, n=200, images=0))


def judged(run: Run, row: str, judge: str, column: str) -> pd.Series:
    record = next(
        r
        for r in run.records
        if r.row == row and r.metric["name"] == "ecm" and r.metric["identity"]["judge"] == judge
    )
    columns = run.columns(record)
    return pd.Series(columns[column], index=columns["id"])


def test_it_is_the_mean_recall_of_the_labels(run: Run) -> None:
    said = judged(run, "sharp", "mini-xception", "label_hr")
    table = labelled_accuracy(run, said.to_dict(), "bicubic").set_index(["judge", "model"])
    ours = table.loc["mini-xception"]
    assert ours.loc["HR", "balanced_accuracy"] == ours.loc["HR", "accuracy"] == 1
    for model in ("sharp", "bicubic", "worst"):
        hits = judged(run, model, "mini-xception", "label_sr") == said
        row = ours.loc[model]
        assert row["balanced_accuracy"] == pytest.approx(hits.groupby(said).mean().mean())
        assert row["accuracy"] == pytest.approx(hits.mean())
        assert row["low"] <= row["balanced_accuracy"] <= row["high"]
    assert ours.loc["bicubic", "difference"] == 0
    gap = ours["balanced_accuracy"] - ours.loc["bicubic", "balanced_accuracy"]
    assert np.allclose(ours["difference"], gap)
    assert ours.loc["sharp", "p"] < 0.05 < table.loc[("face-api", "HR"), "p"]


def test_the_command_writes_the_table(run: Run, tmp_path: Path) -> None:
    said = judged(run, "sharp", "face-api", "label_hr")
    labels, out = tmp_path / "labels.csv", tmp_path / "out.csv"
    said.rename("emotion").rename_axis("file").reset_index().to_csv(labels, index=False)
    main([str(run.folder), "--labels", str(labels), "--versus", "worst", "--out", str(out)])
    table = pd.read_csv(out)
    assert len(table) == 8 and (table["n"] == 200).all()
    assert table.columns[:3].tolist() == ["dataset", "judge", "model"]


def test_the_command_explains_bad_input(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, labels in ((tmp_path / "none", "labels.csv"), (run.folder, "none.csv")):
        (tmp_path / "labels.csv").write_text("file,emotion\na.png,sad\n")
        given = [str(folder), "--labels", str(tmp_path / labels), "--out", str(tmp_path / "o.csv")]
        with pytest.raises(SystemExit, match="2"):
            main(given)
        assert "none" in capsys.readouterr().err


def test_what_does_not_fit_is_named(run: Run, tmp_path: Path) -> None:
    said = judged(run, "sharp", "face-api", "label_hr").to_dict()
    with pytest.raises(InputError, match=r"no ecm of the model 'best'; it has .*sharp"):
        labelled_accuracy(run, said, "best")
    del said["000007"]
    with pytest.raises(InputError, match="1 faces have no label: 000007"):
        labelled_accuracy(run, said, "bicubic")
    (tmp_path / "labels.csv").write_text("file,mood\na.png,happy\n")
    with pytest.raises(InputError, match="no column emotion and no votes"):
        read_labels(tmp_path / "labels.csv")
