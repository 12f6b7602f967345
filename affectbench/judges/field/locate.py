"""Locate a published weights file on this machine, or download it.

Locations are searched in this order; the first file found is used:

1. the folder named by `AFFECTBENCH_HSEMOTION_DIR`, for files that the user keeps;
2. affectbench's own cache folder (see `affectbench.assets`), where the file must have the SHA-256
   that was recorded on first use;
3. `~/.hsemotion` and `~/.emotiefflib`, the download folders of `hsemotion`, `hsemotion-onnx` and
   `emotiefflib`;
4. a download into the cache folder.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from affectbench.assets import Progress, cache_folder, fetch, first_use_sha256, sha256_of

FOLDER_VARIABLE = "AFFECTBENCH_HSEMOTION_DIR"
PACKAGE_CACHES = (".hsemotion", ".emotiefflib")

_LOG = logging.getLogger("affectbench.judges.field")


@dataclass(frozen=True)
class PublishedFile:
    """A published weights file: name, address, the extra that reads it, and pins if known.

    The pins apply to the file at that address; other exports with the same name may differ.
    """

    name: str
    origin: str
    extra: str
    sha256: str = ""
    size: int | None = None
    bundled: bool = False

    def path(self) -> Path:
        """Return the file's path on this machine, or the path that it would be downloaded to."""
        places = [self.cached(), *(Path.home() / cache / self.name for cache in PACKAGE_CACHES)]
        kept = os.environ.get(FOLDER_VARIABLE)
        if kept:
            places.insert(0, Path(kept).expanduser() / self.name)
        return next((path for path in places if path.is_file()), self.cached())

    def cached(self) -> Path:
        """Return the file's path in the cache folder."""
        return cache_folder() / "judges" / self.name

    def fetch(self, progress: Progress | None = None) -> None:
        """Download the file to the cache folder."""
        target = self.cached()
        _LOG.info("downloading %s from %s to %s", self.name, self.origin, target)
        hint = (
            f"or name the folder that has it in {FOLDER_VARIABLE}. "
            f"Reading it needs: pip install 'affectbench[{self.extra}]'"
        )
        pin = self.sha256 or None
        fetch(self.origin, target, pin, self.size, hint=hint, progress=progress)


def find_weights(file: PublishedFile) -> tuple[Path, str]:
    """Return path and SHA-256 of a weights file, downloaded if it is not on this machine.

    Raises WeightsError, naming file, address, target and extra, if it cannot be obtained, or if the
    file in the cache folder is not the one recorded on first use.
    """
    path = file.path()
    if not path.is_file():
        file.fetch()
    return path, first_use_sha256(path) if path == file.cached() else sha256_of(path)
