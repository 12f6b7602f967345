"""The report: what it shows is what the records say, whatever the records are called."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from jinja2 import UndefinedError
from PIL import Image
from report_runs import ROWS, face_ids, judged_columns, write_run
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench.cli.main import main
from affectbench.errors import MissingExtraError
from affectbench.records import SavedFaces
from affectbench.report.cells import lay_out
from affectbench.report.figures import collect as collecting
from affectbench.report.figures.collect import collect
from affectbench.report.figures.drawing import inline_svg, write
from affectbench.report.html import sections
from affectbench.report.html.build import write_report
from affectbench.report.html.pictures import embed
from affectbench.report.html.tables import PlainTable, Text
from affectbench.report.html.templating import asset, data_script, rendered
from affectbench.report.latex import to_latex
from affectbench.report.render import to_csv, to_markdown
from affectbench.report.site.published import Published, Source
from affectbench.report.table import build_table, wide_table
from affectbench.results.chosen import DISPUTED, RANDOM, WORST, chosen_faces
from affectbench.results.compare import compared
from affectbench.results.confusion import confusion
from affectbench.results.faces import face_tables
from affectbench.results.points import Point, pareto
from affectbench.results.runs import Run, load_run
from affectbench.results.views import View, build_views

NASTY = "<script>alert(1)</script>\"'&$x$ü=1+{}%_#"
FORMULAS = ("=cmd()", "+1", "-1", "@x")


class Page(HTMLParser):
    """The elements of a page, and the data of its scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def data(self, name: str = "data") -> Any:
        return json.loads(self.scripts[name])


def page_of(folder: Path, **options: Any) -> Page:
    return Page(write_report(folder, **options).page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, two judges, two conventions, pictures of every face."""
    return write_run(tmp_path_factory.mktemp("run"), datasets=("celeba", "helen"), n=24)


@pytest.fixture(scope="module")
def run(run_folder: Path) -> Run:
    return load_run(run_folder)


@pytest.fixture(scope="module")
def views(run: Run) -> list[View]:
    return build_views(run)


@pytest.fixture(scope="module")
def page(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page without figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "can_draw", lambda: False)
        return page_of(run_folder, target=tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def full_page(run_folder: Path) -> Page:
    """The whole page."""
    return page_of(run_folder)


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data set, one judge, pictures of every face: quick to report on."""
    return write_run(tmp_path_factory.mktemp("small"), n=24, judges=("mini-xception",))


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if matplotlib were not installed: most tests look at something else."""
    monkeypatch.setattr(sections, "can_draw", lambda: False)
    monkeypatch.setattr(collecting, "can_draw", lambda: False)


@pytest.fixture(scope="module")
def nasty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, faces and a data set with names that are traps."""
    rows = {NASTY: 0.8, **dict.fromkeys(FORMULAS, 1.2), "bicubic": 1.5}
    ids = ["<script><img src=x onerror=alert(1)>", *FORMULAS, "ünï'\"code", "a%2Fb"]
    folder = tmp_path_factory.mktemp("nasty")
    return write_run(folder, rows=rows, ids=ids, datasets=(NASTY,), judges=("mini-xception",))


def test_there_is_a_view_for_each_data_set_convention_and_judge(views: list[View]) -> None:
    keys = [(view.dataset, view.convention, view.judge) for view in views]
    wanted = [
        (dataset, convention, judge)
        for dataset in ("celeba", "helen")
        for convention in ("rgb", "dic")
        for judge in ("mini-xception", "face-api", "")
    ]
    assert keys == wanted


def test_the_view_of_all_judges_is_the_table_of_the_run(run: Run, views: list[View]) -> None:
    table = build_table(run)
    views = [v for v in views if v.convention == "rgb" and v.judge == ""]
    joint = pd.concat([wide_table(view.frame) for view in views], ignore_index=True)
    pd.testing.assert_frame_equal(joint, table)
    for view in views:
        assert lay_out(view.frame).blocks[0] in lay_out(compared(run)).blocks


def run_of(run: Run, judge: str) -> Run:
    """The run as if this judge had been its only one."""
    kept = [r for r in run.records if r.metric["identity"].get("judge", judge) == judge]
    return replace(run, settings={**run.settings, "judges": [judge]}, records=tuple(kept))


def test_the_view_of_one_judge_is_the_table_of_a_run_with_that_judge(
    run: Run, views: list[View]
) -> None:
    for judge in ("mini-xception", "face-api"):
        alone = run_of(run, judge)
        table = build_table(alone)
        mine = [v for v in views if v.convention == "rgb" and v.judge == judge]
        joint = pd.concat([wide_table(view.frame) for view in mine], ignore_index=True)
        pd.testing.assert_frame_equal(joint, table, check_dtype=False)
        layout = lay_out(compared(alone))
        assert [lay_out(view.frame).blocks[0] for view in mine] == list(layout.blocks)


def test_a_convention_of_an_earlier_call_is_its_own_view(views: list[View]) -> None:
    found = {(v.convention, v.judge): v for v in views[:6]}
    ours, other = (
        wide_table(found["rgb", "face-api"].frame),
        wide_table(found["dic", "face-api"].frame),
    )
    assert (ours["ecm"] == other["ecm"]).all()
    known = ours["psnr"].notna()
    assert (ours["psnr"][known] != other["psnr"][known]).all()
    assert "convention dic" in lay_out(found["dic", "face-api"].frame).notes[0]


def test_no_information_is_marked_by_the_judge_that_is_looked_at(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    writer = RunWriter(tmp_path, ("mini-xception", "face-api"))
    labels = ["happy"] * 12 + ["sad"] * 12
    for judge, level in (("mini-xception", 0.2), ("face-api", 0.6)):
        for row, mean in (("a", level), ("wrong-face", 0.6), ("one-face", 0.6)):
            values = rng.normal(mean, 0.02, 24)
            role = "model" if row == "a" else "anchor"
            writer.add(row, "ecm", ecm_columns(values, labels), judge=judge, role=role)
    views = {v.judge: v for v in build_views(load_run(writer.finish(["ecm"])))}
    marks = {
        judge: wide_table(view.frame).set_index("model")["mark"]["a"]
        for judge, view in views.items()
    }
    assert marks == {"mini-xception": "", "face-api": "no-expression-information", "": ""}


def test_a_dagger_is_seen_under_its_judge_alone(tmp_path: Path, rng: np.random.Generator) -> None:
    writer = RunWriter(tmp_path, ("mini-xception", "face-api"))
    labels = ["happy"] * 12
    about = {"trained_against": ["face-api"]}
    for judge in ("mini-xception", "face-api"):
        for row in ("a", "b"):
            columns = ecm_columns(rng.uniform(0.2, 0.6, 12), labels)
            writer.add(row, "ecm", columns, judge=judge, model=about if row == "a" else None)
    for view in build_views(load_run(writer.finish(["ecm"]))):
        dagger = any("†" in note for note in lay_out(view.frame).notes)
        assert dagger == (view.judge != "mini-xception")
        cell = lay_out(view.frame).blocks[0].lines[0].cells[list(lay_out(view.frame).heads)[-1]]
        assert cell.text.endswith("†") == (view.judge != "mini-xception")


@pytest.mark.slow
def test_the_page_loads_nothing(full_page: Page, run_folder: Path) -> None:
    text = (run_folder / "report.html").read_text(encoding="utf-8")
    for name, attributes in full_page.elements:
        assert name not in {"iframe", "object", "embed", "base", "image"}
        for key in ("src", "href", "xlink:href", "data", "srcset", "action"):
            target = attributes.get(key)
            assert target is None or target.startswith(("#", "data:")), (name, target)
        assert not any(key.startswith("on") for key in attributes)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    policy = next(a["content"] for _, a in full_page.elements if a.get("http-equiv"))
    assert policy and "default-src 'none'" in policy and "http" not in policy


@pytest.mark.slow
def test_ids_are_unique(full_page: Page) -> None:
    ids = [attributes["id"] for _, attributes in full_page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_tables_are_semantic(full_page: Page) -> None:
    tables = [a for name, a in full_page.elements if name == "table"]
    captions = [a for name, a in full_page.elements if name == "caption"]
    assert len(tables) == len(captions) > 10
    heads = [a for name, a in full_page.elements if name == "th"]
    assert all(a.get("scope") in {"col", "row", "rowgroup"} for a in heads)


@pytest.mark.slow
def test_the_page_is_the_same_each_time(small_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "again.html"
    first = write_report(small_folder, target).page.read_bytes()
    assert write_report(small_folder, target).page.read_bytes() == first


def test_what_is_copied_is_what_the_tables_write(page: Page, views: list[View]) -> None:
    for view, texts in zip(views, page.data()["views"], strict=True):
        assert texts["csv"] == to_csv(wide_table(view.frame))
        assert texts["markdown"] == to_markdown(lay_out(view.frame))
        assert texts["latex"] == to_latex(lay_out(view.frame))


def test_faces_hold_what_the_records_hold(page: Page, run: Run) -> None:
    faces = page.data()["faces"][1]
    assert faces["name"] == "helen"
    judge = faces["judges"][1]
    record = next(
        r
        for r in run.records
        if (r.row, r.dataset["name"], r.metric["identity"].get("judge"))
        == ("worst", "helen", "face-api")
    )
    columns = run.columns(record)
    row = [r["name"] for r in faces["rows"]].index("worst")
    assert judge["rows"][row]["ecm"] == [round(float(v), 4) for v in columns["ecm"]]
    labels = [judge["labels"][i] for i in judge["rows"][row]["label"]]
    assert labels == list(columns["label_sr"])
    q = np.array(judge["rows"][row]["q"]).reshape(-1, len(judge["classes"])) / 1000
    truth = np.stack([columns[f"q_{name}"] for name in judge["classes"]], axis=1)
    assert np.abs(q - truth).max() <= 0.0005 + 1e-6
    assert judge["rows"][row]["flipped"] == [int(not a) for a in columns["agreement"]]


def test_rows_of_another_order_and_with_failures_are_paired_by_id(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    writer = RunWriter(tmp_path)
    ids = face_ids(8)
    import torch

    hr = torch.from_numpy(rng.normal(0, 2, (8, 7)))
    whole = judged_columns(hr, 1.0, ids, rng)
    writer.add("a", "ecm", whole)
    part = {k: v[::-1][:5] for k, v in judged_columns(hr, 1.0, ids, rng).items()}
    gone = [(i, "no file") for i in ids[:3]]
    writer.add("b", "ecm", part, failed=gone)
    table = face_tables(load_run(writer.finish(["ecm"], versus="a")))[0]
    assert table.ids == tuple(ids)
    values = table.judges[0].rows["b"].ecm
    assert np.isnan(values[:3]).all()
    assert list(values[3:]) == list(part["ecm"][::-1])
    assert table.rows[1].failed == {str(i): "no file" for i in ids[:3]}


def test_chosen_faces_are_the_union_that_is_promised(tmp_path: Path) -> None:
    folder = write_run(tmp_path, n=300, judges=("mini-xception",), images=0)
    table = face_tables(load_run(folder))[0]
    chosen = chosen_faces(table, 0)
    assert len(chosen) == len(set(chosen))
    bad = table.badness()
    worst = {int(i) for row in bad for i in np.argsort(-row)[:WORST]}
    disputed = {int(i) for i in np.argsort(-(bad.max(axis=0) - bad.min(axis=0)))[:DISPUTED]}
    drawn = {int(i) for i in np.random.default_rng(0).permutation(300)[:RANDOM]}
    assert set(chosen) == worst | disputed | drawn
    assert set(chosen_faces(table, 1)) != set(chosen)
    assert chosen_faces(table, 0) == chosen


def test_pictures_are_embedded_without_loss(page: Page, run: Run) -> None:
    table = face_tables(run)[0]
    place = SavedFaces(run.folder, table.dataset, table.revision)
    face = page.data("face-0-3")
    paths = [place.lr(table.ids[3]), place.hr(table.ids[3])]
    paths += [place.sr(row.name, row.revision, table.ids[3]) for row in table.rows]
    for path, uri in zip(paths, [face["lr"], face["hr"], *face["sr"]], strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert (np.asarray(shown.convert("RGB")) == np.asarray(Image.open(path))).all()


@pytest.mark.usefixtures("without_figures")
def test_the_budget_holds_and_every_face_keeps_its_row(small_folder: Path, tmp_path: Path) -> None:
    whole = write_report(small_folder, tmp_path / "whole.html")
    small = write_report(small_folder, tmp_path / "small.html", budget=40_000)
    page = Page(small.page.read_text(encoding="utf-8"))
    data = page.data()["faces"][0]
    shown = [name for name in page.scripts if name.startswith("face-")]
    assert 0 < len(shown) < 24
    assert len(data["embedded"]) == len(shown)
    assert sum(len(page.scripts[name]) for name in shown) < 45_000
    assert len(data["ids"]) == 24
    assert "left out to keep it small" in small.remarks[0]
    assert small.size < whole.size


@pytest.mark.usefixtures("without_figures")
def test_without_faces_no_pixel_is_in_the_page(small_folder: Path, tmp_path: Path) -> None:
    written = write_report(small_folder, tmp_path / "none.html", faces="none")
    text = written.page.read_text(encoding="utf-8")
    assert "data:image" not in text.replace("img-src data:", "")
    page = Page(text)
    assert not [name for name in page.scripts if name.startswith("face-")]
    assert len(page.data()["faces"][0]["ids"]) == 24
    assert "left out on request" in page.text


@pytest.mark.usefixtures("without_figures")
def test_all_faces_go_to_a_folder_beside_the_page(small_folder: Path, tmp_path: Path) -> None:
    written = write_report(small_folder, tmp_path / "full.html", faces="all")
    assert written.faces == tmp_path / "full-faces"
    files = sorted(written.faces.rglob("*.png"))
    assert len(files) == 24 * (2 + len(ROWS))
    data = Page(written.page.read_text(encoding="utf-8")).data()["faces"][0]
    row = data["rows"][0]
    assert (tmp_path / data["folder"] / data["slug"] / row["folder"] / "000003.png").is_file()


@pytest.mark.usefixtures("without_figures")
def test_a_run_without_pictures_says_how_to_get_them(tmp_path: Path) -> None:
    folder = write_run(tmp_path, n=12, images=0)
    written = write_report(folder)
    assert "--save-images" in written.remarks[0]


@pytest.mark.usefixtures("without_figures")
def test_an_id_that_leaves_the_folder_shows_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    folder = write_run(tmp_path / "run", n=8, ids=[*face_ids(7), "../../../../secret"], images=7)
    table = face_tables(load_run(folder))[0]
    place = SavedFaces(folder, table.dataset, table.revision)
    assert place.hr(table.ids[7]).resolve() == secret.resolve()
    shown = embed(table, folder, range(8), 10**9)
    assert 7 not in shown.faces
    assert len(shown.faces) == 7
    written = write_report(folder, faces="all")
    assert written.faces
    assert not [p for p in tmp_path.rglob("secret.png") if p != secret]


@pytest.mark.slow
def test_names_are_text_in_the_page(nasty_folder: Path) -> None:
    page = page_of(nasty_folder)
    scripts = [a for name, a in page.elements if name == "script"]
    assert len([a for a in scripts if a.get("type") != "application/json"]) == 1
    assert not [a for name, a in page.elements if name == "img"]
    assert NASTY in page.text
    data = page.data()["faces"][0]
    assert data["name"] == NASTY
    assert data["rows"][0]["name"] == NASTY
    assert data["ids"][0].startswith("<script>")
    assert not any(key.startswith("on") for _, a in page.elements for key in a)


def test_names_are_harmless_in_csv_markdown_and_latex(nasty_folder: Path) -> None:
    view = build_views(load_run(nasty_folder))[0]
    read = pd.read_csv(io.StringIO(to_csv(wide_table(view.frame))))
    assert list(read["model"][:5]) == [NASTY, *(f"'{name}" for name in FORMULAS)]
    markdown = to_markdown(lay_out(view.frame))
    assert "<script>" not in markdown
    assert "&lt;script&gt;" in markdown
    latex = to_latex(lay_out(view.frame))
    lines = (line.removesuffix("{!}{%") for line in latex.splitlines())  # our own comments
    body = "\n".join(line for line in lines if not line.startswith("%"))
    for character in "&%$#_":
        escaped = re.sub(rf"\\{re.escape(character)}", "", body)
        if character == "&":
            escaped = escaped.replace(" & ", "")
        if character == "$":
            escaped = re.sub(r"\$\\?[a-z^{*}]+\$|\$\^\{[^$]*\}\$", "", escaped)
        assert character not in escaped, character


@pytest.mark.slow
def test_names_are_text_in_figures(nasty_folder: Path) -> None:
    run = load_run(nasty_folder)
    drawings = [d for d in collect(run, build_views(run), face_tables(run)) if d.paint]
    assert len(drawings) == 4
    for drawing in drawings:
        svg = inline_svg(drawing)
        assert "<script" not in svg
        assert re.fullmatch(r"[\w.-]+", drawing.name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spread = next(inline_svg(d) for d in drawings if d.kind == "spread")
        quality = next(d for d in drawings if d.kind == "quality")
        file = write(quality, "svg").decode()
    assert "$x$" in spread and "$x$" in file
    # A page has the legend as text beside the drawing.
    assert NASTY in {key.label for key in quality.keys} and "$x$" not in inline_svg(quality)


TEMPLATES = sorted((ROOT / "affectbench/report/html/templates").glob("*.j2"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_trusts_nothing(path: Path) -> None:
    """No text goes unescaped into a page, and no address that was not looked at."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|Markup", text)
    attributes = re.findall(r'(?:href|src|action)="(.*?)"(?=[ >])', text)
    written = [value for value in attributes if "{" in value]
    assert all(value.endswith("| address }}") for value in written), written


def test_templates_escape_text_and_lack_nothing() -> None:
    given = {"title": NASTY, "lead": NASTY, "links": [("#a", NASTY)], "data": {}, "pictures": []}
    given |= {"policy": "", "style": "", "script": "", "version": "1"}
    rows = PlainTable(NASTY, "x", [NASTY], [[Text("code", NASTY)]])
    published = Published(1, (rows,), (Source(1, "", NASTY, NASTY),))
    page = rendered("published", published=published, **given)
    assert "<script>alert" not in page
    assert Page(page).text.count(NASTY) == 9  # two of them the title
    with pytest.raises(UndefinedError):
        rendered("published", **given)
    with pytest.raises(ValueError, match="no address"):
        rendered("published", published=published, **{**given, "links": [("javascript:x", "x")]})


def test_data_of_scripts_end_no_script() -> None:
    script = data_script({"a": "</script><!--\u2028"}, "x")
    assert script.count("<") == 2
    assert json.loads(script[script.index(">") + 1 : -len("</script>")]) == {
        "a": "</script><!--\u2028"
    }


@pytest.mark.slow
def test_figures_are_vector_text_and_stay_apart(run: Run, views: list[View]) -> None:
    drawings = [d for d in collect(run, views, face_tables(run)) if d.paint]
    kinds = {drawing.kind for drawing in drawings}
    assert kinds == {"quality", "spread", "confusion", "cost", "judges"}
    svgs = [inline_svg(drawing) for drawing in drawings]
    ids = [i for svg in svgs for i in re.findall(r'(?<= )id="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in svgs:
        assert "<text" in svg
        assert "currentColor" in svg
        assert "*{" not in svg.replace("-svg *{", "")
        assert all(t.startswith("#") for t in re.findall(r'href="([^"]+)"', svg))


@pytest.mark.slow
def test_figures_are_written_as_files(small_folder: Path, tmp_path: Path) -> None:
    written = write_report(small_folder, tmp_path / "r.html", figures=tmp_path / "figures")
    assert {path.suffix for path in written.figures} == {".pdf", ".png", ".svg"}
    assert all(path.stat().st_size > 1000 for path in written.figures)
    pdf = next(path for path in written.figures if path.suffix == ".pdf")
    assert pdf.read_bytes().startswith(b"%PDF")


def test_a_figure_without_its_input_says_so(tmp_path: Path, rng: np.random.Generator) -> None:
    writer = RunWriter(tmp_path)
    writer.add("a", "psnr", psnr_columns(rng.uniform(20, 30, 12)))
    writer.add("bicubic", "psnr", psnr_columns(rng.uniform(20, 30, 12)))
    text = page_of(writer.finish(["psnr"])).text
    for words in ("needs ECM", "at least two judges", "landmark metric"):
        assert words in text


@pytest.mark.usefixtures("without_figures")
def test_without_matplotlib_the_page_says_what_to_install(
    small_folder: Path, tmp_path: Path
) -> None:
    page = page_of(small_folder, target=tmp_path / "r.html")
    assert "affectbench[plots]" in page.text
    assert not [a for name, a in page.elements if name == "svg"]
    with pytest.raises(MissingExtraError, match="plots"):
        write_report(small_folder, tmp_path / "r.html", figures=tmp_path / "f")


def test_the_confusion_counts_faces() -> None:
    hr, sr = np.array(["a", "a", "b", "b"]), np.array(["a", "b", "b", ""])
    assert confusion(hr, sr, ["a", "b"]).tolist() == [[1, 1], [0, 1]]


def test_the_front_has_models_that_nobody_beats() -> None:
    def point(name: str, x: float, y: float, ranked: bool = True) -> Point:
        return Point(name, True, ranked, x, y)

    points = [
        point("best in x", 0.1, 20),
        point("beaten", 0.3, 19),
        point("best in y", 0.4, 25),
        point("not ranked", 0.0, 30, ranked=False),
    ]
    assert [p.name for p in pareto(points, True, False)] == ["best in x", "best in y"]
    assert [p.name for p in pareto(points, True, True)] == ["best in x", "beaten"]


@pytest.mark.slow
def test_the_spread_of_infinite_values_is_drawn(tmp_path: Path, rng: np.random.Generator) -> None:
    writer = RunWriter(tmp_path)
    writer.add("a", "ecm", ecm_columns(np.zeros(8), ["happy"] * 8))
    writer.add("a", "psnr", psnr_columns([np.inf] * 8))
    run = load_run(writer.finish(["ecm", "psnr"], versus="a"))
    for drawing in collect(run, build_views(run), face_tables(run)):
        if drawing.paint:
            assert write(drawing, "png").startswith(b"\x89PNG")
    data = page_of(tmp_path).data()["faces"][0]
    assert data["metrics"][0]["rows"][0] == ["inf"] * 8


@pytest.mark.usefixtures("without_figures")
def test_provenance_has_the_commands(small_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a b.html"
    page = page_of(small_folder, target=target, faces="none")
    assert f"affectbench report {small_folder} --html '{target}' --no-faces" in page.text
    assert load_run(small_folder).command in page.text
    for record in load_run(small_folder).records:
        assert record.dataset["revision"] in page.text


@pytest.mark.usefixtures("without_figures")
def test_the_command_writes_the_page(
    small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.html"
    assert main(["report", str(small_folder), "--html", str(target), "--no-faces"]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.is_file()
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
def test_a_face_may_be_called_like_a_part_of_javascript() -> None:
    names = ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "plain", "lost"]
    failed = {"lost": "why", "valueOf": "this too"}
    face_set = {"ids": names, "rows": [{"name": "constructor", "failed": failed}], "embedded": []}
    script = f"""{asset("faces.js")}
        const set = JSON.parse(process.argv[1]);
        const faces = new Faces(set, 0);
        console.log(JSON.stringify(set.ids.map((_, face) => faces.failure(0, face))));"""
    done = subprocess.run(
        ["node", "-e", script, json.dumps(face_set)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [None, None, None, None, "this too", None, "why"]
    assert ".failed[" not in asset("cards.js") + asset("viewer.js") + asset("browser.js")
