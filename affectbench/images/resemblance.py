"""Whether results belong to the originals that they are paired with.

Names alone pair a folder of results with a set, and two sets may use the same names. A result,
however poor, still has the coarse light and dark of its own face, so that at 8x8 pixels it is
closer to its original than to most others:

1. Each image is averaged to 8x8, the mean of each channel is taken off, and what is left is
   scaled to length 1: brightness, colour cast and contrast do not count.
2. The mean of all results is taken off the results, that of all originals off the originals, so
   that what all faces of the set share (a framing, a model's favourite face, a blank background)
   does not count either. They are scaled to length 1 again.
3. A result is *unlike* its original if at least a tenth of the other originals are as close to it
   (by the scalar product) as its own. Others that are nearly the same picture as its own
   (a product of 0.95 and more after step 1: frames of one video) are not asked.
4. In sets below `FEW` faces there is little to compare with: there a product below 0.3 after step
   1 counts as unlike, too.

Wrong pairs are unlike for about nine of ten faces. docs/add-a-data-set.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from affectbench.images.reading import Pixels

SIDE = 8
"""At x16, a face of 128 pixels has 8 in LR: what any model is given."""

CLOSER = 0.1
SAME_PICTURE = 0.95
FEW, FEW_PRODUCT = 5, 0.3
_FLAT = 1e-6

Sketch = NDArray[np.float64]
"""An image after step 1: (SIDE * SIDE * 3,), zero for one without any structure."""


def sketch(pixels: Pixels) -> Sketch:
    """Step 1 of this module for an image (H, W, 3); zero for one that has fewer pixels."""
    if min(pixels.shape[:2]) < SIDE:
        return np.zeros(SIDE * SIDE * 3)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    found: Sketch = _unit((small - small.mean((0, 1))).reshape(1, -1))[0]
    return found


def unlike(results: Sequence[Sketch], originals: Sequence[Sketch]) -> NDArray[np.bool_]:
    """Which results (N,) do not look like the original of the same place.

    A result whose original has no structure is never unlike: nothing can be told from it.
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
