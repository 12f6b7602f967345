"""SSIM in float32: within 1e-6 of scikit-image in float64, where rounding hurts most, too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from affectbench.datasets import load_dataset
from affectbench.metrics import fidelity
from affectbench.metrics.conventions import CONVENTIONS, Convention, find_convention
from affectbench.metrics.fidelity import (
    mean_ssim,
    mean_ssim_float32,
    psnr_values,
    ssim,
    ssim_values,
    window_taps,
)
from affectbench.metrics.ssim_float32 import LONGEST, ssim_of_planes

SIDE = 128
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
WINDOWS = [
    Convention("gaussian", ""),
    Convention("narrow", "", size=7, sigma=1.0),
    Convention("wide", "", size=LONGEST, sigma=2.5),
    Convention("uniform", "", window="uniform", size=7, sigma=0.0, covariance="n-1"),
    Convention("even", "", window="uniform", size=8, sigma=0.0),
]


def _noisy(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    return image + rng.normal(0, deviation, image.shape)


def _pairs(rng: np.random.Generator, side: int = SIDE) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of images (side, side, 3), by what is hard about them."""
    y, x = np.mgrid[0:side, 0:side]
    three = np.ones(3)
    bright = np.full((side, side, 3), 250.0)
    board = ((x + y) % 2 * 255)[..., None] * three
    tiles = ((x // 8 + y // 8) % 2 * 255)[..., None] * three
    halves = np.where(x < side // 2, 10, 245)[..., None] * three
    one = bright.copy()
    one[side // 2, side // 2] -= 1
    pairs = {
        "flat": (bright, bright - 150),
        "flat, one grey level apart": (bright, bright - 1),
        "one pixel": (one, bright),
        "near-flat bright": (bright - rng.integers(0, 2, bright.shape), bright),
        "near-flat white": tuple(255 - rng.integers(0, 2, (2, *bright.shape))),
        "board": (board, 255 - board),
        "board on flat": (board, np.full_like(board, 128.0)),
        "tiles, one grey level": (tiles, np.abs(tiles - rng.integers(0, 2, tiles.shape))),
        "noise": tuple(rng.integers(0, 256, (2, *bright.shape))),
    }
    for deviation in (2, 5, 8, 12):
        pairs[f"halves {deviation}"] = tuple(_noisy(halves, deviation, rng) for _ in range(2))
        pairs[f"half noise {deviation}"] = (_noisy(halves, deviation, rng), halves)
        pairs[f"bright noise {deviation}"] = tuple(_noisy(bright, deviation, rng) for _ in range(2))
    for name in load_dataset("demo").ids:
        face = Image.fromarray(load_dataset("demo").read(name)).resize((side, side))
        low = face.resize((side // 8, side // 8), Image.Resampling.BICUBIC)
        pairs[name] = (np.asarray(low.resize((side, side), Image.Resampling.BICUBIC)), face)
    return {name: tuple(map(_levels, pair)) for name, pair in pairs.items()}


def _levels(image: np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(image, dtype=np.float64), 0, 255).round().astype(np.uint8)


def _tensors(pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    sr, hr = (
        np.stack(images).transpose(0, 3, 1, 2).copy()
        for images in zip(*pairs.values(), strict=True)
    )
    return torch.from_numpy(sr), torch.from_numpy(hr)


def _float64(sr: torch.Tensor, hr: torch.Tensor, rules: Convention, border: int) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "FLOAT32_WINDOWS", 1 << 60)
        return ssim_values(sr, hr, rules, border)


def test_values_of_scikit_image(rng):
    for kind, (sr, hr) in _pairs(rng).items():
        expected = structural_similarity(
            hr.astype(np.float64), sr.astype(np.float64), data_range=255, channel_axis=2, **GAUSSIAN
        )
        assert ssim(sr, hr).item() == pytest.approx(expected, abs=1e-6), kind


def _of_float32(rules: Convention) -> bool:
    return (rules.edges, rules.shrink, rules.negative) in fidelity.FLOAT32_FORMS


@pytest.mark.parametrize("name", [n for n, c in CONVENTIONS.items() if _of_float32(c)])
def test_every_convention_is_within_a_millionth_of_float64(rng, name):
    rules = find_convention(name)
    border = rules.border_at(8)
    pairs = _pairs(rng)
    sr, hr = _tensors(pairs)
    found, expected = ssim_values(sr, hr, rules, border), _float64(sr, hr, rules, border)
    assert not torch.equal(found, expected), "float64 was used"
    off = (found - expected).abs()
    assert off.max() < 1e-6, list(pairs)[int(off.argmax())]


@pytest.mark.parametrize("rules", WINDOWS, ids=lambda rules: rules.name)
@pytest.mark.parametrize("size", [(128, 128), (117, 131), (150, 104)])
def test_windows_and_sizes(rng, rules, size):
    sr, hr = _tensors(_pairs(rng, 150))
    sr, hr = (images[..., : size[0], : size[1]].contiguous() for images in (sr, hr))
    found, expected = mean_ssim_float32(sr, hr, rules), mean_ssim(sr, hr, rules)
    assert (found - expected).abs().max() < 1e-6


def test_fractional_luma(rng):
    """Values that are no whole numbers: nothing is exact, and the limit still holds."""
    sr, hr = _tensors(_pairs(rng))
    for rules in WINDOWS:
        luma = replace(rules, colour="y-matlab", channels="luma")
        found, expected = ssim_values(sr, hr, luma, 0), _float64(sr, hr, luma, 0)
        assert (found - expected).abs().max() < 1e-6, rules.name


def test_identical_images_have_exactly_1(rng):
    sr, _ = _tensors(_pairs(rng))
    for rules in WINDOWS:
        assert mean_ssim_float32(sr, sr, rules).tolist() == [1.0] * len(sr), rules.name


def test_nothing_is_over_1_and_one_pixel_counts(rng):
    pairs = _pairs(rng)
    sr, hr = _tensors(pairs)
    values = dict(zip(pairs, ssim_values(sr, hr, find_convention("rgb"), 0).tolist(), strict=True))
    assert max(values.values()) <= 1.0
    assert values["one pixel"] < 1.0


def test_an_image_has_one_value_whatever_its_batch(rng):
    """Bit for bit: a run is repeated in the same batches, a user's call is not."""
    sr, hr = _tensors(_pairs(rng))
    rules = find_convention("rgb")
    whole = ssim_values(sr, hr, rules, 0)
    for size in (1, 2, 5):
        pieces = zip(sr.split(size), hr.split(size), strict=True)
        assert torch.equal(torch.cat([ssim_values(x, y, rules, 0) for x, y in pieces]), whole)
    assert torch.equal(ssim_values(hr, sr, rules, 0), whole)


def test_mixed_precision_of_the_caller_changes_nothing(rng):
    sr, hr = _tensors(_pairs(rng))
    rules = find_convention("rgb")
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        mixed = ssim_values(sr, hr, rules, 0)
    assert torch.equal(mixed, ssim_values(sr, hr, rules, 0))


def test_small_images_are_computed_in_float64(rng):
    sr, hr = _tensors(_pairs(rng))
    sr, hr = sr[..., :96, :96], hr[..., :96, :96]
    rules = find_convention("rgb")
    assert torch.equal(ssim_values(sr, hr, rules, 0), _float64(sr, hr, rules, 0))


def test_large_uniform_windows_are_computed_in_float64(rng):
    sr, hr = _tensors(_pairs(rng))
    large = Convention("large", "", window="uniform", size=11, sigma=0.0)
    assert torch.equal(ssim_values(sr, hr, large, 0), _float64(sr, hr, large, 0))


def test_planes_are_never_mixed_up(rng):
    x, y = torch.from_numpy(rng.integers(0, 256, (2, 30, 128, 120), dtype=np.uint8))
    taps = tuple(window_taps(find_convention("rgb")))
    found = ssim_of_planes(x, y, taps, (6.5025, 58.5225), 1.0)
    single = [
        ssim_of_planes(a[None], b[None], taps, (6.5025, 58.5225), 1.0)
        for a, b in zip(x, y, strict=True)
    ]
    assert torch.equal(found, torch.cat(single))


@pytest.mark.parametrize("width", [128, 300, 600])
def test_psnr_is_exact(rng, width):
    """The largest possible errors in every pixel: float32 would round their sum."""
    hr = torch.from_numpy(rng.integers(0, 2, (2, 3, 130, width), dtype=np.uint8))
    sr = 255 - torch.from_numpy(rng.integers(0, 2, (2, 3, 130, width), dtype=np.uint8))
    exact = (sr.long() - hr.long()).square().flatten(1).sum(1).double() / (3 * 130 * width)
    expected = 10 * torch.log10(255**2 / exact)
    assert torch.equal(psnr_values(sr, hr, find_convention("rgb"), 0), expected)
