"""Weights files: bundled ones as data, others fetched; each is known by its SHA-256.

A weights file is never executed. Bundled ones are read with safetensors. Fetched files live in the
cache folder: `AFFECTBENCH_CACHE`, or the platform's place for caches (`~/.cache/affectbench` on
Linux). `AFFECTBENCH_OFFLINE=1` forbids downloads. `affectbench.assets.catalogue` lists them all.
"""

from affectbench.assets.download import (
    Progress,
    cache_folder,
    fetch,
    first_use_sha256,
    offline,
    sha256_of,
)

__all__ = [
    "Progress",
    "cache_folder",
    "fetch",
    "first_use_sha256",
    "offline",
    "sha256_of",
]
