"""Leaderboards: CSV files rendered from committed run folders, and the check that they agree.

A board is a folder `boards/NAME/` with a run, packed into few files; it becomes `NAME.csv`. Published numbers live in `published.csv` and never in a measured file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from affectbench.errors import RecordError, UnknownNameError
from affectbench.records import write_atomic
from affectbench.report.render import to_csv
from affectbench.report.table import build_table
from affectbench.results.boards import (
    board_folders,
    check_files,
    check_records,
    outdated,
    pack,
)
from affectbench.results.runs import Run, load_run


def build(root: Path) -> list[Path]:
    """Pack every board, render it to its CSV file, and return the files written."""
    written = []
    for folder in board_folders(root):
        path = root / f"{folder.name}.csv"
        run = pack(folder)
        write_atomic(path, to_csv(board_table(run)).encode("utf-8"))
        written.append(path)
    return written


def board_table(run: Run) -> pd.DataFrame:
    """Return the columns of `table.csv`, then the provenance of each row."""
    table = build_table(run)
    about = [_about(run, row) for row in table.to_dict("records")]
    return pd.concat([table, pd.DataFrame(about)], axis=1)


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
                yield from check_csv(root / f"{folder.name}.csv", run)
        except (RecordError, UnknownNameError) as error:
            yield str(error)


def check_csv(path: Path, run: Run) -> Iterator[str]:
    """Yield a message if the CSV file of a board does not match its records."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        yield f"{path}: is missing; affectbench leaderboard build"
    except OSError as error:
        yield f"{path}: cannot be read ({error.strerror})"
    else:
        if found != to_csv(board_table(run)).encode("utf-8"):
            yield f"{path}: is not what its records give; affectbench leaderboard build"


def _about(run: Run, row: Mapping[Any, Any]) -> dict[str, Any]:
    key = (row["role"], row["model"], row["dataset"])
    own = [r for r in run.records if (r.role, r.row, r.dataset["name"]) == key]
    first = own[0]
    identities = [record.metric["identity"] for record in own]
    judges = dict.fromkeys(
        f"{i['judge']}@{i.get('judge_revision')}" for i in identities if "judge" in i
    )
    crops = dict.fromkeys(f"{i['crop']} {i.get('framing')}" for i in identities if "crop" in i)
    packages = first.provenance["packages"]
    return {
        "title": f"{first.dataset['title']}",
        "scale": first.model.get("scale"),
        "revision": first.model.get("revision"),
        "licence": first.model.get("licence"),
        "parameters": first.model.get("parameters"),
        "trained_on": ";".join(first.model.get("trained_on", ())),
        "trained_against": ";".join(first.model.get("trained_against", ())),
        "convention": run.settings["convention"],
        "judges": ";".join(judges),
        "crop": ";".join(crops),
        "protocol": first.protocol["name"],
        "dataset_revision": first.dataset["revision"],
        "affectbench": first.provenance["affectbench"],
        "torch": packages.get("torch"),
        "date": first.provenance["date"],
    }
