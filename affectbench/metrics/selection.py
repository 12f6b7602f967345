"""Resolve metric selections: names of metrics, names of groups, or all.

A name that is both a metric and a group means the metric (`identity`); `group:NAME` always means
the group. Metrics of the kind `cost` are measured in every run and never need to be requested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affectbench.errors import (
    AffectBenchError,
    AssetMissingError,
    InputError,
    UnknownNameError,
    hint,
)
from affectbench.metrics import METRICS, metric_plugin, registered
from affectbench.registry import PluginError
from affectbench.types import MetricSpec, as_json

ALL = "all"
PREFIX = "group:"
GROUPS = (
    "expression",
    "fidelity",
    "identity",
    "landmarks",
    "perceptual",
    "distribution",
    "naturalness",
    "cost",
)
"""The groups of the library's own metrics, in table order; other groups follow by name."""


@dataclass(frozen=True)
class AskedMetric:
    """A metric that a run requests; `group` is the group that included it, if any."""

    metric: str
    group: str = ""


def expand_metrics(names: Sequence[str]) -> tuple[AskedMetric, ...]:
    """Expand a list of metrics and groups: each metric once, in the order of the list.

    A metric that is named explicitly counts as named even if a group includes it too. Metrics that
    must stand `beside` a metric follow it as members of its group. Raises UnknownNameError, with a
    suggestion, and InputError for a metric that is named twice or if there is nothing to compute.
    """
    names = [registered(name) for name in names]
    named = [name for name in names if name in METRICS]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice:
        raise InputError(f"a metric is named twice: {', '.join(names)}")
    found: dict[str, AskedMetric] = {}
    for name in names:
        for choice in _choices(name):
            found.setdefault(choice.metric, choice)
            for other in metric_plugin(choice.metric).spec.beside:
                found.setdefault(other, AskedMetric(other, choice.group or choice.metric))
    found.update({name: AskedMetric(name) for name in named})
    kept = [c for c in found.values() if metric_plugin(c.metric).spec.kind != "cost"]
    if not kept:
        raise InputError(
            "no metrics of the faces: name at least one, such as --metrics ecm"
            + (" (cost is measured in every run)" if found else "")
        )
    return tuple(kept)


def groups() -> dict[str, tuple[str, ...]]:
    """Return the metric names of each group, except metrics that cannot be imported."""
    members: dict[str, list[MetricSpec]] = {name: [] for name in GROUPS}
    for name in METRICS:
        try:
            spec = metric_plugin(name).spec
        except PluginError:
            continue
        members.setdefault(spec.group, []).append(spec)
    return {
        group: tuple(spec.name for spec in sorted(specs, key=lambda s: (not s.leads, s.name)))
        for group, specs in members.items()
        if specs
    }


def catalogue() -> list[dict[str, Any]]:
    """Return all metrics as JSON data, by group; `missing` says what each lacks on this machine."""
    names = [name for members in groups().values() for name in members]
    specs = [metric_plugin(name).spec for name in names]
    return [{**as_json(s), "extras": list(s.extras), "missing": missing(s.name)} for s in specs]


def missing(name: str) -> str:
    """Return what a metric lacks on this machine and how to get it; empty if it can run."""
    try:
        metric_plugin(name).require()
    except AffectBenchError as error:
        return remedy(error)
    return ""


def remedy(error: AffectBenchError) -> str:
    """Return an error's message for one line of a table; for weights, without their path."""
    if isinstance(error, AssetMissingError):
        return f"its weights are not here; 'affectbench assets fetch {error.asset}' gets them"
    return str(error)


def _choices(name: str) -> list[AskedMetric]:
    if name in METRICS:
        return [AskedMetric(name)]
    known = groups()
    if name == ALL:
        return [AskedMetric(metric, ALL) for metrics in known.values() for metric in metrics]
    group = name.removeprefix(PREFIX)
    if group in known:
        return [AskedMetric(metric, group) for metric in known[group]]
    if group in GROUPS:
        raise UnknownNameError(f"no metric of the group '{group}' is installed")
    every = [*METRICS, *known, ALL]
    raise UnknownNameError(f"unknown metric or group '{name}'; {hint(name, every)}")
