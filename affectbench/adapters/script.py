"""The parts of a TorchScript program that determine its results, as bytes for hashing."""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch

_MANGLED = re.compile(rb"[./]___torch_mangle_(\d+)")
_NOTES = (".debug_pkl", "serialization_id")
"""Parts of an archive with debug information only."""


def script_parts(program: Any) -> Iterator[bytes]:
    """Yield names and contents of the archive that a ScriptModule or ScriptFunction is saved as.

    torch numbers duplicate names with a counter that is global to the process; here the numbering
    starts anew for each program. Raises torch's own exception for a program that cannot be saved.
    """
    buffer = io.BytesIO()
    torch.jit.save(program, buffer)
    with zipfile.ZipFile(buffer) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    ranks = _ranks(name.encode() for name in parts)
    for name in sorted(parts, key=lambda name: _renamed(name.encode(), ranks)):
        if not name.endswith(_NOTES):
            yield _renamed(name.encode(), ranks)
            yield _renamed(parts[name], ranks)


def _ranks(names: Iterator[bytes]) -> dict[bytes, bytes]:
    """Map each number to its new suffix: none for the first use of a name, then .1, .2 etc."""
    uses: dict[bytes, set[int]] = defaultdict(set)
    for name in names:
        if name.endswith(b".py"):
            found = _MANGLED.search(name)
            uses[_MANGLED.sub(b"", name)].add(int(found[1]) if found else -1)
    return {
        b"%d" % number: b".%d" % rank if rank else b""
        for numbers in uses.values()
        for rank, number in enumerate(sorted(numbers))
    }


def _renamed(text: bytes, ranks: dict[bytes, bytes]) -> bytes:
    return _MANGLED.sub(lambda found: ranks.get(found[1], found[0]), text)
