"""Reading image files, with one written rule for every unusual kind.

| file                                  | rule                                                   |
|---------------------------------------|--------------------------------------------------------|
| 8-bit RGB                             | taken as it is                                         |
| grey, palette                         | converted to RGB (exact: no value changes)             |
| RGBA, grey or palette with alpha      | taken if fully opaque, else refused                    |
| EXIF orientation                      | applied, as every viewer does                          |
| 16-bit, 32-bit, CMYK, LAB, YCbCr      | refused: the conversion is a choice that is the user's |
| colour profile                        | ignored: the numbers in the file count                 |
| animated (more than one frame)        | refused                                                |
| more than 64 million pixels           | refused                                                |
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from affectbench.errors import InputError
from affectbench.texts import unicode_text

Pixels = NDArray[np.uint8]
"""An RGB image, shape (H, W, 3)."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
MAX_PIXELS = 64_000_000
EXACT_MODES = frozenset({"RGB", "L", "P", "1"})
ALPHA_MODES = frozenset({"RGBA", "LA", "PA"})
_FILTERS = Lock()  # of warnings: they belong to the process, and images are read by several threads
_QUARTER_TURNS = frozenset({5, 6, 7, 8})  # values of EXIF's orientation that swap the sides


def read_image(path: str | os.PathLike[str]) -> Pixels:
    """The RGB pixels of an image file, uint8 (H, W, 3), by the rules of this module.

    Raises InputError, naming the file and the remedy, for anything that cannot be read exactly.
    """
    with _opened(Path(path)) as image:
        return rgb_pixels(image, str(path))


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of an image file as `read_image` gives it; decodes only lying ones.

    Raises InputError for files that cannot be an image of these rules.
    """
    with _opened(Path(path)) as image:
        # Some versions of Pillow swap the sides of a lying TIFF when they open it.
        lying = image.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
        return ImageOps.exif_transpose(image).size if lying else image.size


def rgb_pixels(image: Image.Image, name: str = "image") -> Pixels:
    """The pixels of an open Pillow image as RGB uint8 (H, W, 3), orientation applied."""
    if image.width * image.height > MAX_PIXELS:
        raise InputError(_too_large(name, image.size))
    image.load()  # an orientation may follow the pixels
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    upright = ImageOps.exif_transpose(image) if turned else image
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


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files directly in a folder, sorted by name; hidden ones (`.name`) are left out.

    Raises InputError if it is not a readable folder or holds no image.
    """
    folder = Path(folder)
    try:
        if not folder.exists():
            raise InputError(f"{folder}: no such folder")
        if not folder.is_dir():
            raise InputError(f"{folder}: is a file, a folder of images is needed")
        inside = (p for p in folder.iterdir() if not p.name.startswith("."))
        found = sorted(p for p in inside if p.suffix.lower() in SUFFIXES)
    except PermissionError:
        raise InputError(f"{folder}: no permission to list it; check its owner and mode") from None
    if not found:
        raise InputError(f"{folder}: holds no images (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths keyed by their name without suffix; two files of one stem are an InputError."""
    keyed: dict[str, Path] = {}
    for path in paths:
        # A name that is not UTF-8 has no place in records, tables and pages.
        other = keyed.setdefault(unicode_text(path.stem), path)
        if other != path:
            raise InputError(f"{path} and {other.name} have the same name but for the suffix")
    return keyed


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The file as a Pillow image; everything that goes wrong inside becomes an InputError."""
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty (0 bytes); write or copy it again")
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below
            image = Image.open(path)
        with image:
            _refuse_unusual(image, path)
            yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it; check its owner and mode") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, an image file is needed") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: is not an image in a format that Pillow reads") from None
    except Image.DecompressionBombError:
        raise InputError(_too_large(str(path), None)) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: the image is damaged or truncated ({error})") from error


def _refuse_unusual(image: Image.Image, path: Path) -> None:
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{path}: is animated or has several pages; save the one frame you mean")
    if image.width * image.height > MAX_PIXELS:
        raise InputError(_too_large(str(path), image.size))
    if _is_deep(image):
        raise InputError(_odd_format(str(path), "more (or other) than 8 bits a channel"))


def _is_deep(image: Image.Image) -> bool:
    """Whether Pillow would scale the file's values to 8 bits without saying so.

    It does for 16-bit RGB PNG, TIFF and PPM: the mode is RGB, and only the decoder's arguments
    (a raw mode such as `RGB;16B`, or the maximum of a PPM) tell.
    """
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(a, str) and ";16" in a for a in arguments):
            return True
        maximum = arguments[-1]
        if tile[0] in ("ppm", "ppm_plain") and isinstance(maximum, int) and maximum != 255:
            return True
    return False


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
