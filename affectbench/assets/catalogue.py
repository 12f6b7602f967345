"""The description of each weights file that the library uses or can download.

An `affectbench.assets` entry point names a tuple of `Asset`; each part of the library lists its
own. To add one, add it to such a tuple (`faces/assets.py` is the shortest):

    Asset("mynet", "My network", "MIT", "my faces", "yes", Address(url, "mynet", sha256, size))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import unquote, urlsplit

from affectbench.assets.download import (
    Progress,
    cache_folder,
    fetch,
    first_use_note,
    first_use_sha256,
    sha256_of,
)
from affectbench.errors import AssetMissingError, WeightsError

Commercial = Literal["yes", "no", "unknown"]


class Source(Protocol):
    """The source of a weights file. `sha256` is empty if it is not known in advance."""

    @property
    def origin(self) -> str:
        """Where the publisher hosts it."""
        ...

    @property
    def sha256(self) -> str:
        """Its SHA-256, or an empty string: then it is recorded on first use."""
        ...

    @property
    def size(self) -> int | None:
        """Its size in bytes, if that is known."""
        ...

    @property
    def bundled(self) -> bool:
        """Whether it comes with the library."""
        ...

    def path(self) -> Path:
        """Return where the file is, or has to be put."""
        ...

    def fetch(self, progress: Progress | None = None) -> None:
        """Download it to `path()`; raise WeightsError if that fails."""
        ...


@dataclass(frozen=True)
class Asset:
    """A weights file: its terms of use and its source.

    `licence` is that of the weights; `training_data` names the data they were trained on, and its
    terms. `commercial` is whether both allow commercial use, to the best of our knowledge.
    """

    name: str
    title: str
    licence: str
    training_data: str
    commercial: Commercial
    source: Source

    @property
    def present(self) -> bool:
        """Whether the file is on this machine."""
        return self.source.path().is_file()

    def require(self) -> Path:
        """Return the path without reading the file; raise AssetMissingError if it is missing."""
        path = self.source.path()
        if not path.is_file():
            if self.source.bundled:
                raise WeightsError(f"{path}: is missing; install its distribution again")
            raise AssetMissingError(self.name, self.source.origin, path)
        return path

    def verified(self) -> tuple[Path, str]:
        """Return the path and the SHA-256, checked against the published one or that of first use.

        Raises AssetMissingError if the file is not on this machine, WeightsError if the SHA-256
        differs.
        """
        path = self.require()
        if not self.source.sha256:
            return path, first_use_sha256(path)
        found = sha256_of(path)
        if found != self.source.sha256:
            raise WeightsError(
                f"{path}: its SHA-256 is {found}, not {self.source.sha256}: the file is damaged or "
                f"was changed; delete it and get it again ('affectbench assets fetch {self.name}')"
            )
        return path, found

    def record(self) -> dict[str, Any]:
        """Return all fields as plain JSON data, `sha256` being the one of first use if needed."""
        fields = {k: v for k, v in vars(self).items() if k != "source"}
        path, source = self.source.path(), self.source
        present = path.is_file()
        return {
            **fields,
            "origin": source.origin,
            "sha256": source.sha256 or first_use_note(path) or None,
            "size": path.stat().st_size if present else source.size,
            "bundled": source.bundled,
            "present": present,
            "path": str(path),
        }


@dataclass(frozen=True)
class Bundled:
    """A file that comes with the library, made from `origin`."""

    origin: str
    file: Path
    sha256: str
    bundled: bool = True

    @property
    def size(self) -> int | None:
        """Its size in bytes."""
        return self.file.stat().st_size if self.file.is_file() else None

    def path(self) -> Path:
        """Return where it lies."""
        return self.file

    def fetch(self, progress: Progress | None = None) -> None:
        """Do nothing: the file is bundled."""


@dataclass(frozen=True)
class Address:
    """A file at a URL, kept in a subfolder of the cache under the URL's file name."""

    origin: str
    folder: str
    sha256: str = ""
    size: int | None = None
    bundled: bool = False

    def path(self) -> Path:
        """Return where it is kept."""
        return cache_folder() / self.folder / unquote(urlsplit(self.origin).path).rpartition("/")[2]

    def fetch(self, progress: Progress | None = None) -> None:
        """Download it."""
        fetch(self.origin, self.path(), self.sha256 or None, self.size, progress=progress)
