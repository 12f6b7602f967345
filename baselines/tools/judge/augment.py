"""Batch augmentation of grey faces: low resolution, blur, JPEG, noise, geometry, tone and cutout.

All functions take and return float faces (N,1,H,W) in [0,1] and draw only from the generator they
are given. Callers pass shuffled batches: where a share of the faces is changed, it is simply the
first ones or a random choice.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

_DOWN_MODES = ("bilinear", "bicubic", "area")
_UP_MODES = ("bilinear", "bicubic", "bicubic", "nearest")
_CHUNK = 13  # faces that share one low resolution and kernel, or one blur


@dataclass(frozen=True)
class AugmentConfig:
    """Shares are probabilities per face; the remaining faces change in geometry only."""

    low_resolution_share: float = 0.30
    low_resolution_min: int = 12
    low_resolution_max: int = 40
    blur_share: float = 0.10
    blur_sigma_max: float = 2.0
    jpeg_share: float = 0.08
    jpeg_quality_min: int = 20
    noise_share: float = 0.10
    noise_sigma_max: float = 0.06
    whole_pixel_share: float = 0.20
    rotation_degrees: float = 14.0
    zoom: float = 0.15
    shift: float = 0.08
    gamma: float = 0.35
    tone_share: float = 0.40
    cutout_share: float = 0.35
    cutout_max: float = 0.40


@dataclass(frozen=True)
class View:
    """The view of a face used in training until `progress` reaches `until`.

    `size` x `size` pixels that show the share `field` of a face image's side. Fewer pixels make
    the long first part of a run cheaper.
    """

    until: float
    size: int
    field: float


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator) * (high - low) + low


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """Draw an integer in [low, high]."""
    return int(torch.randint(low, high + 1, (1,), generator=generator).item())


def down_up(faces: Tensor, size: int, down: str = "bicubic", up: str = "bicubic") -> Tensor:
    """Shrink to `size` x `size` pixels (anti-aliased) and enlarge to the former size again."""
    smooth = down in ("bilinear", "bicubic")
    small = F.interpolate(faces, size=(size, size), mode=down, antialias=smooth)
    large = F.interpolate(small, size=tuple(faces.shape[2:]), mode=up)
    return large.clamp(0.0, 1.0)


def blur(faces: Tensor, sigma: float) -> Tensor:
    """Apply a Gaussian blur of standard deviation `sigma` pixels, with reflected edges."""
    radius = max(1, math.ceil(2.5 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=faces.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(faces, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    return F.conv2d(rows, kernel.view(1, 1, -1, 1))


def jpeg(face: Tensor, quality: int) -> Tensor:
    """Compress and decode one face (1,H,W) as JPEG at `quality` (1 to 95)."""
    array = (face[0] * 255.0).round().clamp(0, 255).to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="JPEG", quality=quality)
    decoded = np.asarray(Image.open(buffer), dtype=np.float32)
    return torch.from_numpy(decoded / 255.0).unsqueeze(0)


def degrade(faces: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Give shares of the batch a low resolution, a blur, JPEG artefacts or noise."""
    faces = faces.clone()
    count = len(faces)
    low_end = round(config.low_resolution_share * count)
    for start in range(0, low_end, _CHUNK):
        part = slice(start, min(start + _CHUNK, low_end))
        size = _integer(config.low_resolution_min, config.low_resolution_max, generator)
        down = _DOWN_MODES[_integer(0, len(_DOWN_MODES) - 1, generator)]
        up = _UP_MODES[_integer(0, len(_UP_MODES) - 1, generator)]
        faces[part] = down_up(faces[part], size, down, up)
    blur_end = low_end + round(config.blur_share * count)
    for start in range(low_end, blur_end, _CHUNK):
        part = slice(start, min(start + _CHUNK, blur_end))
        sigma = float(_uniform(1, 0.4, config.blur_sigma_max, generator))
        faces[part] = blur(faces[part], sigma)
    for index in (torch.rand(count, generator=generator) < config.jpeg_share).nonzero().flatten():
        quality = _integer(config.jpeg_quality_min, 90, generator)
        faces[index] = jpeg(faces[index], quality)
    sigmas = _uniform(count, 0.0, config.noise_sigma_max, generator)
    sigmas *= torch.rand(count, generator=generator) < config.noise_share
    noise = torch.randn(faces.shape, generator=generator)
    return (faces + noise * sigmas.view(-1, 1, 1, 1)).clamp(0.0, 1.0)


def jitter_geometry(
    faces: Tensor, view: View, config: AugmentConfig, generator: torch.Generator
) -> Tensor:
    """Apply random mirroring, rotation, zoom and shift, and crop the view.

    A share of faces is only mirrored and shifted by whole pixels: if the view has the scale of the
    image, every batch then contains faces that are not softened by interpolation.
    """
    count, _, _, side = faces.shape
    exact = torch.rand(count, generator=generator) < config.whole_pixel_share
    degrees = _uniform(count, -config.rotation_degrees, config.rotation_degrees, generator)
    angle = torch.where(exact, 0.0, degrees * math.pi / 180.0)
    zoom = torch.exp(_uniform(count, -config.zoom, config.zoom, generator))
    scale = view.field * torch.where(exact, 1.0, zoom)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    reach = (1.0 - scale).clamp(min=0.0) + config.shift
    moves = torch.stack([_uniform(count, -1.0, 1.0, generator) * reach for _ in range(2)], dim=1)
    whole = (moves * side / 2.0).round() * 2.0 / side
    moves = torch.where(exact.unsqueeze(1), whole, moves)
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    top = torch.stack([cosine * mirror, -sine, moves[:, 0]], dim=1)
    bottom = torch.stack([sine * mirror, cosine, moves[:, 1]], dim=1)
    theta = torch.stack([top, bottom], dim=1)
    grid = F.affine_grid(theta, [count, 1, view.size, view.size], align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def jitter_tone(faces: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Apply random gamma, contrast and brightness (with clipping) to a share of the faces."""
    count = len(faces)
    chosen = torch.rand(count, generator=generator) < config.tone_share
    gamma = torch.exp(_uniform(count, -config.gamma, config.gamma, generator))
    contrast = _uniform(count, 0.7, 1.3, generator)
    brightness = _uniform(count, -0.15, 0.15, generator)
    one = (-1, 1, 1, 1)
    toned = faces.clamp(min=1e-4) ** gamma.view(one)
    toned = ((toned - 0.5) * contrast.view(one) + 0.5 + brightness.view(one)).clamp(0.0, 1.0)
    return torch.where(chosen.view(one), toned, faces)


def cut_out(faces: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Replace a rectangle by the face's mean grey on a share of the faces."""
    count, _, height, width = faces.shape
    chosen = torch.rand(count, generator=generator) < config.cutout_share
    half_h = _uniform(count, 0.1, config.cutout_max, generator) * height / 2
    half_w = _uniform(count, 0.1, config.cutout_max, generator) * width / 2
    centre_y = torch.rand(count, generator=generator) * height
    centre_x = torch.rand(count, generator=generator) * width
    rows = (torch.arange(height) - centre_y.unsqueeze(1)).abs() < half_h.unsqueeze(1)
    columns = (torch.arange(width) - centre_x.unsqueeze(1)).abs() < half_w.unsqueeze(1)
    hole = rows.view(count, 1, -1, 1) & columns.view(count, 1, 1, -1) & chosen.view(-1, 1, 1, 1)
    return torch.where(hole, faces.mean(dim=(1, 2, 3), keepdim=True), faces)


def augment(faces: Tensor, view: View, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Apply the whole chain: (N,1,H,W) -> (N,1,view.size,view.size), in [0,1]."""
    faces = degrade(faces, config, generator)
    faces = jitter_geometry(faces, view, config, generator)
    faces = jitter_tone(faces, config, generator)
    return cut_out(faces, config, generator)
