"""The five published EfficientNets of HSEmotion, each as a pickled model and as an ONNX graph.

Facts and their sources (no code was copied):

- File names, classes and their order, input sides (224 for B0, 260 for B2), ImageNet mean and
  standard deviation, the two extra outputs of `_mtl`, the package's cache folder: `hsemotion` 0.3.0
  and `hsemotion-onnx` 0.3.1 (`facial_emotions.py`, both Apache-2.0), `emotiefflib` 1.1.1
  (`facial_analysis.py`, `utils.py`).
- `tf_efficientnet_b0_ns` and `_b2_ns` of timm with a linear classifier, trained on AffectNet after
  face recognition on VGGFace2: `src/train_emotions-pytorch` and the README of
  av-savchenko/face-emotion-recognition.
- Valence before arousal: users of `enet_b0_8_va_mtl` (saeu5407/hsemotion-onnx among others).
- SHA-256 of the ONNX files at `COMMIT`: each appears in two or more public projects that pin it.
For
  the pickled files no two were found: their hash is recorded on first use.

Files with the same names exist in other exports, with other hashes: a file found on this machine is
used as it is, and its SHA-256 is part of the judge's revision.
"""

from __future__ import annotations

from dataclasses import dataclass

from affectbench.expressions import CONTEMPT, expression_word
from affectbench.judges.field.locate import PublishedFile

COMMIT = "af833487321c3efdcb1768a91a6c656a1986fdf6"
_ADDRESS = f"https://github.com/sb-ai-lab/EmotiEffLib/raw/{COMMIT}/models/affectnet_emotions"

_NATIVE_NAMES = (
    "Anger",
    "Contempt",
    "Disgust",
    "Fear",
    "Happiness",
    "Neutral",
    "Sadness",
    "Surprise",
)
OUR_NAMES = {name: expression_word(name) for name in _NATIVE_NAMES}
"""Our names of HSEmotion's classes, in the order of its 8-class networks."""

EIGHT = tuple(OUR_NAMES.values())
SEVEN = tuple(name for name in EIGHT if name != CONTEMPT)
AFFECT = ("valence", "arousal")


@dataclass(frozen=True)
class FieldFile:
    """One published network: inputs, outputs, and the pins of its ONNX file."""

    stem: str
    architecture: str
    input_size: int
    native_classes: tuple[str, ...]
    onnx_sha256: str
    onnx_size: int | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs in the network's order: the classes, and any outputs after them."""
        return self.native_classes + (AFFECT if self.stem.endswith("_mtl") else ())

    @property
    def pickled(self) -> PublishedFile:
        """Location of the whole published model, for timm."""
        return PublishedFile(f"{self.stem}.pt", f"{_ADDRESS}/{self.stem}.pt", "hsemotion")

    @property
    def graph(self) -> PublishedFile:
        """Location of the published ONNX graph."""
        name = f"{self.stem}.onnx"
        pins = (self.onnx_sha256, self.onnx_size)
        return PublishedFile(name, f"{_ADDRESS}/onnx/{name}", "emotieff", *pins)


FILES = {
    file.stem: file
    for file in (
        FieldFile(
            "enet_b0_8_best_vgaf",
            "tf_efficientnet_b0",
            224,
            EIGHT,
            "fa07e841fd06c7a67ee651ea4e6e4a3a2bb5695f47b37a7da50492526f59c898",
        ),
        FieldFile(
            "enet_b0_8_best_afew",
            "tf_efficientnet_b0",
            224,
            EIGHT,
            "7aa2ea31c1311f4f8aa9d3fdb085d418dd4e7a48c4b9ed41df8c044f91d0213f",
        ),
        FieldFile(
            "enet_b0_8_va_mtl",
            "tf_efficientnet_b0",
            224,
            EIGHT,
            "c43e056ad388d4a8dc911832b8291435b2af537f967e5870ebd731574ec7e812",
            16_049_834,
        ),
        FieldFile(
            "enet_b2_8",
            "tf_efficientnet_b2",
            260,
            EIGHT,
            "180a9d4845b59393de4511598a0d1d34b705034691ea32959ce5009db7cf52b7",
            30_779_724,
        ),
        FieldFile(
            "enet_b2_7",
            "tf_efficientnet_b2",
            260,
            SEVEN,
            "7863032d8c0c0bc259aa0dd7b8ebf6b607af454e7a0ea82be2b37767914ecd0f",
        ),
    )
}
