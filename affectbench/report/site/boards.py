"""A board of the site: its records, what it answers, and the check that its CSV file agrees."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from affectbench.errors import RecordError
from affectbench.records import Record, slug
from affectbench.report.leaderboard import file_names
from affectbench.report.render import SHORT_FORMAT
from affectbench.results.boards import board_folders
from affectbench.results.columns import columns_of
from affectbench.results.compare import compared
from affectbench.results.frame import Frame, Row
from affectbench.results.ranks import by_value, headline, ranks
from affectbench.results.runs import Run, load_run
from affectbench.types import MetricSpec

_NAMED = 3
"""Models that a sentence names; more are counted."""


@dataclass(frozen=True)
class Board:
    """One board: its name, its records, and their frame with ranks by the headline metric."""

    name: str
    run: Run
    frame: Frame

    @property
    def page(self) -> str:
        """The file name of its page."""
        return f"board-{slug(self.name)}.html"

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Its data sets, each with its own table."""
        return tuple(Part(self.frame.of(name)) for name in self.frame.datasets)

    @property
    def task(self) -> str:
        """What is done to the faces: `16 → 128 pixels`."""
        return self.parts[0].task

    @property
    def title(self) -> str:
        """The data sets and the task, as a heading."""
        return f"{' and '.join(part.short for part in self.parts)}, {self.task}"

    @property
    def question(self) -> str:
        """What the board answers, in one sentence."""
        sides = self.parts[0].sides
        made = f"faces are enlarged {self.parts[0].scale} times"
        if sides:
            made = f"{sides[0]}×{sides[0]} pixels become {sides[1]}×{sides[1]}"
        return f"Which method keeps the expression of a face when {made}?"

    @property
    def faces(self) -> str:
        """How many faces of what there are."""
        return " and ".join(f"{part.faces:,} faces of {part.short}" for part in self.parts)


@dataclass(frozen=True)
class Part:
    """One data set of a board."""

    frame: Frame

    @property
    def _first(self) -> Record:
        return self.frame.run.records[0]

    @property
    def dataset(self) -> str:
        """The name of its data set."""
        return str(self._first.dataset["name"])

    @property
    def what(self) -> str:
        """The faces, in words."""
        return str(self._first.dataset["title"])

    @property
    def short(self) -> str:
        """The data set as papers call it: the title up to its first comma."""
        return self.what.partition(",")[0]

    @property
    def faces(self) -> int:
        """The number of faces."""
        return self._first.n

    @property
    def scale(self) -> int:
        """The factor by which faces are enlarged."""
        return int(self._first.protocol["scale"])

    @property
    def sides(self) -> tuple[int, int] | None:
        """The sides of LR and HR in pixels; None if images keep their own size."""
        side = self._first.protocol.get("hr_size")
        return (int(side) // self.scale, int(side)) if side else None

    @property
    def task(self) -> str:
        """What is done to the faces."""
        return f"{self.sides[0]} → {self.sides[1]} pixels" if self.sides else f"×{self.scale}"

    @property
    def models(self) -> list[Row]:
        """The rows of models, the best by the headline metric first."""
        rows = [row for row in self.frame.rows if not row.is_anchor]
        return [rows[i] for i in by_value(rows, headline(self.frame))]

    @property
    def standing(self) -> str:
        """The best models in words, and those tied with them."""
        column, rows = headline(self.frame), self.models
        places = ranks(rows, column)
        best = [row for row in rows if (v := row.known(column.name)) and v.best]
        if not best:
            return f"{len(rows)} models."
        names = " and ".join(row.model for row in best)
        score = f"{best[0].number(column.name):.{column.spec.digits}f}"
        text = f"Best by {column.label}: {names}, {score}"
        tied = [r.model for r, p in zip(rows, places, strict=True) if p and p.is_first]
        others = [name for name in tied if name not in {row.model for row in best}]
        if len(others) > _NAMED:
            text += f"; {len(others)} others are not told apart from it"
        elif others:
            text += f"; not told apart from {', '.join(others)}"
        silent = any(row.no_information for row in best)
        return f"{text}; not shown to beat a stranger's face." if silent else f"{text}."


def load_boards(root: Path) -> list[Board]:
    """Return the boards, by task and name; raise RecordError if a CSV file says something else."""
    boards = []
    for folder in board_folders(root):
        run = load_run(folder)
        tested = {name for name, spec in _specs(run).items() if spec.leads}
        frame = compared(run, tested or None)
        for name in file_names(folder.name):
            if not (root / name).is_file():
                raise RecordError(f"{root / name}: is missing; affectbench leaderboard build")
        for problem in disagreements(root / f"{folder.name}.csv", frame):
            raise RecordError(problem)
        boards.append(Board(folder.name, run, frame))
    return boards


def _specs(run: Run) -> dict[str, MetricSpec]:
    columns = columns_of(run.records, run.settings).values()
    return {column.spec.name: column.spec for column in columns}


def by_task(boards: Sequence[Board]) -> dict[str, list[Board]]:
    """Return the boards by what is done to the faces, the largest factor first."""
    found: dict[str, list[Board]] = {}
    for board in sorted(boards, key=lambda b: (-b.parts[0].scale, b.parts[0].sides or (0, 0))):
        found.setdefault(f"{board.task}, ×{board.parts[0].scale}", []).append(board)
    return found


def disagreements(path: Path, frame: Frame) -> Iterator[str]:
    """Yield a message if a board's CSV file has other rows or numbers than its records.

    Every measured number that the file has is compared; `leaderboard check` also makes its
    intervals and tests anew and compares every byte.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        yield f"{path}: is missing; affectbench leaderboard build"
        return
    except (OSError, ValueError) as error:
        yield f"{path}: cannot be read ({error})"
        return
    if not _agrees(table, frame):
        yield f"{path}: is not what its records give; affectbench leaderboard build"


def _agrees(table: pd.DataFrame, frame: Frame) -> bool:
    """Whether a table names all models of a frame, and no other row or number than it."""
    if "model" not in table:
        return False
    models = {row.model for row in frame.rows if not row.is_anchor}
    named = {_name(text, models) for text in table["model"]}
    lines = table.to_dict("records")
    return models <= named and all(_is_of(line, frame, models) for line in lines)


def _name(text: str, models: Collection[str]) -> str:
    """Return the name in a cell; a leading quote keeps spreadsheets from running it."""
    return text[1:] if text.startswith("'") and text not in models else text


def _is_of(line: Mapping[Hashable, str], frame: Frame, models: Collection[str]) -> bool:
    """Whether a line of a CSV file has the numbers of a row of its name."""
    keys = {name: line[name] for name in ("role", "dataset") if name in line}
    for row in frame.rows:
        own = {"role": row.role, "dataset": row.dataset}
        same = row.model == _name(line["model"], models)
        if same and all(own[name] == _name(text, own.values()) for name, text in keys.items()):
            shown = [(row.number(name), line[name]) for name in frame.columns if name in line]
            if all(_equal(number, text) for number, text in shown):
                return True
    return False


def _equal(number: float, text: str) -> bool:
    try:
        written = float(text or "nan")
    except ValueError:
        return False
    if math.isnan(number) or math.isnan(written):
        return math.isnan(number) and math.isnan(written)
    return SHORT_FORMAT % number == SHORT_FORMAT % written
