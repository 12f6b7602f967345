"""Face labels: a CSV table `file,emotion[,person]`, and people's votes.

A table may hold, in addition to `emotion` or instead of it, one column for each of the seven
expressions with the number of people who saw it. Any spelling that `affectbench.expressions` knows
is accepted, both in column names and in `emotion`. Columns for contempt, "unknown" and "not a face"
(NF) are allowed too; they are counted in `LabelTable.all_votes` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectbench.errors import InputError, listed
from affectbench.expressions import (
    NOT_EXPRESSIONS,
    close_expression,
    expression_word,
    find_expression,
    plain_word,
)
from affectbench.types import EXPRESSIONS

MIN_VOTES = 5
"""A face with fewer votes for the seven expressions does not show reliably what people see."""
MAX_VOTES = 1_000_000
"""A face with more votes than this is an input error."""


@dataclass(frozen=True)
class LabelTable:
    """The labels of N files. `votes` (N, 7) are counts in the order of `EXPRESSIONS`.

    `emotions` holds "" for a face without a label, which occurs if the table has no column
    `emotion` and several expressions tie for the most votes. `all_votes` (N,) also counts votes for
    none of the seven.
    """

    files: NDArray[np.str_]
    emotions: NDArray[np.str_]
    persons: NDArray[np.str_]
    votes: NDArray[np.int64] | None = None
    all_votes: NDArray[np.int64] | None = None


def read_label_table(table: Path) -> LabelTable:
    """Return the labels of a CSV table.

    Raises InputError, naming the table, for a table that cannot be read, lacks a column or lists a
    file twice; for an unknown expression; and for votes that are not counts.
    """
    rows = _read(table)
    if "file" not in rows.columns:
        raise InputError(f"{table}: has no column file; {_NEEDED}")
    if rows.empty:
        raise InputError(f"{table}: lists no faces")
    files = rows["file"]
    if twice := files[files.duplicated()].unique().tolist():
        raise InputError(f"{table}: lists {listed(twice)} more than once; keep one row a file")
    columns = _vote_columns(rows, table)
    if not columns and "emotion" not in rows.columns:
        raise InputError(f"{table}: has no column emotion and no votes; {_NEEDED}")
    votes = all_votes = None
    if columns:
        counts = {name: _counts(rows, column, table) for name, column in columns.items()}
        votes = np.stack([counts[name] for name in EXPRESSIONS], axis=1)
        all_votes = np.stack(list(counts.values()), axis=1).sum(1)
    return LabelTable(
        files=files.to_numpy(dtype=str),
        emotions=_emotions(rows, table) if votes is None else _emotions_of(rows, table, votes),
        persons=(rows["person"] if "person" in rows.columns else files).to_numpy(dtype=str),
        votes=votes,
        all_votes=all_votes,
    )


def face_ids(labels: LabelTable, table: Path) -> list[str]:
    """Return the image id of each face: the file name without its suffix.

    Raises InputError, naming the table, for two files with the same id.
    """
    ids = [Path(file).stem for file in labels.files.tolist()]
    twice = (
        sorted({face for face in ids if ids.count(face) > 1}) if len(set(ids)) < len(ids) else []
    )
    if twice:
        raise InputError(
            f"{table}: lists several files of the id {listed(twice)}; keep one of them"
        )
    return ids


def most_voted(votes: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the expression with the most votes (N, 7) for each face, "" for a tie.

    >>> most_voted(np.array([[0, 0, 0, 5, 3, 0, 0], [1, 0, 0, 1, 0, 0, 0]])).tolist()
    ['happy', '']
    """
    largest = votes.max(1, keepdims=True)
    one = (votes == largest).sum(1) == 1
    return np.where(one, np.array(EXPRESSIONS)[votes.argmax(1)], "")


_NEEDED = "needed: file, and emotion or one column of votes for each expression (person may follow)"


def _read(table: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(
            table, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{table}: the labels cannot be read ({error})") from error
    names = {plain_word(str(column)): str(column) for column in rows.columns}
    return rows.fillna("").rename(
        columns={names[plain]: plain for plain in ("file", "emotion", "person") if plain in names}
    )


def _emotions(rows: pd.DataFrame, table: Path) -> NDArray[np.str_]:
    words: dict[str, str] = {}
    for word in rows["emotion"].unique():
        file = rows["file"][rows["emotion"] == word].iloc[0]
        if not plain_word(word):
            raise InputError(f"{table}: {file} has no emotion; label it or leave its row out")
        try:
            words[word] = expression_word(word)
        except InputError as error:
            raise InputError(f"{table}: {file}: {error}") from None
    return rows["emotion"].map(words).to_numpy(dtype=str)


def _emotions_of(rows: pd.DataFrame, table: Path, votes: NDArray[np.int64]) -> NDArray[np.str_]:
    return _emotions(rows, table) if "emotion" in rows.columns else most_voted(votes)


def _vote_columns(rows: pd.DataFrame, table: Path) -> dict[str, str]:
    """Return the column of each expression and other answer; {} for a table without votes."""
    found: dict[str, str] = {}
    for column in map(str, rows.columns):
        name = find_expression(column)
        if name is None and plain_word(column) in NOT_EXPRESSIONS:
            name = plain_word(column)
        if name is None:
            continue
        if name in found:
            raise InputError(
                f"{table}: the columns {found[name]} and {column} both hold votes for {name}; "
                "keep one of them"
            )
        found[name] = column
    seven = [name for name in EXPRESSIONS if name in found]
    missing = [name for name in EXPRESSIONS if name not in found]
    if not seven:
        return {}
    if missing:
        raise InputError(
            f"{table}: has votes for {listed(seven)}, but no column for {listed(missing)}"
            f"{_misspelt(rows, missing)}; a table of votes has a column for each of the seven"
        )
    return found


def _misspelt(rows: pd.DataFrame, missing: Sequence[str]) -> str:
    close = {close_expression(str(column)): str(column) for column in rows.columns}
    guesses = [f"is '{close[name]}' {name}?" for name in missing if name in close]
    return f" ({' '.join(guesses)})" if guesses else ""


def _counts(rows: pd.DataFrame, column: str, table: Path) -> NDArray[np.int64]:
    values = pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~((values >= 0) & (values <= MAX_VOTES) & (values == np.floor(values)))
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(
            f"{table}: {rows['file'].iloc[first]} has '{rows[column].iloc[first]}' votes for "
            f"{column}; votes are whole numbers from 0 to {MAX_VOTES}"
        )
    return cast("NDArray[np.int64]", values.astype(np.int64))
