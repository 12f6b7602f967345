"""`resnet-fer`, the judge before this one: where training starts, and what it is compared with.

It is the same network, trained on FER2013's single labels (`weights/NOTICE.md`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from affectbench.judges import judge_spec
from affectbench.judges.network_judge import NetworkJudge, load_network
from affectbench.judges.resnet_ferplus import ResNetFerPlus
from affectbench.types import EXPRESSIONS

WEIGHTS = Path(__file__).parent / "weights/resnet_fer.safetensors"
SPEC = replace(
    judge_spec("resnet-ferplus"),
    name="resnet-fer",
    title="affectbench's former judge, trained on FER2013's labels",
    temperature=0.8054808140611475,
    training_data="FER2013",
    origin="the repository's history",
    sha256="8c61b275fbc25a9e0735e83d0cf019e3566c262339779fe8db7e9f960970e38b",
)


def load_former() -> NetworkJudge:
    """Return the former judge on the CPU."""
    network = load_network(ResNetFerPlus, WEIGHTS, SPEC.sha256)
    return NetworkJudge(SPEC, network, EXPRESSIONS, torch.device("cpu"))
