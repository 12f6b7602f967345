"""A page for each model: the facts in its records, its scores, and its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectbench.errors import InputError
from affectbench.records import slug
from affectbench.report.cells import Cell, Line, lay_out
from affectbench.report.html.tables import PlainTable, Text
from affectbench.report.html.templating import file_link
from affectbench.report.marks import BEST, CONTAMINATED, DAGGER, NO_INFORMATION
from affectbench.results.columns import Column
from affectbench.results.views import ALL_JUDGES, View

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
class Result:
    """A model's row on a board under one judge (or all), as formatted there."""

    board: str
    page: str
    line: Line
    columns: Mapping[str, Column]


@dataclass
class ModelEntry:
    """A model as described by its records, its results, and its model card (Markdown)."""

    name: str
    model: Mapping[str, Any]
    card: str = ""
    results: list[Result] = field(default_factory=list)

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


def model_entries(
    boards: Sequence[tuple[str, str, Sequence[View]]], cards: Path | None
) -> dict[str, ModelEntry]:
    """Return every model of the boards (name, page, views) by name."""
    entries: dict[str, ModelEntry] = {}
    for board, page, views in boards:
        own = views[0].convention
        shown = [v for v in views if v.convention == own and v.judge == ALL_JUDGES] or views[:1]
        for view in shown:
            _collect(entries, board, page, view)
    if cards is not None:
        for entry in entries.values():
            entry.card = _card(cards, entry.name)
    return entries


def _collect(entries: dict[str, ModelEntry], board: str, page: str, view: View) -> None:
    described = {r.row: r.model for r in view.frame.run.records if r.role == "model"}
    for line in lay_out(view.frame).blocks[0].lines:
        if line.anchor:
            continue
        entry = entries.setdefault(
            line.model, ModelEntry(line.model, described.get(line.model, {}))
        )
        entry.results.append(Result(board, page, line, view.frame.columns))


def facts_of_model(entry: ModelEntry) -> dict[str, str]:
    """Return the facts that a model's records state."""
    known = {title: entry.model.get(key) for key, title in _FACTS.items()}
    return {title: _fact(value) for title, value in known.items() if value not in (None, "")}


def scores_of(entry: ModelEntry) -> PlainTable:
    """Return a table of a model's row on each board."""
    columns: dict[str, Column] = {}
    for result in entry.results:
        columns.update(result.columns)
    rows: list[list[str | Text]] = []
    for result in entry.results:
        link, signs = file_link(result.page), result.line.signs
        board = Text("signed", result.board, address=link, signs=signs)
        scores = [_score(result.line, name) for name in columns]
        rows.append([board, result.line.faces, *scores])
    titles = [
        f"{column.label} {column.spec.unit}".strip() + (" ↓" if column.of_lower else " ↑")
        for column in columns.values()
    ]
    kinds = "tn" + "n" * len(columns)
    caption = f"Scores of {entry.name} with 95 % intervals"
    return PlainTable(caption, "scores", ["Board", "n", *titles], rows, kinds)


NOTES = (BEST, *(sign.note for sign in (DAGGER, CONTAMINATED, NO_INFORMATION)))
"""The meaning of the signs after scores."""


def _score(line: Line, name: str) -> Text:
    cell = line.cells.get(name, Cell())
    return Text("score", cell.text, interval=cell.interval)


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
