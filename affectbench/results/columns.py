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
    """A metric's column: its name in `table.csv`, what the metric is, and whose value it is.

    `judge` is the judge of a column that is not the headline judge's, `scorer` what a model may
    have been trained against: a judge, another network, or the metric itself.
    """

    name: str
    spec: MetricSpec
    scorer: str
    judge: str = ""

    @property
    def label(self) -> str:
        """The name as people write it: `PSNR`, `ECM [face-api]`."""
        return f"{self.spec.display} [{self.judge}]" if self.judge else self.spec.display

    @property
    def of_lower(self) -> bool:
        """Whether lower is better."""
        return self.spec.direction == "lower"


def scorer_of(metric: Mapping[str, Any]) -> str:
    """What a model may have been trained against: judge, other network, or the metric itself."""
    identity = metric["identity"]
    return str(identity.get("judge", identity.get("scorer", metric["name"])))


def column_of(record: Record, settings: Mapping[str, Any]) -> str:
    """The name of a record's column: `ecm`, or `ecm[JUDGE]` for all judges but the first."""
    judge = _other_judge(record, settings)
    return f"{record.metric['name']}[{judge}]" if judge else str(record.metric["name"])


def columns_of(records: Sequence[Record], settings: Mapping[str, Any]) -> dict[str, Column]:
    """The metric columns in the order asked for; the headline judge before the others."""
    columns: dict[str, Column] = {}
    for record in records:
        name = column_of(record, settings)
        if name not in columns:
            judge, scorer = _other_judge(record, settings), scorer_of(record.metric)
            columns[name] = Column(name, facts_of(record.metric), scorer, judge)
    return columns


def _other_judge(record: Record, settings: Mapping[str, Any]) -> str:
    """The judge of a record, if it is not the headline judge."""
    judge = record.metric["identity"].get("judge")
    return "" if judge is None or judge == settings["judges"][0] else str(judge)
