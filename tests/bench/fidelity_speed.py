"""PSNR + SSIM of 256 pairs of 128x128 RGB against other libraries, through the public functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import made_faces
import numpy as np
import rounds
import torch
from skimage.metrics import structural_similarity

from affectbench.metrics.conventions import find_convention
from affectbench.metrics.fidelity import psnr, psnr_values, ssim, ssim_values

PAIRS = 256
BATCHES = (1, 8, 32, 256)
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
_C1, _C2 = 6.5025, 58.5225


def report(work: Path) -> str:
    """The section of performance.md."""
    folder = made_faces.write_faces(work / "fidelity", PAIRS, files=PAIRS)
    sr, hr = made_faces.read_faces(folder)
    candidates = _candidates(sr, hr)
    doors = _doors(sr, hr, folder)
    reference = np.array([_scikit_image(x, y)[1] for x, y in zip(sr, hr, strict=True)])
    off = float(np.abs(candidates["affectbench"]()[1].numpy() - reference).max())
    if off > 1e-6:
        raise SystemExit(f"affectbench's SSIM is {off:.1e} off float64 scikit-image")
    slow = {name: candidates.pop(name) for name in list(candidates) if "scikit" in name}
    seconds = rounds.medians(candidates)
    seconds |= rounds.medians({"affectbench again": candidates["affectbench"], **slow}, rounds=3)
    ours = seconds["affectbench"]
    del seconds["affectbench again"]
    rows = [
        (name, f"{PAIRS / value:,.0f}", f"{value / ours:.2f}")
        for name, value in sorted(seconds.items(), key=lambda item: item[1])
    ]
    best = min(value for name, value in seconds.items() if name.startswith("piq"))
    return (
        f"## PSNR and SSIM\n\n{PAIRS} pairs of {made_faces.SIDE}x{made_faces.SIDE} RGB uint8, "
        "decoding excluded, nothing cached, convention `rgb`. Largest difference of our SSIM to "
        f"float64 scikit-image on these pairs: {off:.1e}. scikit-image: median of 3 rounds.\n\n"
        + rounds.table(("library", "pairs/s", "time, ours = 1"), rows)
        + f"\n**{best / ours:.1f} times piq at its best batch size.** "
        + _door_table(doors, candidates)
        + "\n"
        "There is no warm figure: both images enter all four maps (sum, difference and their "
        "squares), so nothing of the reference alone could be kept.\n"
    )


def _doors(sr: np.ndarray, hr: np.ndarray, folder: Path) -> dict[str, Callable[[], object]]:
    """The public functions on each form of the images that users have."""
    levels = [torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in (sr, hr)]
    paths = sorted(folder.iterdir())
    forms = {
        "float32 tensors (N, 3, H, W)": [x.float() / 255 for x in levels],
        "uint8 tensors (N, 3, H, W)": levels,
        "uint8 arrays (N, H, W, 3)": [sr, hr],
        "lists of paths": [paths, paths],
    }
    return {name: (lambda pair=pair: (psnr(*pair), ssim(*pair))) for name, pair in forms.items()}


def _door_table(
    doors: dict[str, Callable[[], object]], candidates: dict[str, Callable[[], object]]
) -> str:
    """Each form in turns with the kernels and with piq at its best batch size."""
    kernels, piq = "kernels, uint8 planes", "piq, batch 8"
    turns = {kernels: candidates["affectbench"], piq: candidates[piq], **doors}
    seconds = rounds.medians(turns)
    rows = [
        (
            name,
            f"{1000 * value:.1f}",
            f"{value / seconds[kernels]:.2f}",
            f"{seconds[piq] / value:.2f}",
        )
        for name, value in seconds.items()
    ]
    head = ("through the public functions", "ms", "time, kernels = 1", "times piq")
    return "\n\n" + rounds.table(head, rows)


def _candidates(sr: np.ndarray, hr: np.ndarray) -> dict[str, Callable[[], object]]:
    rules = find_convention("rgb")
    x, y = (torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) for images in (sr, hr))
    found: dict[str, Callable[[], object]] = {
        "affectbench": lambda: (psnr_values(x, y, rules, 0), ssim_values(x, y, rules, 0))
    }
    found |= _piq(x, y) | _torchmetrics(x, y) | _opencv(sr, hr)
    found["scikit-image, float64 loop"] = lambda: [
        _scikit_image(one, other) for one, other in zip(sr, hr, strict=True)
    ]
    return found


def _piq(x: torch.Tensor, y: torch.Tensor) -> dict[str, Callable[[], object]]:
    try:
        import piq
    except ImportError:
        raise SystemExit("the bench needs piq: pip install --no-deps piq") from None

    def run(batch: int) -> None:
        for one, other in zip(torch.split(x, batch), torch.split(y, batch), strict=True):
            a, b = one.float() / 255, other.float() / 255
            piq.psnr(a, b, reduction="none")
            piq.ssim(a, b, downsample=False, reduction="none")

    return {f"piq, batch {batch}": lambda batch=batch: run(batch) for batch in BATCHES}


def _torchmetrics(x: torch.Tensor, y: torch.Tensor) -> dict[str, Callable[[], object]]:
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    def run() -> None:
        for one, other in zip(torch.split(x, 8), torch.split(y, 8), strict=True):
            a, b = one.float() / 255, other.float() / 255
            peak_signal_noise_ratio(a, b, data_range=1.0, reduction="none", dim=(1, 2, 3))
            structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")

    return {"torchmetrics, batch 8": run}


def _opencv(sr: np.ndarray, hr: np.ndarray) -> dict[str, Callable[[], object]]:
    try:
        import cv2
    except ImportError:
        print("OpenCV is not installed: left out (pip install opencv-python-headless)")
        return {}
    kernel = cv2.getGaussianKernel(11, 1.5).astype(np.float32)

    def means(image: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(image, cv2.CV_32F, kernel, kernel)[5:-5, 5:-5]

    def one(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        x, y = a.astype(np.float32), b.astype(np.float32)
        mx, my = means(x), means(y)
        mxx, myy, mxy = mx * mx, my * my, mx * my
        vx, vy, cov = means(x * x) - mxx, means(y * y) - myy, means(x * y) - mxy
        values = (2 * mxy + _C1) * (2 * cov + _C2) / ((mxx + myy + _C1) * (vx + vy + _C2))
        return 10 * np.log10(255**2 / np.mean((x - y) ** 2)), float(values.mean())

    def run(threads: int) -> None:
        cv2.setNumThreads(threads)
        for a, b in zip(sr, hr, strict=True):
            one(a, b)

    return {
        f"OpenCV, float32 loop, {threads} thread{'s' * (threads > 1)}": (
            lambda threads=threads: run(threads)
        )
        for threads in (1, 2)
    }


def _scikit_image(sr: np.ndarray, hr: np.ndarray) -> tuple[float, float]:
    x, y = sr.astype(np.float64), hr.astype(np.float64)
    psnr = 10 * np.log10(255**2 / np.mean((x - y) ** 2))
    return psnr, structural_similarity(y, x, data_range=255, channel_axis=2, **GAUSSIAN)
