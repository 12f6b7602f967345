"""Conditions: graded damage that ECM should detect, and nuisance changes that it should not."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageFilter

from affectbench.images.reading import Pixels
from affectbench.images.tensors import pixels, stack

Change = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Condition:
    """One change of a face. `level` grows with the damage within its `family`."""

    family: str
    level: float
    kind: Literal["damage", "nuisance"]
    change: Change

    @property
    def name(self) -> str:
        """The condition's name, for example `blur 2`."""
        return f"{self.family} {self.level:g}" if self.level else self.family

    def apply(self, images: torch.Tensor, seed: int) -> torch.Tensor:
        """Apply the change to each uint8 image (N, 3, H, W); the seed gives each face new noise."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        return stack([self.change(image, rng) for image in pixels(images)])


def _resampled(
    scale: int, up: Image.Resampling, down: Image.Resampling = Image.Resampling.BICUBIC
) -> Change:
    def change(face: Pixels, _rng: np.random.Generator) -> Pixels:
        image = Image.fromarray(face)
        small = image.resize((image.width // scale, image.height // scale), down)
        return np.asarray(small.resize(image.size, up))

    return change


def _blurred(sigma: float) -> Change:
    def change(face: Pixels, _rng: np.random.Generator) -> Pixels:
        return np.asarray(Image.fromarray(face).filter(ImageFilter.GaussianBlur(sigma)))

    return change


def _noisy(sigma: float) -> Change:
    def change(face: Pixels, rng: np.random.Generator) -> Pixels:
        noise = rng.normal(0.0, sigma, face.shape[:2])[..., np.newaxis]
        return np.clip(np.rint(face + noise), 0, 255).astype(np.uint8)

    return change


def _jpeg(quality: int) -> Change:
    def change(face: Pixels, _rng: np.random.Generator) -> Pixels:
        buffer = io.BytesIO()
        Image.fromarray(face).save(buffer, "JPEG", quality=quality, subsampling=0)
        return np.asarray(Image.open(buffer).convert("RGB"))

    return change


def _brighter(by: int) -> Change:
    return lambda face, _rng: np.clip(face.astype(np.int16) + by, 0, 255).astype(np.uint8)


def _shifted(by: int) -> Change:
    return lambda face, _rng: np.pad(face, ((0, 0), (by, 0), (0, 0)), mode="edge")[:, :-by]


def _mirrored(face: Pixels, _rng: np.random.Generator) -> Pixels:
    return np.ascontiguousarray(face[:, ::-1])


BICUBIC, LANCZOS = Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
NEAREST = Image.Resampling.NEAREST

DAMAGE = (
    *(Condition("bicubic x", s, "damage", _resampled(s, BICUBIC)) for s in (2, 4, 8, 16)),
    *(Condition("lanczos x", s, "damage", _resampled(s, LANCZOS)) for s in (2, 4, 8, 16)),
    *(Condition("nearest x", s, "damage", _resampled(s, NEAREST)) for s in (2, 4, 8, 16)),
    *(Condition("blur", s, "damage", _blurred(s)) for s in (1, 2, 4, 8)),
    *(Condition("noise", s, "damage", _noisy(s)) for s in (5, 10, 20, 40)),
    *(Condition("jpeg", 100 - q, "damage", _jpeg(q)) for q in (70, 30, 10, 5)),
)
"""24 conditions: six families of four levels. The level of `jpeg` is 100 - quality."""

NUISANCE = (
    Condition("brightness +10", 0, "nuisance", _brighter(10)),
    Condition("shift 1 px", 0, "nuisance", _shifted(1)),
    Condition("mirror", 0, "nuisance", _mirrored),
    Condition("jpeg quality 95", 0, "nuisance", _jpeg(95)),
)
"""Changes that do not affect the expression."""
