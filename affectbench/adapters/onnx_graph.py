"""An ONNX graph as a model, run by onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from affectbench.adapters.adapted import AdaptedNetwork, scale_of
from affectbench.adapters.external_tensors import content_of
from affectbench.adapters.prefix import Loading
from affectbench.adapters.syntax import kernel_option, require_scale, value_range
from affectbench.errors import MissingExtraError, ModelError, WeightsError
from affectbench.types import Model

_PROBE = 16


def load_graph(loading: Loading, device: torch.device) -> Model:
    """Load the graph as a model; raise WeightsError for a file that onnxruntime cannot load."""
    content = content_of(loading.target)  # checks external paths before onnxruntime opens them
    graph = _Graph(_session(loading.target, torch.get_num_threads()), loading.target)
    if "unreadable" in content:
        raise WeightsError(f"{loading.target}: cannot be read ({content['unreadable']})")
    then = kernel_option(loading.options, loading.argument)
    probe = torch.full((1, 3, graph.height or _PROBE, graph.width or _PROBE), 0.5)
    try:
        native = scale_of(graph(probe), probe, loading.argument)
    except ModelError:
        raise
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ModelError(f"{loading.argument}: fails on {tuple(probe.shape)}: {error}") from error
    require_scale(native, loading.scale, then, loading.argument)
    spec = replace(
        loading.spec,
        scale=native,
        size_multiple=graph.height or 1 if graph.height == graph.width else 1,
        value_range=value_range(loading.options.get("range", "0:1"), loading.argument),
        note=f"ONNX x{native}" + (f", then {then}" if native != loading.scale else ""),
    )
    return AdaptedNetwork(lambda lr: graph(lr).to(device), spec, loading.scale, then)


def _session(path: str, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnx:", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: onnxruntime cannot load it ({reason})") from error


class _Graph:
    """A graph with one input (N, 3, h, w), float32, and one output.

    A graph with a fixed batch of 1 is called once per face. `height` and `width` are None if they
    are dynamic.
    """

    def __init__(self, session: Any, path: str) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise WeightsError(
                f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs; one each is needed"
            )
        shape = [n if isinstance(n, int) and n > 0 else None for n in inputs[0].shape]
        if inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] not in (3, None):
            raise WeightsError(
                f"{path}: takes {inputs[0].type} {inputs[0].shape}; float32 (N, 3, h, w) is needed"
            )
        if shape[0] not in (1, None):
            raise WeightsError(
                f"{path}: takes batches of {shape[0]} only; export it with a dynamic batch or 1"
            )
        self._session = session
        self._name = inputs[0].name
        self._one_by_one = shape[0] == 1
        self.height, self.width = shape[2:]

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return the graph's output for a batch, on the CPU."""
        batches = lr.tensor_split(len(lr)) if self._one_by_one else (lr,)
        return torch.cat([self._run(batch) for batch in batches])

    def _run(self, lr: torch.Tensor) -> torch.Tensor:
        (out,) = self._session.run(None, {self._name: lr.cpu().contiguous().numpy()})
        return torch.from_numpy(out)
