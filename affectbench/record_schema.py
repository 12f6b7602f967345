"""The schema of records and their per-image values, and its validation.

Nothing here knows file paths. A check returns the reason why something is invalid, or an empty
string: the caller knows the file and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from affectbench.types import MOST_DIGITS, Columns, content_id

SCHEMA = 1
Check = Callable[[str, Any], str]
"""Takes the place of a value, for the message, and the value; returns the problem or an empty
string."""

_SHA256 = re.compile("([0-9a-f]{64})?")
_ID = re.compile("[0-9a-f]{16}")


def record_problem(data: Any) -> str:
    """Return why JSON data are not a valid record; an empty string if they are."""
    if problem := _RECORD("record", data):
        return problem
    metric, failed = data["metric"], [image_id for image_id, _ in data["failed"]]
    if data["id"] != content_id(data["cell"]):
        return f"the id {data['id']} is not that of the cell's content"
    if metric["identity"].get("name", metric["name"]) != metric["name"]:
        return f"'metric' is {metric['name']}, and its identity is that of another"
    if len(set(failed)) < len(failed) or len(failed) > data["n"]:
        return "'failed' names a face twice, or more faces than there are"
    if (data["status"] == "failed") != bool(data["error"]) or bool(data["error"]) == bool(
        data["images"]
    ):
        return "'status', 'error' and 'images' contradict each other"
    if data["status"] == "failed":
        return ""
    values = _SET_VALUES if metric["kind"] == "set" else _IMAGE_VALUES
    if problem := values("values", data["values"]):
        return problem
    scored = data["values"].get("n", 0)
    return "'values' are of more faces than there are" if scored > data["n"] - len(failed) else ""


def settings_problem(settings: Any) -> str:
    """Return why the `settings` of a `run.json` are invalid; an empty string if they are not."""
    return _SETTINGS("settings", settings)


def cells_problem(cells: Any) -> str:
    """Return why the `cells` of a `run.json` are invalid; an empty string if they are not."""
    if problem := _texts("cells", cells):
        return problem
    if not cells:
        return "names no cells"
    if len(set(cells)) < len(cells):
        return "names a cell twice"
    wrong = [cell for cell in cells if not _is_inside(cell)]
    return f"'{wrong[0]}' is not the name of a cell" if wrong else ""


def columns_problem(
    columns: Columns, metric: Mapping[str, Any], n: int, failed: Sequence[tuple[str, str]]
) -> str:
    """Return why columns are not the per-image values of a record; an empty string if they are.

    `metric`, `n` and `failed` are the record's.
    """
    of_set = metric["kind"] == "set"
    needed = ["id"] if of_set else ["id", metric["name"]]
    needed += ["label_hr"] if metric["aggregate"] == "macro" else []
    if missing := [name for name in needed if name not in columns]:
        return f"lacks the column {', '.join(missing)}"
    for name, column in columns.items():
        if not _fits(name, column, of_set and name != "id"):
            return f"has values of another kind in the column {name}"
    ids = columns["id"].tolist()
    lost = {image_id for image_id, _ in failed}
    if len(set(ids)) < len(ids) or not lost.isdisjoint(ids):
        return "has a face twice"
    if len(ids) + len(lost) != n:
        return f"{len(ids)} values and {len(lost)} failures for {n} faces"
    return ""


def _fits(name: str, column: np.ndarray, or_bytes: bool) -> bool:
    """Return whether a column has the type its name implies: numbers, or strings without gaps."""
    if name in ("id", "label_hr", "label_sr"):
        return all(isinstance(value, str) for value in column.tolist())
    if column.dtype.kind == "O":
        return or_bytes and all(isinstance(value, bytes) for value in column.tolist())
    return column.dtype.kind in "fiub"


def _is_inside(path: str) -> bool:
    """Return whether a relative path stays inside its folder, on every platform."""
    odd = re.search(r"[\\:\x00-\x1f]", path) or path.startswith("/")
    parts = PurePosixPath(path).parts
    return not odd and bool(parts) and ".." not in parts


def _is(what: str, test: Callable[[Any], bool]) -> Check:
    return lambda where, value: "" if test(value) else f"'{where}' is not {what}"


def _object(needed: Mapping[str, Check], other: Mapping[str, Check] | None = None) -> Check:
    """Return a check of an object: `needed` keys are required, `other` ones optional."""
    every = {**needed, **(other or {})}

    def check(where: str, value: Any) -> str:
        if not isinstance(value, Mapping):
            return f"'{where}' is damaged"
        if missing := [name for name in needed if name not in value]:
            return f"'{where}' lacks a usable {', '.join(missing)}"
        inside = {name: _within(where, name) for name in every if name in value}
        found = (every[name](place, value[name]) for name, place in inside.items())
        return next(filter(None, found), "")

    return check


def _within(where: str, name: str) -> str:
    return name if where == "record" else f"{where}.{name}"


def _each(check: Check) -> Check:
    """Return a check of an object whose values must all pass `check`."""
    return lambda where, value: _object(
        dict.fromkeys(value, check) if isinstance(value, Mapping) else {}
    )(where, value)


def _list(what: str, test: Callable[[Any], bool]) -> Check:
    return _is(
        f"a list of {what}",
        lambda value: isinstance(value, (list, tuple)) and all(map(test, value)),
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))


def _one_of(*names: str) -> Check:
    return _is(f"one of {', '.join(names)}", lambda value: _is_text(value) and value in names)


def _or_none(check: Check) -> Check:
    return lambda where, value: "" if value is None else check(where, value)


def _text_or_object(where: str, value: Any) -> str:
    return "" if isinstance(value, Mapping) else _text(where, value)


def _number_or_classes(where: str, value: Any) -> str:
    return _each(_CLASS)(where, value) if isinstance(value, Mapping) else _number(where, value)


_text = _is("a text", _is_text)
_name = _is("a name", lambda value: _is_text(value) and value != "")
_texts = _list("names", _is_text)
_once = _is(
    "a list of different names",
    lambda value: (
        isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)
    ),
)
_whole = _is("a whole number", _is_whole)
_count = _is("a whole number above 0", lambda value: _is_whole(value) and value > 0)
_number = _is("a number", _is_number)
_flag = _is("true or false", lambda value: isinstance(value, bool))
_id = _is("16 hexadecimal digits", lambda value: _is_text(value) and bool(_ID.fullmatch(value)))
_sha256 = _is("a SHA-256", lambda value: _is_text(value) and bool(_SHA256.fullmatch(value)))
_file = _is(
    "a file of the run",
    lambda value: (
        _is_text(value) and (value == "" or (_is_inside(value) and value.endswith(".parquet")))
    ),
)

_MODEL = _object(
    {},
    {
        **dict.fromkeys(("name", "revision", "licence", "note", "colour"), _text),
        **dict.fromkeys(("trained_on", "trained_against"), _texts),
        **dict.fromkeys(("scale", "parameters"), _or_none(_whole)),
        "size_multiple": _count,
        "weights_sha256": _or_none(_text),
    },
)
_IDENTITY = _object(
    {},
    {
        **dict.fromkeys(("name", "judge", "judge_revision", "crop", "framing", "scorer"), _text),
        "convention": _text_or_object,
    },
)
_METRIC = _object(
    {
        "name": _name,
        "kind": _one_of("image", "set", "cost"),
        "direction": _one_of("higher", "lower"),
        "aggregate": _one_of("mean", "macro"),
        "per_judge": _flag,
        "identity": _IDENTITY,
    },
    {
        **dict.fromkeys(("version", "title", "group", "source", "unit"), _text),
        **dict.fromkeys(("label", "network", "by_convention"), _text),
        **dict.fromkeys(("min_size", "few_faces", "quality_axis"), _whole),
        **dict.fromkeys(("beside", "summaries", "regions"), _texts),
        "digits": _is(
            f"a number of decimals, 0 to {MOST_DIGITS}", lambda v: _is_whole(v) and v <= MOST_DIGITS
        ),
        "tolerance": _number,
        "leads": _flag,
    },
)
_CLASS = _object({"n": _whole, "mean": _number})
_SET_VALUES = _object(
    dict.fromkeys(("value", "low", "high"), _number), {"n": _whole, "macro_classes": _whole}
)
_IMAGE_VALUES = _object(
    {**dict.fromkeys(("value", "low", "high", "mean"), _number), "n": _whole},
    {"macro_classes": _whole},
)
_PROVENANCE = _object(
    {"seed": _whole, "affectbench": _text, "packages": _each(_text), "date": _text},
    {
        **dict.fromkeys(("python", "machine", "device", "sr"), _text),
        **dict.fromkeys(("threads", "batch_size"), _count),
    },
)
_RECORD = _object(
    {
        "schema": _is(str(SCHEMA), lambda value: _is_whole(value) and value == SCHEMA),
        "id": _id,
        "cell": _object(
            {"model": _text, "dataset": _text, "protocol": _object({}), "metric": _object({})}
        ),
        "status": _one_of("ok", "failed"),
        "role": _one_of("model", "anchor"),
        "row": _name,
        "model": _MODEL,
        "dataset": _object(
            {"name": _name, "title": _text, "revision": _name}, {"framing": _text, "n": _whole}
        ),
        "protocol": _object(
            {"name": _text}, {"scale": _count, "hr_size": _or_none(_count), "kernel": _text}
        ),
        "metric": _METRIC,
        "n": _count,
        "values": _each(_number_or_classes),
        "failed": _list("pairs of texts", _is_pair),
        "error": _text,
        "images": _file,
        "cost": _each(_number),
        "provenance": _PROVENANCE,
    },
    dict.fromkeys(("images_sha256", "values_sha256", "sha256"), _sha256),
)
_SETTINGS = _object(
    {
        **dict.fromkeys(("judges", "metrics"), _once),
        **dict.fromkeys(("versus", "convention", "protocol"), _text),
        "seed": _whole,
    },
    {**dict.fromkeys(("models", "arguments", "datasets", "gaps"), _texts), "crop": _text},
)
