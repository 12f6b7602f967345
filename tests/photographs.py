"""Pictures of the tests: the demo faces, and the two photographs that they are cut from, 512x512.

The photographs come with scikit-image and matplotlib and are in the public domain: see the demo's
NOTICE.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import cbook
from PIL import Image
from skimage import data

from affectbench.datasets import load_dataset
from affectbench.images.resizing import resize
from affectbench.images.tensors import stack

NAMES = ("astronaut", "grace_hopper")


def photograph(name: str) -> np.ndarray:
    """(512, 512, 3), uint8; of Grace Hopper's 512x600 the upper part."""
    if name == "astronaut":
        return data.astronaut()
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return np.asarray(Image.open(file).convert("RGB"))[:512].copy()


def bicubic(hr: np.ndarray, scale: int) -> np.ndarray:
    """A square image reduced by the scale and enlarged again, both bicubic by Pillow."""
    side = hr.shape[0]
    small = resize(hr, side // scale, side // scale, "pil-bicubic")
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def demo_pairs(scale: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """SR and HR of the two demo faces at their own size."""
    faces = map(load_dataset("demo").read, NAMES)
    return [(bicubic(hr, scale), hr) for hr in faces]


def unit(*images: np.ndarray) -> torch.Tensor:
    """uint8 images of one size as (N, 3, H, W) in [0, 1], float64."""
    return stack(list(images)).double() / 255
