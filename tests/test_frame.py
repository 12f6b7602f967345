"""The frame of a run: numbers and flags. No name, however it is spelt, makes a flag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench.report.cells import lay_out
from affectbench.report.html.build import write_report
from affectbench.report.leaderboard import build
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
