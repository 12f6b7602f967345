"""HSEmotion's networks as ONNX graphs, run by onnxruntime on the CPU: judges without gradients.

The files are those of `hsemotion-onnx` and of EmotiEffLib's ONNX engine: one normalised input
(N, 3, S, S) and one output (N, K).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectbench.errors import MissingExtraError, WeightsError
from affectbench.judges.field.files import FieldFile
from affectbench.judges.field.normalised import Normalised

_ELSEWHERE = b"\n\x08location\x12"  # protobuf key "location" of a tensor stored in another file


def read_graph(file: FieldFile, path: Path, _sha256: str) -> Normalised:
    """Return the network of a published file.

    Raises WeightsError if the file is damaged or does not fit, and MissingExtraError without
    onnxruntime.
    """
    graph = OnnxGraph(_session(path, file))
    _require_fitting(graph, path, file)
    return Normalised(graph)


class OnnxGraph(nn.Module):
    """A torch module that runs an ONNX graph with one input and one output, without gradients."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session
        self._input = session.get_inputs()[0]
        self._one_by_one = self._input.shape[:1] == [1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return outputs (N, K), on the device of `x`, without gradient."""
        batches = torch.split(x, 1) if self._one_by_one else (x,)
        return torch.cat([self._run(batch) for batch in batches]).to(x.device)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        values = x.detach().cpu().contiguous().numpy()
        return torch.from_numpy(self._session.run(None, {self._input.name: values})[0])


def _session(path: Path, file: FieldFile) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(f"judge 'emotieff', {file.stem}", "emotieff") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    if _ELSEWHERE in content:
        raise WeightsError(
            f"{path}: keeps tensors in other files, as {file.stem} does not: refused"
        )
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: onnxruntime cannot load it ({reason})") from error
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise WeightsError(f"{path}: has not one input and one output, as {file.stem} has")
    return session


def _require_fitting(graph: OnnxGraph, path: Path, file: FieldFile) -> None:
    probe = torch.zeros(2, 3, file.input_size, file.input_size)
    try:
        shape = tuple(graph(probe).shape)
    except Exception as error:  # see above
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: fails on {tuple(probe.shape)} ({reason})") from error
    if shape != (2, len(file.outputs)):
        raise WeightsError(
            f"{path}: gives {shape} for two faces, and {file.stem} gives {len(file.outputs)} "
            "values for each"
        )
