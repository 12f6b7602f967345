"""The exception hierarchy of affectbench.

Every error that a user can cause derives from `AffectBenchError`, names what is wrong, and says how
to fix it. `affectbench.cli` catches exactly this class and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from affectbench.texts import printable


class AffectBenchError(Exception):
    r"""Base class of all errors that a user can cause or fix.

    The message may quote a file, a path or a model: control characters are escaped.

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
    """A package that no extra provides is not installed; `command` is for `pip install`."""

    def __init__(self, what: str, command: str) -> None:
        AffectBenchError.__init__(self, f"{what} needs another package: pip install {command}")
        self.extra = ""


class WeightsError(AffectBenchError):
    """A weights file is missing, damaged, refused, or not the expected one."""


class AssetMissingError(WeightsError):
    """A weights file that does not come with the library has not been downloaded yet."""

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
    """A metric or its judge failed on faces: it raised, or did not return valid values."""

    exit_code = 1


class ChangedError(InputError):
    """A face changed while the run was under way: nothing can be measured against it.

    A changed result is a ModelError instead: only its row fails.
    """


class RecordError(AffectBenchError):
    """A stored record is damaged, or was written by a newer affectbench."""


class BusyError(AffectBenchError):
    """Another process is working on the same output folder."""


class StorageError(AffectBenchError):
    """Results cannot be written: the disk is full or the folder is not writable."""


def listed(names: Iterable[str], limit: int = 10) -> str:
    """Return the first `limit` names, separated by commas, and the number of the others.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    every = list(names)
    shown = ", ".join(every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name closest to a misspelt one, else None.

    >>> closest("bicubik", ["bicubic", "nearest"])
    'bicubic'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def hint(name: str, known: Iterable[str], shown: str = "'{}'", listed_as: str = "{}") -> str:
    """Return the hint for an unknown name: the closest known one, or all of them.

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
