"""The one error tree of affectbench.

Every error a user can cause derives from `AffectBenchError`, names the thing that is wrong, and
says what to do about it. `affectbench.cli` catches exactly this class and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from affectbench.texts import printable


class AffectBenchError(Exception):
    r"""Base of all errors that a user can cause or mend.

    The message may quote what a file, a path or a model says: control characters are escaped.

    >>> print(InputError("unknown expression 'sad\x1b[2J'"))
    unknown expression 'sad\x1b[2J'
    """

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message), keep="\n"))


class InputError(AffectBenchError, ValueError):
    """An image, tensor, folder or option cannot be used as it is."""


class UnknownNameError(AffectBenchError, LookupError):
    """A model, metric, data set, judge or convention of that name does not exist."""


class MissingExtraError(AffectBenchError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'affectbench[{extra}]'")
        self.extra = extra


class MissingPackageError(MissingExtraError):
    """A package is not installed that none of our extras brings; `command` is for `pip install`."""

    def __init__(self, what: str, command: str) -> None:
        AffectBenchError.__init__(self, f"{what} needs another package: pip install {command}")
        self.extra = ""


class WeightsError(AffectBenchError):
    """A weights file is missing, damaged, refused, or not what was asked for."""


class AssetMissingError(WeightsError):
    """A weights file that does not come with the library has not been fetched yet."""

    def __init__(self, asset: str, origin: str, target: object) -> None:
        super().__init__(
            f"{target}: is not there; fetch it with 'affectbench assets fetch {asset}', or get it "
            f"from {origin} and put it there"
        )
        self.asset = asset


class ModelError(AffectBenchError):
    """A model broke its contract: it raised, or its output has a wrong shape, range or value."""

    exit_code = 1


class MetricError(AffectBenchError):
    """A metric or its judge failed on faces: it raised, or gave something that is no values."""

    exit_code = 1


class ChangedError(InputError):
    """A face is another one than at the beginning of the run: nothing can be measured against it.

    A changed result is a ModelError instead: its row fails alone.
    """


class RecordError(AffectBenchError):
    """A stored record is damaged, or written by a newer affectbench."""


class BusyError(AffectBenchError):
    """Another process is working on the same output folder."""


class StorageError(AffectBenchError):
    """Results cannot be written: the disk is full or the folder is not writable."""


def listed(names: Iterable[str], limit: int = 10) -> str:
    """The first `limit` names, comma separated, and how many more there are.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    every = list(names)
    shown = ", ".join(every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that a misspelt one may mean, else None.

    >>> closest("bicubik", ["bicubic", "nearest"])
    'bicubic'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def hint(name: str, known: Iterable[str], shown: str = "'{}'", listed_as: str = "{}") -> str:
    """Return what an error says below an unknown name: the closest known one, or all of them.

    >>> hint("bicubik", ["bicubic", "nearest"])
    "did you mean 'bicubic'?"
    >>> hint("cubic-spline", ["nearest"])
    'known: nearest'
    """
    names = list(known)
    close = closest(name, names)
    if close:
        return f"did you mean {shown.format(close)}?"
    return f"known: {', '.join(listed_as.format(n) for n in names)}"
