"""A page for each model: the facts in its records, its scores, and its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectbench.errors import InputError
from affectbench.records import slug
from affectbench.report.html.tables import PlainTable, Text
from affectbench.report.html.templating import file_link
from affectbench.report.marks import CONTAMINATED, DAGGER, NO_INFORMATION, Sign
from affectbench.report.site.board_table import (
    MISSING,
    TIED,
    BoardCell,
    BoardRow,
    BoardTable,
    Head,
)
from affectbench.report.site.boards import Part
from affectbench.report.site.columns import overview

_FACTS = {
    "scale": "Scale",
    "parameters": "Parameters",
    "licence": "Licence",
    "colour": "Colour",
    "trained_on": "Trained on",
    "trained_against": "Trained against",
    "revision": "Revision",
    "weights_sha256": "SHA-256 of the weights",
    "note": "Note",
}


@dataclass(frozen=True)
class Place:
    """One data set of a board: its title, its page and its table."""

    title: str
    page: str
    part: Part
    table: BoardTable

    @property
    def name(self) -> str:
        """The data set and the task, short enough for the head of a column."""
        return f"{self.part.short}, {self.part.task.removesuffix(' pixels')}"


@dataclass
class ModelEntry:
    """A model as described by its records, its results, and its model card (Markdown)."""

    name: str
    model: Mapping[str, Any]
    card: str = ""
    results: list[tuple[Place, BoardRow]] = field(default_factory=list)

    @property
    def page(self) -> str:
        """The file name of its page."""
        return f"model-{slug(self.name)}.html"

    @property
    def reproducible(self) -> bool:
        """Whether its weights are identified by a hash, or it has none."""
        return bool(self.model.get("weights_sha256")) or self.model.get("parameters") == 0

    @property
    def summary(self) -> str:
        """A one-line description."""
        if not self.reproducible:
            return "Self-reported: no weights are behind these numbers that can be run again."
        count = self.model.get("parameters")
        parts = [str(self.model.get("note") or ""), f"{count:,} parameters" if count else ""]
        return "; ".join(filter(None, parts)) or "A model of the leaderboards."


def model_entries(places: Sequence[Place], cards: Path | None) -> dict[str, ModelEntry]:
    """Return every model of the boards by name."""
    entries: dict[str, ModelEntry] = {}
    for place in places:
        records = place.part.frame.run.records
        described = {record.row: record.model for record in records if record.role == "model"}
        for row in place.table.models:
            known = described.get(row.model, {})
            entry = entries.setdefault(row.model, ModelEntry(row.model, known))
            entry.results.append((place, row))
    if cards is not None:
        for entry in entries.values():
            entry.card = _card(cards, entry.name)
    return entries


def facts_of_model(entry: ModelEntry) -> dict[str, str]:
    """Return the facts that a model's records state."""
    known = {title: entry.model.get(key) for key, title in _FACTS.items()}
    return {title: _fact(value) for title, value in known.items() if value not in (None, "")}


def scores_of(entry: ModelEntry) -> PlainTable:
    """Return a table of a model's rank and main scores on each board."""
    heads: dict[str, Head] = {}
    for place, _ in entry.results:
        wanted = {*(c.name for c in overview(place.part.frame)), *_headlines(place)}
        heads.update({head.name: head for head in place.table.heads if head.name in wanted})
    rows: list[list[str | Text]] = []
    for place, row in entry.results:
        cells = {h.name: c for h, c in zip(place.table.heads, row.cells, strict=True)}
        board = Text("signed", place.name, address=file_link(place.page), signs=row.signs)
        scores = [_score(cells.get(name, BoardCell())) for name in heads]
        rows.append([board, f"{place.part.faces:,}", row.place, *scores])
    titles = [
        f"{head.label} {head.unit}".strip() + (" ↓" if head.direction == "lower" else " ↑")
        for head in heads.values()
    ]
    kinds = "tnn" + "n" * len(heads)
    caption = f"Scores of {entry.name} with 95 % intervals"
    return PlainTable(caption, "scores", ["Board", "Faces", "Rank", *titles], rows, kinds)


def _headlines(place: Place) -> list[str]:
    """Return the columns of the headline metric under every judge."""
    columns = place.part.frame.columns.values()
    return [column.name for column in columns if column.spec.leads]


NOTES = (
    f"= behind a rank: {TIED}",
    *(sign.note for sign in (DAGGER, CONTAMINATED, NO_INFORMATION)),
)
"""The meaning of the signs after scores."""


def _score(cell: BoardCell) -> Text:
    signs = (*cell.signs, *((Sign(MISSING, cell.missing),) if cell.missing else ()))
    return Text("score", cell.text, interval=cell.interval, signs=signs)


def _fact(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "nothing declared"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _card(folder: Path, name: str) -> str:
    """Read the card `NAME.md` anywhere below a folder; InputError if there are two such files."""
    found = sorted(path for path in folder.rglob("*.md") if path.stem == name)
    if len(found) > 1:
        raise InputError(f"{name}: two cards, {found[0]} and {found[1]}; keep one of them")
    return found[0].read_text(encoding="utf-8") if found else ""
