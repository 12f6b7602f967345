"""Luma of 8-bit RGB by the two common formulas, which differ by 1.3 dB in PSNR.

| rule       | formula                                      | range     | also known as            |
|------------|----------------------------------------------|-----------|--------------------------|
| `y-matlab` | 16 + (65.481 R + 128.553 G + 24.966 B) / 255 | 16 to 235 | BT.601, MATLAB rgb2ycbcr |
| `y-yiq`    | 0.299 R + 0.587 G + 0.114 B                  | 0 to 255  | Y of YIQ, pyiqa's luma   |

R, G and B are in 0 to 255. Sums are in integer thousandths, which float64 represents exactly, so
rounding and truncation do not depend on the order of summation: code that sums fractions gives a
different level for about 40 of the 16.7 million colours, those exactly on a boundary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

LumaRule = Literal["y-matlab", "y-yiq"]
Quantisation = Literal["none", "rounded", "truncated"]

THOUSANDTHS: dict[LumaRule, tuple[int, int, int]] = {
    "y-matlab": (65481, 128553, 24966),
    "y-yiq": (299, 587, 114),
}
DIVISOR: dict[LumaRule, float] = {"y-matlab": 255_000.0, "y-yiq": 1000.0}
OFFSET: dict[LumaRule, float] = {"y-matlab": 16.0, "y-yiq": 0.0}


def luma(pixels: torch.Tensor, rule: LumaRule, quantisation: Quantisation) -> torch.Tensor:
    """Return the luma (N, 1, H, W), float64, of uint8 pixels (N, 3, H, W).

    `quantisation`: keep fractions (`none`), round to integer levels (half to even, like numpy), or
    truncate (like a cast to uint8).
    """
    red, green, blue = pixels.double().unbind(-3)
    r, g, b = THOUSANDTHS[rule]
    scaled = (r * red + g * green + b * blue) / DIVISOR[rule]
    if quantisation == "rounded":
        scaled = scaled.round()
    elif quantisation == "truncated":
        scaled = scaled.floor()
    return (scaled + OFFSET[rule]).unsqueeze(-3)
