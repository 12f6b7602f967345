"""A check that results belong to the originals that they are paired with.

Results are paired with a data set by file name alone, and two sets may use the same names. Even a
poor result keeps the coarse layout of light and dark of its own face, so that at 8x8 pixels it is
closer to its original than to most others:

1. Each image is averaged to 8x8, the mean of each channel is subtracted, and the result is
   normalised to unit length. This removes brightness, colour cast and contrast.
2. The mean of all results is subtracted from the results, and that of all originals from the
   originals. This removes what all faces of the set share (a framing, a model's favourite face, a
   blank background). The vectors are normalised again.
3. A result is *unlike* its original if at least a tenth of the other originals are as close to it
   (by dot product) as its own. Near-duplicates of its own original (a dot product of at least 0.95
   after step 1: frames of one video) are not counted among the others.
4. Sets of fewer than `FEW` faces offer little to compare with: there a dot product below 0.3 after
   step 1 also counts as unlike.

In wrong pairings about nine of ten faces are unlike. docs/add-a-data-set.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from affectbench.images.reading import Pixels

SIDE = 8
"""At x16 the LR of a 128-pixel face has 8 pixels a side: every model sees at least this much."""

CLOSER = 0.1
SAME_PICTURE = 0.95
FEW, FEW_PRODUCT = 5, 0.3
_FLAT = 1e-6

Sketch = NDArray[np.float64]
"""An image after step 1: (SIDE * SIDE * 3,), all zero for a flat image."""


def sketch(pixels: Pixels) -> Sketch:
    """Apply step 1 of this module to an image (H, W, 3); zeros for one smaller than 8x8."""
    if min(pixels.shape[:2]) < SIDE:
        return np.zeros(SIDE * SIDE * 3)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    found: Sketch = _unit((small - small.mean((0, 1))).reshape(1, -1))[0]
    return found


def unlike(results: Sequence[Sketch], originals: Sequence[Sketch]) -> NDArray[np.bool_]:
    """Return a mask (N,) of the results that do not look like the original at the same index.

    A result is never unlike a flat original, since nothing can be compared.
    """
    sr, hr = np.stack(results), np.stack(originals)
    centred = _unit(hr - hr.mean(0))
    closeness = _unit(sr - sr.mean(0)) @ centred.T
    others = hr @ hr.T < SAME_PICTURE
    np.fill_diagonal(others, val=False)
    as_close = (closeness >= np.diag(closeness)[:, None]) & others
    found: NDArray[np.bool_] = as_close.sum(1) > CLOSER * others.sum(1)
    if len(hr) < FEW:
        found |= (sr * hr).sum(1) < FEW_PRODUCT
    return found & hr.any(1)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return cast(Sketch, np.divide(rows, length, out=np.zeros_like(rows), where=length > _FLAT))
