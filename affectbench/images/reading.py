"""Reading of image files, with an explicit rule for every unusual kind.

| file                                  | rule                                                   |
|---------------------------------------|--------------------------------------------------------|
| 8-bit RGB                             | taken as it is                                         |
| grey, palette                         | converted to RGB (exact: no value changes)             |
| RGBA, grey or palette with alpha      | taken if fully opaque, else refused                    |
| EXIF orientation                      | applied, as every viewer does                          |
| damaged EXIF or other metadata        | ignored: only the pixels matter                        |
| 16-bit, 32-bit, CMYK, LAB, YCbCr      | refused: how to convert it is for the user to decide   |
| colour profile                        | ignored: the numbers in the file count                 |
| animated (more than one frame)        | refused                                                |
| more than 64 million pixels           | refused                                                |
| not a regular file: a pipe, a device  | refused without blocking                               |

Formats are detected by content, among those of `images.formats`; no other is ever tried.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from affectbench.errors import InputError
from affectbench.images.depth import is_deep
from affectbench.images.formats import HEAD_BYTES, READ, formats_for, has_signature
from affectbench.images.notes import without_notes
from affectbench.images.opening import open_regular

Pixels = NDArray[np.uint8]
"""An RGB image, shape (H, W, 3)."""

MAX_PIXELS = 64_000_000
EXACT_MODES = frozenset({"RGB", "L", "P", "1"})
ALPHA_MODES = frozenset({"RGBA", "LA", "PA"})

_T = TypeVar("_T")
_FILTERS = Lock()  # warning filters are global to the process, and several threads read images
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes an image upright, by EXIF orientation; other values need none."""

_QUARTER_TURNS = frozenset({5, 6, 7, 8})


def read_image(path: str | os.PathLike[str], content: bytes | None = None) -> Pixels:
    """Read the RGB pixels of an image file, uint8 (H, W, 3), by the rules of this module.

    `content` holds the file's bytes if they have already been read.

    Raises InputError, naming the file and the remedy, for anything that cannot be read exactly.
    """
    return _read(Path(path), lambda image: rgb_pixels(image, str(path)), content)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the width and height that `read_image` gives, decoding rotated images only.

    Raises InputError for files that cannot be an image under the rules of this module.
    """

    def size(image: Image.Image) -> tuple[int, int]:
        # Some versions of Pillow swap width and height of a rotated TIFF on opening.
        lying = _orientation(image) in _QUARTER_TURNS
        return _upright(image).size if lying else image.size

    return _read(Path(path), size)


def rgb_pixels(image: Image.Image, name: str = "image") -> Pixels:
    """Return the pixels of a Pillow image as RGB uint8 (H, W, 3), with its orientation applied."""
    if image.width * image.height > MAX_PIXELS:
        raise InputError(_too_large(name, image.size))
    upright = _upright(image)
    if upright.mode in ALPHA_MODES or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        if upright.getchannel("A").getextrema()[0] != 255:
            raise InputError(
                f"{name}: has transparent pixels, and what lies behind them is unknown; "
                "flatten it onto a background first"
            )
    elif upright.mode not in EXACT_MODES:
        raise InputError(_odd_format(name, f"the pixel format {upright.mode}"))
    rgb = upright if upright.mode == "RGB" else upright.convert("RGB")
    return np.array(rgb, dtype=np.uint8)


def _read(path: Path, use: Callable[[Image.Image], _T], content: bytes | None = None) -> _T:
    """Apply `use` to the image in a file; turn any exception of a decoder into an InputError."""
    with open_regular(path) if content is None else io.BytesIO(content) as file:
        head = file.read(HEAD_BYTES)
        if not head:
            raise InputError(f"{path}: the file is empty (0 bytes); write or copy it again")
        try:
            return _used(file, path, use)
        except InputError:
            raise
        except Image.DecompressionBombError:
            raise InputError(_too_large(str(path), None)) from None
        except Exception as error:
            # The exceptions of decoders are undocumented: struct.error, TypeError, ...
            failure = error
        file.seek(0)
        bare = without_notes(file.read())
        try:
            if bare is not None:
                return _used(io.BytesIO(bare), path, use)
        except InputError:
            raise
        except Exception:
            pass  # the pixels are damaged too, and the first failure is more informative
        raise InputError(_unreadable(path, head, failure)) from failure


def _used(file: BinaryIO, path: Path, use: Callable[[Image.Image], _T]) -> _T:
    file.seek(0)
    with _quiet():
        image = Image.open(file, formats=formats_for(path))
    with image:
        _refuse_unusual(image, path)
        if image.format == "TIFF":
            _keep_orientation(image)
        return use(image)


def _keep_orientation(image: Image.Image) -> None:
    """Keep Pillow from rotating a TIFF on loading, which fails if its metadata are damaged."""
    _orientation(image)  # Pillow caches the tags, and cannot read them later
    vars(image)["load_end"] = lambda: None


def _unreadable(path: Path, head: bytes, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        if not has_signature(head):
            return f"{path}: is not an image in a format that is read here ({READ})"
        return f"{path}: the image is damaged or truncated (its header cannot be read)"
    why = str(error) or type(error).__name__
    return f"{path}: the image is damaged or truncated ({why})"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings: sizes are checked below, and damaged metadata do not matter."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _refuse_unusual(image: Image.Image, path: Path) -> None:
    with _quiet():
        frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise InputError(f"{path}: is animated or has several pages; save the one frame you mean")
    if image.width * image.height > MAX_PIXELS:
        raise InputError(_too_large(str(path), image.size))
    if is_deep(image):
        raise InputError(_odd_format(str(path), "more (or other) than 8 bits a channel"))


def _upright(image: Image.Image) -> Image.Image:
    """Load the image and apply its orientation."""
    image.load()  # the orientation may be stored after the pixels
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) if there is none or it cannot be read."""
    if image.format == "TIFF":
        value = getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation)
        if value is not None:
            return value if isinstance(value, int) else 1
    try:
        with _quiet():
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _odd_format(name: str, what: str) -> str:
    return (
        f"{name}: has {what}, and turning it into 8-bit RGB is a choice that changes results; "
        "convert it to 8-bit RGB first"
    )


def _too_large(name: str, size: tuple[int, int] | None) -> str:
    pixels = f" ({size[0]}x{size[1]})" if size else ""
    return (
        f"{name}: has more than {MAX_PIXELS // 1_000_000} million pixels{pixels}; "
        "crop the face out of it first"
    )
