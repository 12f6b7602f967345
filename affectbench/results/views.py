"""The views of a run: one for each data set, convention and judge (or all judges).

A run has one convention (that of its last call) and all of its judges side by side. Its folder may
also hold PSNR and SSIM under other conventions, from earlier calls with the same models, faces and
protocol. All comparisons that a view shows were made by `compared`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from affectbench.records import Record
from affectbench.results.columns import columns_of, scorer_of
from affectbench.results.compare import compared
from affectbench.results.flags import without_information
from affectbench.results.frame import Frame, Row
from affectbench.results.runs import Run, convention_of, read_cell

ALL_JUDGES = ""


@dataclass(frozen=True)
class View:
    """One page of results: one data set, one convention, and one judge or all of them.

    `frame` holds the records behind it and their rows.
    """

    dataset: str
    convention: str
    judge: str
    frame: Frame

    @property
    def headline_judge(self) -> str:
        """The judge whose ECM is in the column `ecm`."""
        return self.judge or str(self.frame.run.settings["judges"][0])


def build_views(run: Run) -> list[View]:
    """Return every view of a run: the headline judge first, all judges side by side last."""
    whole = compared(run)
    judged = judges_of(run)
    views: list[View] = []
    for convention, records in _by_convention(run).items():
        shared = [r for r in records if not r.metric["per_judge"]]
        other = whole
        if convention != run.settings["convention"]:
            other = compared(_part(run, shared, convention=convention))
        for judge in [*judged, *([ALL_JUDGES] if len(judged) != 1 else [])]:
            records_of_judge = [*(_of_judge(run, judge) if judge else _judged(run)), *shared]
            part = _part(run, records_of_judge, convention=convention, judge=judge)
            seen = _seen(whole, other, part, judge)
            views += [View(name, convention, judge, seen.of(name)) for name in seen.datasets]
    order = whole.datasets
    return sorted(views, key=lambda view: order.index(view.dataset))


def judges_of(run: Run) -> list[str]:
    """Return the judges that scored something in a run, the headline judge first."""
    found = {scorer_of(record.metric) for record in _judged(run)}
    return [judge for judge in run.settings["judges"] if judge in found]


def _seen(whole: Frame, other: Frame, part: Run, judge: str) -> Frame:
    """Return the rows of `whole` with the columns of `part`.

    Values that depend on the judge are taken from `whole`, all others from `other`.
    """
    columns = columns_of(part.records, part.settings)
    others = {_key(row): row.values for row in other.rows}
    first = str(whole.run.settings["judges"][0]) if judge else ""
    own = f"[{judge}]" if judge != first else ""
    nothing = without_information(part, judge) if judge else None
    scorers = {column.scorer for column in columns.values()}
    rows = []
    for row in whole.rows:
        found = {}
        for name, column in columns.items():
            values = row.values if column.spec.per_judge else others.get(_key(row), {})
            if value := values.get(f"{name}{own}" if column.spec.per_judge else name):
                found[name] = value
        against = tuple(scorer for scorer in row.trained_against if scorer in scorers)
        silent = row.no_information
        if nothing is not None:
            silent = row.role == "model" and (row.dataset, row.model) in nothing
        rows.append(replace(row, values=found, trained_against=against, no_information=silent))
    return Frame(part, columns, tuple(rows))


def _key(row: Row) -> tuple[str, str, str]:
    return row.dataset, row.role, row.model


def _judged(run: Run) -> list[Record]:
    return [record for record in run.records if record.metric["per_judge"]]


def _of_judge(run: Run, judge: str) -> list[Record]:
    return [record for record in _judged(run) if scorer_of(record.metric) == judge]


def _part(
    run: Run, records: list[Record], *, convention: str | None = None, judge: str = ALL_JUDGES
) -> Run:
    """Return the run reduced to some records, and to the judge `judge` if one is given."""
    settings: dict[str, Any] = dict(run.settings)
    settings["convention"] = convention or settings["convention"]
    settings["judges"] = [judge] if judge else settings["judges"]
    return replace(run, settings=settings, records=tuple(records))


def _by_convention(run: Run) -> dict[str, list[Record]]:
    """Group records by convention, the run's own first; those without one are in every group."""
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
    """Yield the records of a run folder that have a convention and are not in its last call.

    Raises RecordError for a damaged one: dropping its row would silently change the view.
    """
    for cell in sorted({*run.store.names()} - {*run.cells}):
        record = read_cell(run.store, cell)
        if record.status == "ok" and convention_of(record):
            yield record


def _place(cell: Mapping[str, Any], role: str, row: str) -> tuple[str, ...]:
    """Return a key that is equal for cells that differ in their convention alone."""
    name = cell.get("metric", {}).get("name")
    return (role, row, str(name), *(str(cell.get(k)) for k in ("model", "dataset", "protocol")))
