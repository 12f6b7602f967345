"""The spec of a record's metric, whether or not the metric is installed here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from affectbench.errors import AffectBenchError
from affectbench.metrics import METRICS, metric_plugin
from affectbench.types import MetricSpec

_TODAY = (
    *("label", "digits", "summaries", "tolerance"),
    *("network", "quality_axis", "regions", "leads", "front", "extras"),
)
"""Fields about presentation: the installed spec overrides what a record says."""
_FIELDS = tuple(field.name for field in fields(MetricSpec) if field.metadata.get("recorded", True))
_UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("version", "title", "group", "source"), ""),
    "range": (-math.inf, math.inf),
}


def facts_of(metric: Mapping[str, Any]) -> MetricSpec:
    """Return the spec of a record's metric.

    What was measured comes from the record. How it is presented comes from the installed spec, or
    from the record if the metric is not installed. If such a record predates a field, the field
    gets its default.
    """
    said = {**_UNKNOWN, **{name: metric[name] for name in _FIELDS if name in metric}}
    said = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
    installed = _installed(str(metric["name"]))
    if installed is not None:
        said |= {name: getattr(installed, name) for name in _TODAY}
    return MetricSpec(**said)


def through_network(network: str) -> Iterator[str]:
    """Yield the names of the installed metrics that use a network."""
    for name in METRICS:
        spec = _installed(name)
        if spec is not None and spec.network == network:
            yield name


def display_of(name: str) -> str:
    """Return the display name of an installed metric; empty for any other name."""
    spec = _installed(name)
    return spec.display if spec else ""


def front_of(name: str) -> int:
    """Return the place of an installed metric in `table.csv`; 0 for any other name."""
    spec = _installed(name)
    return spec.front if spec else 0


def quality_labels() -> list[str]:
    """Return the display names of the installed measures of image quality, the best one first."""
    specs = [spec for name in METRICS if (spec := _installed(name)) and spec.quality_axis > 0]
    return [spec.display for spec in sorted(specs, key=lambda spec: -spec.quality_axis)]


def _installed(name: str) -> MetricSpec | None:
    """Return the spec of a metric, or None if it cannot be imported here."""
    if name not in METRICS:
        return None
    try:
        return metric_plugin(name).spec
    except AffectBenchError:
        return None
