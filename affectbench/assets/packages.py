"""Weights from PyPI packages: downloaded by name, verified, unpacked, never run.

An archive is identified by its SHA-256; the index only provides its URL. Only the files named here
are extracted, each verified by its own SHA-256 and written under its base name: nothing is
installed, built, imported or executed, and no path in the archive decides where a file goes.

`AFFECTBENCH_PYPI` sets another index, by the URL of its simple API (JSON, PEP 691).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urljoin

from affectbench.assets.download import Progress, cache_folder, fetch, offline, open_url, steadily
from affectbench.errors import StorageError, WeightsError
from affectbench.texts import parse_json

_PYPI = "https://pypi.org/simple"
_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_MAX_ANSWER = 64 << 20


@dataclass(frozen=True)
class Package:
    """A package archive, and the wanted files in it, each with its SHA-256."""

    name: str
    version: str
    archive: str
    sha256: str
    size: int
    members: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The cache folder of its files."""
        return cache_folder() / "packages" / f"{self.name}-{self.version}"

    def address(self) -> str:
        """Return the archive's URL according to the index; raise WeightsError if there is none."""
        base = (os.environ.get("AFFECTBENCH_PYPI") or _PYPI).rstrip("/")
        url = f"{base}/{self.name}/"
        files = self._answer(url).get("files", [])
        found = next((f["url"] for f in files if f["filename"] == self.archive), None)
        if not isinstance(found, str):
            raise WeightsError(f"{url}: has no {self.archive}")
        return urljoin(url, found)

    def fetch(self, progress: Progress | None = None) -> None:
        """Download the archive and extract the wanted files, or none of them on failure.

        Raises WeightsError if the download fails or is not the expected archive, StorageError if
        the files cannot be written.
        """
        if offline():
            raise WeightsError(self._unreachable("AFFECTBENCH_OFFLINE forbids downloads"))
        address = self.address()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".tmp-") as temporary:
                archive = Path(temporary) / self.archive
                fetch(address, archive, self.sha256, self.size, progress=progress)
                wanted = {name: self._read(archive, name) for name in self.members}
                for name, content in wanted.items():
                    unpacked = Path(temporary) / PurePosixPath(name).name
                    unpacked.write_bytes(content)
                    unpacked.replace(self.folder / unpacked.name)
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(f"{self.folder}: cannot be written ({reason})") from error

    def _read(self, archive: Path, name: str) -> bytes:
        """Read one file of the archive; raise WeightsError if it is missing or has changed."""
        try:
            content = read_member(archive, name)
        except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise WeightsError(f"{self.archive}: has no readable {name} ({error})") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.members[name]:
            raise WeightsError(
                f"{self.archive}: the SHA-256 of {name} is {found}, not {self.members[name]}"
            )
        return content

    def _answer(self, url: str) -> dict[str, Any]:
        if not url.startswith(("http://", "https://")):
            raise WeightsError(f"{url}: is not an http or https address")
        request = urllib.request.Request(
            url, headers={"Accept": f"{_SIMPLE_JSON}, application/json"}
        )
        try:
            with open_url(request) as answer:
                found = parse_json(_whole(answer))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise WeightsError(self._unreachable(f"{url}: {error}")) from error
        if not isinstance(found, dict):
            raise WeightsError(f"{url}: the answer is not that of a package index")
        return cast(dict[str, Any], found)

    def _unreachable(self, reason: str) -> str:
        return (
            f"{self.archive} of PyPI is not on this machine and cannot be downloaded "
            f"({reason}); get it and put {', '.join(self.members)} into {self.folder}"
        )


@dataclass(frozen=True)
class Member:
    """A file of a package, as the source of an asset."""

    package: Package
    member: str
    size: int | None = None
    bundled: bool = False

    @property
    def origin(self) -> str:
        """Package, version and file."""
        package = self.package
        return f"PyPI {package.name} {package.version}, {self.member}"

    @property
    def sha256(self) -> str:
        """Its SHA-256."""
        return self.package.members[self.member]

    def path(self) -> Path:
        """Return where it is kept."""
        return self.package.folder / PurePosixPath(self.member).name

    def fetch(self, progress: Progress | None = None) -> None:
        """Download the package and extract all of its wanted files."""
        self.package.fetch(progress)


def _whole(answer: http.client.HTTPResponse) -> bytes:
    content = b""
    for block in steadily(answer):
        content += block
        if len(content) > _MAX_ANSWER:
            raise ValueError(f"the answer has more than {_MAX_ANSWER} bytes")
    return content


def read_member(archive: Path, name: str, most: int | None = None) -> bytes:
    """Read a regular file of a wheel, a zip or a tar archive; raise KeyError if there is none.

    Raises WeightsError, having unpacked nothing, if it has more than `most` bytes.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            require_at_most(most, file.getinfo(name).file_size, archive, name)
            return file.read(name)
    with _opened_tar(archive) as file:
        member = file.getmember(name)
        content = file.extractfile(name) if member.isfile() else None
        if content is None:
            raise KeyError(f"{name} is not a regular file")
        require_at_most(most, member.size, archive, name)
        return content.read()


def _opened_tar(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive)
    except tarfile.ReadError:
        # Its own message has a line for each kind of compression that it tried.
        raise tarfile.ReadError("it is no wheel, zip or tar archive, or damaged") from None


def require_at_most(most: int | None, size: int, archive: Path, name: str) -> None:
    """Raise WeightsError for a file of more than `most` bytes, if that is given."""
    if most is not None and size > most:
        raise WeightsError(f"{archive}: {name} has {size:,} bytes, more than the {most:,} expected")
