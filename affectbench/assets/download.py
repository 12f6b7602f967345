"""The cache folder, and downloads into it: atomic, and identified by SHA-256."""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from affectbench.errors import StorageError, WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes downloaded so far and the total size, if known."""

_BLOCK = 1 << 20
TIMEOUT = 30.0
"""Seconds without a response after which a download is aborted."""
_SLOWEST = 1024
"""Bytes per second, over `TIMEOUT` seconds, below which a download is aborted."""


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return the folder of downloaded files; it need not exist yet."""
    chosen = os.environ.get("AFFECTBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "affectbench"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "affectbench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "affectbench"


def offline() -> bool:
    """Return whether `AFFECTBENCH_OFFLINE` forbids downloads (anything but empty and 0 does)."""
    return os.environ.get("AFFECTBENCH_OFFLINE", "") not in ("", "0")


def fetch(
    url: str,
    target: Path,
    sha256: str | None = None,
    size: int | None = None,
    *,
    hint: str = "",
    progress: Progress | None = None,
) -> str:
    """Download a file to `target` atomically, and return its SHA-256.

    `sha256` and `size` are the expected values, if known; a file that differs is discarded. `hint`
    is added to the message if the download fails, `progress` is called after each block.

    Raises WeightsError, naming file, URL and target, if downloads are forbidden, the URL cannot be
    reached, or the file is not the expected one; StorageError if it cannot be written.
    """
    if offline():
        raise WeightsError(_unreachable(url, target, "AFFECTBENCH_OFFLINE forbids downloads", hint))
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".tmp-{secrets.token_hex(8)}"
        with temporary.open("xb") as sink:
            digest, length = _copy(_blocks(url, target, size, hint, progress), sink)
        _require_expected(url, digest, length, sha256, size)
        if sha256 is None:
            _require_binary(url, temporary)
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return digest


def first_use_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in the cache folder, which must not change after first use.

    The first use records it in `NAME.sha256` beside the file. Raises WeightsError if the file has
    changed since.
    """
    digest, noted = sha256_of(path), first_use_note(path)
    if noted is None:
        _write_note(_note_of(path), digest)
    elif noted != digest:
        raise WeightsError(
            f"{path}: its SHA-256 is {digest}, and was {noted} on first use: the file is damaged "
            f"or was changed; delete it and {_note_of(path).name}, and it is downloaded again"
        )
    return digest


def _write_note(note: Path, digest: str) -> None:
    try:
        note.write_text(digest + "\n", encoding="ascii")
    except OSError as error:
        raise StorageError(
            f"{note}: cannot be written ({error.strerror or error}), and has to hold {digest}, the "
            "SHA-256 of the file on first use; write it there, or name a folder of your own with "
            "AFFECTBENCH_CACHE"
        ) from error


def first_use_note(path: Path) -> str | None:
    """Return the SHA-256 recorded when a file was first used, or None."""
    note = _note_of(path)
    if not note.is_file():
        return None
    return note.read_text(encoding="ascii", errors="replace").strip()


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _blocks(
    url: str, target: Path, size: int | None, hint: str, progress: Progress | None
) -> Iterator[bytes]:
    """Yield the content of a URL in blocks; turn any failure into a WeightsError."""
    if not url.startswith(("http://", "https://")):
        raise WeightsError(f"{url}: is not an http or https address")
    done = 0
    try:
        with open_url(url) as answer:
            stated = answer.headers.get("Content-Length")
            total = int(stated) if stated else None
            for block in steadily(answer):
                done += len(block)
                if size is not None and done > size:
                    raise WeightsError(f"{url}: gives more than the {size} bytes of that file")
                yield block
                if progress:
                    progress(done, total)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WeightsError(_unreachable(url, target, str(error), hint)) from error
    if total is not None and done != total:
        reason = f"the connection broke after {done} of {total} bytes"
        raise WeightsError(_unreachable(url, target, reason, hint))


def open_url(request: str | urllib.request.Request) -> http.client.HTTPResponse:
    """Return the response to a request; raise OSError without its headers in `TIMEOUT` seconds.

    A socket timeout alone is not enough: a server that sends a header byte now and then never
    triggers it.
    """
    answers: list[http.client.HTTPResponse] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(urllib.request.urlopen(request, timeout=TIMEOUT))
        except Exception as error:
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(TIMEOUT)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {TIMEOUT:g} s")
    return answers[0]


def steadily(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the rest of a response as it arrives; raise TimeoutError if it is too slow."""
    began, done = time.monotonic(), 0
    while block := answer.read1(_BLOCK):
        yield block
        done += len(block)
        if (span := time.monotonic() - began) > TIMEOUT:
            if done < _SLOWEST * span:
                raise TimeoutError(f"too slow: {done} bytes in {span:.0f} s")
            began, done = time.monotonic(), 0


def _copy(blocks: Iterator[bytes], sink: IO[bytes]) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    for block in blocks:
        sink.write(block)
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length


def _require_expected(
    url: str, digest: str, length: int, sha256: str | None, size: int | None
) -> None:
    if size is not None and length != size:
        raise WeightsError(f"{url}: gave {length} bytes, not the {size} of that file; try again")
    if sha256 is not None and digest != sha256:
        raise WeightsError(
            f"{url}: the SHA-256 of what it gave is {digest}, not {sha256}: it is another file, "
            "and was not kept"
        )


def _require_binary(url: str, path: Path) -> None:
    """Refuse text, such as a login page or a Git LFS pointer, where weights are expected.

    Without a known SHA-256 this is the only check; no weights format is plain text.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start or not set(start) - _TEXT:
        shown = start[:40].decode("ascii", "replace").splitlines() or [""]
        raise WeightsError(f"{url}: gave no weights but a text that begins with {shown[0]!r}")


_TEXT = frozenset(b"\t\n\f\r") | frozenset(range(32, 127)) | frozenset(range(128, 256))


def _unreachable(url: str, target: Path, reason: str, hint: str) -> str:
    return (
        f"{target.name} is not on this machine and cannot be downloaded ({reason}); get it from "
        f"{url} and put it at {target}" + (f"; {hint}" if hint else "")
    )
