"""The metric columns of a run: one for each metric, and one for each judge after the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affectbench.records import Record
from affectbench.results.facts import facts_of
from affectbench.types import MetricSpec


@dataclass(frozen=True)
class Column:
    """A metric's column: its name in tables, the spec of the metric, and what scores it.

    `judge` is empty for the headline judge. `scorer` is what a model may have been trained
    against: a judge, another network, or the metric itself.
    """

    name: str
    spec: MetricSpec
    scorer: str
    judge: str = ""

    @property
    def label(self) -> str:
        """The display name: `PSNR`, `ECM [face-api]`."""
        return f"{self.spec.display} [{self.judge}]" if self.judge else self.spec.display

    @property
    def of_lower(self) -> bool:
        """Whether lower is better."""
        return self.spec.direction == "lower"


def scorer_of(metric: Mapping[str, Any]) -> str:
    """Return what a model may have trained against: judge, other network, or the metric itself."""
    identity = metric["identity"]
    return str(identity.get("judge", identity.get("scorer", metric["name"])))


def column_of(record: Record, settings: Mapping[str, Any]) -> str:
    """Return the name of a record's column: `ecm`, or `ecm[JUDGE]` for judges after the first."""
    judge = _other_judge(record, settings)
    return f"{record.metric['name']}[{judge}]" if judge else str(record.metric["name"])


def columns_of(records: Sequence[Record], settings: Mapping[str, Any]) -> dict[str, Column]:
    """Return the metric columns in the requested order, the headline judge before the others."""
    columns: dict[str, Column] = {}
    for record in records:
        name = column_of(record, settings)
        if name not in columns:
            judge, scorer = _other_judge(record, settings), scorer_of(record.metric)
            columns[name] = Column(name, facts_of(record.metric), scorer, judge)
    return columns


def _other_judge(record: Record, settings: Mapping[str, Any]) -> str:
    """Return the judge of a record; empty for the headline judge and for metrics without one."""
    judge = record.metric["identity"].get("judge")
    return "" if judge is None or judge == settings["judges"][0] else str(judge)
