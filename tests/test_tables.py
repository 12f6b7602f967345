"""The comparison table: values, tests, ranking rules, and every way it is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_writer import RunWriter, ecm_columns, edit_columns, psnr_columns

from affectbench.errors import RecordError
from affectbench.records import read_columns
from affectbench.report.cells import lay_out
from affectbench.report.latex import to_latex
from affectbench.report.render import (
    panel_lines,
    to_csv,
    to_json,
    to_markdown,
    to_terminal,
)
from affectbench.report.table import build_table
from affectbench.results.compare import compared
from affectbench.results.panel import agreement, build_panel
from affectbench.results.runs import load_run

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
    lines = {line.name: line for line in lay_out(compared(run)).blocks[0].lines}
    assert not lines["cheat"].cells["ecm"].best
    assert lines["cheat"].cells["ecm"].text.endswith("†")
    latex = to_latex(lay_out(compared(run)))
    assert "†" not in latex.partition(r"\end{tabular}")[0]
    assert r"$^{\dagger}$" in next(row for row in latex.splitlines() if row.startswith("cheat"))
    assert lines["good"].cells["ecm"].best


def test_a_dagger_is_of_one_judge_even_if_another_name_begins_alike(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    writer = RunWriter(tmp_path, ["net", "net-2"])
    for judge in ("net", "net-2"):
        add_ecm(writer, rng, "cheat", 0.1, judge=judge, model={"trained_against": ["net-2"]})
        add_ecm(writer, rng, "good", 0.5, judge=judge)
    run = load_run(writer.finish(["ecm"]))
    cells = {line.name: line.cells for line in lay_out(compared(run)).blocks[0].lines}
    assert cells["cheat"]["ecm"].best
    assert "†" not in cells["cheat"]["ecm"].text
    assert not cells["cheat"]["ecm[net-2]"].best
    assert cells["good"]["ecm[net-2]"].best
    assert build_panel(compared(run))["rank[net]"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("declared", "daggers"),
    [("vgg16", {"lpips-vgg", "dists"}), ("dists", {"lpips-vgg", "dists"}), ("vgg19", set())],
)
def test_metrics_that_look_through_one_network_bar_what_learned_from_it(
    declared: str, daggers: set[str], writer: RunWriter, rng: np.random.Generator
) -> None:
    names = ["lpips-alex", "lpips-vgg", "dists"]
    for name in names:
        for model, against in (("plain", []), ("cheat", [declared])):
            values = rng.normal(0.4 - 0.1 * len(against), 0.01, N)
            columns = {"id": psnr_columns(values)["id"], name: values}
            writer.add(model, name, columns, model={"trained_against": against})
    run = load_run(writer.finish(names))
    lines = {line.name: line for line in lay_out(compared(run)).blocks[0].lines}
    cells = lines["cheat"].cells
    assert {name for name in names if cells[name].text.endswith("†")} == daggers
    assert {name for name in names if not cells[name].best} == daggers


def test_a_metric_without_a_judge_does_not_rank_what_learned_from_it(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    base = rng.normal(25, 1, N)
    writer.add("bicubic", "psnr", psnr_columns(base), role="anchor")
    writer.add("plain", "psnr", psnr_columns(base + 1))
    learned = {"trained_against": ["psnr"]}
    writer.add("cheat", "psnr", psnr_columns(base + 9), model=learned)
    run = load_run(writer.finish(["psnr"]))
    table = build_table(run).set_index("model")
    assert table.loc["cheat", "mark"] == "trained-against:psnr"
    assert np.isnan(table.loc["cheat", "psnr_p"])
    assert table.loc["plain", "psnr_best"] is True
    lines = {line.name: line.cells["psnr"] for line in lay_out(compared(run)).blocks[0].lines}
    assert lines["plain"].best
    assert not lines["cheat"].best


@pytest.mark.parametrize(
    ("trained_on", "contaminated"),
    [
        ("celeba", True),
        ("celeba:000010-000020", True),
        ("celeba:100000-162770", False),
        ("celeba:1-100", True),
        ("celeba:61-99999", False),
        ("celeba:some/list.txt", True),
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


def test_missing_faces_count_as_the_worst_in_the_pair(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    base = rng.normal(25, 1, N)
    writer.add("bicubic", "psnr", psnr_columns(base), role="anchor")
    columns = {k: v[10:] for k, v in psnr_columns(base + 1).items()}
    gone = [(f"{i:06d}", "no file") for i in range(10)]
    writer.add("partial", "psnr", columns, failed=gone)
    row = build_table(load_run(writer.finish(["psnr"]))).iloc[0]
    assert (row["n"], row["failed"]) == (N, 10)
    counted = np.concatenate([np.full(10, base.min()), base[10:] + 1])
    assert row["psnr_diff"] == pytest.approx((counted - base).mean(), abs=1e-9)


def test_every_range_of_training_ids_counts(writer: RunWriter, rng: np.random.Generator) -> None:
    ranges = ["celeba:000900-000999", "celeba:000010-000020"]
    add_ecm(writer, rng, "learned", 0.1, model={"trained_on": ranges})
    table = build_table(load_run(writer.finish(["ecm"])))
    assert "contaminated" in table["mark"][0]


def test_one_models_nan_faces_leave_no_other_pair(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    base = rng.normal(25, 1, N)
    writer.add("bicubic", "psnr", psnr_columns(base), role="anchor")
    gaps = base + 1
    gaps[: N - 10] = np.nan
    writer.add("gaps", "psnr", psnr_columns(gaps))
    writer.add("full", "psnr", psnr_columns(base + np.where(np.arange(N) < N - 10, 1, 3)))
    table = build_table(load_run(writer.finish(["psnr"]))).set_index("model")
    counted = np.where(np.isnan(gaps), base.min(), gaps)
    assert table.loc["gaps", "psnr_diff"] == pytest.approx((counted - base).mean())
    assert table.loc["full", "psnr_diff"] == pytest.approx((50 + 3 * 10) / 60)


def test_small_sets_say_so(writer: RunWriter) -> None:
    writer.add("bicubic", "psnr", psnr_columns([20.0, 21.0]), role="anchor")
    writer.add("a", "psnr", psnr_columns([22.0, np.inf]))
    run = load_run(writer.finish(["psnr"]))
    row = build_table(run).iloc[0]
    assert row["mark"] == "n too small"
    assert row["psnr"] == np.inf
    assert row["identical"] == 1
    assert np.isnan(row["psnr_low"])
    assert "inf (1 identical)" in to_terminal(lay_out(compared(run)), 100)
    assert json.loads(to_json(build_table(run)))[0]["psnr"] == "inf"


def test_a_failed_cell_says_why(writer: RunWriter, rng: np.random.Generator) -> None:
    usual(writer, rng)
    add_ecm(writer, rng, "broken", 0.2, error="it\nbroke")
    run = load_run(writer.finish(["ecm"]))
    row = build_table(run).set_index("model").loc["broken"]
    assert row["mark"] == "failed: it broke"
    assert row["failed"] == row["n"] == N
    assert "✗ broken on celeba: it broke" in to_terminal(lay_out(compared(run)), 100)


def test_an_error_that_holds_the_words_of_marks_marks_nothing(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    add_ecm(writer, rng, "unlucky", 0.1)
    add_ecm(writer, rng, "other", 0.5)
    error = "cache contaminated; trained-against:mini-xception; contaminated"
    writer.add("unlucky", "psnr", psnr_columns(rng.normal(25, 1, N)), error=error)
    run = load_run(writer.finish(["ecm", "psnr"]))
    layout = lay_out(compared(run))
    line = layout.blocks[0].lines[0]
    assert line.name == "unlucky ✗"
    assert line.cells["ecm"].best
    assert not [note for note in layout.notes if note.startswith(("†", "‡"))]


def test_the_reason_of_a_failure_ends_where_the_next_mark_begins(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    model = {"trained_on": ["celeba"]}
    add_ecm(writer, rng, "a", 0.1, model=model)
    writer.add("a", "psnr", psnr_columns(rng.normal(25, 1, N)), error="it broke", model=model)
    run = load_run(writer.finish(["ecm", "psnr"]))
    layout = lay_out(compared(run))
    assert layout.notes[-1] == "✗ a on celeba: it broke"
    assert layout.blocks[0].lines[0].name == "a ‡✗"


def test_judges_after_the_first_have_their_own_columns(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    writer = RunWriter(tmp_path, ["mini-xception", "face-api"])
    add_ecm(writer, rng, "a", 0.3)
    add_ecm(writer, rng, "a", 0.6, judge="face-api")
    table = build_table(load_run(writer.finish(["ecm"])))
    assert table["ecm"][0] < 0.45 < table["ecm[face-api]"][0]
    assert {"agreement", "agreement[face-api]", "flip_rate"} <= set(table.columns)


HOSTILE = [
    "=1+1",
    "[x]",
    "*x",
    "<script>alert(1)</script>",
    "a|b_c",
    "50% & more #1 \\x",
    "ünï",
    "@cmd",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_harmless(writer: RunWriter, rng: np.random.Generator, name: str) -> None:
    add_ecm(writer, rng, name, 0.3)
    run = load_run(writer.finish(["ecm"]))
    layout = lay_out(compared(run))
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
    assert not set("%#_~^<>|") & set(body)
    assert not [row for row in body.splitlines() if row.startswith(("[", "*"))]
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


def _without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def damage(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return damage


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (_without("metric", "direction"), "'metric' lacks a usable direction"),
        (_without("dataset", "title"), "'dataset' lacks a usable title"),
        (_without("values", "low"), "'values' lacks a usable low"),
        (lambda r: r.update(metric=None), "'metric' is damaged"),
        (lambda r: r.update(model=[1]), "'model' is damaged"),
        (lambda r: r.update(n="many"), "'n' is not a whole number"),
        (lambda r: r.update(id="zz"), "hexadecimal"),
        (lambda r: r.update(failed=[1]), "'failed' is not a list of pairs"),
        (lambda r: r["model"].update(trained_on="celeba"), "'model.trained_on' is not a list"),
    ],
)
def test_a_record_of_a_wrong_shape_is_named(
    writer: RunWriter, rng: np.random.Generator, damage: Callable[[Any], None], names: str
) -> None:
    path = add_ecm(writer, rng, "a", 0.3)
    folder = writer.finish(["ecm"])
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=names) as caught:
        load_run(folder)
    assert str(path) in str(caught.value)


def test_files_that_a_run_names_are_there_and_whole(
    writer: RunWriter, rng: np.random.Generator
) -> None:
    path = add_ecm(writer, rng, "a", 0.3)
    folder = writer.finish(["ecm"])
    columns = read_columns(next(folder.rglob("*.parquet")))
    for name in ("id", "ecm", "label_hr"):
        edit_columns(path, lambda stored, name=name: stored.pop(name))
        with pytest.raises(RecordError, match=f"lacks the column {name}"):
            load_run(folder)
        edit_columns(path, lambda stored: stored.update(columns))
    path.unlink()
    with pytest.raises(RecordError, match="cannot be read"):
        load_run(folder)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "settings": {}}))
    with pytest.raises(RecordError, match="lacks a usable judges"):
        load_run(folder)
    (folder / "run.json").write_text(json.dumps({**run, "cells": []}))
    with pytest.raises(RecordError, match="names no cells"):
        load_run(folder)


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
    panel = build_panel(compared(run)).set_index("model")
    assert panel["rank[mini-xception]"].tolist() == [2, 3, 1]
    assert panel["rank[face-api]"].tolist()[:2] == [2, 1]
    assert np.isnan(panel.loc["c", "rank[face-api]"])
    assert panel["mean_rank"].tolist() == [2, 2, 1]
    assert panel.loc["a", "over_wrong_face[mini-xception]"] == pytest.approx(0.25, abs=0.05)
    taus = agreement(compared(run))
    assert taus["tau"][0] == -1
    assert taus["n"][0] == 2
    assert "tau -1.00" in "\n".join(panel_lines(compared(run)))
