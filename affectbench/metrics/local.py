"""A metric of the user's own, `python:FILE:NAME`: a plug-in, or a function of two images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from affectbench.errors import InputError, hint
from affectbench.local_code.plugins import NamedObject, named_object
from affectbench.registry import Late
from affectbench.types import MetricPlugin, MetricSettings, MetricSpec

if TYPE_CHECKING:
    import torch

    from affectbench.types import ImageMetric, Judge

_pair_metric = Late("affectbench.metrics.base:PairMetric")
_FIELDS = tuple(field.name for field in fields(MetricSpec))


def local_metric(argument: str) -> MetricPlugin:
    """Return the metric that `python:FILE:NAME` names, identified by its code too.

    NAME is a `MetricPlugin`, or a function of SR and HR (N, 3, H, W), uint8, that returns a value
    for each image, with a dict `spec` of fields of `MetricSpec` (`direction` is needed). Raises
    InputError for anything else.
    """
    found = named_object(argument)
    plugin = found.value
    if not isinstance(plugin, MetricPlugin):
        plugin = _of_function(found)
    return replace(plugin, identify=partial(_identify, plugin, found.sha256))


def _identify(plugin: MetricPlugin, code: str, settings: MetricSettings) -> Mapping[str, Any]:
    return {**plugin.identify(settings), "code": code}


def _of_function(found: NamedObject) -> MetricPlugin:
    said = getattr(found.value, "spec", None)
    if not callable(found.value) or not isinstance(said, Mapping):
        raise InputError(
            f"{found.argument}: is a {type(found.value).__name__}; a MetricPlugin is needed, or a "
            f"function of sr and hr with {found.name}.spec = {{'direction': 'lower'}}"
        )
    if unknown := [str(key) for key in said if key not in _FIELDS]:
        raise InputError(
            f"{found.argument}: its spec has '{unknown[0]}'; {hint(unknown[0], _FIELDS)}"
        )
    usual = {
        **{"name": found.name, "version": "1", "title": found.name, "group": "fidelity"},
        **{"range": (-math.inf, math.inf), "source": found.argument},
    }
    try:
        spec = MetricSpec(**{**usual, **said})
    except (TypeError, ValueError) as error:
        raise InputError(f"{found.argument}: its spec is not complete or wrong: {error}") from error
    if spec.kind != "image" or spec.per_judge or spec.aggregate != "mean":
        raise InputError(f"{found.argument}: a function has one value per image; write a plug-in")
    return MetricPlugin(spec, lambda _settings: {}, partial(_build, spec, found.value))


def _build(
    spec: MetricSpec,
    measure: Callable[..., Any],
    _settings: MetricSettings,
    _judge: Judge | None,
    device: torch.device,
) -> ImageMetric:
    metric: ImageMetric = _pair_metric(spec, measure, device)
    return metric
