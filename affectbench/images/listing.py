"""The images in a folder, and the ids of their faces.

A file is an image if it has an image suffix or an image signature, whatever its name is. All other
files are reported; hidden files and those left by file managers are skipped. An unreadable image is
an error and is never skipped.

A face's id is its file name without the image suffix. Unicode can encode an accented letter in two
ways, and file systems convert between them, so ids are normalised (NFC). Bytes of a name that are
not UTF-8 are written `\\xNN`, so that the id is valid text wherever it is printed or stored.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from affectbench.errors import InputError, listed
from affectbench.images.formats import HEAD_BYTES, READ, SUFFIXES, has_signature
from affectbench.images.opening import open_regular, require_regular, why_not
from affectbench.texts import unicode_text

_LEFT_BEHIND = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})


@dataclass(frozen=True)
class Listing:
    """The files directly in a folder, sorted by name: the images, and the `others`."""

    folder: Path
    images: tuple[Path, ...]
    others: tuple[Path, ...]

    def remark(self) -> str:
        """Return one line about files that are not images; empty if there are none."""
        if not self.others:
            return ""
        count = len(self.others)
        files = "1 file is no image" if count == 1 else f"{count} files are no images"
        names = listed(unicode_text(path.name) for path in self.others)
        return f"{files} of a format that is read: {names}"


def list_folder(folder: str | os.PathLike[str]) -> Listing:
    """List the images and other files in a folder.

    Raises InputError if it is not a readable folder or holds no image, and for anything with an
    image suffix that is not a regular file: a folder, a pipe, a device, a broken link.
    """
    folder = Path(folder)
    paths = _inside(folder)
    images = [path for path in paths if _is_image(path)]
    kept = frozenset(images)
    others = [path for path in paths if path not in kept and not path.is_dir()]
    listing = Listing(folder, tuple(images), tuple(others))
    if not images:
        why = f"; {listing.remark()}" if others else ""
        raise InputError(f"{folder}: holds no images (formats: {READ}){why}")
    return listing


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the image files directly in a folder, sorted by name; errors as in `list_folder`."""
    return list(list_folder(folder).images)


def holds_images(folder: Path) -> bool:
    """Return whether an image is directly in a folder; errors as in `list_folder`."""
    return any(map(_is_image, (path for path in _inside(folder) if not path.is_dir())))


def images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and in all folders below it, sorted by path.

    Hidden folders and links to folders are skipped. Errors as in `list_folder`, except that there
    may be no images.
    """
    found: list[Path] = []
    for path in _inside(folder):
        if path.is_dir():
            found += images_below(path) if not path.is_symlink() else []
        elif _is_image(path):
            found.append(path)
    return found


def face_id(name: str) -> str:
    """Return the id of a face from its file name, by the rules of this module.

    >>> face_id("anna.JPG"), face_id("anna.v2"), face_id("Zoe\\u0308.png") == "Zo\\u00eb"
    ('anna', 'anna.v2', True)
    """
    path = Path(name)
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return unicodedata.normalize("NFC", unicode_text(stem))


def by_id(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the paths keyed by face id; raise InputError if two files have the same id."""
    keyed: dict[str, Path] = {}
    for path in paths:
        other = keyed.setdefault(face_id(path.name), path)
        if other != path:
            raise InputError(_twins(other, path))
    return keyed


def _twins(one: Path, other: Path) -> str:
    if one.parent != other.parent:
        return f"{one} and {other} have the same name, and it is the face's; rename one of them"
    stems = {p.stem if p.suffix.lower() in SUFFIXES else p.name for p in (one, other)}
    if len(stems) == 1:
        return f"{one} and {other.name} have the same name but for the suffix; keep one of them"
    return (
        f"{one.parent}: {one.name!a} and {other.name!a} are one name in two spellings; "
        "keep one of them"
    )


def _inside(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except NotADirectoryError:
        raise InputError(f"{folder}: is a file, a folder of images is needed") from None
    except PermissionError:
        raise InputError(f"{folder}: no permission to list it; check its owner and mode") from None
    except FileNotFoundError:
        raise InputError(f"{folder}: no such folder") from None
    except (OSError, ValueError) as error:
        raise InputError(why_not(folder, error)) from None
    hidden = (p.name.startswith(".") or p.name.lower() in _LEFT_BEHIND for p in paths)
    return [path for path, skipped in zip(paths, hidden, strict=True) if not skipped]


def _is_image(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        require_regular(path)
        return True
    if not path.is_file():
        return False
    try:
        with open_regular(path) as file:
            return has_signature(file.read(HEAD_BYTES))
    except (InputError, OSError):
        return False  # without a suffix or signature it is reported with the other files
