"""Images as tensors: accepted inputs, and the quantisation rule."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from affectbench.errors import InputError
from affectbench.images.reading import Pixels, read_image, rgb_pixels
from affectbench.images.resizing import Method, enlarge

OneImage: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Image.Image | str | os.PathLike[str]"
ImageLike: TypeAlias = "OneImage | Sequence[OneImage]"
"""One image or a batch: float tensor (3, H, W) or (N, 3, H, W) in [0, 1]; uint8 array (H, W, 3)
or (N, H, W, 3); a Pillow image; the path of an image file; or a list of these, all of one size."""


def as_batch(image: ImageLike, name: str = "image") -> torch.Tensor:
    """Convert any accepted image or batch to a float32 tensor (N, 3, H, W) in [0, 1].

    Float tensors keep their gradient. Nothing is clamped, scaled or broadcast: a value outside
    [0, 1], a NaN or another shape raises an InputError whose message starts with `name`.
    """
    if isinstance(image, torch.Tensor):
        return _from_tensor(image, name)
    if isinstance(image, np.ndarray):
        return unit_range(stack([_from_array(a, name) for a in _images_of(image, name)]))
    if isinstance(image, Image.Image):
        return unit_range(stack([rgb_pixels(image, name)]))
    if isinstance(image, (str, os.PathLike)):
        return unit_range(stack([read_image(image)]))
    if isinstance(image, Sequence):
        return _from_list([as_batch(one, f"{name}[{i}]") for i, one in enumerate(image)], name)
    raise InputError(
        f"{name}: a {type(image).__name__} is not an image; pass a float tensor (N, 3, H, W) in "
        "[0, 1], a uint8 array (N, H, W, 3), a Pillow image or a path"
    )


def as_pair(sr: ImageLike, hr: ImageLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Convert SR and HR to metric inputs: uint8 tensors (N, 3, H, W) on the device of SR.

    Floats are rounded by `quantise`, so that images in memory have the same values as in files.
    Raises InputError unless the shapes are the same.
    """
    left, right = as_batch(sr, "sr"), as_batch(hr, "hr")
    require_same_shape(left, right)
    return quantise(left), quantise(right.to(left.device))


def require_same_shape(sr: torch.Tensor, hr: torch.Tensor) -> None:
    """Refuse two batches whose shapes differ; nothing is broadcast."""
    if sr.shape != hr.shape:
        raise InputError(
            f"sr has the shape {tuple(sr.shape)} and hr {tuple(hr.shape)}; they must be the same, "
            "image by image (nothing is resized or broadcast)"
        )


def stack(images: list[Pixels]) -> torch.Tensor:
    """Stack images (H, W, 3) of one size into a uint8 tensor (N, 3, H, W)."""
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def pixels(batch: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Convert a uint8 tensor (N, 3, H, W) to an array (N, H, W, 3)."""
    return np.ascontiguousarray(batch.cpu().numpy().transpose(0, 2, 3, 1))


def unit_range(batch: torch.Tensor) -> torch.Tensor:
    """Convert uint8 to float32 in [0, 1]: v / 255."""
    return batch.to(torch.float32) / 255.0


def quantise(batch: torch.Tensor) -> torch.Tensor:
    """Convert floats in [0, 1] to uint8: clamp, times 255, round half to even; no gradient."""
    return (batch.detach().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def enlarged(lr: torch.Tensor, scale: int, kernel: Method) -> torch.Tensor:
    """Round LR (N, 3, h, w) to 8 bits and enlarge it by a Pillow kernel; SR is in [0, 1]."""
    height, width = (side * scale for side in lr.shape[-2:])
    faces = [enlarge(face, height, width, kernel) for face in pixels(quantise(lr))]
    return unit_range(stack(faces)).to(lr.device)


def resized(x: torch.Tensor, size: int) -> torch.Tensor:
    """Resize faces (N, C, H, W) to (N, C, size, size): bilinear, anti-aliased when shrinking.

    Faces of that size are returned as they are. The aspect ratio is not kept: crops are nearly
    square.
    """
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


def _from_list(batches: list[torch.Tensor], name: str) -> torch.Tensor:
    if not batches:
        raise InputError(f"{name}: the list is empty; pass at least one image")
    for i, batch in enumerate(batches):
        if batch.shape[1:] != batches[0].shape[1:]:
            raise InputError(
                f"{name}[{i}]: the image is {_size(batch)} and {name}[0] is {_size(batches[0])}; "
                "the images of one list must have one size"
            )
    return torch.cat(batches)


def _size(batch: torch.Tensor) -> str:
    return f"{batch.shape[-1]}x{batch.shape[-2]}"


def _from_tensor(image: torch.Tensor, name: str) -> torch.Tensor:
    if not image.is_floating_point():
        raise InputError(
            f"{name}: the tensor is {image.dtype}; tensors are floats in [0, 1] "
            "(divide a uint8 tensor by 255)"
        )
    batch = image.unsqueeze(0) if image.ndim == 3 else image
    if batch.ndim != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise InputError(
            f"{name}: the tensor has the shape {tuple(image.shape)}; (3, H, W) or (N, 3, H, W) "
            "is needed, and nothing in it may be empty"
        )
    low, high = (float(v) for v in torch.aminmax(batch.detach()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name}: the tensor holds NaN or infinite values")
    if low < 0.0 or high > 1.0:
        raise InputError(
            f"{name}: values lie in [{low:.4g}, {high:.4g}], not in [0, 1]; scale them, and clamp "
            "a network's overshoot, before measuring"
        )
    return batch.to(torch.float32)


def _images_of(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    batch = array[None] if array.ndim == 3 else array
    if batch.ndim != 4 or batch.shape[-1] != 3 or batch.size == 0:
        raise InputError(
            f"{name}: the array has the shape {array.shape}; (H, W, 3) or (N, H, W, 3) is needed"
        )
    return batch


def _from_array(image: np.ndarray[Any, Any], name: str) -> Pixels:
    if image.dtype != np.uint8:
        raise InputError(
            f"{name}: the array is {image.dtype}; arrays are uint8 (floats go in as tensors)"
        )
    return cast(Pixels, image)
