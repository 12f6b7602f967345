"""`affectbench leaderboard site`: an index, a page for each board and model, published rows.

Measured and published numbers never share a table. A board's page is made from its records, and
only if its CSV file says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from affectbench.errors import InputError, RecordError
from affectbench.records import slug, write_atomic
from affectbench.report.cells import lay_out
from affectbench.report.figures.collect import collect
from affectbench.report.html.page import page
from affectbench.report.html.provenance import provenance_of
from affectbench.report.html.sections import (
    ShownView,
    copied_texts,
    shown_figures,
    shown_views,
    switches,
)
from affectbench.report.html.tables import PlainTable, Text
from affectbench.report.html.templating import file_link
from affectbench.report.leaderboard import board_files, check_tables
from affectbench.report.site.models import (
    NOTES,
    ModelEntry,
    facts_of_model,
    model_entries,
    scores_of,
)
from affectbench.results.boards import board_folders
from affectbench.results.faces import face_tables
from affectbench.results.facts import display_of
from affectbench.results.runs import Run, load_run
from affectbench.results.views import View, build_views
from affectbench.results.winners import winners
from affectbench.texts import unicode_text

COMMANDS = """\
affectbench datasets verify celeba faces/celeba
affectbench compare --models bicubic,checkpoint:mine.safetensors --datasets celeba \\
    --data-root faces --judges panel --out mine
affectbench leaderboard check
"""
"""How to add a row, as in CONTRIBUTING.md; `panel` is `judges.catalogue.BUNDLED`."""


@dataclass(frozen=True)
class Board:
    """One board: its name and its views."""

    name: str
    run: Run
    views: tuple[View, ...]

    @property
    def title(self) -> str:
        """The title: a description of its faces."""
        return "; ".join(dict.fromkeys(lay_out(v.frame).blocks[0].title for v in self.views))

    @property
    def standing(self) -> str:
        """The best model of the board, in words."""
        return _standing(self.views[0])

    @property
    def page(self) -> str:
        """The file name of its page."""
        return f"board-{slug(self.name)}.html"


def write_site(root: Path, out: Path, cards: Path | None = None) -> list[Path]:
    """Write the pages of the leaderboards in `root` to `out`; return the files, the index first.

    `cards` is searched for `NAME.md`, the card of a model. Raises RecordError for a board whose
    CSV file and records do not agree, InputError for a `published.csv` that cannot be read.
    """
    boards, published = _boards(root), _published(root / "published.csv")
    entries = model_entries([(b.name, b.page, b.views) for b in boards], cards)
    pages = {"index.html": _index(boards, entries, published)}
    for board in boards:
        pages[board.page] = _board_page(board, entries)
    for entry in entries.values():
        pages[entry.page] = _page(
            "model",
            entry.name,
            entry.summary,
            scores=scores_of(entry),
            notes=NOTES,
            facts=facts_of_model(entry),
            card=entry.card,
        )
    if published is not None:
        lead = "Numbers that papers and repositories print. None of them was measured here."
        rows = _published_table(published)
        pages["published.html"] = _page("published", "Published numbers", lead, rows=rows)
    for name, text in pages.items():
        write_atomic(out / name, unicode_text(text).encode())
    files = [name for board in boards for name in board_files(board.run)]
    for name in [*files, *(["published.csv"] if published is not None else [])]:
        write_atomic(out / name, (root / name).read_bytes())
    return [out / name for name in [*pages, *files]]


def _boards(root: Path) -> list[Board]:
    boards = []
    for folder in board_folders(root):
        run = load_run(folder)
        for problem in check_tables(root, run):
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
    template: str,
    title: str,
    lead: str,
    *,
    views: Sequence[ShownView] = (),
    links: Sequence[tuple[str, str]] = (),
    **values: Any,
) -> str:
    data = {"views": copied_texts(views), "faces": []}
    home = () if title == TITLE else ((file_link("index.html"), "All leaderboards"),)
    links = [*home, *links]
    return page(template, title=title, lead=lead, links=links, data=data, views=views, **values)


TITLE = "affectbench leaderboards"
_LEAD = (
    "Does a super-resolved face still show the emotion of the original? Every measured "
    "number has a record and the values of single faces behind it."
)


def _index(
    boards: Sequence[Board], entries: Mapping[str, ModelEntry], published: pd.DataFrame | None
) -> str:
    links = [("#boards", "Boards"), ("#models", "Models"), ("#published", "Published")]
    links = [pair for pair in links if pair[0] != "#published" or published is not None]
    return _page(
        "index",
        TITLE,
        _LEAD,
        links=[*links, ("#submit", "Submit a row")],
        boards=boards,
        models=_models_table(entries),
        published=None if published is None else len(published),
        commands=COMMANDS,
    )


def _standing(view: View) -> str:
    """Describe the best model by ECM in a board's first view, and those tied with it."""
    frame = view.frame
    first = next(iter(frame.columns))
    count = sum(not row.is_anchor for row in frame.rows)
    winner = next((found for found in winners(frame) if found.column.name == first), None)
    if winner is None:
        return f"{count} models."
    place = winner.best[0]
    best, score = frame.rows[place], lay_out(frame).blocks[0].lines[place].cells[first].text
    text = f"{count} models. Best by {winner.column.label}: {best.model}, {score}"
    text += f"; not told apart from {', '.join(winner.tied)}" if winner.tied else ""
    return f"{text}; not shown to beat a stranger's face." if best.no_information else f"{text}."


def _models_table(entries: Mapping[str, ModelEntry]) -> PlainTable:
    rows = [
        [
            Text("link", entry.name, address=file_link(entry.page)),
            f"{int(entry.model['parameters']):,}" if entry.model.get("parameters") else "",
            str(entry.model.get("licence", "")),
            "reproducible" if entry.reproducible else Text("badge", SELF_REPORTED),
            ", ".join(result.board for result in entry.results),
        ]
        for entry in entries.values()
    ]
    head = ["Model", "Parameters", "Licence", "Weights", "Boards"]
    return PlainTable("Models", "all-models", head, rows, "tnttt", sortable=True)


SELF_REPORTED = "self-reported"


def _board_page(board: Board, entries: Mapping[str, ModelEntry]) -> str:
    names = {
        name: Text(
            "link",
            name,
            address=file_link(entry.page),
            badge="" if entry.reproducible else SELF_REPORTED,
        )
        for name, entry in entries.items()
    }
    return _page(
        "board",
        board.name,
        board.title,
        views=shown_views(board.views),
        links=[("#tables", "Tables"), ("#figures", "Figures"), ("#provenance", "Provenance")],
        switches=switches(board.views),
        names=names,
        file=f"{board.name}.csv",
        figures=shown_figures(collect(board.run, board.views, face_tables(board.run))),
        provenance=provenance_of(board.run, "affectbench leaderboard build"),
    )


def _published_table(table: pd.DataFrame) -> PlainTable:
    columns = list(table.columns)
    rows = [
        [_published_cell(column, str(row[column])) for column in columns]
        for row in table.to_dict("records")
    ]
    kinds = "".join("n" if _is_numeric(table[column]) else "t" for column in columns)
    head = [_LABELS.get(c) or display_of(c) or c.replace("_", " ") for c in columns]
    return PlainTable("Published rows", "published-rows", head, rows, kinds, sortable=True)


_LABELS = {"lpips": "LPIPS"}
"""Published columns that match none of our metrics: papers do not state the network."""


def _is_numeric(texts: pd.Series[str]) -> bool:
    """Whether a column holds numbers, wherever it holds anything."""
    known = texts[texts != ""]
    return len(known) > 0 and bool(pd.to_numeric(known, errors="coerce").notna().all())


def _published_cell(column: str, text: str) -> str | Text:
    is_address = column == "url" and text.startswith(("https://", "http://"))
    return Text("source", text.partition("://")[2], address=text) if is_address else text
