"""Faces drawn by formula: what reference values of other runtimes were made with."""

from __future__ import annotations

import numpy as np
import torch


def drawn_face(i: int, size: int) -> np.ndarray:
    """A face drawn by formula, float32 (3, size, size) in [0, 1]: oval, eyes, brows, mouth.

    With i = 0 to 5 the mouth bends from sad to glad and the eyes open.
    """
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size

    def blob(cx: float, cy: object, width: float, height: float) -> np.ndarray:
        return np.exp(-(((x - cx) / width) ** 2) - ((y - cy) / height) ** 2)

    eye, brow = 0.02 + 0.01 * i, 0.28 - 0.02 * (i % 3)
    oval = 0.25 + 0.5 * blob(0.5, 0.5, 0.45, 0.6)
    eyes = blob(0.32, 0.4, 0.07, eye) + blob(0.68, 0.4, 0.07, eye)
    brows = blob(0.3, brow, 0.12, 0.02) + blob(0.7, brow, 0.12, 0.02)
    bent = 0.75 - (i - 2.5) * 0.6 * (x - 0.5) ** 2
    mouth = blob(0.5, bent, 0.18, 0.02 + 0.015 * (i % 4))
    texture = 0.04 * np.sin((9 + i) * x + 5 * y)
    grey = oval - 0.3 * eyes - 0.25 * brows - 0.35 * mouth + texture
    tint = 1 + 0.1 * np.sin(3.0 * i + np.arange(3))
    return np.clip(grey * tint[:, None, None], 0, 1).astype(np.float32)


def drawn_faces(size: int) -> torch.Tensor:
    """Six of them, (6, 3, size, size)."""
    return torch.from_numpy(np.stack([drawn_face(i, size) for i in range(6)]))
