"""Faces for benchmarks: crops of the two demo faces, so that nothing has to be downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from affectbench.datasets import load_dataset

SIDE = 128


def write_faces(folder: Path, count: int, files: int = 128) -> Path:
    """`count` PNG faces of 128x128 pixels; from `files` on, links to the first ones."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    dataset = load_dataset("demo")
    whole = [Image.fromarray(dataset.read(name)) for name in dataset.ids]
    for number in range(count):
        path = folder / f"{number:06d}.png"
        if number >= files:
            path.symlink_to(folder / f"{number % files:06d}.png")
            continue
        face = whole[number % len(whole)]
        side = int(rng.integers(face.width * 3 // 4, face.width))
        left, top = (int(rng.integers(0, size - side + 1)) for size in face.size)
        box = (left, top, left + side, top + side)
        face.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box).save(path)
    return folder


def read_faces(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """SR (bicubic at x8) and HR of a folder, uint8 (N, 128, 128, 3)."""
    faces = [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
    small = [face.resize((SIDE // 8, SIDE // 8), Image.Resampling.BICUBIC) for face in faces]
    large = [face.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for face in small]
    return np.stack([np.asarray(f) for f in large]), np.stack([np.asarray(f) for f in faces])
