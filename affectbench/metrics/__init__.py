"""The metrics: one plug-in per entry point of the group `affectbench.metrics`."""

from __future__ import annotations

from affectbench.metrics.assets import require_extras
from affectbench.registry import Registry
from affectbench.types import MetricPlugin, MetricSpec

METRICS: Registry[MetricPlugin] = Registry("affectbench.metrics", "metric", MetricPlugin)


def list_metrics() -> list[MetricSpec]:
    """Return the specs of all installed metrics, sorted by name."""
    return [METRICS.load(name).spec for name in METRICS]


def metric_plugin(name: str) -> MetricPlugin:
    """Return the metric with that name.

    Raises UnknownNameError, with a suggestion, if there is none.
    """
    return METRICS.load(name)


def require_metric(name: str) -> None:
    """Raise MissingExtraError or AssetMissingError if a metric cannot run on this machine."""
    plugin = metric_plugin(name)
    require_extras(plugin.spec)
    plugin.require()
