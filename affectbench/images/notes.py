"""Stripping of metadata from image files whose metadata are damaged.

Pillow fails on a PNG with a damaged text or time stamp chunk, although no pixel depends on it, and
likewise on some JPEG and TIFF files. Nothing here decodes pixels.
"""

from __future__ import annotations

import zlib
from typing import Literal

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"IEND"})
_JPEG = b"\xff\xd8"
_START_OF_SCAN = 0xDA
_JPEG_DROPPED = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})  # APP1 to 13 and 15, COM
_JPEG_COLOURS = {0xE0: 16, 0xEE: 14}
"""JFIF and Adobe segments, which define the colour space, and their minimum length in bytes."""

_TIFF: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
_TIFF_KEPT = frozenset(
    {*range(254, 260), 262, 266, 273, 274, *range(277, 280), 284, 292, 293, 317, *range(320, 326)}
    | {332, 338, 339, 347, *range(512, 522), *range(529, 533)}
)
"""Tags for size, strips, tiles, compression, colour and orientation."""


def without_notes(content: bytes) -> bytes | None:
    """Return the same image without its metadata; None for a format that never needs this."""
    if content.startswith(_PNG):
        return _bare_png(content)
    if content.startswith(_JPEG):
        return _bare_jpeg(content)
    order = _TIFF.get(content[:4])
    return _bare_tiff(content, order) if order else None


def _bare_png(content: bytes) -> bytes:
    """Keep the chunks that determine pixels and frame count, and EXIF if its checksum is right."""
    parts, place = [_PNG], len(_PNG)
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        end = place + 12 + length
        chunk = content[place:end]
        if chunk[4:8] in _PNG_KEPT or (chunk[4:8] == b"eXIf" and _is_whole(chunk)):
            parts.append(chunk)
        place = end
    return b"".join(parts)


def _is_whole(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _bare_jpeg(content: bytes) -> bytes:
    """Drop comments and application segments that do not affect colour; keep EXIF."""
    parts, place = [_JPEG], len(_JPEG)
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == _START_OF_SCAN:
            break
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        end = place + 2 + length
        exif = marker == 0xE1 and content[place + 4 : place + 10] == b"Exif\0\0"
        cut_short = length < _JPEG_COLOURS.get(marker, 0)
        if exif or not (marker in _JPEG_DROPPED or cut_short):
            parts.append(content[place:end])
        place = end
    return b"".join([*parts, content[place:]])


def _bare_tiff(content: bytes, order: Literal["little", "big"]) -> bytes:
    """Return the same bytes with only the needed entries in the first page's directory."""
    start = int.from_bytes(content[4:8], order)
    count = int.from_bytes(content[start : start + 2], order)
    first = start + 2
    entries = [content[place : place + 12] for place in range(first, first + 12 * count, 12)]
    kept = [entry for entry in entries if int.from_bytes(entry[:2], order) in _TIFF_KEPT]
    following = content[first + 12 * count : first + 12 * count + 4]
    table = len(kept).to_bytes(2, order) + b"".join(kept) + following
    return content[:start] + table + content[start + len(table) :]
