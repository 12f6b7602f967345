"""Leaderboards: tables rendered from committed run folders, and the check that they agree.

A board is a folder `boards/NAME/` with a run, packed into few files. It becomes `NAME.csv`,
`NAME-long.csv` and `NAME.json`. Published numbers live in `published.csv` and never in a measured
file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from affectbench.errors import RecordError, UnknownNameError
from affectbench.records import Record, write_atomic
from affectbench.report.published import long_table, short_table
from affectbench.report.render import SHORT_FORMAT, TABLES, to_csv
from affectbench.results.boards import (
    board_folders,
    check_files,
    check_records,
    outdated,
    pack,
)
from affectbench.results.compare import compared
from affectbench.results.runs import Run, load_run

Held = Callable[[Path], AbstractContextManager[Any]]


def build(root: Path, held: Held = nullcontext) -> list[Path]:
    """Pack every board, write the files it is read from, and return them.

    `held` keeps other processes from a folder while it is packed.
    """
    written = []
    for folder in board_folders(root):
        with held(folder):
            run = pack(folder)
            for name in TABLES:
                (folder / name).unlink(missing_ok=True)  # of `compare`, which no check covers
        for name, content in board_files(run).items():
            write_atomic(root / name, content)
            written.append(root / name)
    return written


def file_names(board: str) -> tuple[str, str, str]:
    """Return the names of a board's files: the table for readers, all numbers, and what holds."""
    return f"{board}.csv", f"{board}-long.csv", f"{board}.json"


def board_files(run: Run) -> dict[str, bytes]:
    """Return the files of a board by name."""
    frame = compared(run)
    about = json.dumps(about_board(run), indent=1, ensure_ascii=False)
    contents = (
        to_csv(short_table(frame), SHORT_FORMAT).encode("utf-8"),
        to_csv(long_table(frame)).encode("utf-8"),
        f"{about}\n".encode(),
    )
    return dict(zip(file_names(run.folder.name), contents, strict=True))


def check(root: Path) -> Iterator[str]:
    """Yield a message for each inconsistency: digits, ids, aggregates, missing files."""
    published = root / "published.csv"
    if not published.exists():
        yield f"{published}: is missing"
    for folder in board_folders(root):
        try:
            problems = list(check_files(folder))
            yield from problems
            if not problems:
                run = load_run(folder)
                for place in outdated(run):
                    yield f"{place}: its interval is made anew by affectbench leaderboard build"
                yield from check_records(run)
                yield from check_tables(root, run)
        except (RecordError, UnknownNameError) as error:
            yield str(error)


def check_tables(root: Path, run: Run) -> Iterator[str]:
    """Yield a message for each file of a board that does not match its records."""
    for name, content in board_files(run).items():
        path = root / name
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            yield f"{path}: is missing; affectbench leaderboard build"
        except OSError as error:
            yield f"{path}: cannot be read ({error.strerror})"
        else:
            if found != content:
                yield f"{path}: is not what its records give; affectbench leaderboard build"


def about_board(run: Run) -> dict[str, Any]:
    """Return what holds for a whole board, and where each of its rows comes from."""
    settings = run.settings
    identities = [record.metric["identity"] for record in run.records]
    judges = {i["judge"]: i.get("judge_revision") for i in identities if "judge" in i}
    crops = dict.fromkeys(f"{i['crop']} {i.get('framing')}" for i in identities if "crop" in i)
    sets = {str(r.dataset["name"]): r for r in run.records}
    rows = {(r.role, r.row, str(r.dataset["name"])): r for r in reversed(run.records)}
    return {
        "datasets": [
            {"name": name, **{k: r.dataset[k] for k in ("title", "revision")}, "n": r.n}
            for name, r in sets.items()
        ],
        "protocol": settings["protocol"],
        "convention": settings["convention"],
        "versus": settings["versus"],
        "seed": settings["seed"],
        "judges": judges,
        "crops": list(crops),
        "rows": [_about(record) for record in reversed(rows.values())],
    }


def _about(record: Record) -> dict[str, Any]:
    model, made = record.model, record.provenance
    return {
        "model": record.row,
        "role": record.role,
        "dataset": record.dataset["name"],
        **{name: model.get(name) for name in ("scale", "revision", "licence", "parameters")},
        **{name: list(model.get(name, ())) for name in ("trained_on", "trained_against")},
        "affectbench": made["affectbench"],
        "torch": made["packages"].get("torch"),
        "date": made["date"],
    }
