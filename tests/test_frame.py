"""The frame of a run: numbers and flags. No name, however it is spelt, makes a flag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench.metrics.landmarks import FAMILY
from affectbench.report.cells import lay_out
from affectbench.report.html.build import write_report
from affectbench.report.leaderboard import build
from affectbench.report.published import long_table, short_table
from affectbench.report.site.build import write_site
from affectbench.report.table import build_table, wide_table
from affectbench.results.compare import compared
from affectbench.results.frame import Frame
from affectbench.results.runs import load_run
from affectbench.results.views import build_views

N = 40
LABELS = ["happy"] * 25 + ["sad"] * 15
FLAGS = [
    *("best", "tied", "tested", "ranked", "trained_against", "contaminated", "no_information"),
    *("too_few", "plain_mean", "failed"),
]


def add_ecm(writer: RunWriter, rng: np.random.Generator, row: str, mean: float, **more: object):  # type: ignore[no-untyped-def]
    values = np.clip(mean + rng.normal(0, 0.05, N), 0, 1.19)
    return writer.add(row, "ecm", ecm_columns(values, LABELS), **more)


@pytest.fixture
def frame(tmp_path: Path, rng: np.random.Generator) -> Frame:
    """A run in which every flag is raised once."""
    writer = RunWriter(tmp_path)
    add_ecm(writer, rng, "good", 0.30)
    add_ecm(writer, rng, "near", 0.301)
    add_ecm(writer, rng, "lost", 0.62)
    add_ecm(writer, rng, "cheat", 0.1, model={"trained_against": ["mini-xception"]})
    add_ecm(writer, rng, "seen", 0.05, model={"trained_on": ["celeba"]})
    add_ecm(writer, rng, "broken", 0.2, error="it broke; twice")
    for anchor, mean in (("bicubic", 0.5), ("wrong-face", 0.6), ("one-face", 0.55)):
        add_ecm(writer, rng, anchor, mean, role="anchor")
    return compared(load_run(writer.finish(["ecm"])))


def test_flags_are_columns_of_true_and_false(frame: Frame) -> None:
    tidy = frame.tidy()
    assert set(tidy.dtypes[FLAGS].astype(str)) == {"bool"}
    models = tidy[tidy["role"] == "model"].set_index("model")

    def those(flag: str) -> set[str]:
        return set(models.index[models[flag]])

    assert those("trained_against") == {"cheat"}
    assert those("contaminated") == {"seen"}
    assert those("failed") == {"broken"}
    assert those("no_information") == {"lost"}
    assert those("ranked") == {"good", "near", "lost", "broken"}
    assert those("tested") == {"good", "near", "lost"}
    assert those("best") | those("tied") == {"good", "near"} and len(those("best")) == 1
    assert not tidy[tidy["role"] == "anchor"][FLAGS].any().any()


def test_the_column_mark_is_written_from_flags(frame: Frame) -> None:
    marks = wide_table(frame).set_index("model")["mark"]
    assert marks["broken"] == "failed: it broke, twice"
    assert marks["cheat"] == "trained-against:mini-xception"
    assert marks["seen"] == "contaminated"
    assert marks["lost"] == "no-expression-information"
    assert set(marks[["good", "near", "bicubic", "wrong-face", "one-face"]]) == {""}


SIGNS = ("x ∅", "x ‡", "x ✗", "†", "x*", "x**", "~x", "contaminated", "trained-against:psnr")


def test_no_name_makes_a_flag(tmp_path: Path, rng: np.random.Generator) -> None:
    writer = RunWriter(tmp_path)
    for number, name in enumerate(SIGNS):
        add_ecm(writer, rng, name, 0.3 + 0.05 * number)
    for anchor in ("wrong-face", "one-face"):
        add_ecm(writer, rng, anchor, 1.0, role="anchor")
    run = load_run(writer.finish(["ecm"], versus=SIGNS[0]))
    frame = compared(run)
    raised = ["trained_against", "contaminated", "no_information", "too_few", "failed"]
    assert not frame.tidy()[raised].any().any()
    layout = lay_out(frame)
    assert not [note for note in layout.notes if note.startswith(tuple("†‡∅✗"))]
    for line in layout.blocks[0].lines:
        assert not line.signs
    assert layout.blocks[0].lines[0].cells["ecm"].best


def test_a_model_named_like_a_sign_beats_a_stranger_on_the_site(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    writer = RunWriter(tmp_path / "boards/toy")
    add_ecm(writer, rng, "net ∅", 0.2)
    for anchor in ("wrong-face", "one-face"):
        add_ecm(writer, rng, anchor, 1.0, role="anchor")
    writer.finish(["ecm"], versus="net ∅")
    build(tmp_path)
    write_site(tmp_path, tmp_path / "site")
    index = (tmp_path / "site/index.html").read_text()
    assert "Best by ECM: net ∅" in index and "not shown to beat" not in index


def test_a_network_bars_its_pupils_in_the_view_of_every_judge(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """What is no judge scores alike, whichever judge is looked at."""
    writer = RunWriter(tmp_path, ("mini-xception", "face-api"))
    columns = {**psnr_columns(rng.normal(0.2, 0.01, N))}
    for model, lower in (("plain", 0.0), ("cheat", 0.1)):
        about = {"trained_against": ["vgg16", "face-api"]} if model == "cheat" else {}
        for judge in ("mini-xception", "face-api"):
            add_ecm(writer, rng, model, 0.4 - lower, judge=judge, model=about)
        values = {"id": columns["id"], "dists": columns["psnr"] - lower}
        writer.add(model, "dists", values, model=about)
    run = load_run(writer.finish(["ecm", "dists"], versus="plain"))
    assert "trained-against:dists" in build_table(run).set_index("model")["mark"]["cheat"]
    for view in build_views(run):
        cheat, plain = (
            next(row for row in view.frame.rows if row.model == name) for name in ("cheat", "plain")
        )
        assert cheat.values["dists"].trained_against and not cheat.values["dists"].best
        assert plain.values["dists"].best
        assert "dists" in cheat.trained_against
        assert ("face-api" in cheat.trained_against) == (view.judge != "mini-xception")
        cells = {line.model: line.cells for line in lay_out(view.frame).blocks[0].lines}
        assert cells["cheat"]["dists"].text.endswith("†")


def test_ties_in_the_page_are_those_of_the_frame(frame: Frame, tmp_path: Path) -> None:
    page = write_report(frame.run.folder, tmp_path / "report.html").page.read_text()
    tied = [row.model for row in frame.rows if row.values["ecm"].is_tied]
    assert f"not told apart from {', '.join(tied)}<" in page


def add_drift(writer: RunWriter, row: str, values: np.ndarray, lost: int, failed: bool) -> None:
    """A row of `au_proxy` without its first faces: no result, or no landmarks on it."""
    ids = np.array([f"{i:06d}" for i in range(len(values))])
    values = values.copy()
    values[:lost] = np.nan
    parts = dict.fromkeys(FAMILY["au_proxy"][1], values)
    columns = {"id": ids, "au_proxy": values, **parts, "found_hr": np.ones(len(ids), dtype=bool)}
    reasons = [(str(i), "crashed") for i in ids[:lost]] if failed else []
    columns = {name: column[len(reasons) :] for name, column in columns.items()}
    role = "anchor" if row == "bicubic" else "model"
    writer.add(row, "au_proxy", columns, role=role, failed=reasons)


@pytest.mark.parametrize("kind", ["landmarks that are not found", "no result"])
def test_a_model_does_not_win_by_faces_that_it_destroys(
    tmp_path: Path, rng: np.random.Generator, kind: str
) -> None:
    """Like `nearest` on CelebA: no landmarks are found on the faces that it distorts most."""
    writer = RunWriter(tmp_path)
    hard = np.sort(rng.uniform(0.05, 0.2, 60))[::-1]
    worse = hard * 1.02 + rng.normal(0, 0.002, 60)
    rows = {"bicubic": hard, "destroys": worse, "good": hard * 0.8}
    for row, values in rows.items():
        lost = {"destroys": 30, "bicubic": 3, "good": 0}[row]
        add_drift(writer, row, values, lost, failed=kind == "no result")
    frame = compared(load_run(writer.finish(["au_proxy"])))
    values = {row.model: row.values["au_proxy"] for row in frame.rows}
    assert values["destroys"].value < values["bicubic"].value < rows["bicubic"].mean()
    assert values["destroys"].value < values["good"].value  # what its own faces say
    difference = values["destroys"].difference
    assert difference["diff"] > 0 and difference["p"] < 0.05
    assert values["good"].best and not values["destroys"].among_best
    assert list(short_table(frame).model) == ["good", "destroys", "bicubic"]
    worst = max(v.max() for v in (hard[3:], worse[30:], rows["good"]))
    counted = np.concatenate([np.full(30, worst), worse[30:]])
    assert values["destroys"].counted == pytest.approx(counted.mean(), rel=1e-12)
    assert "missing faces count as the worst" in " ".join(lay_out(frame).notes)
    long = long_table(frame)
    shown = long[(long.metric == "au_proxy_counted") & (long.model == "destroys")]
    assert shown.value.item() == values["destroys"].counted
    assert values["good"].counted is None


def test_a_row_that_lost_faces_is_no_better_than_a_strangers_face(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    writer = RunWriter(tmp_path)
    easy = ecm_columns(np.clip(rng.normal(0.2, 0.02, 8), 0, 1), ["happy"] * 8)
    failed = [(f"{i:06d}", "crashed") for i in range(8, N)]
    writer.add("fails", "ecm", easy, failed=failed)
    add_ecm(writer, rng, "sound", 0.3)
    for anchor, mean in (("wrong-face", 0.6), ("one-face", 0.55)):
        add_ecm(writer, rng, anchor, mean, role="anchor")
    rows = {r.model: r for r in compared(load_run(writer.finish(["ecm"]))).rows}
    assert rows["fails"].no_information and not rows["sound"].no_information
    assert rows["sound"].values["ecm"].best


def test_the_short_table_is_sorted_by_rank(frame: Frame) -> None:
    table = short_table(frame)
    assert list(table.columns[:8]) == [
        "rank",
        "model",
        "role",
        "dataset",
        "n",
        "ecm",
        "ecm_low",
        "ecm_high",
    ]
    assert len(table.columns) <= 20
    assert set(table.model[:2]) == {"good", "near"} and table.model[2] == "lost"
    assert list(table["rank"][:3]) == [1, 2, 3]
    assert set(table.model[3:6]) == {"cheat", "seen", "broken"}
    assert list(table.model[6:]) == ["bicubic", "one-face", "wrong-face"]
    assert table["rank"][3:].isna().all()
    marks = table.set_index("model").marks
    assert marks["cheat"] == "trained-against:mini-xception"
    assert "not distinguishable from the best" in {marks["good"], marks["near"]}


def test_equal_numbers_share_a_rank(tmp_path: Path, rng: np.random.Generator) -> None:
    writer = RunWriter(tmp_path)
    values = rng.uniform(20, 30, N)
    for row, gain in (("a", 0.0), ("b", 1.0), ("c", 1.0), ("d", 2.0)):
        writer.add(row, "psnr", psnr_columns(values + gain))
    table = short_table(compared(load_run(writer.finish(["psnr"], versus="a"))))
    assert list(zip(table["rank"], table.model, strict=True)) == [
        (1, "d"),
        (2, "b"),
        (2, "c"),
        (4, "a"),
    ]


def test_the_long_table_has_what_the_wide_one_has(frame: Frame) -> None:
    wide = wide_table(frame).set_index(["role", "model"])
    long = long_table(frame).set_index(["role", "model", "metric"]).sort_index()
    assert not long.index.duplicated().any()
    for (role, model), row in wide.iterrows():
        own = long.loc[(role, model)]
        ecm = own.loc["ecm"]
        for name, other in (("value", "ecm"), ("low", "ecm_low"), ("high", "ecm_high")):
            assert ecm[name] == row[other] or (np.isnan(ecm[name]) and np.isnan(row[other]))
        for part in ("diff", "diff_low", "diff_high", "p"):
            a, b = ecm[part], row[f"ecm_{part}"]
            assert a == b or (np.isnan(a) and np.isnan(b))
        assert own.loc["failed", "value"] == row.failed
        if model != "broken":
            assert own.loc["ecm_mean", "value"] == row["ecm_mean"]
            assert own.loc["agreement", "value"] == row["agreement"]
            assert own.loc["flip_rate", "value"] == row["flip_rate"]
            assert own.loc["ecm_macro_classes", "value"] == row["ecm_macro_classes"]
    assert long.loc[("model", "broken", "ecm"), "mark"] == "failed: it broke, twice"
