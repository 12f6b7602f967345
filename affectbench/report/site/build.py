"""`affectbench leaderboard site`: an index, a page for each board and model, published rows.

Measured and published numbers never share a table. A board's page is made from its records, and
only if its CSV file has the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectbench.records import write_atomic
from affectbench.report.cells import Choice, Layout, lay_out
from affectbench.report.html.page import SITE, page
from affectbench.report.html.provenance import provenance_of
from affectbench.report.html.tables import PlainTable, Text
from affectbench.report.html.templating import file_link
from affectbench.report.latex import to_latex
from affectbench.report.leaderboard import file_names
from affectbench.report.render import to_markdown
from affectbench.report.site.board_table import BoardTable, board_table, short
from affectbench.report.site.boards import Board, Part, by_task, load_boards
from affectbench.report.site.columns import overview
from affectbench.report.site.models import (
    NOTES,
    ModelEntry,
    Place,
    facts_of_model,
    model_entries,
    scores_of,
)
from affectbench.report.site.plot import plots
from affectbench.report.site.published import Published, read_published
from affectbench.results.ranks import headline
from affectbench.texts import unicode_text

TITLE = "affectbench leaderboards"
_LEAD = (
    "Does a super-resolved face still show the emotion of the original? Each board compares "
    "methods on one set of faces at one size."
)
COMMANDS = """\
affectbench datasets verify celeba faces/celeba
affectbench compare --models bicubic,checkpoint:mine.safetensors --datasets celeba \\
    --data-root faces --judges panel --out mine
affectbench leaderboard check
"""
"""How to add a row, as in CONTRIBUTING.md; `panel` is `judges.catalogue.BUNDLED`."""
SELF_REPORTED = "self-reported"


def write_site(root: Path, out: Path, cards: Path | None = None) -> list[Path]:
    """Write the pages of the leaderboards in `root` to `out`; return the files, the index first.

    `cards` is searched for `NAME.md`, the card of a model. Raises RecordError for a board whose
    CSV file and records do not agree, InputError for a `published.csv` that cannot be read.
    """
    boards, published = load_boards(root), read_published(root / "published.csv")
    tables = {board.name: _tables(board) for board in boards}
    places = [
        Place(board.title, board.page, part, table)
        for board in boards
        for part, table in zip(board.parts, tables[board.name], strict=True)
    ]
    entries = model_entries(places, cards)
    pages = {"index.html": _index(boards, places, entries, published)}
    for board in boards:
        pages[board.page] = _board_page(board, tables[board.name], entries, published)
    for entry in entries.values():
        pages[entry.page] = _model_page(entry)
    if published is not None:
        lead = (
            "Numbers that papers and repositories print. None of them was measured here, and "
            "crops, conventions and kernels differ: compare within a source only."
        )
        pages["published.html"] = _page(
            "published", "Published numbers", lead, published=published, links=_HOME
        )
    for name, text in pages.items():
        write_atomic(out / name, unicode_text(text).encode())
    files = [name for board in boards for name in file_names(board.name)]
    for name in [*files, *(["published.csv"] if published is not None else [])]:
        write_atomic(out / name, (root / name).read_bytes())
    return [out / name for name in [*pages, *files]]


def _page(template: str, title: str, lead: str, *, data: Any = None, **values: Any) -> str:
    shown = data or {"views": [], "faces": []}
    return page(template, title=title, lead=lead, data=shown, look=SITE, **values)


_HOME = ((file_link("index.html"), "All leaderboards"),)


def _index(
    boards: Sequence[Board],
    places: Sequence[Place],
    entries: Mapping[str, ModelEntry],
    published: Published | None,
) -> str:
    links = [("#boards", "Boards"), ("#models", "Models"), ("#published", "Published")]
    links = [pair for pair in links if pair[0] != "#published" or published is not None]
    return _page(
        "index",
        TITLE,
        _LEAD,
        links=[*links, ("#submit", "Submit a row")],
        tasks=by_task(boards),
        models=_models_table(places, entries),
        published=None if published is None else published.count,
        commands=COMMANDS,
    )


def _models_table(places: Sequence[Place], entries: Mapping[str, ModelEntry]) -> PlainTable:
    """Return every model with its rank on each board."""
    rows: list[list[str | Text]] = []
    for entry in entries.values():
        ranks = {(place.page, place.name): row.place for place, row in entry.results}
        count = entry.model.get("parameters")
        badge = "" if entry.reproducible else SELF_REPORTED
        link = Text("signed", entry.name, address=file_link(entry.page), badge=badge)
        own = [ranks.get((place.page, place.name), "") for place in places]
        rows.append([link, *own, short(float(count)) if count else ""])
    head = ["Model", *(place.name for place in places), "Parameters"]
    kinds = "t" + "n" * (len(places) + 1)
    return PlainTable("Rank by ECM on each board", "all-models", head, rows, kinds, sortable=True)


def _tables(board: Board) -> list[BoardTable]:
    return [
        board_table(part.frame, f"table-{number}", f"{part.what}, {part.task}")
        for number, part in enumerate(board.parts)
    ]


def _board_page(
    board: Board,
    tables: Sequence[BoardTable],
    entries: Mapping[str, ModelEntry],
    published: Published | None,
) -> str:
    names = {
        name: Text(
            "link",
            name,
            address=file_link(entry.page),
            badge="" if entry.reproducible else SELF_REPORTED,
        )
        for name, entry in entries.items()
    }
    layouts = [_layout(part) for part in board.parts]
    copies = [{"markdown": to_markdown(one), "latex": to_latex(one)} for one in layouts]
    return _page(
        "board",
        board.title,
        f"{board.question} Measured on {board.faces}.",
        data={"views": copies, "faces": []},
        links=[*_HOME, ("#plot", "Plot"), ("#table", "Table"), ("#about", "About")],
        name=board.name,
        parts=[
            (part, table, plots(part.frame, headline(part.frame)))
            for part, table in zip(board.parts, tables, strict=True)
        ],
        facts=[layout.facts for layout in layouts],
        names=names,
        file=f"{board.name}.csv",
        published=published is not None,
        provenance=provenance_of(board.run, "affectbench leaderboard build"),
    )


def _layout(part: Part) -> Layout:
    """Return the table of the overview, for copying and for its facts."""
    columns = tuple(column.name for column in overview(part.frame))
    return lay_out(part.frame, Choice(columns=columns))


def _model_page(entry: ModelEntry) -> str:
    return _page(
        "model",
        entry.name,
        entry.summary,
        links=_HOME,
        scores=scores_of(entry),
        notes=NOTES,
        facts=facts_of_model(entry),
        card=entry.card,
    )
