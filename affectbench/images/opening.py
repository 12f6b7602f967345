"""Opening of untrusted paths: regular files only, never one that blocks or never ends."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from affectbench.errors import InputError

MAX_BYTES = 1 << 30
"""More than any image of up to 64 million pixels needs."""

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; raise InputError, naming the path, for anything else.

    Never blocks on a named pipe, a socket or a device, even if one replaces the file in between.
    """
    require_regular(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise InputError(why_not(path, error)) from None
    file = os.fdopen(handle, "rb")
    try:
        _refuse_odd(path, os.fstat(handle))
    except InputError:
        file.close()
        raise
    return file


def require_regular(path: Path) -> None:
    """Raise InputError unless the path is a regular file or a link to one, within `MAX_BYTES`."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(why_not(path, error)) from None
    _refuse_odd(path, found)


def why_not(path: Path | str, error: OSError | ValueError) -> str:
    """Return the InputError message for a path that cannot be used."""
    shown = str(path)
    if isinstance(error, FileNotFoundError):
        if Path(path).is_symlink():
            return f"{shown}: is a link to a file that is not there"
        return f"{shown}: no such file"
    if isinstance(error, PermissionError):
        return f"{shown}: no permission to read it; check its owner and mode"
    why = getattr(error, "strerror", None) or str(error)
    return f"{ascii(shown)[1:-1]}: cannot be opened ({why.lower()})"


def _refuse_odd(path: Path, found: os.stat_result) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise InputError(f"{path}: is a {kind}, an image file is needed")
    if found.st_size > MAX_BYTES:
        raise InputError(
            f"{path}: has {found.st_size / 2**30:.1f} GiB, more than any image that is read here"
        )
