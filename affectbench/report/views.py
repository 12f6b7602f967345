"""The tables of a run, one for each data set, convention and judge that can be looked at.

The table of a run has one convention (that of its last call) and all of its judges side by side. A
run folder may hold PSNR and SSIM under other conventions too, from earlier calls: they are cells of
the same models, faces and protocol. Whatever a view shows was compared by `build_table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from affectbench.records import Record
from affectbench.report.cells import Layout, lay_out
from affectbench.report.marks import NO_INFORMATION, TRAINED_AGAINST, joined, words_of
from affectbench.report.results import Run, convention_of, read_cell
from affectbench.report.table import build_table, column_order
from affectbench.results.columns import scorer_of

KEY = ["dataset", "role", "model"]
ALL_JUDGES = ""


@dataclass(frozen=True)
class View:
    """A table as it can be looked at: one data set, one convention, one judge or all of them.

    `run` has the records behind it and `table` their rows, `layout` is how they are written.
    """

    dataset: str
    convention: str
    judge: str
    run: Run
    table: pd.DataFrame
    layout: Layout


def build_views(run: Run) -> list[View]:
    """Every view of a run: the headline judge first, all judges side by side last."""
    whole = build_table(run)
    judged = _judge_tables(run)
    views: list[View] = []
    for convention, records in _by_convention(run).items():
        shared = [r for r in records if not r.metric["per_judge"]]
        table = whole
        if convention != run.settings["convention"]:
            table = _with(whole, build_table(_part(run, shared, convention=convention)), shared)
        for judge in [*judged, *([ALL_JUDGES] if len(judged) != 1 else [])]:
            mine = [*(_of_judge(run, judge) if judge else _judged(run)), *shared]
            part = _part(run, mine, convention=convention, judge=judge)
            shown = _of(judge, table, judged[judge]) if judge else table
            views += _by_dataset(part, shown[_known(part, shown)], convention, judge)
    order = list(dict.fromkeys(whole["dataset"]))
    return sorted(views, key=lambda view: order.index(view.dataset))


def judges_of(run: Run) -> list[str]:
    """The judges that scored something in a run, the headline judge first."""
    found = {scorer_of(record.metric) for record in _judged(run)}
    return [judge for judge in run.settings["judges"] if judge in found]


def judge_run(run: Run, judge: str) -> Run:
    """The run as if `judge` had been its only one."""
    shared = [r for r in run.records if not r.metric["per_judge"]]
    return _part(run, [*_of_judge(run, judge), *shared], judge=judge)


def _by_dataset(run: Run, table: pd.DataFrame, convention: str, judge: str) -> Iterator[View]:
    for dataset in dict.fromkeys(table["dataset"]):
        rows = table[table["dataset"] == dataset].reset_index(drop=True)
        part = replace(run, records=tuple(r for r in run.records if r.dataset["name"] == dataset))
        yield View(dataset, convention, judge, part, rows, lay_out(part, rows))


def _judge_tables(run: Run) -> dict[str, pd.DataFrame]:
    """What each judge alone says: its scores, tests, and who says nothing about expressions."""
    return {
        judge: build_table(_part(run, _of_judge(run, judge), judge=judge))
        for judge in judges_of(run)
    }


def _of(judge: str, table: pd.DataFrame, alone: pd.DataFrame) -> pd.DataFrame:
    """The table with this judge's columns as `ecm`, and the marks that hold under it."""
    fresh = alone.drop(columns=["n", "failed", "mark"]).set_index(KEY)
    judged = [c for c in table.columns if c in fresh.columns or c.endswith("]") or "]_" in c]
    kept = table.drop(columns=judged).set_index(KEY)
    joint = pd.concat([fresh.reindex(kept.index), kept], axis=1).copy().reset_index()
    marks = dict(zip(alone[KEY].itertuples(index=False, name=None), alone["mark"], strict=True))
    joint["mark"] = [
        _mark(mark, marks.get(key, ""), judge)
        for mark, key in zip(
            joint["mark"], joint[KEY].itertuples(index=False, name=None), strict=True
        )
    ]
    return joint.copy()  # in one piece, for whoever adds a column


def _mark(mark: str, alone: str, judge: str) -> str:
    """The words of a row's mark that hold when one judge is looked at."""
    theirs = words_of(alone)
    words = [word for word in words_of(mark) if word != NO_INFORMATION]
    kept = [w for w in words if not w.startswith(TRAINED_AGAINST) or w in theirs or _own(w, judge)]
    return joined([*kept, *([NO_INFORMATION] if NO_INFORMATION in theirs else [])])


def _own(word: str, judge: str) -> bool:
    """Whether a dagger is of something else than a judge: those of other judges are left out."""
    return word == f"{TRAINED_AGAINST}:{judge}"


def _with(table: pd.DataFrame, part: pd.DataFrame, records: list[Record]) -> pd.DataFrame:
    """The table with the columns of these records' metrics taken from another one."""
    names = {str(record.metric["name"]) for record in records}
    gone = [c for c in table.columns if c in names or c.startswith(tuple(f"{n}_" for n in names))]
    gone += [c for c in ("identical",) if c in table.columns and c in part.columns]
    fresh = part.drop(columns=["n", "failed", "mark"]).set_index(KEY)
    return table.drop(columns=gone).set_index(KEY).join(fresh).reset_index()


def _known(run: Run, table: pd.DataFrame) -> list[str]:
    """The columns in the order of `table.csv`."""
    return column_order(run, list(table.columns))


def _judged(run: Run) -> list[Record]:
    return [record for record in run.records if record.metric["per_judge"]]


def _of_judge(run: Run, judge: str) -> list[Record]:
    return [record for record in _judged(run) if scorer_of(record.metric) == judge]


def _part(
    run: Run, records: list[Record], *, convention: str | None = None, judge: str = ALL_JUDGES
) -> Run:
    """A run of some records, whose only judge is `judge` if one is given."""
    settings: dict[str, Any] = dict(run.settings)
    settings["convention"] = convention or settings["convention"]
    settings["judges"] = [judge] if judge else settings["judges"]
    return replace(run, settings=settings, records=tuple(records))


def _by_convention(run: Run) -> dict[str, list[Record]]:
    """The records of each convention; the run's own first, what has none is in all of them."""
    own = str(run.settings["convention"])
    found: dict[str, list[Record]] = {own: list(run.records)}
    bound = [record for record in run.records if "convention" in record.metric["identity"]]
    free = [record for record in run.records if "convention" not in record.metric["identity"]]
    if not bound:
        return found
    wanted = {_place(record.cell, record.role, record.row) for record in bound}
    for record in _others(run):
        if _place(record.cell, record.role, record.row) in wanted:
            convention = convention_of(record)
            if convention != own:
                found.setdefault(convention, list(free)).append(record)
    order = {_place(r.cell, r.role, r.row): i for i, r in enumerate(run.records)}
    for convention in [name for name in found if name != own]:
        found[convention].sort(key=lambda r: order[_place(r.cell, r.role, r.row)])
    return found


def _others(run: Run) -> Iterator[Record]:
    """The records of a run folder that are not part of its last call, if they say how.

    Raises RecordError for one that is damaged: a view that lacks its row would say something else.
    """
    known = set(run.cells)
    folder = run.folder / "records"
    for path in sorted(folder.rglob("*.json")):
        if path.relative_to(folder).with_suffix("").as_posix() in known:
            continue
        record = read_cell(run.folder, path.relative_to(folder).with_suffix("").as_posix())
        if record.status == "ok" and convention_of(record):
            yield record


def _place(cell: Mapping[str, Any], role: str, row: str) -> tuple[str, ...]:
    """What two cells have in common that differ by their convention alone."""
    name = cell.get("metric", {}).get("name")
    return (role, row, str(name), *(str(cell.get(k)) for k in ("model", "dataset", "protocol")))
