"""Which metrics a run computes with which judge, and which it must leave out.

A metric that was included by a group or `all` and cannot be computed is a gap: it is left out, and
the run reports why. A metric that was named explicitly and cannot be computed is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from affectbench.errors import AssetMissingError, InputError, MissingExtraError
from affectbench.metrics import metric_plugin
from affectbench.metrics.conventions import needed_side, size_gap
from affectbench.metrics.selection import AskedMetric, expand_metrics, remedy
from affectbench.types import JudgeSpec, MetricPlugin, MetricSettings


@dataclass(frozen=True)
class Measure:
    """A metric as computed in this run: plug-in, settings, and one judge or none."""

    metric: str
    settings: MetricSettings

    @property
    def plugin(self) -> MetricPlugin:
        """The metric's plug-in."""
        return metric_plugin(self.metric)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the numbers other than the images, as plain JSON data."""
        spec = self.plugin.spec
        return {"name": spec.name, "version": spec.version, **self.plugin.identify(self.settings)}

    @property
    def computation(self) -> tuple[Callable[..., Any], MetricSettings]:
        """The computation: measures that share it only keep different columns of its result."""
        return self.plugin.build, self.settings

    @property
    def judge(self) -> JudgeSpec | None:
        """The judge of the metric, if it uses one."""
        return self.settings.judge

    @property
    def slug(self) -> str:
        """The metric's part of a file name."""
        return f"{self.metric}-{self.judge.name}" if self.judge else self.metric


@dataclass(frozen=True)
class Selection:
    """Pairs of metric and judge (None for a metric without one), and one line per gap."""

    measures: tuple[tuple[str, JudgeSpec | None], ...]
    gaps: tuple[str, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics to compute."""
        return tuple(dict.fromkeys(name for name, _ in self.measures))


@dataclass(frozen=True)
class SmallestImage:
    """The shorter side of the smallest HR image, and its file if images keep their sizes."""

    side: int
    file: str = ""


def select(
    names: Sequence[str],
    judges: Sequence[JudgeSpec],
    settings: MetricSettings,
    smallest: SmallestImage | None = None,
) -> Selection:
    """Resolve a list of metrics and groups on this machine.

    Image sizes are checked if the smallest one is known. Raises UnknownNameError for an unknown
    name; InputError, MissingExtraError or AssetMissingError for an explicitly named metric that
    cannot be computed; and InputError if nothing is left.
    """
    measures: list[tuple[str, JudgeSpec | None]] = []
    gaps: list[str] = []
    for choice in expand_metrics(names):
        reason = _reason(choice, settings, smallest)
        if reason:
            gaps.append(f"{choice.metric}: {reason}")
            continue
        fitting, unfit = _by_judge(choice.metric, judges)
        if unfit and not fitting and not choice.group:
            raise InputError(f"metric '{choice.metric}': {unfit}; name others with --judges")
        measures += fitting
        if unfit:
            gaps.append(f"{choice.metric}: {unfit}")
    if not measures:
        raise InputError(f"none of these metrics can be computed: {'; '.join(gaps)}")
    return Selection(tuple(measures), tuple(gaps))


def _reason(choice: AskedMetric, settings: MetricSettings, smallest: SmallestImage | None) -> str:
    """Return why a metric of a group cannot be computed; raise for one that was named."""
    plugin = metric_plugin(choice.metric)
    try:
        plugin.require()
        if smallest:
            _require_size(plugin, needed_side(plugin.spec, settings), smallest)
    except (AssetMissingError, MissingExtraError, InputError) as error:
        if not choice.group:
            raise
        return remedy(error)
    return ""


def _require_size(plugin: MetricPlugin, needed: int, smallest: SmallestImage) -> None:
    gap = size_gap(plugin.spec.name, needed, smallest.side, smallest.side)
    if gap and smallest.file:
        raise InputError(
            f"{gap}; {smallest.file} is the smallest: leave out such images, or the metric"
        )
    if gap:
        raise InputError(f"{gap}; larger ones are needed (--hr-size {needed} or more)")


def _by_judge(
    metric: str, judges: Sequence[JudgeSpec]
) -> tuple[list[tuple[str, JudgeSpec | None]], str]:
    """Return the measures of a metric, and why some judges do not support it."""
    plugin = metric_plugin(metric)
    if not plugin.spec.per_judge:
        return [(metric, None)], ""
    if not judges:
        return [], "needs a judge"
    reasons = [(judge, plugin.unfit(judge)) for judge in judges]
    fitting: list[tuple[str, JudgeSpec | None]]
    fitting = [(metric, judge) for judge, why in reasons if not why]
    return fitting, ", ".join(why for _, why in reasons if why)
