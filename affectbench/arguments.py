"""Defaults of arguments, and their validation before any work starts: numbers, names, paths."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

from affectbench.errors import InputError
from affectbench.texts import printable

DEFAULT_METRICS = ("ecm", "psnr", "ssim")
"""The metrics of a run that asks for none. Here, since printing help must load nothing else."""

LONGEST_NAME = 255
LONGEST_PATH = 4095
MOST = 2**63 - 1


def whole(name: str, value: SupportsIndex | float, least: int = 1) -> int:
    """Return a whole number of any type as int; raise InputError for anything else.

    Integers of other libraries, such as numpy's, and floats without a fraction are whole numbers.

    >>> whole("--scale", 8), whole("--scale", 8.0)
    (8, 8)
    """
    try:
        plain: Any = value.item() if hasattr(value, "item") else value  # of numpy and torch
        if isinstance(plain, bool):
            raise TypeError
        if isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        number = operator.index(plain)
    except (TypeError, ValueError, RuntimeError):  # the latter two: an array of several
        raise InputError(f"{name} {value!r}: has to be a whole number") from None
    if not least <= number <= MOST:
        raise InputError(f"{name} {value!r}: has to be a whole number from {least} to 2^63 - 1")
    return number


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Return the value if it is a known one; raise InputError, naming those known, otherwise."""
    if value not in known:
        raise InputError(f"{name} {value}: is none of {', '.join(known)}")
    return value


def names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Split a comma list, or a sequence of them, into single names.

    >>> names("psnr, ssim"), names(["ecm", "psnr,ssim"])
    (('psnr', 'ssim'), ('ecm', 'psnr', 'ssim'))
    """
    one = isinstance(given, str) or not isinstance(given, Iterable)
    texts: list[Any] = [given] if one else list(given)
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        shown = repr(wrong[0]) if isinstance(wrong[0], int | float) else type(wrong[0]).__name__
        hint = (
            "; code of yours is named by its file, python:FILE:NAME" if callable(wrong[0]) else ""
        )
        raise InputError(f"{shown} is not a name{hint}")
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def usable_path(given: str | os.PathLike[str]) -> Path:
    """Return the path; raise InputError if no file system can hold it (too long, or has a NUL)."""
    path = Path(given)
    shown = printable(str(path))
    shown = shown if len(shown) <= 80 else f"{shown[:60]}... ({len(str(path))} characters)"
    try:
        longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
        length = len(os.fsencode(path))
    except UnicodeEncodeError:
        raise InputError(f"{shown}: is not a valid path: it holds a lone surrogate") from None
    if "\0" in str(path):
        raise InputError(f"{shown}: is not a valid path: it holds a NUL")
    if longest > LONGEST_NAME:
        raise InputError(f"{shown}: has a part of {longest} bytes, and {LONGEST_NAME} is the most")
    if length > LONGEST_PATH:
        raise InputError(f"{shown}: is longer than the {LONGEST_PATH} bytes that a path may have")
    return path


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether the path is an accessible file; never raise, whatever the path is."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether the path is an accessible folder; never raise, whatever the path is."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False
