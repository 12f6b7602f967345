"""The leaderboard site: measured and published apart, nothing that its records do not say."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from conftest import ROOT
from report_runs import write_run
from test_report import FORMULAS, NASTY, Page

from affectbench.cli.main import main
from affectbench.errors import InputError, RecordError
from affectbench.records import slug
from affectbench.report.html.templating import address as safe_address
from affectbench.report.leaderboard import build
from affectbench.report.site.build import write_site

PUBLISHED = """\
model,dataset,scale,psnr,convention,url,note
Paper,CelebA,8,24.1,sparnet,https://example.org/a?b=1&c="2",<b>as printed</b>
Trap,CelebA,8,23.0,sparnet,javascript:alert(1),none
"""


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One board with a model that has weights, one that has none, and one with a nasty name."""
    root = tmp_path_factory.mktemp("boards")
    (root / "published.csv").write_text(PUBLISHED)
    board = root / "boards" / "toy-x8"
    rows = {"bicubic": 1.4, NASTY: 0.9, FORMULAS[0]: 1.1}
    models = {"bicubic": {"parameters": 0}, NASTY: {"weights_sha256": "ab" * 32}}
    write_run(board, rows=rows, n=16, images=0, models=models)
    build(root)
    return root


@pytest.fixture(scope="module")
def site(boards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, with a card for one model."""
    out = tmp_path_factory.mktemp("site")
    cards = tmp_path_factory.mktemp("cards") / "deep"
    cards.mkdir()
    text = "# Card\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<script>alert(1)</script>\n\n"
    text += "[bad](javascript:alert(1)) ![far](https://example.org/x.png)\n"
    (cards / "bicubic.md").write_text(text)
    write_site(boards, out, cards.parent)
    return out


def page_named(site: Path, name: str) -> Page:
    return Page((site / name).read_text(encoding="utf-8"))


def test_every_link_leads_to_a_file_or_a_place(site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert len(pages) == 6
    for path in pages:
        page = page_named(site, path.name)
        ids = {a.get("id") for _, a in page.elements}
        for name, attributes in page.elements:
            target = attributes.get("href") or ""
            if name != "a" or target.startswith("https://"):
                continue
            if target.startswith("#"):
                assert target[1:] in ids, (path.name, target)
            else:
                assert (site / target).is_file(), (path.name, target)


def test_nothing_is_loaded_and_nothing_runs_but_our_script(site: Path) -> None:
    for path in site.glob("*.html"):
        page = page_named(site, path.name)
        assert not [a for name, a in page.elements if name in {"img", "iframe"}]
        scripts = [a for name, a in page.elements if name == "script"]
        assert len([a for a in scripts if a.get("type") != "application/json"]) == 1
        for _, attributes in page.elements:
            assert not (attributes.get("href") or "").startswith("javascript:")
            assert "src" not in attributes


def test_a_row_is_made_by_the_commands_of_the_guide(site: Path) -> None:
    page = next(p for p in site.rglob("*.html") if 'id="submit"' in p.read_text("utf-8"))
    section = page.read_text("utf-8").partition('id="submit"')[2]
    shown = html.unescape(section.partition("<code>")[2].partition("</code>")[0])
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()
    commands = re.sub(r"\s*\\\n\s*", " ", shown).strip().splitlines()
    assert len(commands) == 3
    assert [line for line in commands if line not in guide] == []
    # All that come with the library, the default one first.
    assert "--judges panel " in commands[1]


def test_measured_and_published_share_no_table(site: Path) -> None:
    board = (site / "board-toy-x8.html").read_text(encoding="utf-8")
    published = page_named(site, "published.html").text
    assert "Paper" not in board
    assert "Paper" in published
    assert "<b>as printed</b>" in published
    assert "bicubic" not in published
    pages = [page_named(site, "published.html"), page_named(site, "index.html")]
    links = [a.get("href") for page in pages for name, a in page.elements if name == "a"]
    assert 'https://example.org/a?b=1&c="2"' in links


def test_rows_without_weights_are_called_self_reported(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>.*?</tr>", text, re.DOTALL)
    labels = {
        html.unescape(re.findall(r"<a [^>]*>(.*?)</a>", row)[0]): row
        for row in rows
        if "model-" in row
    }
    assert set(labels) == {"bicubic", NASTY, FORMULAS[0]}
    assert {name for name, row in labels.items() if "self-reported" in row} == {FORMULAS[0]}
    assert page_named(site, "board-toy-x8.html").text.count("self-reported") >= 1


def test_a_model_has_its_scores_and_its_card(site: Path) -> None:
    page = page_named(site, "model-bicubic.html")
    table = pd.read_csv(site / "toy-x8.csv")
    row = table[table.model == "bicubic"].iloc[0]
    assert f"{row.psnr:.2f}" in page.text
    assert f"{row['ecm[face-api]']:.4f}" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert len([a for name, a in page.elements if name == "table"]) == 2
    assert NASTY in page_named(site, f"model-{slug(NASTY)}.html").text


def test_two_cards_of_one_model_are_refused(boards: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bicubic.md").write_text("card")
    with pytest.raises(InputError, match="two cards"):
        write_site(boards, tmp_path / "site", tmp_path)


def test_a_board_that_disagrees_with_its_records_is_not_shown(boards: Path, tmp_path: Path) -> None:
    path = boards / "toy-x8.csv"
    before = path.read_text()
    try:
        path.write_text(before.replace("bicubic", "bicubicc", 1))
        with pytest.raises(RecordError, match="not what its records give"):
            write_site(boards, tmp_path / "site")
    finally:
        path.write_text(before)
    assert not (tmp_path / "site").exists()


def test_the_command_writes_the_site(
    boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    assert main(["leaderboard", "site", "--root", str(boards), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'index.html'}\n"
    page = page_named(out, "board-toy-x8.html")
    # Two measures of quality, each for wide and for narrow windows.
    assert len([a for name, a in page.elements if name == "svg"]) == 4
    assert (out / "toy-x8.csv").is_file()


@pytest.mark.parametrize(
    "name",
    ["javascript:alert(1)", "data:text,x", "a b?c#d", "JavaScript&colon;x", "//host", "ü%41"],
)
def test_a_board_of_any_name_is_a_file_beside_the_page(tmp_path: Path, name: str) -> None:
    root, out = tmp_path / "root", tmp_path / "site"
    name = name.replace("/", "_")
    write_run(root / "boards" / name, rows={"bicubic": 1.4}, n=8, images=0)
    build(root)
    write_site(root, out)
    addresses = []
    for path in out.glob("*.html"):
        elements = Page(path.read_text(encoding="utf-8")).elements
        addresses += [str(a["href"]) for tag, a in elements if tag == "a" and "href" in a]
    assert all(a.startswith(("#", "./", "https://", "http://")) for a in addresses)
    files = {unquote(a[2:]) for a in addresses if a.startswith("./")}
    assert f"{name}.csv" in files
    assert all((out / file).is_file() for file in files)


@pytest.mark.parametrize(
    "address", ["javascript:x", " javascript:x", "data:x", "//h", "x.html", ""]
)
def test_a_page_has_no_other_address(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        safe_address(address)
