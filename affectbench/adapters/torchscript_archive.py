"""A check of TorchScript archives, before torch opens them: programs that compute, and no more.

Loading one runs code already (`__setstate__`), and TorchScript can write files (`torch.save`), map
them into memory (`torch.from_file`), call other processes, and use any operator that a library has
registered. The sources in the archive are therefore searched as text, without parsing: a parser of
another kind than torch's could be deceived.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath

from affectbench.assets.pickle_limits import UnboundedPickle, most_bytes, require_bounded
from affectbench.errors import WeightsError

_ZIP = b"PK\x03\x04"
_NAMESPACES = ("aten", "prim", "quantized", "torchvision")
"""Namespaces whose operators compute on tensors alone, but for those in `_REFUSED`."""

_REFUSED = re.compile(r"\b(save|_?from_file|rpc_\w+|PythonOp|IgnoredPythonOp)\b")
_OPERATORS = re.compile(r"(?:(?<![\w.])|\btorch\s*\.\s*)ops\b\s*(?:\.\s*(\w+))?")
_CLASSES = re.compile(r"\btorch\s*\.\s*classes\b\s*(?:\.\s*(\w+))?")
"""Classes of compiled code, which some libraries use to load others."""

_GETATTR = re.compile(r"\bgetattr\b")
_PLAIN_GETATTR = re.compile(r'getattr\((?!torch\b|ops\b)[A-Za-z_][\w.()]*, "[^"\\]*"\)')
_STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')


def checked_archive(content: bytes, path: str) -> bytes:
    """Return a TorchScript archive of the same entries, all of which were checked.

    It is written anew, since torch may read another archive than Python in a forged file. Raises
    WeightsError for a file that is no TorchScript archive, or whose program may do more than
    compute. Nothing of it is run.
    """
    if not content.startswith(_ZIP):
        raise WeightsError(f"{path}: is not a TorchScript program (of torch.jit.save)")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _require_torchscript(archive, path)
            _require_modest(archive, len(content))
            entries = {name: archive.read(name) for name in archive.namelist()}
        for name, part in entries.items():
            _require_checked(name, part, path)
    except UnboundedPickle as error:
        raise WeightsError(f"{path}: refused: {error}. Nothing of it was run") from error
    except (zipfile.BadZipFile, UnicodeDecodeError, ValueError, OSError, EOFError) as error:
        raise WeightsError(f"{path}: is damaged ({error})") from error
    anew = io.BytesIO()
    with zipfile.ZipFile(anew, "w", zipfile.ZIP_STORED) as archive:
        for name, part in entries.items():
            archive.writestr(name, part)
    return anew.getvalue()


def _require_checked(name: str, content: bytes, path: str) -> None:
    """Raise for an entry of the archive that is not to be read."""
    if name.endswith("pkl"):
        require_bounded(content)
        _require_known(content.decode("latin-1"), path)
    elif name.endswith(".py"):
        _require_harmless(content.decode("utf-8"), path)


def _require_torchscript(archive: zipfile.ZipFile, path: str) -> None:
    names = {PurePosixPath(name).name for name in archive.namelist()}
    if "archive_format" in names or "serialized_exported_program.json" in names:
        raise WeightsError(
            f"{path}: is a program of torch.export, and reading one can run Python that it holds; "
            "if you trust it, load it in a file of yours: def build(): return "
            "torch.export.load(...), and name that: python:FILE:build"
        )
    if "constants.pkl" not in names or "data.pkl" not in names:
        raise WeightsError(
            f"{path}: is not a TorchScript program (of torch.jit.save); for weights of a known "
            "architecture write checkpoint:PATH"
        )


def _require_modest(archive: zipfile.ZipFile, stored: int) -> None:
    entries = archive.infolist()
    names = {entry.filename for entry in entries}
    size = sum(entry.file_size for entry in entries)
    if len(names) < len(entries) or archive.comment or "model.json" in str(names):
        raise UnboundedPickle("it is a zip archive of another kind than torch writes")
    if size > most_bytes(stored):
        raise UnboundedPickle(f"it unpacks to {size:,} bytes, many times the file's")


def _require_harmless(source: str, path: str) -> None:
    """Raise WeightsError for a source that names anything but operators on tensors."""
    if found := _REFUSED.search(source):
        raise _refused(path, f"'{found[1]}'")
    if len(_GETATTR.findall(source)) != len(_PLAIN_GETATTR.findall(source)):
        raise _refused(path, "a getattr of another form than torch writes")
    _require_known(_STRINGS.sub('""', source), path)


def _require_known(text: str, path: str) -> None:
    """Raise WeightsError for operators and compiled classes of other namespaces."""
    for kind, known in ((_OPERATORS, _NAMESPACES), (_CLASSES, ("quantized",))):
        for match in kind.finditer(text):
            if match[1] not in known:
                raise _refused(path, f"'{' '.join(match[0].split())}'")


def _refused(path: str, reason: str) -> WeightsError:
    return WeightsError(
        f"{path}: refused: its program uses {reason}, and may do more than compute. Nothing of it "
        "was run. If you trust it, load it in a file of yours: python:FILE:FACTORY"
    )
