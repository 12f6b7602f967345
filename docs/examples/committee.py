"""The judge `committee`: the mean opinion of the two small judges that come with affectbench."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from affectbench.judges import judge_spec, load_judge
from affectbench.types import EXPRESSIONS, Judge, JudgePlugin, JudgeSpec

if TYPE_CHECKING:
    import torch

MEMBERS = (judge_spec("face-api"), judge_spec("mini-xception"))

SPEC = JudgeSpec(
    name="committee",
    title="mean of face-api and mini-xception",
    input_size=112,
    colour="rgb",
    classes=EXPRESSIONS,
    temperature=1.0,
    differentiable=True,
    licence="MIT",
    training_data="; ".join(f"{member.name}: {member.training_data}" for member in MEMBERS),
    origin="docs/examples/committee.py",
    sha256=hashlib.sha256("".join(member.revision for member in MEMBERS).encode()).hexdigest(),
)


class Committee:
    """log of the mean of the members' probabilities."""

    spec = SPEC
    classes = EXPRESSIONS

    def __init__(self, members: list[Judge]) -> None:
        self.members = members

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 7), in the order of `classes`, of face crops (N, 3, H, W) of any size."""
        import torch

        opinions = [member.logits(x).log_softmax(1) for member in self.members]
        return torch.stack(opinions).logsumexp(0) - math.log(len(opinions))


def load(device: torch.device) -> Committee:
    """The judge on a device."""
    return Committee([load_judge(member.name, device) for member in MEMBERS])


COMMITTEE = JudgePlugin(SPEC, load)
