"""Weights files, bundled or downloaded, each identified by its SHA-256.

A weights file is never executed. Bundled files are read with safetensors. Downloaded files live in
the cache folder: `AFFECTBENCH_CACHE`, or the platform's cache location (`~/.cache/affectbench` on
Linux). `AFFECTBENCH_OFFLINE=1` forbids downloads. `affectbench.assets.catalogue` describes the
files.
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
