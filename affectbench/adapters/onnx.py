"""`onnx:PATH`: an ONNX graph run by onnxruntime on the CPU, RGB, (N, 3, h, w) float32.

The graph's value range is [0, 1] unless an option such as `@range=-1:1` sets another. It uses as
many threads as torch.
"""

from __future__ import annotations

from affectbench.adapters.external_tensors import content_of
from affectbench.adapters.prefix import PrefixAdapter, require_file
from affectbench.registry import Late

ONNX = PrefixAdapter(
    prefix="onnx",
    syntax="onnx:PATH",
    title="an ONNX graph, RGB (N, 3, h, w) float32",
    options=("then", "range"),
    check=require_file,
    content=content_of,
    load=Late("affectbench.adapters.onnx_graph:load_graph"),
    covers="graph, files of its tensors",
)
