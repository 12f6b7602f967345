"""The parts of a board's page: ranks, columns, the table, the plot's labels, published rows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_runs import write_run
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench.errors import InputError
from affectbench.report.labels import Mark, placed
from affectbench.report.leaderboard import build
from affectbench.report.site.board_table import board_table
from affectbench.report.site.boards import disagreements
from affectbench.report.site.build import write_site
from affectbench.report.site.columns import MOST, groups
from affectbench.report.site.plot import plots
from affectbench.report.site.published import read_published
from affectbench.results.compare import compared
from affectbench.results.frame import Frame
from affectbench.results.ranks import headline, ranks
from affectbench.results.runs import load_run

N = 40


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """Two equals and one behind them, one trained against the judge, one with missing values."""
    rng = np.random.default_rng(0)
    writer = RunWriter(tmp_path_factory.mktemp("run"))
    noise = rng.normal(0, 0.05, N)
    levels = {"far": 0.8, "cheat": 0.1, "one": 0.3, "two": 0.3, "holes": 0.6}
    for name, level in levels.items():
        own = noise + rng.normal(0, 0.002, N) + level
        about = {"trained_against": ["mini-xception"]} if name == "cheat" else {}
        writer.add(name, "ecm", ecm_columns(list(own), ["happy"] * N), model=about)
        psnr = psnr_columns(list(25 - 5 * own))
        if name == "holes":
            psnr["psnr"][:7] = np.nan
        writer.add(name, "psnr", psnr, model=about)
    writer.add("wrong-face", "ecm", ecm_columns(list(noise + 2), ["happy"] * N), role="anchor")
    return compared(load_run(writer.finish(["ecm", "psnr"], versus="far")))


def test_models_that_no_test_tells_from_the_best_are_marked(frame: Frame) -> None:
    places = ranks(frame.rows, frame.columns["ecm"])
    found = {r.model: p and p.text for r, p in zip(frame.rows, places, strict=True)}
    assert found == {
        "far": "4",
        "cheat": None,
        "one": "1",
        "two": "2=",
        "holes": "3",
        "wrong-face": None,
    }


def test_a_board_is_sorted_by_the_headline_and_anchors_stand_apart(frame: Frame) -> None:
    table = board_table(frame, "t", "caption")
    assert table.headline == "ecm"
    names = [row.model for row in table.models]
    assert (
        names[0] == "cheat"
        and set(names[1:3]) == {"one", "two"}
        and names[3:]
        == [
            "holes",
            "far",
        ]
    )
    assert table.models[0].place == "–"
    assert "trained against" in table.models[0].why
    assert [row.model for row in table.anchors] == ["wrong-face"]


def test_missing_faces_are_a_mark_beside_the_number(frame: Frame) -> None:
    table = board_table(frame, "t", "caption")
    column = [head.name for head in table.heads].index("psnr")
    cells = {row.model: row.cells[column] for row in table.models}
    assert re.fullmatch(r"\d+\.\d\d", cells["holes"].text)
    assert cells["holes"].missing == f"7 of {N} faces have no value here"
    assert not cells["one"].missing
    assert any(note.startswith("△") for note in table.notes)


def test_groups_hold_at_most_eight_columns_and_begin_with_the_headline(tmp_path: Path) -> None:
    judges = ("mini-xception", "face-api", "resnet-ferplus")
    run = load_run(write_run(tmp_path, n=8, images=0, judges=judges))
    frame = compared(run)
    found = groups(frame)
    assert [group.title for group in found][:3] == ["Overview", "Expression", "Fidelity"]
    assert found[-1].title == "Cost"
    for group in found:
        assert group.names[0] == headline(frame).name
        assert len(group.names) <= MOST


def test_tests_of_other_columns_can_be_left_out(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, n=20, images=0))
    whole, part = compared(run), compared(run, {"ecm"})
    for all_tests, few in zip(whole.rows, part.rows, strict=True):
        assert few.values["ecm"] == all_tests.values["ecm"]
        if few.model == "sharp":
            assert all_tests.values["psnr"].among_best and few.values["psnr"].best
        assert few.known("psnr") is None or few.values["psnr"].among_best is None


@pytest.mark.parametrize("kind", ["number", "name", "row too many", "no model", "word", "empty"])
def test_a_csv_file_with_another_number_or_row_is_noticed(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    board = write_run(root / "boards" / "toy", n=12, images=0)
    build(root)
    path = root / "toy.csv"
    frame = compared(load_run(board), {"ecm"})
    assert list(disagreements(path, frame)) == []
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if kind == "number":
        table.loc[0, "psnr"] = str(float(table.loc[0, "psnr"]) + 1e-4)
    elif kind == "name":
        table.loc[0, "model"] = "sharper"
    elif kind == "row too many":
        table = pd.concat([table, table.iloc[:1].assign(model="new")])
    elif kind == "no model":
        table = table.iloc[1:]
    elif kind == "word":
        table.loc[0, "ecm"] = "good"
    else:
        table.loc[0, "ssim"] = ""
    table.to_csv(path, index=False)
    assert [message for message in disagreements(path, frame) if "not what its" in message]


def test_names_in_a_plot_lie_on_nothing(rng: np.random.Generator) -> None:
    frame = (0.0, 0.0, 800.0, 400.0)
    places = rng.uniform((60, 30), (740, 370), (14, 2))
    marks = [Mark(f"model-{i}", float(x), float(y)) for i, (x, y) in enumerate(places)]
    found = [label.box for label in placed(marks, frame, 12.0, 4.0)]
    for i, a in enumerate(found):
        assert a[0] >= 0 and a[1] >= 0 and a[2] <= 800 and a[3] <= 400
        for b in found[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_names_of_points_at_one_place_are_apart() -> None:
    marks = [Mark(f"equal-{i}", 400.0, 200.0) for i in range(6)]
    found = [label.box for label in placed(marks, (0.0, 0.0, 800.0, 400.0), 12.0, 4.0)]
    assert len({(round(box[0]), round(box[1])) for box in found}) == 6


def test_up_and_right_is_better_in_a_plot(frame: Frame) -> None:
    (plot,) = plots(frame, frame.columns["ecm"])
    for drawn in plot.drawings:
        dots = {dot.name: dot for dot in drawn.dots}
        assert dots["one"].y < dots["far"].y  # y goes downwards
        assert dots["one"].x > dots["far"].x
        assert {dots[name].kind for name in ("one", "two")} == {"first"}
        assert dots["cheat"].kind == "open" and dots["far"].kind == "ranked"
        assert len(drawn.x_ticks) >= 2 and len(drawn.y_ticks) >= 2


def test_equal_models_have_a_plot_too(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    for name in ("a", "b"):
        writer.add(name, "ecm", ecm_columns([0.2] * 12, ["happy"] * 12))
        writer.add(name, "psnr", psnr_columns([25.0] * 12))
    frame = compared(load_run(writer.finish(["ecm", "psnr"], versus="a")))
    (plot,) = plots(frame, frame.columns["ecm"])
    assert len(plot.drawings[0].dots) == 2


def test_a_board_without_ecm_or_quality_has_a_page(tmp_path: Path) -> None:
    for name, metric in (("only-psnr", "psnr"), ("only-ecm", "ecm")):
        writer = RunWriter(tmp_path / "boards" / name)
        for model, level in (("a", 0.2), ("b", 0.4)):
            values = [level + i / 100 for i in range(12)]
            columns = ecm_columns(values, ["happy"] * 12)
            writer.add(model, metric, columns if metric == "ecm" else psnr_columns(values))
        writer.finish([metric], versus="a")
    build(tmp_path)
    write_site(tmp_path, tmp_path / "site")
    pages = {p.name: p.read_text("utf-8") for p in (tmp_path / "site").glob("board-*.html")}
    assert "Best by PSNR: b" in pages["board-only-psnr.html"]
    assert "Best by ECM: a" in pages["board-only-ecm.html"]
    assert not any("<svg" in text for text in pages.values())


def test_published_rows_are_one_table_for_each_set_and_scale(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(
        "model,dataset,scale,psnr,lpips,convention,url,note\n"
        "A,CelebA,8,24.1,0.2,sparnet,https://example.org/a,from a figure\n"
        "B,CelebA,8,25.1,,sparnet,https://example.org/a,from a figure\n"
        "A,Helen,8,23.0,,own,javascript:alert(1),\n"
    )
    published = read_published(path)
    assert published is not None and published.count == 3
    assert [table.caption for table in published.tables] == ["CelebA, ×8", "Helen, ×8"]
    first, second = published.tables
    assert list(first.head) == ["Model", "PSNR", "LPIPS", "Convention", "Source"]
    assert list(second.head) == ["Model", "PSNR", "Convention", "Source"]  # no empty column
    assert [source.address for source in published.sources] == ["https://example.org/a", ""]
    assert published.sources[0].about == "from a figure"
    path.write_bytes(b"model\n\xff\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_published(path)
