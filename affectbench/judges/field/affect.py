"""What both kinds of published network share: their normalisation, and outputs beside classes."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from affectbench.judges.field.catalogue import AFFECT, FieldFile
from affectbench.judges.network_judge import NetworkJudge
from affectbench.types import JudgeSpec

_MEAN_RGB = (0.485, 0.456, 0.406)
_DEVIATION_RGB = (0.229, 0.224, 0.225)


class Normalised(nn.Module):
    """A network that takes RGB in [0, 1], by ImageNet's mean and deviation of each channel."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(_MEAN_RGB).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_DEVIATION_RGB).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (N, K) of RGB faces (N, 3, H, W) in [0, 1]."""
        return cast(torch.Tensor, self.network((x - self.mean) / self.deviation))


class AffectJudge(NetworkJudge):
    """A judge that gives valence and arousal beside the expression classes."""

    def valence_arousal(self, x: torch.Tensor) -> torch.Tensor:
        """Valence and arousal (N, 2) of face crops (N, 3, H, W) in [0, 1].

        On AffectNet's scale: -1 (negative; calm) to 1 (positive; excited). They are a regression's
        outputs and can leave it. Errors as in `logits`, but NaN passes.
        """
        return self.outputs(x)[:, -len(AFFECT) :]

    def logits_and_affect(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`logits` and `valence_arousal` of face crops (N, 3, H, W) in [0, 1], in one pass."""
        outputs = self.outputs(x)
        return self.logits_of(outputs), outputs[:, -len(AFFECT) :]


def field_judge(
    spec: JudgeSpec, network: nn.Module, file: FieldFile, device: torch.device
) -> NetworkJudge:
    """The judge around a network that takes normalised faces and gives `file.outputs`."""
    kind = AffectJudge if spec.affect else NetworkJudge
    return kind(spec, Normalised(network), file.outputs, device)
