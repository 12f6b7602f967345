"""The rows of earlier runs in a folder, which stay in its table when rows are added to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectbench.errors import RecordError
from affectbench.record_schema import SCHEMA, cells_problem, settings_problem
from affectbench.records import Record
from affectbench.run.folder import RunFolder
from affectbench.run.plan import DatasetPlan
from affectbench.store import Store

_SAME = ("protocol", "convention", "crop", "metrics", "judges", "seed")
"""Settings that the rows of one table share."""

_JOINED = ("models", "arguments", "datasets", "remarks")


def earlier_rows(root: Path) -> tuple[str, ...]:
    """Return the names of the models in a folder's table; empty for a new folder."""
    return tuple(_earlier(root).get("settings", {}).get("models", ()))


def with_earlier(
    content: dict[str, Any], folder: RunFolder, plans: Sequence[DatasetPlan]
) -> dict[str, Any]:
    """Return the content of `run.json` with the rows that the folder's table has already.

    Rows computed again replace those of the same name. If the settings differ, or a data set has
    other faces now, the earlier rows are dropped, and a remark says so.
    """
    earlier = _earlier(folder.root)
    if not earlier:
        return content
    new, old = content["settings"], earlier["settings"]
    if odd := [key for key in _SAME if new.get(key) != old.get(key)]:
        return _remarked(content, [f"the earlier rows are left out: another {odd[0]}"])
    rows = {(plan.name, cell.row.key) for plan in plans for cell in plan.cells}
    revisions = {plan.name: plan.revision for plan in plans}
    kept, left = [], []
    for cell in earlier["cells"]:
        record = _record(folder.store, cell)
        if record is None or (record.dataset["name"], (record.role, record.row)) in rows:
            continue
        name = record.dataset["name"]
        if revisions.get(name, record.dataset["revision"]) != record.dataset["revision"]:
            left.append(f"{name}: {record.row} is left out: it was computed on other faces")
            continue
        kept.append(cell)
    joined = {key: _union(old.get(key, ()), new.get(key, ())) for key in _JOINED}
    settings = {**new, **{key: value for key, value in joined.items() if value}}
    joined_content = {**content, "settings": settings, "cells": _union(kept, content["cells"])}
    return _remarked(joined_content, left)


def _remarked(content: dict[str, Any], remarks: Sequence[str]) -> dict[str, Any]:
    if not remarks:
        return content
    settings = content["settings"]
    said = _union(settings.get("remarks", ()), remarks)
    return {**content, "settings": {**settings, "remarks": said}}


def _union(one: Sequence[str], other: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def _earlier(root: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((root / "run.json").read_text(encoding="utf-8"))
        sound = found["schema"] == SCHEMA
        sound = sound and not settings_problem(found["settings"])
        sound = sound and not cells_problem(found["cells"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if sound else {}


def _record(store: Store, cell: str) -> Record | None:
    try:
        return store.record(cell)
    except (OSError, RecordError):
        return None
