"""Supported image formats, with their suffixes and signatures.

Pillow knows some forty formats and detects them by content, regardless of the file name. Only the
formats used for face images are tried. Among the others, EPS starts an external program
(Ghostscript), and several decoders were written for trusted files only.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from PIL import Image

SUFFIXES_OF: dict[str, tuple[str, ...]] = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "QOI": (".qoi",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""Keyed by Pillow's format names."""

SUFFIXES = frozenset(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
READ = ", ".join(SUFFIXES_OF)
HEAD_BYTES = 32

_SIGNATURES = re.compile(
    rb"\x89PNG\r\n\x1a\n"
    rb"|\xff\xd8\xff"
    rb"|GIF8[79]a"
    rb"|BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0"  # BMP: the size of its second header
    rb"|II[*+]\0|MM\0[*+]|MM[*]\0"
    rb"|RIFF.{4}WEBP"
    rb"|P[1-6]\s+(?:\d|#)|P[fF]\s+\d"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0"
    rb"|.{4}ftypavi[fs]"
    rb"|qoif",
    re.DOTALL,
)


def formats_for(path: Path) -> list[str]:
    """Return the formats to try for a file, as Pillow names them.

    TGA has no signature, and other files can look like one: it is tried for its own suffixes only.
    """
    tga = path.suffix.lower() in SUFFIXES_OF["TGA"]
    return [name for name in _at_hand() if name != "TGA"] + (["TGA"] if tga else [])


@cache
def _at_hand() -> tuple[str, ...]:
    """Return the formats that the installed Pillow supports (AVIF since 11.3)."""
    Image.init()
    return tuple(name for name in SUFFIXES_OF if name in Image.OPEN)


def has_signature(head: bytes) -> bool:
    """Return whether a file that starts with `head` has a known image format, damaged or not."""
    return _SIGNATURES.match(head) is not None
