"""Rows of one name: a model that is called like an anchor never shows the anchor's numbers."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import pattern
from PIL import Image
from run_tables import long_of
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench import compare, score
from affectbench.adapters import parse_models
from affectbench.api import Comparison
from affectbench.errors import InputError
from affectbench.records import distinct_slugs, slug
from affectbench.report.cells import lay_out
from affectbench.report.html.build import write_report
from affectbench.report.leaderboard import about_board
from affectbench.report.render import to_markdown, to_terminal
from affectbench.report.table import build_table, wide_table
from affectbench.results.compare import compared
from affectbench.results.faces import face_tables
from affectbench.results.labelled import labelled_accuracy
from affectbench.results.panel import build_panel
from affectbench.results.runs import load_run
from affectbench.results.views import build_views
from affectbench.run.again import run_again
from affectbench.run.anchors import ANCHORS


@pytest.fixture(scope="module")
def results(toy_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results for the toy faces, far from all of them: each is another picture turned round."""
    folder = tmp_path_factory.mktemp("results")
    for i in range(8):
        Image.fromarray(pattern(i + 20)[::-1]).save(folder / f"face{i}.png")
    return folder


@pytest.fixture(scope="module")
def right(toy_faces: Path, results: Path) -> float:
    """Their PSNR, by its definition."""
    values = []
    for i in range(8):
        names = (folder / f"face{i}.png" for folder in (toy_faces, results))
        hr, sr = (np.asarray(Image.open(name)).astype(float) for name in names)
        values.append(10 * np.log10(255**2 / ((hr - sr) ** 2).mean()))
    return float(np.mean(values))


def run(toy_faces: Path, models: str, out: Path | None = None, **options: object) -> Comparison:
    """A comparison on the toy faces."""
    given = {"hr_size": 64, "scale": 4, "metrics": ["psnr"], **options}
    return compare(models, "toy", data={"toy": toy_faces}, out=out, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("bicubic", "wrong-face") else ())
        for name in ANCHORS
    ],
)
def test_a_model_called_like_an_anchor_keeps_its_own_number(
    tmp_path: Path, toy_faces: Path, results: Path, right: float, name: str
) -> None:
    plain = run(toy_faces, "lanczos", metrics=["psnr", "ecm"]).table.set_index("model")
    models = f"images:{results}@mismatch=allow@name={name},lanczos"
    found = run(toy_faces, models, tmp_path, metrics=["psnr", "ecm"])
    table = found.table.set_index(["role", "model"])
    assert len(table) == 6
    assert table.loc[("model", name), "psnr"] == pytest.approx(right, abs=1e-9)
    for anchor in ANCHORS:
        assert table.loc[("anchor", anchor), "psnr"] == plain.loc[anchor, "psnr"]
        assert table.loc[("anchor", anchor), "ecm"] == plain.loc[anchor, "ecm"]
        assert table.loc[("anchor", anchor), "mark"] == ""
        assert np.isnan(table.loc[("anchor", anchor), "psnr_diff"])
    assert "no-expression-information" in table.loc[("model", name), "mark"]
    assert np.isfinite(table.loc[("model", name), "psnr_diff"])
    assert (found.images(name, "toy", "psnr").psnr < 20).all()
    anchors = found.images(name, "toy", "psnr", role="anchor")
    assert anchors.psnr.mean() == plain.loc[name, "psnr"]
    written = long_of(tmp_path, "psnr")
    assert written.loc[("model", name), "value"] == pytest.approx(right, abs=1e-6)
    # The same call again takes each from its own record.
    again = run(toy_faces, models, tmp_path, metrics=["psnr", "ecm"])
    assert again.outcome.computed == 0
    pd.testing.assert_frame_equal(again.table, found.table)


def test_tables_for_people_show_both_rows(toy_faces: Path, results: Path, right: float) -> None:
    found = run(
        toy_faces, f"images:{results}@mismatch=allow@name=one-face,lanczos", metrics=["psnr", "ecm"]
    )
    layout = lay_out(compared(found.run))
    lines = {(line.name.split()[0], line.anchor): line for line in layout.blocks[0].lines}
    assert lines["one-face", False].cells["psnr"].text.startswith(f"{right:.2f}")
    assert lines["one-face", False].name == "one-face ∅"
    assert lines["one-face", True].name == "one-face"
    assert "inf" in lines["one-face", True].cells["psnr"].text
    assert "| *one-face* |" in to_markdown(layout)
    assert "| one-face ∅ |" in to_markdown(layout)
    shown = to_terminal(layout, width=120)
    assert shown.index("one-face ∅") < shown.index("anchors") < shown.rindex("one-face")
    rows = {(row["role"], row["model"]): row for row in about_board(found.run)["rows"]}
    assert rows["model", "one-face"]["revision"] != rows["anchor", "one-face"]["revision"]


@pytest.mark.parametrize("name", ["reference", "wrong-face"])
def test_a_folder_of_results_called_like_an_anchor(
    tmp_path: Path, toy_faces: Path, results: Path, right: float, name: str
) -> None:
    shutil.copytree(results, tmp_path / name)
    found = score(tmp_path / name, toy_faces, metrics=["psnr", "ecm"], scale=4, allow_mismatch=True)
    table = found.table.set_index(["role", "model"])
    assert table.loc[("model", name), "psnr"] == pytest.approx(right, abs=1e-9)
    assert table.loc[("anchor", "reference"), "psnr"] > 35


def test_another_model_called_bicubic_does_not_replace_it(
    toy_faces: Path, results: Path, right: float
) -> None:
    plain = run(toy_faces, "bicubic,lanczos").table.set_index("model")
    named = run(toy_faces, f"images:{results}@mismatch=allow@name=bicubic,lanczos").table
    table = named.set_index(["role", "model"])
    assert table.loc[("model", "bicubic"), "psnr"] == pytest.approx(right, abs=1e-9)
    assert table.loc[("anchor", "bicubic"), "psnr"] == plain.loc["bicubic", "psnr"]
    # `versus bicubic` is bicubic itself.
    diff = plain.loc["lanczos", "psnr"] - plain.loc["bicubic", "psnr"]
    assert table.loc[("model", "lanczos"), "psnr_diff"] == pytest.approx(diff, abs=1e-9)
    diff = right - plain.loc["bicubic", "psnr"]
    assert table.loc[("model", "bicubic"), "psnr_diff"] == pytest.approx(diff, abs=1e-9)


def test_versus_names_a_model_also_if_an_anchor_has_its_name(
    toy_faces: Path, results: Path, right: float
) -> None:
    found = run(
        toy_faces, f"images:{results}@mismatch=allow@name=reference,lanczos", versus="reference"
    ).table
    table = found.set_index(["role", "model"])
    diff = table.loc[("model", "lanczos"), "psnr"] - right
    assert table.loc[("model", "lanczos"), "psnr_diff"] == pytest.approx(diff, abs=1e-9)


def test_bicubic_is_an_anchor_unless_it_is_a_model_of_its_name(toy_faces: Path) -> None:
    for models, is_anchor in (("bicubic", False), ("bicubic@name=base", True), ("nearest", True)):
        table = run(toy_faces, models).table
        rows = set(zip(table.role, table.model, strict=True))
        assert (("anchor", "bicubic") in rows) == is_anchor


def test_a_model_called_like_an_anchor_in_the_report(
    tmp_path: Path, toy_faces: Path, results: Path, right: float
) -> None:
    models = f"images:{results}@mismatch=allow@name=bicubic,nearest"
    found = run(toy_faces, models, tmp_path, metrics=["psnr", "ecm"], save_images=True)
    table = face_tables(found.run)[0]
    assert [(row.name, row.anchor) for row in table.rows] == [
        ("bicubic", False),
        ("nearest", False),
        ("bicubic (anchor)", True),
    ]
    psnr = next(metric for metric in table.metrics if metric.column.name == "psnr").rows
    assert psnr["bicubic"].mean() == pytest.approx(right, abs=1e-9)
    assert psnr["bicubic (anchor)"].mean() > right + 3
    assert len({row.folder for row in table.rows}) == 3
    written = write_report(tmp_path, faces="all")
    folders = sorted(path.name for path in (tmp_path / "report-faces" / "toy").glob("sr-*"))
    assert len(folders) == 3
    saved = {
        row.name: np.asarray(Image.open(tmp_path / "report-faces/toy" / row.folder / "face3.png"))
        for row in table.rows
    }
    assert (saved["bicubic"] == np.asarray(Image.open(results / "face3.png"))).all()
    assert (saved["bicubic"] != saved["bicubic (anchor)"]).any()
    assert "bicubic (anchor)" in written.page.read_text()


def test_a_stranger_is_the_anchor_in_the_panel(tmp_path: Path) -> None:
    """Also in views by judge and in the site's tables, which are made of the same frame."""
    judges = ("mini-xception", "face-api")
    writer = RunWriter(tmp_path, judges)
    rng = np.random.default_rng(0)
    for judge in judges:
        for row, role, level in (
            ("wrong-face", "model", 0.2),
            ("mine", "model", 0.3),
            ("wrong-face", "anchor", 0.8),
            ("one-face", "anchor", 0.7),
        ):
            values = level + rng.normal(0, 0.01, 20)
            columns = ecm_columns(list(values), ["happy"] * 20)
            model = {"revision": f"{role} {row}"}
            writer.add(row, "ecm", columns, role=role, judge=judge, model=model)
    run = load_run(writer.finish(["ecm"], versus="mine"))
    panel = build_panel(compared(run)).set_index("model")
    assert panel.loc["wrong-face", "over_wrong_face[face-api]"] == pytest.approx(0.25, abs=0.02)
    assert list(panel["mean_rank"]) == [1.0, 2.0]
    for view in build_views(run):
        rows = wide_table(view.frame).set_index(["role", "model"])
        assert rows.loc[("model", "wrong-face"), "mark"] == ""
        assert rows.loc[("anchor", "wrong-face"), "ecm"] > 0.7


def test_a_model_called_as_the_originals_are(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    columns = {**ecm_columns([0.1] * 12, ["happy"] * 12), "label_sr": np.array(["sad"] * 12)}
    writer.add("HR", "ecm", columns)
    writer.add("mine", "ecm", columns)
    run = load_run(writer.finish(["ecm"]))
    labels = dict.fromkeys(map(str, columns["id"]), "happy")
    with pytest.raises(InputError, match=r"called 'HR'.*@name="):
        labelled_accuracy(run, labels, "mine")


def test_a_board_with_such_names_can_be_run_again(
    tmp_path: Path, toy_faces: Path, results: Path
) -> None:
    models = f"images:{results}@mismatch=allow@name=bicubic,nearest"
    stored, data = run(toy_faces, models, tmp_path / "out").run, tmp_path / "data"
    data.mkdir()
    (data / "toy").symlink_to(toy_faces)
    options = {"weights": None, "faces": 8, "seed": 0}
    assert run_again(stored.settings, stored.records, stored.columns, data, **options) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("Mine", "mine"), ("my/model", slug("my/model")), ("ünder", "UNDER"), ("x.", "x")],
)
def test_names_whose_files_could_meet_keep_their_records(
    tmp_path: Path, toy_faces: Path, one: str, other: str
) -> None:
    """One content under two names that a file system may not tell apart."""
    models = f"nearest@name={one},nearest@name={other}"
    found = run(toy_faces, models, tmp_path)
    assert list(found.table.model[:2]) == [one, other]
    assert found.table.psnr[0] == found.table.psnr[1]
    cells = [cell.casefold() for cell in load_run(tmp_path).cells]
    assert len(set(cells)) == len(cells)
    assert run(toy_faces, models, tmp_path).outcome.computed == 0
    # Alone, and under the other name, the row is called what it was called now.
    for name in (other, one):
        table = run(toy_faces, f"nearest@name={name}", tmp_path).table
        assert table.model[0] == name


def test_file_names_of_rows() -> None:
    keys = [("model", "x"), ("anchor", "x"), ("model", "X"), ("model", "con"), ("model", "nul.y")]
    keys += [("model", "a/b"), ("model", slug("a/b")), ("model", "x."), ("model", ".x")]
    names = list(distinct_slugs(keys).values())
    assert len({name.casefold() for name in names}) == len(keys)
    assert names[0] == "x"
    for name in names:
        assert not name.endswith(".")
        assert name.partition(".")[0].casefold() not in ("con", "nul")


def test_one_name_in_two_spellings_of_unicode() -> None:
    names = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    with pytest.raises(InputError, match="both be called"):
        parse_models(",".join(f"nearest@name={name}" for name in names))


def test_a_table_of_made_records_with_one_label_twice(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    for role, level in (("anchor", 40.0), ("model", 20.0)):
        about = {"role": role, "model": {"revision": role}}
        writer.add("reference", "psnr", psnr_columns([level] * 8), **about)
    table = build_table(load_run(writer.finish(["psnr"])))
    assert list(zip(table.role, table.psnr, strict=True)) == [("model", 20.0), ("anchor", 40.0)]
