"""What is known of the metric of a record, whether it is installed here or not."""

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
    *("network", "quality_axis", "regions", "leads"),
)
"""Facts of how a metric is presented: those of the installed spec, whatever a record says."""
_FIELDS = tuple(field.name for field in fields(MetricSpec))
_UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("version", "title", "group", "source"), ""),
    "range": (-math.inf, math.inf),
}


def facts_of(metric: Mapping[str, Any]) -> MetricSpec:
    """Return the spec of a record's metric.

    What was measured is as the record says; how it is presented is as the installed spec says, and
    as the record says for a metric that is not installed. Records that are older than a fact, of a
    metric that is not installed, get its default.
    """
    said = {**_UNKNOWN, **{name: metric[name] for name in _FIELDS if name in metric}}
    said = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
    installed = _installed(str(metric["name"]))
    if installed is not None:
        said |= {name: getattr(installed, name) for name in _TODAY}
    return MetricSpec(**said)


def through_network(network: str) -> Iterator[str]:
    """Yield the names of the installed metrics that look through a network."""
    for name in METRICS:
        spec = _installed(name)
        if spec is not None and spec.network == network:
            yield name


def display_of(name: str) -> str:
    """Return the display name of an installed metric; empty for any other name."""
    spec = _installed(name)
    return spec.display if spec else ""


def quality_labels() -> list[str]:
    """Return the display names of the installed measures of image quality, the best one first."""
    specs = [spec for name in METRICS if (spec := _installed(name)) and spec.quality_axis > 0]
    return [spec.display for spec in sorted(specs, key=lambda spec: -spec.quality_axis)]


def _installed(name: str) -> MetricSpec | None:
    """The spec of a metric that can be imported here."""
    if name not in METRICS:
        return None
    try:
        return metric_plugin(name).spec
    except AffectBenchError:
        return None
