"""Locate the 478 face mesh points in images.

`face-mesh/1`: the same rule for every image, reference or super-resolved. There is no face
detector. The network runs twice, each time on a square resized to 192x192 pixels by bilinear
interpolation, with border pixels repeated beyond the image:

1. on the face box of the declared framing (`faces.regions`), enlarged by 1.4 (our choice);
2. on the smallest square around the points of the first pass, rotated so that the outer eye corners
   are level, enlarged by 1.5 (MediaPipe's rule for tracking a face from frame to frame).

A face is found if the network's presence score is at least 0.5 in the second pass (our choice, and
MediaPipe's default). If the first square is k = 2 or more times 192 pixels wide, the image is first
average-pooled by the integer k, since interpolation alone would skip pixels.
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
"""Faces per network batch, so that memory does not grow with the number of faces."""
KEPT = 2
"""Batches whose landmarks are cached: the references and the results under comparison."""


@dataclass(frozen=True)
class Landmarks:
    """Points (N, 478, 2) as x, y relative to the image, and presence (N,) in [0, 1].

    `depth` (N, 478) is in image widths, like MediaPipe's z: smaller is closer to the camera. No
    metric here uses it. Points may lie outside the image. The points of a face that is not found
    are meaningless.
    """

    points: torch.Tensor
    depth: torch.Tensor
    presence: torch.Tensor

    @property
    def found(self) -> torch.Tensor:
        """Whether each face counts as found: bool (N,)."""
        return self.presence >= FOUND


@dataclass(frozen=True)
class _Squares:
    """Squares in image pixels: centre (N, 2), side (N,), and roll in radians (N,)."""

    centre: torch.Tensor
    side: torch.Tensor
    angle: torch.Tensor

    @property
    def linear(self) -> torch.Tensor:
        """Matrix (N, 2, 2) from coordinates in the square, in [-0.5, 0.5], to pixel offsets."""
        return rotation(self.angle) * self.side.view(-1, 1, 1)


class Landmarker:
    """Landmarks of uint8 images of one framing, cached for the last two batches.

    Several metrics ask for the landmarks of the same tensors; the first call computes them, and
    later calls return the cached result.
    """

    def __init__(self, framing: str, device: torch.device) -> None:
        face_box(framing)
        self._framing, self._device = framing, device
        self._network = load_face_mesh(device)
        self._kept: deque[tuple[weakref.ref[torch.Tensor], int, Landmarks]] = deque(maxlen=KEPT)

    def __call__(self, images: torch.Tensor) -> Landmarks:
        """Return landmarks of uint8 images (N, 3, H, W), N >= 1: float32 on the CPU, detached."""
        version = _version(images)
        for tensor, seen, landmarks in self._kept:
            if tensor() is images and seen == version:
                return landmarks
        found = self._find(images)
        self._kept.append((weakref.ref(images), version, found))
        return found

    def _find(self, images: torch.Tensor) -> Landmarks:
        faces = unit_range(images.to(self._device))
        # Autocast is disabled: it would change the score.
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
    """Return the landmarker of a framing and device, shared by all metrics of a run.

    Raises UnknownNameError for a framing, WeightsError if the weights are missing or damaged.
    """
    return Landmarker(framing, device)


def find_landmarks(network: FaceMesh, images: torch.Tensor, framing: str) -> Landmarks:
    """Return landmarks of images (N, 3, H, W) in [0, 1], on the network's device.

    Differentiable with respect to the images; the crop positions are treated as constants.
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
    """Return the landmarks of the faces in the squares, in image pixels."""
    linear, centre = squares.linear, squares.centre
    size = images.new_tensor(images.shape[:-3:-1])
    # Sampling coordinates run from -1 to 1 between borders, both in the square and in the image.
    theta = torch.cat([linear / size.view(2, 1), (2 * centre / size - 1).unsqueeze(-1)], dim=-1)
    faces = F.grid_sample(images, _grid(theta), padding_mode="border", align_corners=False)
    mesh = network(faces.contiguous(memory_format=torch.channels_last))
    places = mesh.points / INPUT_SIZE - 0.5
    depth = mesh.depth * (squares.side.unsqueeze(1) / INPUT_SIZE)
    return Landmarks(places @ linear.mT + centre.unsqueeze(1), depth, mesh.presence)


def _grid(theta: torch.Tensor) -> torch.Tensor:
    """Return the sampling grid (N, 192, 192, 2) of theta (N, 2, 3): `affine_grid` as two sums."""
    places = (torch.arange(INPUT_SIZE, device=theta.device) * 2 + 1) / INPUT_SIZE - 1
    x, y, shift = theta.unsqueeze(1).unbind(-1)  # each (N, 1, 2)
    across = places.view(1, -1, 1) * x
    down = places.view(1, -1, 1) * y + shift
    return across.unsqueeze(1) + down.unsqueeze(2)


def _around(points: torch.Tensor) -> _Squares:
    """Return the squares of the second pass around points (N, 478, 2) in pixels, less irises."""
    across = points[:, RIGHT_OUTER_EYE] - points[:, LEFT_OUTER_EYE]
    angle = torch.atan2(across[:, 1], across[:, 0])
    turn = rotation(angle)
    upright = points[:, :MESH_POINTS] @ turn  # by -angle, since points are row vectors
    low, high = upright.amin(1), upright.amax(1)
    centre = (turn @ ((low + high) / 2).unsqueeze(-1)).squeeze(-1)
    return _Squares(centre, SECOND_LOOK * (high - low).amax(-1), angle)


def _version(images: torch.Tensor) -> int:
    """Return the in-place modification count of a tensor; inference mode keeps none."""
    return -1 if images.is_inference() else images._version
