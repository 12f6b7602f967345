"""`affectbench leaderboard site`: an index, a page for each board and model, published rows.

Measured and published numbers never share a table. A board's page is made from its records, and
only if its CSV file says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from affectbench.errors import InputError, RecordError
from affectbench.records import slug, write_atomic
from affectbench.report.cells import lay_out
from affectbench.report.figures.collect import collect
from affectbench.report.html.markup import Child, Markup, data_script, file_link, joined, tag
from affectbench.report.html.page import page
from affectbench.report.html.provenance import provenance_section
from affectbench.report.html.sections import copied_texts, figures_section, tables_section
from affectbench.report.html.tables import plain_table
from affectbench.report.leaderboard import check_csv
from affectbench.report.site.models import ModelEntry, model_body, model_entries
from affectbench.report.site.submit import submit_section
from affectbench.results.boards import board_folders
from affectbench.results.faces import face_tables
from affectbench.results.facts import display_of
from affectbench.results.runs import Run, load_run
from affectbench.results.views import View, build_views
from affectbench.texts import unicode_text


@dataclass(frozen=True)
class Board:
    """One board: its name and everything that can be looked at."""

    name: str
    run: Run
    views: tuple[View, ...]

    @property
    def title(self) -> str:
        """What its faces are."""
        return "; ".join(dict.fromkeys(lay_out(v.frame).blocks[0].title for v in self.views))

    @property
    def page(self) -> str:
        """The file of its page."""
        return f"board-{slug(self.name)}.html"


def write_site(root: Path, out: Path, cards: Path | None = None) -> list[Path]:
    """Write the pages of the leaderboards in `root` to `out`; the files, the index first.

    `cards` is searched for `NAME.md`, the card of a model. Raises RecordError for a board whose
    CSV file and records do not agree, InputError for a `published.csv` that cannot be read.
    """
    boards, published = _boards(root), _published(root / "published.csv")
    entries = model_entries([(b.name, b.page, b.views) for b in boards], cards)
    pages = {"index.html": _index(boards, entries, published)}
    for board in boards:
        pages[board.page] = _board_page(board, entries)
    for entry in entries.values():
        pages[entry.page] = _page(entry.name, entry.summary, model_body(entry))
    if published is not None:
        lead = "Numbers that papers and repositories print. None of them was measured here."
        pages["published.html"] = _page("Published numbers", lead, _published_body(published))
    for name, text in pages.items():
        write_atomic(out / name, unicode_text(text).encode())
    files = [f"{board.name}.csv" for board in boards]
    for name in [*files, *(["published.csv"] if published is not None else [])]:
        write_atomic(out / name, (root / name).read_bytes())
    return [out / name for name in [*pages, *files]]


def _boards(root: Path) -> list[Board]:
    boards = []
    for folder in board_folders(root):
        run = load_run(folder)
        for problem in check_csv(root / f"{folder.name}.csv", run):
            raise RecordError(problem)
        boards.append(Board(folder.name, run, tuple(build_views(run))))
    return boards


def _published(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    return table if len(table) else None


def _page(
    title: str,
    lead: str,
    body: Markup,
    *,
    views: Sequence[View] = (),
    links: Sequence[tuple[str, str]] = (),
) -> str:
    data = data_script({"views": copied_texts(views), "faces": []}, "data")
    home = () if title == TITLE else ((file_link("index.html"), "All leaderboards"),)
    return page(
        title, lead=tag("p", lead, class_="lead"), body=body, links=[*home, *links], data=[data]
    )


TITLE = "affectbench leaderboards"
_LEAD = (
    "Does a super-resolved face still show the emotion of the original? Every measured "
    "number has a record and the values of single faces behind it."
)


def _index(
    boards: Sequence[Board], entries: Mapping[str, ModelEntry], published: pd.DataFrame | None
) -> str:
    items = [
        tag(
            "li",
            tag("a", board.name, href=file_link(board.page)),
            tag("p", board.title),
            tag("p", _standing(board)),
            tag("p", tag("a", f"{board.name}.csv", href=file_link(f"{board.name}.csv"))),
        )
        for board in boards
    ]
    body: list[Child] = [
        tag("section", tag("h2", "Measured"), tag("ul", items, class_="boards"), id="boards"),
        tag("section", tag("h2", "Models"), _models_table(entries), id="models"),
    ]
    if published is not None:
        text = f"{len(published)} rows from papers and repositories, with their sources"
        link = tag("p", tag("a", text, href=file_link("published.html")), ".")
        note = tag("p", "Other crops, conventions and kernels made them: they share no table.")
        body.append(tag("section", tag("h2", "Published"), link, note, id="published"))
    body.append(submit_section())
    links = [("#boards", "Boards"), ("#models", "Models"), ("#published", "Published")]
    links = [pair for pair in links if pair[0] != "#published" or published is not None]
    return _page(TITLE, _LEAD, joined(*body), links=[*links, ("#submit", "Submit a row")])


def _standing(board: Board) -> str:
    """The best model by ECM of a board's first view, and who cannot be told from it."""
    frame = board.views[0].frame
    rows = [row for row in frame.rows if not row.is_anchor]
    name, column = next(iter(frame.columns.items()))
    known = [(row, value) for row in rows if (value := row.known(name))]
    best = next((row for row, value in known if value.best), None)
    if best is None:
        return f"{len(rows)} models."
    score = next(
        li.cells[name].text for li in lay_out(frame).blocks[0].lines if li.cells[name].best
    )
    text = f"{len(rows)} models. Best by {column.label}: {best.model}, {score}"
    tied = [row.model for row, value in known if value.is_tied]
    text += f"; not told apart from {', '.join(tied)}" if tied else ""
    return f"{text}; not shown to beat a stranger's face." if best.no_information else f"{text}."


def _models_table(entries: Mapping[str, ModelEntry]) -> Markup:
    rows: list[list[Child]] = [
        [
            tag("a", entry.name, href=file_link(entry.page)),
            f"{int(entry.model['parameters']):,}" if entry.model.get("parameters") else "",
            str(entry.model.get("licence", "")),
            "reproducible" if entry.reproducible else tag("span", SELF_REPORTED, class_="badge"),
            ", ".join(result.board for result in entry.results),
        ]
        for entry in entries.values()
    ]
    head = ["Model", "Parameters", "Licence", "Weights", "Boards"]
    return plain_table("Models", "all-models", head, rows, "tnttt", sortable=True)


SELF_REPORTED = "self-reported"


def _board_page(board: Board, entries: Mapping[str, ModelEntry]) -> str:
    names: dict[str, Child] = {
        name: [
            tag("a", name, href=file_link(entry.page)),
            None if entry.reproducible else tag("span", SELF_REPORTED, class_="badge"),
        ]
        for name, entry in entries.items()
    }
    drawings = collect(board.run, board.views, face_tables(board.run))
    file = f"{board.name}.csv"
    body = joined(
        tables_section(board.views, names),
        tag("p", "All columns: ", tag("a", file, href=file_link(file)), "."),
        figures_section(drawings),
        provenance_section(board.run, "affectbench leaderboard build"),
    )
    links = [("#tables", "Tables"), ("#figures", "Figures"), ("#provenance", "Provenance")]
    return _page(board.name, board.title, body, views=board.views, links=links)


def _published_body(table: pd.DataFrame) -> Markup:
    columns = list(table.columns)
    rows: list[list[Child]] = [
        [_published_cell(column, str(row[column])) for column in columns]
        for row in table.to_dict("records")
    ]
    kinds = "".join("n" if _is_numeric(table[column]) else "t" for column in columns)
    head = [_LABELS.get(c) or display_of(c) or c.replace("_", " ") for c in columns]
    shown = plain_table("Published rows", "published-rows", head, rows, kinds, sortable=True)
    file = tag("p", "As a file: ", tag("a", "published.csv", href=file_link("published.csv")), ".")
    return tag("section", shown, file, aria_label="Published rows")


_LABELS = {"lpips": "LPIPS"}
"""Columns of published numbers that are no metric of ours: papers do not say which network."""


def _is_numeric(texts: pd.Series[str]) -> bool:
    """Whether a column holds numbers, wherever it holds anything."""
    known = texts[texts != ""]
    return len(known) > 0 and bool(pd.to_numeric(known, errors="coerce").notna().all())


def _published_cell(column: str, text: str) -> Child:
    is_address = column == "url" and text.startswith(("https://", "http://"))
    shown = text.partition("://")[2]
    return tag("a", shown, href=text, rel="noreferrer") if is_address else text
