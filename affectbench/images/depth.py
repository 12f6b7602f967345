"""Detection of files with other than 8 bits per channel, which Pillow rescales silently.

The mode of such an image is RGB, as for any other. The bit depth shows only in the decoder's
arguments: a raw mode such as `RGB;16B`, or the maximum of a PPM. JPEG 2000 and AVIF decoders
rescale internally, so for these formats the file's header is parsed.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

_DEEP_RAW_MODES = (";16", ";15")
_CODESTREAM = b"\xff\x4f\xff\x51"
_HEADER_BYTES = 1 << 16


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened image, not loaded yet, has other than 8 bits per channel."""
    if image.format == "JPEG2000":
        return _jpeg2000_is_deep(_header(image))
    if image.format == "AVIF":
        return _avif_is_deep(_header(image))
    return any(_tile_is_deep(tile[0], tile[3]) for tile in getattr(image, "tile", ()))


def _tile_is_deep(decoder: str, given: Any) -> bool:
    arguments = given if isinstance(given, tuple) else (given,)
    if any(isinstance(a, str) and mark in a for a in arguments for mark in _DEEP_RAW_MODES):
        return True
    maximum = arguments[-1] if arguments else None
    return decoder in ("ppm", "ppm_plain") and isinstance(maximum, int) and maximum != 255


def _header(image: Image.Image) -> bytes:
    file: Any = image.fp  # type: ignore[attr-defined]
    place = file.tell()
    file.seek(0)
    header: bytes = file.read(_HEADER_BYTES)
    file.seek(place)
    return header


def _jpeg2000_is_deep(header: bytes) -> bool:
    """Check Ssiz in the SIZ marker: bit depth minus one per component; the high bit is signed."""
    start = header.find(_CODESTREAM)
    if start < 0:
        return False
    count = int.from_bytes(header[start + 40 : start + 42], "big")
    return any(bits != 7 for bits in header[start + 42 : start + 42 + 3 * count : 3])


def _avif_is_deep(header: bytes) -> bool:
    """Check `high_bitdepth` in the third byte of each av1C box."""
    return any(len(box) > 2 and box[2] & 0x40 for box in header.split(b"av1C")[1:])
