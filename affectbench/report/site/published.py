"""Published numbers: a compact table for each data set and scale, sources numbered below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from affectbench.errors import InputError
from affectbench.records import slug
from affectbench.report.html.tables import PlainTable, Text
from affectbench.results.facts import display_of

_LABELS = {"lpips": "LPIPS"}
"""Published columns that match none of our metrics: papers do not state the network."""
_SET = ("dataset", "scale")
_SOURCE = ("url", "accessed", "read_from", "note")
"""Where a number is from; the same for all rows of a paper."""


@dataclass(frozen=True)
class Source:
    """A numbered source: its address if it has one, and what is known of it."""

    number: int
    address: str
    text: str
    about: str

    @property
    def place(self) -> str:
        """The id of its element."""
        return f"source-{self.number}"


@dataclass(frozen=True)
class Published:
    """All published rows."""

    count: int
    tables: tuple[PlainTable, ...]
    sources: tuple[Source, ...]


def read_published(path: Path) -> Published | None:
    """Return the rows of `published.csv`, None if there are none; InputError if unreadable."""
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not len(table):
        return None
    sources = _sources(table)
    keys = [column for column in _SET if column in table]
    parts = table.groupby(keys, sort=False) if keys else [((), table)]
    tables = tuple(_table([str(text) for text in key], part, sources) for key, part in parts)
    return Published(len(table), tables, tuple(sources.values()))


def _sources(table: pd.DataFrame) -> dict[tuple[str, ...], Source]:
    found: dict[tuple[str, ...], Source] = {}
    for key in _source_keys(table):
        if key not in found:
            url, *about = key
            known = url.startswith(("https://", "http://"))
            text = url.partition("://")[2] if known else url
            about = [text for text in about if text]
            found[key] = Source(len(found) + 1, url if known else "", text, "; ".join(about))
    return found


def _source_keys(table: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in table.to_dict("records"):
        yield tuple(str(row.get(column, "")) for column in _SOURCE)


def _table(
    key: Sequence[str], part: pd.DataFrame, sources: dict[tuple[str, ...], Source]
) -> PlainTable:
    """Return the rows of one data set and scale, without columns that are empty here."""
    texts = part.drop(columns=[c for c in (*_SET, *_SOURCE) if c in part])
    columns = [str(column) for column in texts if (texts[column] != "").any()]
    rows: list[list[str | Text]] = []
    for row, source in zip(texts.to_dict("records"), _source_keys(part), strict=True):
        found = sources[source]
        link = Text("link", f"[{found.number}]", address=f"#{found.place}")
        rows.append([*(str(row[column]) for column in columns), link])
    kinds = "".join("n" if _is_numeric(texts[column]) else "t" for column in columns)
    title = ", ×".join(key) or "Published rows"
    head = [*map(_label, columns), "Source"]
    return PlainTable(title, f"set-{slug('-'.join(key) or 'all')}", head, rows, f"{kinds}t", True)


def _label(column: str) -> str:
    return _LABELS.get(column) or display_of(column) or column.replace("_", " ").capitalize()


def _is_numeric(texts: pd.Series[str]) -> bool:
    """Whether a column holds numbers, wherever it holds anything."""
    known = texts[texts != ""]
    return len(known) > 0 and bool(pd.to_numeric(known, errors="coerce").notna().all())
