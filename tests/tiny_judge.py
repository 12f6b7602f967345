"""A judge that is small, exact and differentiable, and images on which its labels vary."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from affectbench.types import EXPRESSIONS, JudgeSpec

SPEC = JudgeSpec(
    name="tiny",
    title="Linear in the means of 16 patches",
    input_size=4,
    colour="rgb",
    classes=EXPRESSIONS,
    temperature=1.0,
    differentiable=True,
    licence="Apache-2.0",
    training_data="none",
    origin="tests",
    sha256="0" * 64,
)


@dataclass(frozen=True)
class TinyJudge:
    """Logits = contrast * W * (patch means - 1/2), W fixed by a seed.

    In float64, so that its rounding does not depend on the size of the batch.
    """

    spec: JudgeSpec = SPEC
    contrast: float = 4.0

    @property
    def classes(self) -> tuple[str, ...]:
        return self.spec.classes

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        seeded = torch.Generator().manual_seed(5)
        weight = torch.randn(48, len(self.classes), generator=seeded, dtype=torch.float64)
        return self.contrast * self.features(x) @ weight

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return adaptive_avg_pool2d(x.double(), 4).flatten(1) - 0.5


OPAQUE = TinyJudge(replace(SPEC, name="opaque", differentiable=False))


def faces(rng: np.random.Generator, n: int = 8, size: int = 40) -> np.ndarray:
    """Patchy uint8 images (N, size, size, 3), so that the judge's labels vary."""
    coarse = rng.integers(0, 256, (n, 5, 5, 3), dtype=np.uint8)
    return coarse.repeat(size // 5, axis=1).repeat(size // 5, axis=2)


def unit(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0
