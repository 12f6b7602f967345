"""The data of the face browser: columns of numbers, compact enough for thousands of faces."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from affectbench.records import slug
from affectbench.results.faces import FaceTable, Floats, Judged, Measured


def face_data(table: FaceTable, embedded: Iterable[int], folder: str) -> dict[str, Any]:
    """Return a data set's faces as JSON data; `folder`, if any, has every face beside the page."""
    return {
        "name": table.dataset,
        "title": table.title,
        "slug": slug(table.dataset),
        "ids": list(table.ids),
        "rows": [
            {"name": r.name, "anchor": r.anchor, "folder": r.folder, "failed": r.failed}
            for r in table.rows
        ],
        "judges": [_judge(judged, table) for judged in table.judges],
        "metrics": [_metric(metric, table) for metric in table.metrics],
        "embedded": sorted(embedded),
        "folder": folder,
    }


def _judge(judged: Judged, table: FaceTable) -> dict[str, Any]:
    labels = sorted({*judged.label, *(x for r in judged.rows.values() for x in r.label)} - {""})
    rows = []
    for row in table.rows:
        reading = judged.rows.get(row.name)
        rows.append(
            reading
            and {
                "ecm": _numbers(reading.ecm, 4),
                "label": _labels(reading.label, labels),
                "flipped": [int(x) for x in reading.flipped],
                "q": _shares(reading.q),
            }
        )
    return {
        "name": judged.name,
        "classes": list(judged.classes),
        "labels": labels,
        "label": _labels(judged.label, labels),
        "p": _shares(judged.p),
        "rows": rows,
    }


def _metric(metric: Measured, table: FaceTable) -> dict[str, Any]:
    spec = metric.column.spec
    rows = [metric.rows.get(row.name) for row in table.rows]
    return {
        "name": metric.column.name,
        "label": metric.column.label,
        "unit": spec.unit,
        "direction": spec.direction,
        "digits": spec.digits,
        "rows": [None if values is None else _numbers(values, spec.digits) for values in rows],
    }


def _numbers(values: Floats, places: int) -> list[float | str | None]:
    """Return rounded numbers for JSON, which has no NaN (here null) or infinity (here a string)."""
    return [_number(float(value), places) for value in values]


def _number(value: float, places: int) -> float | str | None:
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else round(value, places)


def _labels(values: NDArray[Any], labels: list[str]) -> list[int]:
    order = {name: index for index, name in enumerate(labels)}
    return [order.get(str(value), -1) for value in values]


def _shares(values: Floats) -> list[int]:
    """Return probabilities (N, K) in thousandths, face by face; -1 where there are none."""
    return [-1 if math.isnan(v) else round(1000 * v) for v in values.ravel().tolist()]
