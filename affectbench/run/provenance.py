"""What a result was made with: versions, threads, machine and date."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from affectbench import __version__

_PACKAGES = ("torch", "numpy", "pillow", "scipy", "spandrel", "onnxruntime")

BATCHES = "batches"
"""Where a record says that its values hold for batches of any size. Old ones do not say it."""


def provenance(device: str, threads: int, batch_size: int) -> dict[str, object]:
    """Everything beside the cell's content that a rerun on the same machine needs to know."""
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
