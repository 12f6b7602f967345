"""The metrics: one plug-in per entry point of the group `affectbench.metrics`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from affectbench.local_code.plugins import is_local
from affectbench.metrics.assets import require_extras
from affectbench.metrics.local import local_metric
from affectbench.registry import Registry
from affectbench.types import MetricPlugin, MetricSpec

METRICS: Registry[MetricPlugin] = Registry("affectbench.metrics", "metric", MetricPlugin)


def list_metrics() -> list[MetricSpec]:
    """Return the specs of all installed metrics, sorted by name."""
    return [METRICS.load(name).spec for name in METRICS]


def metric_plugin(name: str) -> MetricPlugin:
    """Return the metric with that name.

    Its `require` also checks the extras of its spec. Raises UnknownNameError, with a suggestion,
    if there is none.
    """
    plugin = METRICS.load(name)
    return replace(plugin, require=partial(_require, plugin)) if plugin.spec.extras else plugin


def registered(name: str) -> str:
    """Return the name of a metric; that of a file, `python:FILE:NAME`, is imported and made known.

    Raises InputError for a file that cannot be used, or whose metric has the name of another.
    """
    if not is_local(name):
        return name
    plugin = local_metric(name)
    METRICS.add(plugin.spec.name, plugin)
    return plugin.spec.name


def _require(plugin: MetricPlugin) -> None:
    require_extras(plugin.spec)
    plugin.require()
