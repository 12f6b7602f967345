"""Exact evaluation of a branch (convolution, ReLU, convolution) only where a mask is true.

Both functions return `branch(x) * mask`, up to rounding. For inference only: nothing here is meant
to be differentiated.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F


def by_pixels(branch: nn.Sequential, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return (N, C, h, w) where `mask` (N, h, w) is true, 0 elsewhere, by gathering pixels.

    A 3x3 second convolution also needs the outputs of the first around the mask.
    """
    first, second = cast(nn.Conv2d, branch[0]), cast(nn.Conv2d, branch[2])
    around = mask
    if second.kernel_size == (3, 3):
        around = F.max_pool2d(mask[:, None].to(x.dtype), 3, 1, 1)[:, 0] > 0
    return _at(second, _at(first, x, around).relu_(), mask)


def by_tiles(branch: nn.Sequential, x: torch.Tensor, mask: torch.Tensor, tile: int) -> torch.Tensor:
    """Return the same by computing each `tile` x `tile` square that contains a masked pixel."""
    height, width = x.shape[-2:]
    down, right = -height % tile, -width % tile
    # A halo of two pixels for two 3x3 convolutions, plus padding to whole tiles.
    padded = F.pad(x, (2, 2 + right, 2, 2 + down))
    inside = F.pad(x.new_ones((1, 1, height, width)), (2, 2 + right, 2, 2 + down))
    wanted = F.pad(mask, (0, right, 0, down)).unfold(1, tile, tile).unfold(2, tile, tile)
    used = wanted.flatten(3).any(3).nonzero()  # (T, 3): image, tile row, tile column
    out = x.new_zeros((len(x), x.shape[1], height + down, width + right))
    if not len(used):
        return out[..., :height, :width]
    side = tile + 4
    windows = padded.unfold(2, side, tile).unfold(3, side, tile)
    image, row, column = used.unbind(1)
    tiles = windows[image, :, row, column]  # (T, C, side, side)
    valid = inside.unfold(2, side, tile).unfold(3, side, tile)[0, :, row, column].movedim(0, 1)
    first, second = cast(nn.Conv2d, branch[0]), cast(nn.Conv2d, branch[2])
    y = F.conv2d(tiles, first.weight, first.bias, groups=first.groups).relu_()
    y = y * valid[..., 1:-1, 1:-1]  # outside the image the second convolution sees zeros
    y = F.conv2d(y, second.weight, second.bias)
    margin = (y.shape[-1] - tile) // 2
    y = y[..., margin : margin + tile, margin : margin + tile]
    out.unfold(2, tile, tile).unfold(3, tile, tile).movedim(1, 3)[image, row, column] = y
    return out[..., :height, :width] * mask[:, None]


def _at(conv: nn.Conv2d, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return a convolution's results (N, C, h, w) where `mask` is true, 0 elsewhere."""
    out = x.new_zeros((len(x), conv.out_channels, *x.shape[-2:]))
    side = conv.kernel_size[0]
    margin = side // 2
    windows = F.pad(x, (margin,) * 4).unfold(2, side, 1).unfold(3, side, 1)
    image, row, column = mask.nonzero().unbind(1)
    gathered = windows[image, :, row, column]  # (M, C, side, side)
    if conv.groups == 1:
        values = gathered.flatten(1) @ conv.weight.flatten(1).T
    else:
        values = F.conv2d(gathered, conv.weight, groups=conv.groups)[..., 0, 0]
    out[image, :, row, column] = values if conv.bias is None else values + conv.bias
    return out
