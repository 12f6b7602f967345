"""Small networks of each family, and an archive of made-up faces to train them with."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from affectbench_baselines.affectsrnet.graph import MIRROR, POINTS
from conftest import pattern
from PIL import Image

BACKBONE = {"features": 8, "growth": 4, "blocks": 1, "scale": 8}
SETTINGS = {
    "rrdbnet": BACKBONE,
    "affectsrnet": {
        **{"features": 8, "growth": 4, "fine": 8, "fine_growth": 4, "full": 4, "scale": 8},
        **{"locate": [1, 1, 1, 1, 1], "restore": [1, 1, 1, 1, 1], "large": [1, 1]},
        **{"hidden": 8, "nodes": 8, "embedding": 4, "gcn": 2, "block": 4, "dropout": 0.2},
    },
    "wnet": {"features": 8, "up_features": 6, "blocks": 1, "parsing_blocks": 1, "scale": 8},
    "fadn": {"features": 8, "blocks": 2, "scale": 8},
    "sadn": {
        **{"features": 32, "layers": 1, "groups": 2, "widening": 1, "levels": 2, "kernels": 2},
        **{"fusion": 8, "scale": 8, "smallest": 2.0},
    },
}
PAPER = {
    **{"backbone": {**BACKBONE, "scale": 4}, "node_widths": [4, 128], "map_shape": [8, 4, 4]},
    **{"block": 4, "dropout": 0.2},
}
"""A tiny `affectsrnet` of the config `paper`'s kind."""
LOSSES = {
    "affectsrnet": {"landmarks": 1.0, "edges": 1.0},
    "wnet": {"parsing": 0.1},
    "fadn": {"frequency": 0.1, "sparsity": 0.1},
}


def face_points(rng: np.random.Generator, eyes: float = 0.44) -> np.ndarray:
    """478 points of a symmetric made-up face, in [0.2, 0.8], its eyes that far apart."""
    points = rng.uniform(0.2, 0.48, (POINTS, 2))
    mirrored = points[list(MIRROR)]
    right = np.arange(POINTS) > np.array(MIRROR)
    points[right, 0], points[right, 1] = 1.0 - mirrored[right, 0], mirrored[right, 1]
    points[np.arange(POINTS) == np.array(MIRROR), 0] = 0.5
    points[[33, 263]] = [[0.5 - eyes / 2, 0.4], [0.5 + eyes / 2, 0.4]]
    return points


def write_archive(folder: Path, count: int = 12) -> tuple[Path, Path]:
    """A zip of faces of 128 pixels, half of them loose, and landmarks of all but the last."""
    names = [f"{'loose' if i % 2 else 'tight'}/{i:05}.png" for i in range(count)]
    with zipfile.ZipFile(folder / "faces.zip", "w") as file:
        for i, name in enumerate(names):
            buffer = io.BytesIO()
            Image.fromarray(pattern(i, 128)).save(buffer, "png")
            file.writestr(name, buffer.getvalue())
    rng = np.random.default_rng(3)
    eyes = [0.32 if name.startswith("loose") else 0.44 for name in names[:-1]]
    points = np.stack([face_points(rng, e) for e in eyes]).astype(np.float16)
    np.savez(folder / "landmarks.npz", files=np.array(names[:-1]), landmarks=points)
    return folder / "faces.zip", folder / "landmarks.npz"


def write_config(folder: Path, family: str) -> Path:
    """The tiny config of a family as a file."""
    path = folder / f"{family}.json"
    content = {"network": SETTINGS[family], "loss_weights": LOSSES.get(family, {})}
    path.write_text(json.dumps(content))
    return path
