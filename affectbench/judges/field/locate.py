"""Finding a published weights file on this machine, or downloading it.

Looked for in this order; the first one found is taken:

1. the folder named by `AFFECTBENCH_HSEMOTION_DIR`, for files that the user keeps;
2. affectbench's own cache folder (see `affectbench.assets`), where the file has to have the
   SHA-256 that it had on first use;
3. `~/.hsemotion` and `~/.emotiefflib`, where `hsemotion`, `hsemotion-onnx` and `emotiefflib` keep
   what they download;
4. a download into the cache folder.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from affectbench.assets import cache_folder, fetch, first_use_sha256, sha256_of

FOLDER_VARIABLE = "AFFECTBENCH_HSEMOTION_DIR"
PACKAGE_CACHES = (".hsemotion", ".emotiefflib")

_LOG = logging.getLogger("affectbench.judges.field")


@dataclass(frozen=True)
class Source:
    """A published weights file: name, address, the extra that reads it, and pins if known.

    The pins are those of the file at the address; other exports of that name may differ.
    """

    name: str
    url: str
    extra: str
    sha256: str | None = None
    size: int | None = None


def find_weights(source: Source) -> tuple[Path, str]:
    """Path and SHA-256 of a weights file, downloaded if it is not on this machine.

    Raises WeightsError, naming file, address, target and extra, if it cannot be had, and if the
    file in the cache folder is not the one of first use.
    """
    kept = os.environ.get(FOLDER_VARIABLE)
    if kept and (path := Path(kept).expanduser() / source.name).is_file():
        return path, sha256_of(path)
    target = cache_folder() / "judges" / source.name
    if target.is_file():
        return target, first_use_sha256(target)
    for cache in PACKAGE_CACHES:
        path = Path.home() / cache / source.name
        if path.is_file():
            return path, sha256_of(path)
    _LOG.info("downloading %s from %s to %s", source.name, source.url, target)
    fetch(source.url, target, source.sha256, source.size, hint=_hint(source))
    return target, first_use_sha256(target)


def _hint(source: Source) -> str:
    return (
        f"or name the folder that has it in {FOLDER_VARIABLE}. "
        f"Reading it needs: pip install 'affectbench[{source.extra}]'"
    )
