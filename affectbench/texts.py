"""Untrusted text: strict JSON parsing, and names that are safe to display.

File names, decoder messages, pickle keys and other people's records may contain anything: escape
sequences that a terminal would execute, file names that are not UTF-8, and JSON nested deeply
enough to overflow the parser's stack.
"""

from __future__ import annotations

import json
import re
from typing import Any

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, the one-byte escape sequences among them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional text controls
    "\u2028\u2029\ufeff"
    "\ud800-\udfff]"  # lone surrogates, among them bytes of a file name that is not UTF-8
)
_NO_ASCII = re.compile("[^\x20-\x7e]")
_NOT_UNICODE = re.compile("[\ud800-\udfff]")
_DEEPEST = 32
_LARGEST = 2**63


def printable(text: str, keep: str = "") -> str:
    r"""Escape control characters, so that text is safe to print on one line; `keep` some of them.

    >>> print(printable("a\x1b[2Jb\udcff\n"))
    a\x1b[2Jb\xff\x0a
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def unicode_text(text: str) -> str:
    r"""Return text that every Unicode encoding accepts: bytes that are invalid become `\xff`."""
    return _NOT_UNICODE.sub(lambda found: _escaped(found[0]), text)


def shown_json(text: str, ascii_only: bool = False) -> str:
    r"""Return an equivalent JSON text that is safe to print on a terminal.

    >>> shown_json('{"a": "\x9b ü"}'), shown_json('["ü"]', ascii_only=True)
    ('{"a": "\\u009b ü"}', '["\\u00fc"]')
    """
    odd = _NO_ASCII if ascii_only else _UNSAFE
    return odd.sub(lambda found: "\n" if found[0] == "\n" else _json_escaped(found[0]), text)


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text strictly; raise ValueError, saying what is wrong with it.

    Besides invalid JSON, this refuses duplicate keys, NaN and infinity, numbers beyond 64 bits,
    strings that are not Unicode, and more than 32 levels of nesting.
    """
    plain = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        data = json.loads(plain, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _require_plain(data)
    return data


_TOO_DEEP = "it is nested too deeply"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python represents a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _json_escaped(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key is there twice")
    return data


def _require_plain(data: Any) -> None:
    todo = [(data, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > _DEEPEST:
            raise ValueError(_TOO_DEEP)
        if isinstance(value, dict):
            todo += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            todo += [(part, depth + 1) for part in value]
        elif isinstance(value, str) and _NOT_UNICODE.search(value):
            raise ValueError("a text is not Unicode")
        elif isinstance(value, (int, float)) and not -_LARGEST <= value < _LARGEST:
            raise ValueError("a number is too large")
