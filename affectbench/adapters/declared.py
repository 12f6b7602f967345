"""Specs that models declare: the `spec` of user code, and the validation of every spec."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from affectbench.errors import ModelError
from affectbench.types import ModelSpec

DECLARABLE = (
    "scale",
    "licence",
    "parameters",
    "value_range",
    "size_multiple",
    "trained_on",
    "trained_against",
    "note",
)

Rule = tuple[Callable[[Any], bool], str]


def _whole(least: int) -> Rule:
    return lambda v: type(v) is int and v >= least, f"a whole number of at least {least}"


def _or_none(rule: Rule) -> Rule:
    return lambda v: v is None or rule[0](v), f"{rule[1]}, or None,"


def _is_range(value: Any) -> bool:
    plain = isinstance(value, tuple) and all(type(v) in (int, float) for v in value)
    return plain and len(value) == 2 and -math.inf < value[0] < value[1] < math.inf


_TEXT: Rule = (lambda v: type(v) is str, "a text")
_TEXTS: Rule = (
    lambda v: isinstance(v, tuple) and all(type(t) is str for t in v),
    "a list of texts",
)
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("name", "revision", "licence", "note"), _TEXT),
    **dict.fromkeys(("trained_on", "trained_against"), _TEXTS),
    "weights_sha256": _or_none(_TEXT),
    "scale": _or_none(_whole(1)),
    "parameters": _or_none(_whole(0)),
    "size_multiple": _whole(1),
    "value_range": (_is_range, "a pair of numbers, the lower one first,"),
}


def require_sound(spec: object, argument: str) -> ModelSpec:
    """Return the spec; raise ModelError if a field has the wrong type."""
    if not isinstance(spec, ModelSpec):
        raise ModelError(f"{argument}: its spec is a {type(spec).__name__}, not a ModelSpec")
    for field, (fits, needed) in _RULES.items():
        value = getattr(spec, field)
        if not fits(value):
            raise ModelError(
                f"{argument}: its spec has {field}={reprlib.repr(value)} ({type(value).__name__}), "
                f"and {needed} is needed"
            )
    return spec


def declared(argument: str, options: Mapping[str, str], *places: object) -> dict[str, Any]:
    """Return the fields of the first `spec` found in the places; the user's options override it."""
    specs = (getattr(place, "spec", None) for place in places)
    found = next((spec for spec in specs if spec is not None), None)
    if found is None:
        return {}
    if isinstance(found, ModelSpec):
        found = {field: getattr(found, field) for field in DECLARABLE}
    if not isinstance(found, Mapping) or not set(found) <= set(DECLARABLE):
        raise ModelError(
            f"{argument}: its spec is {reprlib.repr(found)}; a ModelSpec or a dict is needed, of "
            + ", ".join(DECLARABLE)
        )
    plain = {key: _plain(key, value) for key, value in found.items() if value is not None}
    return {key: value for key, value in plain.items() if key not in options}


def _plain(key: str, value: Any) -> Any:
    """Convert lists and single names to tuples, and numbers of other libraries to Python's."""
    if key in ("trained_on", "trained_against") and isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(_number(part) for part in value)
    return _number(value)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)
