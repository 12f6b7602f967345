"""Images as tensors: accepted inputs, and the quantisation rule."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from affectbench.errors import InputError
from affectbench.images.reading import Pixels, read_image, rgb_pixels
from affectbench.images.resizing import Method, enlarge

OneImage: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Image.Image | str | os.PathLike[str]"
ImageLike: TypeAlias = "OneImage | Sequence[OneImage]"
"""One image or a batch: tensor (3, H, W) or (N, 3, H, W) or array (H, W, 3) or (N, H, W, 3), uint8
or floats in [0, 1]; a Pillow image; the path of an image file; or a list of these, all of one
size."""

TOLERANCE = 1e-3 / 255
"""How far floats may lie outside [0, 1] by rounding: a thousandth of an 8-bit level. They are
clamped, which no 8-bit value can notice."""

CHUNK_VALUES = 1 << 18
"""Values that `quantise` converts together: intermediate results then stay in the cache."""

BITS_OF_1 = 0x3F800000


def as_batch(image: ImageLike, name: str = "image") -> torch.Tensor:
    """Convert any accepted image or batch to a float32 tensor (N, 3, H, W) in [0, 1].

    Float tensors keep their gradient. Nothing is scaled or broadcast, and nothing is clamped but
    rounding errors up to `TOLERANCE`: a value further outside [0, 1], a NaN or another shape raises
    an InputError whose message starts with `name`.
    """
    batch = checked(image, name)
    return unit_range(batch.contiguous()) if batch.dtype == torch.uint8 else batch


def as_levels(image: ImageLike, name: str = "image") -> torch.Tensor:
    """Convert any accepted image or batch to uint8 (N, 3, H, W); errors as in `as_batch`.

    Floats are rounded by `quantise`, so that images in memory have the same values as in files.
    """
    return _quantised(checked(image, name))


def as_pair(sr: ImageLike, hr: ImageLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Convert SR and HR to metric inputs: uint8 tensors (N, 3, H, W) on the device of SR.

    Floats are rounded by `quantise`. Raises InputError unless the shapes are the same.
    """
    left, right = checked_pair(sr, hr)
    return _quantised(left), _quantised(right)


def checked_pair(sr: ImageLike, hr: ImageLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Return SR and HR as `checked` does, on the device of SR; InputError if shapes differ."""
    left, right = checked(sr, "sr"), checked(hr, "hr")
    require_same_shape(left, right)
    return left, right.to(left.device)


def checked(image: ImageLike, name: str = "image") -> torch.Tensor:
    """Return any accepted image or batch (N, 3, H, W) as it is: uint8, or float32 in [0, 1].

    Pixels are copied only where a tensor cannot share them, and a uint8 result may be the view of
    an array (N, H, W, 3): its memory is not in the order of its axes. Errors as in `as_batch`.
    """
    if isinstance(image, torch.Tensor):
        return _from_tensor(image, name)
    if isinstance(image, np.ndarray):
        return _from_array(image, name)
    if isinstance(image, Image.Image):
        return _view(rgb_pixels(image, name)[None])
    if isinstance(image, (str, os.PathLike)):
        return _view(read_image(image)[None])
    if isinstance(image, Sequence):
        return _from_list([checked(one, f"{name}[{i}]") for i, one in enumerate(image)], name)
    raise InputError(
        f"{name}: a {type(image).__name__} is not an image; pass a tensor (N, 3, H, W), uint8 or "
        "floats in [0, 1], such an array (N, H, W, 3), a Pillow image or a path"
    )


def require_same_shape(sr: torch.Tensor, hr: torch.Tensor) -> None:
    """Refuse two batches whose shapes differ; nothing is broadcast."""
    if sr.shape != hr.shape:
        raise InputError(
            f"sr has the shape {tuple(sr.shape)} and hr {tuple(hr.shape)}; they must be the same, "
            "image by image (nothing is resized or broadcast)"
        )


def stack(images: list[Pixels]) -> torch.Tensor:
    """Stack images (H, W, 3) of one size into a uint8 tensor (N, 3, H, W)."""
    planes = [image.transpose(2, 0, 1) for image in images]
    return torch.from_numpy(
        np.stack(planes, out=np.empty((len(planes), *planes[0].shape), np.uint8))
    )


def pixels(batch: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Convert a uint8 tensor (N, 3, H, W) to an array (N, H, W, 3)."""
    return np.ascontiguousarray(batch.cpu().numpy().transpose(0, 2, 3, 1))


def unit_range(batch: torch.Tensor) -> torch.Tensor:
    """Convert uint8 to float32 in [0, 1]: v / 255."""
    return batch.to(torch.float32) / 255.0


def quantise(batch: torch.Tensor) -> torch.Tensor:
    """Convert floats in [0, 1] to uint8: clamp, times 255, round half to even; no gradient."""
    batch = batch.detach()
    if batch.device.type != "cpu":
        return (batch.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
    whole = torch.empty(batch.shape, dtype=torch.uint8)
    chunks = (torch.split(x.reshape(-1), CHUNK_VALUES) for x in (whole, batch))
    for out, values in zip(*chunks, strict=True):
        # By way of int16: torch converts floats to uint8 one by one.
        out.copy_(values.clamp(0.0, 1.0).mul_(255.0).round_().to(torch.int16))
    return whole


def levels(batch: torch.Tensor) -> torch.Tensor:
    """Return floats in [0, 1] as whole levels of 0 to 255, rounded as by `quantise`: float32."""
    return batch.detach().mul(255.0).round_()


def _quantised(batch: torch.Tensor) -> torch.Tensor:
    """Return checked images as uint8, contiguous."""
    return in_planes(batch) if batch.dtype == torch.uint8 else quantise(batch)


def in_planes(batch: torch.Tensor) -> torch.Tensor:
    """Return images (N, 3, H, W) with each colour plane in one piece."""
    # Twice as fast as `contiguous` for pixels that are stored side by side.
    return batch if batch.is_contiguous() else torch.stack(batch.unbind(1), 1)


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
    if any(batch.dtype != batches[0].dtype for batch in batches):
        batches = [unit_range(b) if b.dtype == torch.uint8 else b for b in batches]
    return torch.cat(batches)


def _size(batch: torch.Tensor) -> str:
    return f"{batch.shape[-1]}x{batch.shape[-2]}"


def _from_tensor(image: torch.Tensor, name: str) -> torch.Tensor:
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise InputError(
            f"{name}: the tensor is {image.dtype}; tensors are uint8, or floats in [0, 1]"
        )
    batch = image.unsqueeze(0) if image.ndim == 3 else image
    if batch.ndim != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise InputError(
            f"{name}: the tensor has the shape {tuple(image.shape)}; (3, H, W) or (N, 3, H, W) "
            f"is needed, and nothing in it may be empty{_shape_hint(image.shape, -3)}"
        )
    return batch if batch.dtype == torch.uint8 else _unit_floats(batch, name, "tensor")


def _unit_floats(batch: torch.Tensor, name: str, kind: str) -> torch.Tensor:
    """Return floats as float32 in [0, 1]; raise InputError if they lie elsewhere."""
    if _is_in_unit_range(batch.detach()):
        return batch.to(torch.float32)
    low, high = (float(v) for v in torch.aminmax(batch.detach()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name}: the {kind} holds NaN or infinite values")
    if low < -TOLERANCE or high > 1.0 + TOLERANCE:
        raise InputError(
            f"{name}: values lie in [{low:.7g}, {high:.7g}], not in [0, 1]; scale them"
            f"{' (by 1 / 255?)' if high > 2.0 and low >= 0.0 else ''}, and clamp a network's "
            "overshoot, before measuring"
        )
    exact = batch.to(torch.float32)
    return exact.clamp(0.0, 1.0) if low < 0.0 or high > 1.0 else exact


def _shape_hint(shape: Sequence[int], channels: int) -> str:
    """Return a remedy for images of another layout, whose channels should be on that axis."""
    other = -1 if channels == -3 else -3
    if len(shape) == 2 or (len(shape) in (3, 4) and shape[channels] == 1):
        return "; it is grey, and faces are RGB: give it three equal channels"
    if len(shape) in (3, 4) and shape[channels] in (2, 4) and shape[other] != 3:
        return "; an alpha channel has to be left out"
    if len(shape) in (3, 4) and shape[other] == 3:
        return f"; its channels are on another axis: movedim({other}, {channels})"
    return ""


def _is_in_unit_range(batch: torch.Tensor) -> bool:
    """Return whether float32 values lie in [0, 1], by their bits; False where that is not known."""
    if batch.dtype != torch.float32:
        return False
    # Floats from 0 to 1 are ordered as their bits are. Integers take half the time: none is NaN.
    low, high = torch.aminmax(batch.view(torch.int32))
    return int(low) >= 0 and int(high) <= BITS_OF_1


def _from_array(array: np.ndarray[Any, Any], name: str) -> torch.Tensor:
    batch = array[None] if array.ndim == 3 else array
    if batch.ndim != 4 or batch.shape[-1] != 3 or batch.size == 0:
        hint = _shape_hint(array.shape, -1).replace("movedim(", "numpy.moveaxis(array, ")
        raise InputError(
            f"{name}: the array has the shape {array.shape}; (H, W, 3) or (N, H, W, 3) is "
            f"needed{hint}"
        )
    if batch.dtype.kind == "f":
        plain = np.array(batch, np.float32 if batch.itemsize <= 4 else np.float64)
        planes = torch.from_numpy(plain).permute(0, 3, 1, 2)
        return _unit_floats(planes, name, "array").contiguous()
    if batch.dtype != np.uint8:
        raise InputError(
            f"{name}: the array is {batch.dtype}; arrays are uint8, or floats in [0, 1]"
        )
    return _view(batch)


def _view(batch: Pixels) -> torch.Tensor:
    """Return the view (N, 3, H, W) of an array (N, H, W, 3), copied if tensors cannot share it."""
    return torch.from_numpy(np.require(batch, requirements=["C", "W"])).permute(0, 3, 1, 2)
