"""Seeded damage to bytes, JSON and tables."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator

HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, -(2**70), 1e308, float("nan"), float("inf")),
    *("", " ", "NaN", "../../x", "/etc/passwd", "\x1b[2J\x1b[1;1Hok", "=1+1", "\uff1d1+1"),
    *("constructor", "__proto__", "a\x00b", "\ud800", "\u202e", "x" * 5000, "<script>", "%s"),
    *([], {}, [[]], [1, "2", None], {"a": {"b": []}}),
)
"""Values that somebody could put anywhere."""


def pick(rng: Rng, choices: Any) -> Any:
    """One of a sequence."""
    return choices[int(rng.integers(len(choices)))]


def mutate(content: bytes, rng: Rng) -> bytes:
    """Bytes with one to four pieces of damage."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        pick(rng, _DAMAGES)(data, rng)
    return bytes(data)


def _span(data: bytearray, rng: Rng) -> slice:
    start = int(rng.integers(len(data) + 1))
    return slice(start, start + int(rng.integers(1, 65)))


def _flip(data: bytearray, rng: Rng) -> None:
    if data:
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _noise(data: bytearray, rng: Rng) -> None:
    span = _span(data, rng)
    data[span] = rng.bytes(len(data[span]))


def _extreme(data: bytearray, rng: Rng) -> None:
    data[_span(data, rng)] = pick(rng, (b"\xff", b"\0", b"\x7f", b"\x80")) * int(rng.integers(1, 9))


def _cut(data: bytearray, rng: Rng) -> None:
    del data[int(rng.integers(len(data) + 1)) :]


def _remove(data: bytearray, rng: Rng) -> None:
    del data[_span(data, rng)]


def _repeat(data: bytearray, rng: Rng) -> None:
    span = _span(data, rng)
    data[span] = data[span] * int(rng.integers(2, 200))


def _insert(data: bytearray, rng: Rng) -> None:
    start = _span(data, rng).start
    data[start:start] = rng.bytes(int(rng.integers(1, 33)))


_DAMAGES: tuple[Callable[[bytearray, Rng], None], ...] = (
    _flip, _flip, _noise, _extreme, _cut, _remove, _repeat, _insert,
)  # fmt: skip


def mutate_json(value: Any, rng: Rng) -> Any:
    """A copy of JSON data with one to three values replaced, removed, renamed or nested deep."""
    changed = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        place, key = pick(rng, list(_places(changed)))
        action = int(rng.integers(5))
        if action == 0 and isinstance(place, dict):
            place[str(pick(rng, ("x", "schema", "values", "")))] = place.pop(key)
        elif action == 1:
            del place[key]
        elif action == 2:
            place[key] = _deep(int(rng.integers(10, 300)))
        else:
            place[key] = pick(rng, HOSTILE)
        if not list(_places(changed)):
            break
    return changed


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys = range(len(value)) if isinstance(value, list) else value
    if not isinstance(value, (list, dict)):
        return []
    found = [(value, key) for key in keys]
    for key in keys:
        found += _places(value[key]) if not isinstance(value[key], str) else []
    return found


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def mutate_table(text: str, rng: Rng) -> str:
    """A CSV or list with cells replaced, rows or columns lost, and other line ends."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 4))):
        row = int(rng.integers(len(lines)))
        cells = lines[row].split(",")
        action = int(rng.integers(4))
        if action == 0:
            cells[int(rng.integers(len(cells)))] = str(pick(rng, HOSTILE))
        elif action == 1:
            cells = cells[: int(rng.integers(len(cells)))]
        elif action == 2:
            cells += ["extra", '"']
        else:
            lines.insert(row, lines[int(rng.integers(len(lines)))])
        lines[row] = ",".join(cells)
    return pick(rng, ("\n", "\r\n", "\r", "\n\n")).join(lines)
