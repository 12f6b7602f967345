"""The provenance of a result: versions, threads, machine and date."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from affectbench import __version__

_PACKAGES = ("torch", "numpy", "pillow", "scipy", "spandrel", "onnxruntime")

BATCHES = "batches"
"""Key of a record's statement that its values hold for any batch size. Old records lack it."""


def provenance(device: str, threads: int, batch_size: int) -> dict[str, object]:
    """Return what a rerun on the same machine needs to know beyond the cell's content."""
    return {
        "affectbench": __version__,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "machine": platform.machine(),
        "device": device,
        "threads": threads,
        "batch_size": batch_size,
        BATCHES: "each model's first batch is compared with its faces one by one",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "sr": "clamped to [0, 1], times 255, rounded half to even, uint8",
    }


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
