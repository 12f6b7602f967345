"""dlib's face recognition network: 128-dimensional descriptors, close for faces of one person.

A residual network with 29 convolutions and 5.6 million parameters, trained by Davis King (2017) and
published for the browser by face-api. Network only; for weights, licence and training data see
`weights/NOTICE.md`.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench.assets.weights import load_safetensors
from affectbench.faces.assets import FACE_RECOGNITION
from affectbench.images.tensors import resized

INPUT_SIZE = 150

BLOCKS = (
    # (input channels, output channels, whether the block halves the size)
    *((32, 32, False),) * 3,
    (32, 64, True),
    *((64, 64, False),) * 3,
    (64, 128, True),
    *((128, 128, False),) * 2,
    (128, 256, True),
    *((256, 256, False),) * 2,
    (256, 256, True),
)
MEAN_RGB = (122.782 / 255.0, 117.001 / 255.0, 104.298 / 255.0)


class FaceDescriptor(nn.Module):
    """A convolution, pooling, 14 residual blocks, global average pooling, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, BLOCKS[0][0], 7, stride=2)
        self.blocks = nn.Sequential(*(Residual(*block) for block in BLOCKS))
        self.head = nn.Linear(BLOCKS[-1][1], 128, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return descriptors (N, 128) of RGB faces (N, 3, H, W) in [0, 1], of any size.

        Faces are resized to 150x150 by `images.tensors.resized`. Descriptors are not normalised:
        the training keeps faces of one person within a distance of 0.6 of each other.
        Differentiable.
        """
        faces = resized(x, INPUT_SIZE) - x.new_tensor(MEAN_RGB).view(1, 3, 1, 1)
        maps = F.max_pool2d(F.relu(self.stem(faces)), kernel_size=3, stride=2)
        maps = cast(torch.Tensor, self.blocks(maps))
        return cast(torch.Tensor, self.head(maps.mean(dim=(2, 3))))


class Residual(nn.Module):
    """Two 3x3 convolutions added to the input, which is average-pooled if the block halves it."""

    def __init__(self, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        stride, padding = (2, 0) if halves else (1, 1)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, before, H, W) to (N, after, H, W), or to (N, after, H // 2, W // 2)."""
        change = self.conv2(F.relu(self.conv1(x)))
        if self.halves:
            x = F.avg_pool2d(x, 2)
            # An unpadded convolution of an even size yields one row and column less.
            short = x.shape[-1] - change.shape[-1]
            change = F.pad(change, (0, short, 0, short))
            x = F.pad(x, (0, 0, 0, 0, 0, change.shape[1] - x.shape[1]))
        return F.relu(x + change)


def load_face_descriptor(device: torch.device) -> FaceDescriptor:
    """Return the network with its weights, frozen and in eval mode.

    Raises WeightsError if the weights are missing or damaged.
    """
    source = FACE_RECOGNITION.source
    tensors = load_safetensors(source.path(), source.sha256)
    with torch.device("meta"):  # skip the initialisation of weights that would be discarded
        network = FaceDescriptor()
    network.load_state_dict(_folded(tensors), assign=True)
    network = network.to(memory_format=torch.channels_last)  # 25 % faster on a CPU
    return network.to(device).eval().requires_grad_(False)


def _folded(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the plain network's tensors, with each convolution's gain and offset folded in.

    They are stored separately (`NAME.conv`, then `NAME.gain`), since their 8-bit scales differ.
    """
    plain = {"head.weight": stored["head.weight"]}
    for key in stored:
        name, _, part = key.rpartition(".conv.")
        if part == "weight":
            weight, bias = stored[f"{name}.conv.weight"], stored[f"{name}.conv.bias"]
            gain, offset = stored[f"{name}.gain.weight"], stored[f"{name}.gain.bias"]
            plain[f"{name}.weight"] = weight * gain.view(-1, 1, 1, 1)
            plain[f"{name}.bias"] = bias * gain + offset
    return plain
