"""From images to the 478 points of their faces.

`face-mesh/1`, the same rule for every image, reference or super-resolved. There is no face
detector. The network looks twice, each time at a square that is brought to 192x192 pixels by
bilinear interpolation, pixels beyond the image's border being those of the border:

1. at the face box of the declared framing (`faces.regions`), enlarged by 1.4 (our choice);
2. at the smallest square around the points found first, turned so that the outer eye corners are
   level, enlarged by 1.5 (MediaPipe's own rule for a face that it follows from frame to frame).

A face is found if the network's presence is at least 0.5 in the second look (our choice, and
MediaPipe's default). Images of which the first square has k = 2 or more times 192 pixels are
averaged down by the whole number k first, since interpolation alone would skip pixels.
"""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn import functional as F

from affectbench.faces.landmark_points import LEFT_OUTER_EYE, RIGHT_OUTER_EYE
from affectbench.faces.mesh import INPUT_SIZE, MESH_POINTS, FaceMesh, load_face_mesh, rotation
from affectbench.faces.regions import face_box
from affectbench.images.tensors import unit_range

FIRST_LOOK, SECOND_LOOK = 1.4, 1.5
FOUND = 0.5
CHUNK = 16
"""Faces that the network sees at once, so that memory does not grow with the batch."""
KEPT = 2
"""Batches whose landmarks are kept: the references and the results that metrics compare."""


@dataclass(frozen=True)
class Landmarks:
    """Points (N, 478, 2) as x, y in [0, 1] of the image, and presence (N,) in [0, 1].

    `depth` (N, 478) is in widths of the image, as MediaPipe's z: smaller towards the camera. No
    metric here uses it. Points may lie outside of the image. Those of a face that is not found
    mean nothing.
    """

    points: torch.Tensor
    depth: torch.Tensor
    presence: torch.Tensor

    @property
    def found(self) -> torch.Tensor:
        """Which faces count as found: bool (N,)."""
        return self.presence >= FOUND


@dataclass(frozen=True)
class _Squares:
    """Squares of images in pixels: centre (N, 2), side (N,), and roll in radians (N,)."""

    centre: torch.Tensor
    side: torch.Tensor
    angle: torch.Tensor

    @property
    def linear(self) -> torch.Tensor:
        """From places in the square, in [-0.5, 0.5], to pixels off its centre: (N, 2, 2)."""
        return rotation(self.angle) * self.side.view(-1, 1, 1)


class Landmarker:
    """Landmarks of uint8 images of one framing. Those of the last two batches are kept.

    A metric asks for the landmarks of the tensors it was given; the next metric is given the same
    tensors, and finds them done.
    """

    def __init__(self, framing: str, device: torch.device) -> None:
        face_box(framing)
        self._framing, self._device = framing, device
        self._network = load_face_mesh(device)
        self._kept: deque[tuple[weakref.ref[torch.Tensor], int, Landmarks]] = deque(maxlen=KEPT)

    def __call__(self, images: torch.Tensor) -> Landmarks:
        """Landmarks of uint8 images (N, 3, H, W), N >= 1: float32 on the CPU, without gradient."""
        version = _version(images)
        for tensor, seen, landmarks in self._kept:
            if tensor() is images and seen == version:
                return landmarks
        found = self._find(images)
        self._kept.append((weakref.ref(images), version, found))
        return found

    def _find(self, images: torch.Tensor) -> Landmarks:
        faces = unit_range(images.to(self._device))
        # A mixed-precision context of the caller is left out of it: it would change the score.
        with torch.no_grad(), torch.autocast(faces.device.type, enabled=False):
            parts = [
                find_landmarks(self._network, chunk, self._framing)
                for chunk in torch.split(faces, CHUNK)
            ]
        return Landmarks(
            torch.cat([part.points for part in parts]).cpu(),
            torch.cat([part.depth for part in parts]).cpu(),
            torch.cat([part.presence for part in parts]).cpu(),
        )


@lru_cache(maxsize=4)
def landmarker(framing: str, device: torch.device) -> Landmarker:
    """The one landmarker of a framing and device, which all metrics of a run share.

    Raises UnknownNameError for a framing, WeightsError if the weights are missing or damaged.
    """
    return Landmarker(framing, device)


def find_landmarks(network: FaceMesh, images: torch.Tensor, framing: str) -> Landmarks:
    """Landmarks of images (N, 3, H, W) in [0, 1], on the network's device.

    Differentiable with respect to the images; where the network looks is taken as given.
    """
    left, top, right, bottom = face_box(framing)
    height, width = images.shape[-2:]
    side = FIRST_LOOK * max((right - left) * width, (bottom - top) * height)
    shrink = int(side // INPUT_SIZE)
    if shrink > 1:
        images = F.adaptive_avg_pool2d(images, (height // shrink, width // shrink))
    size = images.new_tensor(images.shape[:-3:-1])
    centre = images.new_tensor([left + right, top + bottom]) / 2 * size
    side *= float(size[0]) / width
    first = _Squares(
        centre.expand(len(images), 2),
        images.new_full((len(images),), side),
        images.new_zeros(len(images)),
    )
    with torch.no_grad():
        second = _around(_look(network, images, first).points)
    found = _look(network, images, second)
    return Landmarks(found.points / size, found.depth / size[0], found.presence)


def _look(network: FaceMesh, images: torch.Tensor, squares: _Squares) -> Landmarks:
    """Landmarks of the faces in the squares, in pixels of the images."""
    linear, centre = squares.linear, squares.centre
    size = images.new_tensor(images.shape[:-3:-1])
    # Sampling places are in [-1, 1] from border to border, both in the square and in the image.
    theta = torch.cat([linear / size.view(2, 1), (2 * centre / size - 1).unsqueeze(-1)], dim=-1)
    faces = F.grid_sample(images, _grid(theta), padding_mode="border", align_corners=False)
    mesh = network(faces.contiguous(memory_format=torch.channels_last))
    places = mesh.points / INPUT_SIZE - 0.5
    depth = mesh.depth * (squares.side.unsqueeze(1) / INPUT_SIZE)
    return Landmarks(places @ linear.mT + centre.unsqueeze(1), depth, mesh.presence)


def _grid(theta: torch.Tensor) -> torch.Tensor:
    """The sampling places (N, 192, 192, 2) of theta (N, 2, 3): `affine_grid` as two sums."""
    places = (torch.arange(INPUT_SIZE, device=theta.device) * 2 + 1) / INPUT_SIZE - 1
    x, y, shift = theta.unsqueeze(1).unbind(-1)  # each (N, 1, 2)
    across = places.view(1, -1, 1) * x
    down = places.view(1, -1, 1) * y + shift
    return across.unsqueeze(1) + down.unsqueeze(2)


def _around(points: torch.Tensor) -> _Squares:
    """The squares of the second look: (N, 478, 2) in pixels, irises left out."""
    across = points[:, RIGHT_OUTER_EYE] - points[:, LEFT_OUTER_EYE]
    angle = torch.atan2(across[:, 1], across[:, 0])
    turn = rotation(angle)
    upright = points[:, :MESH_POINTS] @ turn  # by -angle, since these are rows
    low, high = upright.amin(1), upright.amax(1)
    centre = (turn @ ((low + high) / 2).unsqueeze(-1)).squeeze(-1)
    return _Squares(centre, SECOND_LOOK * (high - low).amax(-1), angle)


def _version(images: torch.Tensor) -> int:
    """Counts the changes made to a tensor in place; inference mode does not count them."""
    return -1 if images.is_inference() else images._version
