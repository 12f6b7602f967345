"""The columns of a board's table, and the groups of its chooser: at most eight at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.frame import Frame
from affectbench.results.ranks import headline

MOST = 8
"""Columns of a group, the headline metric included."""
_GROUPS = {
    "Expression": ("expression",),
    "Fidelity": ("fidelity",),
    "Perception": ("perceptual", "naturalness", "distribution"),
    "Identity and landmarks": ("identity", "landmarks"),
}
OVERVIEW, COST, OTHER = "Overview", "Cost", "Other"
COST_HEADS = {
    "parameters": "Parameters",
    "multiply_adds": "Multiply-adds",
    "faces_per_second": "Faces / s",
    "peak_memory": "Memory, MB",
    "licence": "Licence",
}
"""The columns about cost and terms, which no judge and no metric gives."""


@dataclass(frozen=True)
class Group:
    """A choice of columns by their names."""

    title: str
    names: tuple[str, ...]


def overview(frame: Frame) -> list[Column]:
    """Return the columns that every reader asks for: the leading metrics of each group."""
    own = [column for column in frame.columns.values() if not column.judge]
    leads = [column for column in own if _leads(column)]
    spoken = {name for column in leads for name in column.spec.summaries}
    led = {column.spec.group for column in leads}
    firsts = {column.spec.group: column.name for column in reversed(own)}
    chosen = [
        column
        for column in own
        if column in leads
        or column.name in spoken
        or (column.spec.group not in led and firsts[column.spec.group] == column.name)
    ]
    first = headline(frame)
    rest = sorted(
        (column for column in chosen if column != first), key=lambda c: -c.spec.quality_axis
    )
    return [first, *rest][: MOST - 1]


def groups(frame: Frame) -> list[Group]:
    """Return the groups of the chooser, the overview first; each begins with the headline."""
    first = headline(frame).name
    found = [Group(OVERVIEW, (*(column.name for column in overview(frame)), "parameters"))]
    for title, members in members_of(frame).items():
        usual = [column for column in members if column.spec.leads or not column.judge]
        names = [column.name for column in usual if column.name != first]
        if names:
            found.append(Group(title, (first, *names)[:MOST]))
    return [*found, Group(COST, (first, *COST_HEADS))]


def members_of(frame: Frame) -> Mapping[str, Sequence[Column]]:
    """Return all columns by the title of their group, the most asked-for first."""
    found = {}
    known = {name for names in _GROUPS.values() for name in names}
    tests: dict[str, Callable[[str], bool]] = {
        title: names.__contains__ for title, names in _GROUPS.items()
    }
    tests[OTHER] = lambda name: name not in known
    for title, holds in tests.items():
        members = [column for column in frame.columns.values() if holds(column.spec.group)]
        if members:
            found[title] = list(_in_order(members))
    return found


def _in_order(members: Sequence[Column]) -> Iterator[Column]:
    """Yield the columns: leading ones, then whole images before regions, the first judge first."""
    names = {column.spec.name for column in members}

    def key(column: Column) -> tuple[bool, bool, bool, int]:
        whole = column.spec.name.rpartition("_")[0]
        return (
            not column.spec.leads,
            bool(column.judge),
            whole in names,
            -column.spec.quality_axis,
        )

    yield from sorted(members, key=key)


def _leads(column: Column) -> bool:
    return column.spec.leads or column.spec.quality_axis > 0
