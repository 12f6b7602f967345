"""The judges' weights; those that are bundled are described in `weights/NOTICE.md`."""

from __future__ import annotations

from pathlib import Path

from affectbench.assets.catalogue import Asset, Bundled, Commercial, Source
from affectbench.judges.bundled import (
    FACE_API,
    FACE_API_FILE,
    MINI_XCEPTION,
    MINI_XCEPTION_FILE,
    RESNET_FERPLUS,
    RESNET_FERPLUS_FILE,
)
from affectbench.judges.field.catalogue import (
    FILES,
    emotieff_plugin,
    emotieff_source,
    hsemotion_plugin,
    hsemotion_source,
)
from affectbench.types import JudgePlugin

FIELD_TERMS = "the latter is for non-commercial research"


def _asset(plugin: JudgePlugin, source: Source, terms: str, commercial: Commercial) -> Asset:
    spec = plugin.spec
    data = f"{spec.training_data}: {terms}"
    return Asset(spec.name, spec.title, spec.licence, data, commercial, source)


def _bundled(plugin: JudgePlugin, file: Path) -> Source:
    return Bundled(plugin.spec.origin, file, plugin.spec.sha256)


ASSETS = (
    _asset(
        RESNET_FERPLUS,
        _bundled(RESNET_FERPLUS, RESNET_FERPLUS_FILE),
        "votes MIT; no licence of the faces known, found by web image search",
        "unknown",
    ),
    _asset(
        MINI_XCEPTION,
        _bundled(MINI_XCEPTION, MINI_XCEPTION_FILE),
        "no licence known, found by web image search",
        "unknown",
    ),
    _asset(FACE_API, _bundled(FACE_API, FACE_API_FILE), "terms unknown", "unknown"),
    *(_asset(hsemotion_plugin(f), hsemotion_source(f), FIELD_TERMS, "no") for f in FILES.values()),
    *(_asset(emotieff_plugin(f), emotieff_source(f), FIELD_TERMS, "no") for f in FILES.values()),
)
