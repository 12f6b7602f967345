"""Make `niqe_basicsr.csv`: what BasicSR 1.4.2's own code says of two photographs.

    tar xzf basicsr-1.4.2.tar.gz   # PyPI's sdist, SHA-256 in affectbench/metrics/weights/NOTICE.md
    PYTHONPATH=tests python tests/reference/make_niqe.py basicsr-1.4.2

`published` is `calculate_niqe(image, 0)` as it is. It works in float32, whose rounding gives flat
areas a sign: there the second decimal may be of rounding alone. `exact` is the same function with
three things in float64: the luma, the half-size image (by BasicSR's own weights), and flat windows,
whose difference from their mean is 0. The modules that `niqe.py` imports but does not need stay
empty.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import scipy.ndimage
from photographs import NAMES, bicubic, photograph

OUT = Path(__file__).with_name("niqe_basicsr.csv")


def load_basicsr(root: Path) -> tuple[Any, Any]:
    """The modules `metrics.niqe` and `utils.matlab_functions`."""
    for name in ("cv2", "basicsr", "basicsr.metrics", "basicsr.utils"):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = []  # type: ignore[attr-defined]
    _stand_in("scipy.ndimage.filters", convolve=scipy.ndimage.convolve)
    registry = type("Registry", (), {"register": lambda _self: lambda function: function})()
    _stand_in("basicsr.utils.registry", METRIC_REGISTRY=registry)
    colours = _load(root, "basicsr.utils.color_util")
    sys.modules["basicsr.utils"].bgr2ycbcr = colours.bgr2ycbcr  # type: ignore[attr-defined]
    resizing = _load(root, "basicsr.utils.matlab_functions")
    _load(root, "basicsr.metrics.metric_util")
    return _load(root, "basicsr.metrics.niqe"), resizing


def _stand_in(name: str, **content: Any) -> None:
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(content)


def _load(root: Path, name: str) -> ModuleType:
    path = root / f"{name.replace('.', '/')}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exact(niqe: Any, resizing: Any, pixels: np.ndarray, numbers: Any) -> float:
    """BasicSR's `niqe` without float32."""

    def convolve(plane: np.ndarray, window: np.ndarray, mode: str) -> np.ndarray:
        means = scipy.ndimage.convolve(plane, window, mode=mode)
        flat = np.abs(means - plane) < 1e-9
        means[flat] = plane[flat]
        return means

    def reduced(plane: np.ndarray, scale: float) -> np.ndarray:
        arguments = (len(plane), math.ceil(len(plane) * scale), scale, "cubic", 4, True)
        weights, indices, before, after = resizing.calculate_weights_indices(*arguments)
        padded = np.concatenate([plane[:before][::-1], plane, plane[::-1][:after]])
        starts, taps = indices[:, 0].int().tolist(), weights.double().numpy()
        return np.stack([w @ padded[s : s + len(w)] for w, s in zip(taps, starts, strict=True)])

    niqe.convolve = convolve
    niqe.imresize = lambda p, scale, antialiasing: reduced(reduced(p, scale).T, scale).T
    y = np.round(16 + (pixels.astype(np.float64) @ [65481, 128553, 24966]) / 255_000)
    parts = (numbers[f"{name}"] for name in ("mu_pris_param", "cov_pris_param", "gaussian_window"))
    return float(niqe.niqe(y, *parts))


def main() -> None:
    """Write the table."""
    root = Path(sys.argv[1])
    niqe, resizing = load_basicsr(root)
    originals = niqe.convolve, niqe.imresize
    with (
        np.load(root / "basicsr" / "metrics" / "niqe_pris_params.npz") as numbers,
        OUT.open("w", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("photograph", "bicubic", "published", "exact"))
        for name in NAMES:
            for scale in (1, 2, 4, 8):
                hr = photograph(name)
                pixels = hr if scale == 1 else bicubic(hr, scale)
                niqe.convolve, niqe.imresize = originals
                published = niqe.calculate_niqe(pixels[..., ::-1].copy(), 0)
                value = exact(niqe, resizing, pixels, numbers)
                table.writerow((name, scale, f"{published:.9f}", f"{value:.12f}"))


if __name__ == "__main__":
    main()
