"""`checkpoint:PATH`: any super-resolution architecture that `spandrel` recognises by its weights.

Files are read by `affectbench.assets.untrusted`; spandrel only receives tensors.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from affectbench.adapters.prefix import PrefixAdapter, file_hash, require_file
from affectbench.registry import Late


def _content(target: str) -> dict[str, Any]:
    return {"weights": file_hash(target), "spandrel": _spandrel_version()}


@cache
def _spandrel_version() -> str:
    """Return spandrel's version, which determines the networks that the weights are loaded into."""
    try:
        return version("spandrel")
    except PackageNotFoundError:
        return ""


CHECKPOINT = PrefixAdapter(
    prefix="checkpoint",
    syntax="checkpoint:PATH",
    title="weights of an architecture that spandrel knows (.safetensors, .pth, .pt, .ckpt)",
    options=("then",),
    check=require_file,
    content=_content,
    load=Late("affectbench.adapters.spandrel_network:load_checkpoint"),
    covers="weights file, version of spandrel",
)
