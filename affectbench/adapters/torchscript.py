"""`torchscript:PATH`: a TorchScript program, RGB, (N, 3, h, w) float32, run by torch's interpreter.

A program is no Python, and its pickles are read by torch's C++ reader, which knows TorchScript's
own types alone. What it may do besides computing is checked before torch opens it: see
`adapters.torchscript_archive`. Programs of torch.export are refused: reading one evaluates texts
and unpickles objects as Python.
"""

from __future__ import annotations

from typing import Any

from affectbench.adapters.prefix import PrefixAdapter, file_hash, require_file
from affectbench.registry import Late


def _content(target: str) -> dict[str, Any]:
    return {"weights": file_hash(target)}


TORCHSCRIPT = PrefixAdapter(
    prefix="torchscript",
    syntax="torchscript:PATH",
    title="a TorchScript program, RGB (N, 3, h, w) float32",
    options=("then", "range"),
    check=require_file,
    content=_content,
    load=Late("affectbench.adapters.torchscript_program:load_program"),
    covers="program with its weights",
)
