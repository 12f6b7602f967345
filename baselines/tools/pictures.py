"""Draw LR, bicubic, AffectSRNet and HR of the bundled faces: `python -m tools.pictures --out DIR`.

Both faces are in the public domain. Writes `affectsrnet-x8.png`, and `affectsrnet-x4.png` where
there are weights at x4.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from affectbench_baselines.plugins import trained
from numpy.typing import NDArray
from PIL import Image

from affectbench.adapters import load_model
from affectbench.datasets import load_dataset
from affectbench.images.resizing import resize
from affectbench.images.tensors import quantise, stack, unit_range
from affectbench.types import Model

SIZE, GAP, ENLARGED = 128, 4, 2
MODEL = "affectsrnet"


def columns(hr: list[NDArray[np.uint8]], scale: int) -> list[list[NDArray[np.uint8]]]:
    """Return the pictures column by column: LR, bicubic, SR, HR, all of HR's size."""
    low = SIZE // scale
    lr = [resize(face, low, low, "pil-bicubic") for face in hr]
    model = cast(Model, load_model(MODEL, scale))
    with torch.inference_mode():
        found = quantise(model(unit_range(stack(lr)))).permute(0, 2, 3, 1).numpy()
    return [
        [face.repeat(scale, axis=0).repeat(scale, axis=1) for face in lr],
        [resize(face, SIZE, SIZE, "pil-bicubic") for face in lr],
        list(found),
        hr,
    ]


def sheet(pictures: list[list[NDArray[np.uint8]]]) -> Image.Image:
    """Return columns of pictures on white, each pixel shown as a square of `ENLARGED` pixels."""
    step = SIZE + GAP
    canvas = np.full((step * len(pictures[0]) - GAP, step * len(pictures) - GAP, 3), 255, np.uint8)
    for x, column in enumerate(pictures):
        for y, face in enumerate(column):
            canvas[step * y : step * y + SIZE, step * x : step * x + SIZE] = face
    return Image.fromarray(canvas.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one picture for each scale."""
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    faces = load_dataset("demo")
    hr = [np.asarray(resize(faces.read(i), SIZE, SIZE, "pil-bicubic")) for i in faces.ids]
    for scale in trained(MODEL):
        picture = sheet(columns(hr, scale))
        picture.save(options.out / f"{MODEL}-x{scale}.png", optimize=True)


if __name__ == "__main__":
    main()
