"""The two photographs that the demo faces are cut from, 512x512, and what x4 or x8 leaves of them.

They come with scikit-image and matplotlib and are in the public domain (see the demo's NOTICE).
"""

from __future__ import annotations

import numpy as np
from matplotlib import cbook
from PIL import Image
from skimage import data

from affectbench.images.resizing import resize

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
