"""The five published EfficientNets of HSEmotion, each as a pickled model and as an ONNX graph.

Facts, and where they were read (no code was taken over):

- File names, classes and their order, input sides (224 for B0, 260 for B2), ImageNet mean and
  deviation, the two further outputs of `_mtl`, the folder of the package's cache: `hsemotion`
  0.3.0 and `hsemotion-onnx` 0.3.1 (`facial_emotions.py`, both Apache-2.0), `emotiefflib` 1.1.1
  (`facial_analysis.py`, `utils.py`).
- `tf_efficientnet_b0_ns` and `_b2_ns` of timm with a linear classifier, images of AffectNet, a
  network that was trained to tell persons of VGGFace2 apart first: `src/train_emotions-pytorch` and
  the README of av-savchenko/face-emotion-recognition.
- Valence before arousal: users of `enet_b0_8_va_mtl` (saeu5407/hsemotion-onnx among others).
- SHA-256 of the ONNX files at `COMMIT`: each is the same in two or more public projects that pin
  it. No two were found for the pickled files: theirs is noted on first use.

Files of one name exist in other exports, with other hashes: a file found on this machine is taken
as it is, and its SHA-256 is part of the judge's revision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from affectbench.expressions import CONTEMPT, expression_word
from affectbench.judges.field.locate import Source, find_weights
from affectbench.types import EXPRESSIONS, Judge, JudgePlugin, JudgeSpec

if TYPE_CHECKING:
    import torch

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
"""How the classes of HSEmotion, in the order of its 8-class networks, are called here."""

EIGHT = tuple(OUR_NAMES.values())
SEVEN = tuple(name for name in EIGHT if name != CONTEMPT)
AFFECT = ("valence", "arousal")


@dataclass(frozen=True)
class FieldFile:
    """One published network: what it takes and gives, and the pins of its ONNX file."""

    stem: str
    architecture: str
    input_size: int
    native_classes: tuple[str, ...]
    onnx_sha256: str
    onnx_size: int | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs in the network's order: the classes, and what comes after them."""
        return self.native_classes + (AFFECT if self.stem.endswith("_mtl") else ())

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the bundled judges, contempt last."""
        extra = tuple(name for name in self.native_classes if name not in EXPRESSIONS)
        return EXPRESSIONS + extra


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


def hsemotion_source(file: FieldFile) -> Source:
    """Where the pickled network is published."""
    return Source(f"{file.stem}.pt", f"{_ADDRESS}/{file.stem}.pt", "hsemotion")


def emotieff_source(file: FieldFile) -> Source:
    """Where the ONNX graph is published."""
    url = f"{_ADDRESS}/onnx/{file.stem}.onnx"
    return Source(f"{file.stem}.onnx", url, "emotieff", file.onnx_sha256, file.onnx_size)


def hsemotion_plugin(file: FieldFile) -> JudgePlugin:
    """The judge of a pickled network: differentiable, in timm."""
    source = hsemotion_source(file)
    spec = _spec(file, source, differentiable=True)

    def found() -> JudgeSpec:
        return replace(spec, sha256=find_weights(source)[1])

    def load(device: torch.device) -> Judge:
        from affectbench.judges.field.hsemotion import load_hsemotion

        path, sha256 = find_weights(source)
        return load_hsemotion(path, file, replace(spec, sha256=sha256), device)

    return JudgePlugin(spec, load, found)


def emotieff_plugin(file: FieldFile) -> JudgePlugin:
    """The judge of an ONNX graph, run by onnxruntime on the CPU: gives no gradients."""
    source = emotieff_source(file)
    spec = _spec(file, source, differentiable=False)

    def found() -> JudgeSpec:
        return replace(spec, sha256=find_weights(source)[1])

    def load(device: torch.device) -> Judge:
        from affectbench.judges.field.emotieff import load_emotieff

        path, sha256 = find_weights(source)
        return load_emotieff(path, file, replace(spec, sha256=sha256), device)

    return JudgePlugin(spec, load, found)


def _spec(file: FieldFile, source: Source, *, differentiable: bool) -> JudgeSpec:
    network = "EfficientNet-B2" if "b2" in file.architecture else "EfficientNet-B0"
    engine = "timm" if differentiable else "ONNX"
    return JudgeSpec(
        name=f"{source.extra}-{file.stem.replace('_', '-')}",
        title=f"HSEmotion {file.stem}, {network} in {engine} (Savchenko, 2021-2022)",
        input_size=file.input_size,
        colour="rgb",
        classes=file.classes,
        temperature=1.0,
        differentiable=differentiable,
        licence="Apache-2.0",
        training_data="VGGFace2 (persons), then AffectNet",
        origin=source.origin,
        sha256="",
        affect=file.outputs != file.native_classes,
    )


HSEMOTION_B0_BEST_VGAF = hsemotion_plugin(FILES["enet_b0_8_best_vgaf"])
HSEMOTION_B0_BEST_AFEW = hsemotion_plugin(FILES["enet_b0_8_best_afew"])
HSEMOTION_B0_VA_MTL = hsemotion_plugin(FILES["enet_b0_8_va_mtl"])
HSEMOTION_B2_8 = hsemotion_plugin(FILES["enet_b2_8"])
HSEMOTION_B2_7 = hsemotion_plugin(FILES["enet_b2_7"])

EMOTIEFF_B0_BEST_VGAF = emotieff_plugin(FILES["enet_b0_8_best_vgaf"])
EMOTIEFF_B0_BEST_AFEW = emotieff_plugin(FILES["enet_b0_8_best_afew"])
EMOTIEFF_B0_VA_MTL = emotieff_plugin(FILES["enet_b0_8_va_mtl"])
EMOTIEFF_B2_8 = emotieff_plugin(FILES["enet_b2_8"])
EMOTIEFF_B2_7 = emotieff_plugin(FILES["enet_b2_7"])
