"""MediaPipe's face mesh with attention: 478 points of a face, and whether there is a face.

The network predicts a mesh of 468 points from the whole face, and then refines lips and eyes from
crops of its own feature maps at the positions of that mesh. Published by Google (Grishchenko et
al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time", 2020, arXiv 2006.10962) and
converted for the browser. Network only; for weights, licence and origin see `weights/NOTICE.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench.assets.weights import load_safetensors
from affectbench.faces.assets import FACE_MESH
from affectbench.faces.landmark_points import LEFT_EYELIDS, RIGHT_EYELIDS

INPUT_SIZE = 192
MESH_POINTS, IRIS_POINTS = 468, 5
POINTS = MESH_POINTS + 2 * IRIS_POINTS

EARLY = ((16, 16, 1), (16, 16, 1), (16, 32, 2))
"""Blocks (input channels, output channels, stride) up to the maps that regions are cropped from."""
LATE = (
    *((32, 32, 1), (32, 32, 1), (32, 64, 2)),
    *((64, 64, 1), (64, 64, 1), (64, 128, 2)),
    *(((128, 128, 1), (128, 128, 1), (128, 128, 2)) * 2),
    *((128, 128, 1), (128, 128, 1)),
)
TRUNK = ((32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1), (64, 128, 2))
BRANCH = ((128, 128, 1), (128, 128, 1), (128, 128, 2), (128, 128, 1), (128, 128, 1))
TAIL = 32

MAP_SIZE, CUT_SIZE = 48, 16
"""Sides of the maps that regions are cropped from, and of the crops."""
MARGIN = 1.5
"""Crop size relative to the extent of the region's points."""
MAP_STEP = 0.04254150390625
"""2 / (MAP_SIZE - 1), rounded to 16 bits as in the published graph."""

LIP_CORNERS, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (61, 291), (33, 133), (362, 263)
"""Mesh points whose connecting line gives a region's roll. Left and right as in the image."""


class Mesh(NamedTuple):
    """Points (N, 478, 2) as x, y in pixels of the network's input, and presence (N,) in [0, 1].

    Points 0 to 467 are the mesh, followed by five for the iris on the left and five for that on the
    right of the image, centre first. `depth` (N, 478) is in the same unit, about 0 at the middle of
    the head and smaller towards the camera.
    """

    points: torch.Tensor
    depth: torch.Tensor
    presence: torch.Tensor


class FaceMesh(nn.Module):
    """A residual network for the face, and one each for lips, left eye and right eye."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Dense(3, 16, 3, stride=2)
        self.early = _blocks(EARLY)
        self.late = _blocks(LATE)
        self.tail = _tail()
        self.mesh = nn.Conv2d(TAIL, 3 * MESH_POINTS, 3)
        self.flag = nn.Conv2d(TAIL, 1, 3)
        self.lips = Region(80, LIP_CORNERS)
        self.left_eye = Region(71, LEFT_EYE_CORNERS, IRIS_POINTS)
        self.right_eye = Region(71, RIGHT_EYE_CORNERS, IRIS_POINTS)

    def forward(self, x: torch.Tensor) -> Mesh:
        """Return the mesh of RGB faces (N, 3, 192, 192) in [0, 1]. Differentiable."""
        early = self.early(self.stem(x))
        end = self.tail(self.late(early))
        presence = self.flag(end).flatten().sigmoid()
        mesh, depth = self.mesh(end).view(-1, MESH_POINTS, 3).split((2, 1), dim=2)
        regions = (self.lips, self.left_eye, self.right_eye)
        found = [region(early, mesh) for region in regions]
        for region, (contour, _) in zip(regions, found, strict=True):
            mesh = mesh.index_copy(1, region.points, contour)
        irises = [iris for _, iris in found if iris is not None]
        depth = depth.squeeze(2)
        # As in MediaPipe's graph, an iris has the mean depth of the lids around it.
        lids = [depth[:, list(eye)].mean(1, keepdim=True) for eye in (LEFT_EYELIDS, RIGHT_EYELIDS)]
        depth = torch.cat([depth, *(lid.expand(-1, IRIS_POINTS) for lid in lids)], dim=1)
        return Mesh(torch.cat([mesh, *irises], dim=1), depth, presence)


class Region(nn.Module):
    """A face part: an upright crop of the feature maps, and its refined points.

    `points` are the mesh points that it replaces, in its own order.
    """

    points: torch.Tensor

    def __init__(self, count: int, corners: tuple[int, int], iris: int = 0) -> None:
        super().__init__()
        self.corners = corners
        self.register_buffer("points", torch.zeros(count, dtype=torch.int64))
        self.trunk = _blocks(TRUNK)
        self.contour = Branch(count)
        self.iris = Branch(iris) if iris else None

    def forward(
        self, maps: torch.Tensor, mesh: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return contour (N, count, 2) and iris (N, 5, 2), in pixels of the network's input."""
        placed = self.placed(mesh)
        trunk = self.trunk(cut(maps, placed))
        iris = None if self.iris is None else put_back(self.iris(trunk), placed)
        return put_back(self.contour(trunk), placed), iris

    def placed(self, mesh: torch.Tensor) -> torch.Tensor:
        """Return the crop's affine transform (N, 2, 3), from its pixels to those of the maps.

        The crop is the smallest box around the region's points, rotated with the line between the
        corners, times MARGIN; height and width are scaled independently.
        """
        mesh = mesh * (MAP_SIZE / INPUT_SIZE)
        first, second = (mesh[:, corner] for corner in self.corners)
        angle = torch.atan2(*(second - first).flip(-1).unbind(-1))
        turn = rotation(angle)
        upright = mesh[:, self.points] @ turn  # by -angle, since points are row vectors
        low, high = upright.amin(1), upright.amax(1)
        linear = turn * ((high - low) * (MARGIN / CUT_SIZE)).unsqueeze(1)
        centre = turn @ ((low + high) / 2).unsqueeze(-1)
        shift = centre - linear.sum(-1, keepdim=True) * (CUT_SIZE / 2)
        return torch.cat([linear, shift], dim=-1)


class Branch(nn.Module):
    """Map a region's maps (N, 128, 4, 4) to points (N, count, 2) in quarter pixels of the crop."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.blocks = _blocks(BRANCH)
        self.tail = _tail()
        self.out = nn.Conv2d(TAIL, 2 * count, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the points."""
        return cast(torch.Tensor, self.out(self.tail(self.blocks(x)))).view(len(x), -1, 2)


class Block(nn.Module):
    """Depthwise 3x3 and pointwise convolution, added to the max-pooled input.

    Missing input channels are zero-padded.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        padding = 1 if stride == 1 else 0
        self.depthwise = nn.Conv2d(before, before, 3, stride, padding, groups=before, bias=False)
        self.pointwise = nn.Conv2d(before, after, 1)
        self.slope = nn.PReLU(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, before, H, W) to (N, after, H / stride, W / stride)."""
        change = self.pointwise(self.depthwise(x if self.stride == 1 else _padded(x)))
        if self.stride > 1:
            x = F.max_pool2d(x, self.stride)
            x = F.pad(x, (0, 0, 0, 0, 0, change.shape[1] - x.shape[1]))
        return cast(torch.Tensor, self.slope(change.add_(x)))


class Dense(nn.Module):
    """A convolution with its activation."""

    def __init__(self, before: int, after: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(before, after, size, stride)
        self.slope = nn.PReLU(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, before, H, W) to (N, after, H / stride, W / stride)."""
        return cast(torch.Tensor, self.slope(self.conv(x if self.stride == 1 else _padded(x))))


def cut(maps: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
    """Return crops (N, C, 16, 16) of maps (N, C, 48, 48): bilinear, zero outside the maps."""
    # Corners are at -1 and 1; the published graph rounds the step to 16 bits.
    side = torch.linspace(-1, 1, CUT_SIZE, device=maps.device).half().to(maps.dtype)
    side = (side + 1) * ((CUT_SIZE - 1) / 2) + 0.5
    y, x = torch.meshgrid(side, side, indexing="ij")
    where = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, -1, 3) @ placed.mT
    grid = ((where - 0.5) * MAP_STEP - 1).view(-1, CUT_SIZE, CUT_SIZE, 2)
    inside = (grid.abs() <= 1).all(-1).unsqueeze(1)
    # Samples beyond the border are zero, not interpolated: hence `inside`, on top of the zeros.
    return F.grid_sample(maps, grid, align_corners=True) * inside


def put_back(points: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
    """Map points (N, K, 2) in quarter pixels of a crop to pixels of the network's input."""
    linear, shift = placed[..., :2], placed[..., 2]
    return points @ linear.mT + shift.unsqueeze(1) * (INPUT_SIZE / MAP_SIZE)


def load_face_mesh(device: torch.device) -> FaceMesh:
    """Return the network with its weights, frozen and in eval mode.

    Raises WeightsError if the weights are missing or damaged.
    """
    source = FACE_MESH.source
    tensors = load_safetensors(source.path(), source.sha256)
    with torch.device("meta"):  # skip the initialisation of weights that would be discarded
        network = FaceMesh()
    # Stored as float16 and int32.
    wide = {n: t.float() if t.is_floating_point() else t.long() for n, t in tensors.items()}
    network.load_state_dict(wide, assign=True)
    network = network.to(memory_format=torch.channels_last)
    return network.to(device).eval().requires_grad_(False)


def _blocks(blocks: Sequence[tuple[int, int, int]]) -> nn.Sequential:
    return nn.Sequential(*(Block(*block) for block in blocks))


def _tail() -> nn.Sequential:
    return nn.Sequential(Dense(128, TAIL, 1), Block(TAIL, TAIL, 1))


def _padded(x: torch.Tensor) -> torch.Tensor:
    """Apply TensorFlow's "same" padding of an even size for a 3x3 convolution of stride 2."""
    return F.pad(x, (0, 1, 0, 1))


def rotation(angle: torch.Tensor) -> torch.Tensor:
    """Return rotation matrices (N, 2, 2) for angles (N,)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).view(-1, 2, 2)
