"""The comparison table: values, tests, ranking rules, and every way it is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench.errors import RecordError
from affectbench.report.cells import lay_out
from affectbench.report.panel import agreement, build_panel, panel_lines
from affectbench.report.render import to_csv, to_json, to_latex, to_markdown, to_terminal
from affectbench.report.results import load_run
from affectbench.report.table import build_table

N = 60
LABELS = ["happy"] * 40 + ["sad"] * 15 + ["fear"] * 5


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    return RunWriter(tmp_path)


def noise(rng: np.random.Generator, mean: float) -> np.ndarray:
    return np.clip(mean + rng.normal(0, 0.05, N), 0, 1.19)


def add_ecm(writer: RunWriter, rng: np.random.Generator, row: str, mean: float, **more: object):  # type: ignore[no-untyped-def]
    return writer.add(row, "ecm", ecm_columns(noise(rng, mean), LABELS), **more)


def usual(writer: RunWriter, rng: np.random.Generator) -> None:
    """Two models, one clearly better, and the anchors."""
    add_ecm(writer, rng, "good", 0.3)
    add_ecm(writer, rng, "bad", 0.6)
    add_ecm(writer, rng, "bicubic", 0.5, role="anchor")
    add_ecm(writer, rng, "wrong-face", 0.6, role="anchor")
    add_ecm(writer, rng, "one-face", 0.55, role="anchor")


def test_macro_mean_is_the_mean_of_class_means(writer: RunWriter, rng: np.random.Generator) -> None:
    values = noise(rng, 0.4)
    writer.add("a", "ecm", ecm_columns(values, LABELS))
    row = build_table(load_run(writer.finish(["ecm"]))).iloc[0]
    expected = (values[:40].mean() + values[40:55].mean()) / 2
    assert row["ecm"] == pytest.approx(expected, abs=1e-12)
    assert row["ecm_mean"] == pytest.approx(values.mean(), abs=1e-12)
    assert row["ecm_macro_classes"] == 2
    assert row["ecm_low"] < row["ecm"] < row["ecm_high"]


def test_models_are_compared_and_anchors_are_not(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    usual(writer, rng)
    table = build_table(load_run(writer.finish(["ecm"]))).set_index("model")
    assert list(table.index) == ["good", "bad", "bicubic", "one-face", "wrong-face"]
    assert table.loc["good", "ecm_diff"] == pytest.approx(-0.2, abs=0.05)
    assert table.loc["good", "ecm_diff_low"] < table.loc["good", "ecm_diff_high"] < 0
    assert table.loc["good", "ecm_p"] == pytest.approx(2 / 10_001)  # Holm: times two models
    assert table.loc["good", "ecm_best"] is True
    assert table.loc["bad", "ecm_best"] is False
    anchors = table.loc[["bicubic", "one-face", "wrong-face"]]
    assert anchors[["ecm_diff", "ecm_p", "ecm_best"]].isna().all().all()


def test_no_expression_information(writer: RunWriter, rng: np.random.Generator) -> None:
    usual(writer, rng)
    table = build_table(load_run(writer.finish(["ecm"]))).set_index("model")
    assert table.loc["bad", "mark"] == "no-expression-information"
    assert table.loc["good", "mark"] == ""


def test_bicubic_as_a_model_can_know_nothing_too(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    add_ecm(writer, rng, "bicubic", 0.6)
    add_ecm(writer, rng, "wrong-face", 0.6, role="anchor")
    add_ecm(writer, rng, "one-face", 0.55, role="anchor")
    table = build_table(load_run(writer.finish(["ecm"])))
    assert table["mark"][0] == "no-expression-information"


def test_a_dagger_takes_the_rank_under_that_judge(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    usual(writer, rng)
    add_ecm(writer, rng, "cheat", 0.1, model={"trained_against": ["mini-xception"]})
    run = load_run(writer.finish(["ecm"]))
    table = build_table(run).set_index("model")
    assert table.loc["cheat", "mark"] == "trained-against:mini-xception"
    assert np.isnan(table.loc["cheat", "ecm_p"])
    assert table.loc["good", "ecm_best"] is True
    lines = {line.name: line for line in lay_out(run, build_table(run)).blocks[0].lines}
    assert not lines["cheat †"].cells["ecm"].best
    assert lines["good"].cells["ecm"].best


@pytest.mark.parametrize(
    ("trained_on", "contaminated"),
    [
        ("celeba", True),
        ("celeba:000010-000020", True),
        ("celeba:100000-162770", False),
        ("ffhq", False),
        ("celeba-official", False),
    ],
)
def test_contamination(
    writer: RunWriter, rng: np.random.Generator, trained_on: str, contaminated: bool
) -> None:
    usual(writer, rng)
    add_ecm(writer, rng, "learned", 0.1, model={"trained_on": [trained_on]})
    table = build_table(load_run(writer.finish(["ecm"]))).set_index("model")
    assert ("contaminated" in table.loc["learned", "mark"]) is contaminated
    assert np.isnan(table.loc["learned", "ecm_p"]) == contaminated
    assert (table.loc["good", "ecm_best"] is True) is contaminated


def test_missing_faces_leave_the_pair(writer: RunWriter, rng: np.random.Generator) -> None:
    base = rng.normal(25, 1, N)
    writer.add("bicubic", "psnr", psnr_columns(base), role="anchor")
    columns = {k: v[10:] for k, v in psnr_columns(base + 1).items()}
    gone = [(f"{i:06d}", "no file") for i in range(10)]
    writer.add("partial", "psnr", columns, failed=gone)
    row = build_table(load_run(writer.finish(["psnr"]))).iloc[0]
    assert (row["n"], row["failed"]) == (N, 10)
    assert row["psnr_diff"] == pytest.approx(1, abs=1e-9)


def test_small_sets_say_so(writer: RunWriter) -> None:
    writer.add("bicubic", "psnr", psnr_columns([20.0, 21.0]), role="anchor")
    writer.add("a", "psnr", psnr_columns([22.0, np.inf]))
    run = load_run(writer.finish(["psnr"]))
    row = build_table(run).iloc[0]
    assert row["mark"] == "n too small"
    assert row["psnr"] == np.inf
    assert row["identical"] == 1
    assert np.isnan(row["psnr_low"])
    assert "inf (1 identical)" in to_terminal(lay_out(run, build_table(run)), 100)
    assert json.loads(to_json(build_table(run)))[0]["psnr"] == "inf"


def test_a_failed_cell_says_why(writer: RunWriter, rng: np.random.Generator) -> None:
    usual(writer, rng)
    add_ecm(writer, rng, "broken", 0.2, error="it\nbroke")
    run = load_run(writer.finish(["ecm"]))
    row = build_table(run).set_index("model").loc["broken"]
    assert row["mark"] == "failed: it broke"
    assert row["failed"] == row["n"] == N
    assert "✗ broken on celeba: it broke" in to_terminal(lay_out(run, build_table(run)), 100)


def test_judges_after_the_first_have_their_own_columns(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    writer = RunWriter(tmp_path, ["mini-xception", "face-api"])
    add_ecm(writer, rng, "a", 0.3)
    add_ecm(writer, rng, "a", 0.6, judge="face-api")
    table = build_table(load_run(writer.finish(["ecm"])))
    assert table["ecm"][0] < 0.45 < table["ecm[face-api]"][0]
    assert {"agreement", "agreement[face-api]", "flip_rate"} <= set(table.columns)


HOSTILE = ["=1+1", "<script>alert(1)</script>", "a|b_c", "50% & more #1 \\x", "ünï", "@cmd"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_harmless(writer: RunWriter, rng: np.random.Generator, name: str) -> None:
    add_ecm(writer, rng, name, 0.3)
    run = load_run(writer.finish(["ecm"]))
    layout = lay_out(run, build_table(run))
    csv = to_csv(build_table(run))
    assert not csv.splitlines()[1].startswith(("=", "+", "-", "@"))
    assert "<script>" not in to_markdown(layout)
    row = next(
        line for line in to_markdown(layout).splitlines() if "celeba" not in line and "0." in line
    )
    assert row.replace("\\|", "").count("|") == 4
    body = to_latex(layout).split(r"\midrule")[2].split(r"\bottomrule")[0]
    for special in "&%#_":
        body = body.replace(f"\\{special}", "")
    assert not set("%#_~^") & set(body)
    assert body.count("&") == 2
    assert json.loads(to_json(build_table(run)))[0]["model"] == name


def test_bytes_do_not_depend_on_the_call(writer: RunWriter, rng: np.random.Generator) -> None:
    usual(writer, rng)
    folder = writer.finish(["ecm"])
    first, second = (to_csv(build_table(load_run(folder))) for _ in range(2))
    assert first == second


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no results"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RecordError, match="damaged"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text(
        json.dumps({"schema": 9, "command": "", "settings": {}, "cells": []})
    )
    with pytest.raises(RecordError, match="schema 9"):
        load_run(tmp_path)


def test_the_panel_ranks_under_each_judge_that_may(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    judges = ["mini-xception", "face-api"]
    writer = RunWriter(tmp_path, judges)
    for judge, means in zip(judges, ((0.2, 0.4, 0.1), (0.3, 0.2, 0.1)), strict=True):
        for row, mean in zip("abc", means, strict=True):
            learned = {"trained_against": ["face-api"]} if row == "c" else None
            add_ecm(writer, rng, row, mean, judge=judge, model=learned)
        add_ecm(writer, rng, "wrong-face", 0.8, judge=judge, role="anchor")
    run = load_run(writer.finish(["ecm"]))
    table = build_table(run)
    panel = build_panel(run, table).set_index("model")
    assert panel["rank[mini-xception]"].tolist() == [2, 3, 1]
    assert panel["rank[face-api]"].tolist()[:2] == [2, 1]
    assert np.isnan(panel.loc["c", "rank[face-api]"])
    assert panel["mean_rank"].tolist() == [2, 2, 1]
    assert panel.loc["a", "over_wrong_face[mini-xception]"] == pytest.approx(0.25, abs=0.05)
    taus = agreement(run, table)
    assert taus["tau"][0] == -1
    assert taus["n"][0] == 2
    assert "tau -1.00" in "\n".join(panel_lines(panel.reset_index(), taus))
