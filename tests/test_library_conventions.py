"""The conventions named after a library give its numbers; pyiqa's by its formulas, without it.

pyiqa must not be installed: its licence forbids commercial use. What it does was read in its source
(`ssim_arch.py`, `psnr_arch.py`, `color_util.py`), and figures that were measured with it hold two
relations here.
"""

from __future__ import annotations

import warnings

import numpy as np
import piq
import pytest
import torch
from conftest import pattern
from photographs import demo_pairs, unit
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from affectbench.metrics.conventions import find_convention
from affectbench.metrics.fidelity import psnr, ssim

Pair = tuple[np.ndarray, np.ndarray]


def pairs() -> list[Pair]:
    """The demo faces at x8; noise; structure that is inverted, so that its SSIM is negative."""
    rng = np.random.default_rng(5)
    first, second = rng.integers(0, 256, (2, 40, 44, 3), dtype=np.uint8)
    half = np.arange(64)[:, None, None] < 20
    turned = np.where(half, 255 - pattern(1), pattern(1)).astype(np.uint8)
    return [*demo_pairs(8), (first, second), (turned, pattern(1))]


def test_torchmetrics() -> None:
    for sr, hr in pairs():
        x, y = unit(sr), unit(hr)
        expected = float(structural_similarity_index_measure(x, y, data_range=1.0))
        assert ssim(sr, hr, "torchmetrics").item() == pytest.approx(expected, abs=1e-9)
        expected = float(peak_signal_noise_ratio(x, y, data_range=1.0))
        assert psnr(sr, hr, "torchmetrics").item() == pytest.approx(expected, abs=2e-5)
        assert abs(ssim(sr, hr, "torchmetrics").item() - ssim(sr, hr).item()) > 1e-4


@pytest.mark.parametrize("side", [100, 256, 384, 400, 512])
def test_piq(side: int) -> None:
    sr, hr = pattern(1, side), pattern(2, side)
    x, y = unit(sr), unit(hr)
    warnings.filterwarnings("ignore")
    expected = float(piq.ssim(x, y, data_range=1.0))
    assert ssim(sr, hr, "piq").item() == pytest.approx(expected, abs=1e-9)
    assert psnr(sr, hr, "piq").item() == pytest.approx(float(piq.psnr(x, y)), abs=1e-9)
    shrinks = side >= 384
    assert (abs(ssim(sr, hr, "piq").item() - ssim(sr, hr).item()) > 1e-4) == shrinks


def test_identical_images_have_80_decibels() -> None:
    image = pattern(3)
    for name in ("piq", "pyiqa", "pyiqa-y"):
        assert psnr(image, image, name).item() == pytest.approx(80.0, abs=1e-12)
        assert ssim(image, image, name).item() == 1.0
    assert psnr(image, image, "piq").item() == pytest.approx(
        float(piq.psnr(unit(image), unit(image))), abs=1e-9
    )
    assert torch.isposinf(psnr(image, image, "torchmetrics")).all()


def test_pyiqa() -> None:
    yiq = np.array([0.299, 0.587, 0.114])
    negative = 0
    for sr, hr in pairs():
        x, y = sr.astype(np.float64), hr.astype(np.float64)
        assert ssim(sr, hr, "pyiqa").item() == pytest.approx(_clipped(x, y), abs=1e-10)
        mse = np.mean((x - y) ** 2) / 255**2
        assert psnr(sr, hr, "pyiqa").item() == pytest.approx(-10 * np.log10(mse + 1e-8), abs=1e-9)
        expected = _clipped(*(np.round(z.astype(float) @ [299, 587, 114] / 1000) for z in (sr, hr)))
        assert ssim(sr, hr, "pyiqa-y").item() == pytest.approx(expected, abs=1e-10)
        # One luma in a thousand lies between two levels; pyiqa's float32 takes either of them.
        single = [
            (unit(z)[0].float().permute(1, 2, 0) @ torch.tensor(yiq).float() * 255).round()
            for z in (sr, hr)
        ]
        assert expected == pytest.approx(_clipped(*(z.double().numpy() for z in single)), abs=1e-4)
        mse = np.mean(((x - y) @ yiq) ** 2) / 255**2
        assert psnr(sr, hr, "pyiqa-y").item() == pytest.approx(-10 * np.log10(mse + 1e-8), abs=1e-9)
        negative += ssim(sr, hr, "pyiqa").item() > ssim(sr, hr).item() + 1e-3
    assert negative  # or nothing was said about the clipping


def _clipped(x: np.ndarray, y: np.ndarray) -> float:
    """The mean of an SSIM map without its negative values, from scikit-image."""
    _, values = structural_similarity(
        x,
        y,
        data_range=255,
        channel_axis=2 if x.ndim == 3 else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(values[5:-5, 5:-5].clip(min=0).mean())


def test_the_two_lumas_are_as_far_apart_as_was_measured() -> None:
    """pyiqa's psnry 17.054 and 20.608 on two faces at x8, where BasicSR's Y has 18.376 and 21.930.

    Those are other crops than our demo faces; the distance is that of the ranges, 219 of 255.
    """
    measured = (18.376 - 17.054, 21.930 - 20.608)
    assert measured == pytest.approx([20 * np.log10(255 / 219)] * 2, abs=1e-3)
    for sr, hr in pairs()[:2]:
        apart = psnr(sr, hr, "basicsr-y").item() - psnr(sr, hr, "pyiqa-y").item()
        assert apart == pytest.approx(measured[0], abs=1e-3)


def test_records_name_what_is_unusual_and_keep_old_names() -> None:
    record = find_convention("pyiqa-y").as_record()
    assert (record["ssim_luma"], record["negative"], record["mse_floor"]) == (
        "rounded",
        "zero",
        1e-8,
    )
    assert "shrink" not in record
    assert find_convention("piq").as_record()["shrink"] == "to-256"
    assert find_convention("torchmetrics").as_record()["edges"] == "reflected"
    # Stored cells are named by this record: it must not change.
    assert find_convention("rgb").as_record() == {
        "name": "rgb",
        "title": "all of the image, RGB; our default",
        "colour": "rgb",
        "luma_quantisation": "none",
        "border": 0,
        "border_scale": None,
        "window": "gaussian",
        "size": 11,
        "sigma": 1.5,
        "covariance": "n",
        "edges": "valid",
        "channels": "mean",
        "input": "uint8",
        "peak": 255,
        "our_choice": ["colour", "border", "window", "covariance", "edges", "channels"],
    }
