"""`mae`, `ms_ssim`, `ms_ssim_small`, `vif`, `gmsd`, `haarpsi`: other libraries, properties, faces.

MS-SSIM is held by its formula in numpy, and all but MAE by piq itself in float64.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import piq
import pytest
import torch
from conftest import affectbench_here, pattern
from photographs import demo_pairs, unit
from run_tables import long_of
from scipy.ndimage import correlate1d

from affectbench.cli.main import main
from affectbench.errors import InputError, MissingExtraError
from affectbench.images.tensors import stack
from affectbench.metrics import METRICS, metric_plugin, similarity
from affectbench.metrics.conventions import needed_side, size_gap
from affectbench.metrics.similarity import MEASURES, SMALL_WEIGHTS, WEIGHTS
from affectbench.types import MetricSettings

NAMES = tuple(MEASURES)
BEST = {"mae": 0.0, "gmsd": 0.0, "ms_ssim": 1.0, "ms_ssim_small": 1.0, "vif": 1.0, "haarpsi": 1.0}
SIDES = {"mae": 1, "ms_ssim": 161, "ms_ssim_small": 81, "vif": 41, "gmsd": 6, "haarpsi": 16}
SETTINGS = MetricSettings("rgb", 8, "celeba")
CPU = torch.device("cpu")

GOLDEN = {
    # bicubic at scale: astronaut at 160x160, grace_hopper at 256x256; made with piq 0.8.0
    4: {
        "mae": (0.0342274307746, 0.0404608437147),
        "ms_ssim": (None, 0.94092),
        "ms_ssim_small": (0.95040, 0.93221),
        "vif": (0.38209, 0.32769),
        "gmsd": (0.11653, 0.12860),
        "haarpsi": (0.77018, 0.70230),
    },
    8: {
        "mae": (0.0586862748727, 0.0673513382633),
        "ms_ssim": (None, 0.80185),
        "ms_ssim_small": (0.82066, 0.77550),
        "vif": (0.20409, 0.15974),
        "gmsd": (0.20753, 0.23431),
        "haarpsi": (0.54358, 0.44187),
    },
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.filterwarnings("ignore", module="torch")


def function(name: str) -> Callable[..., torch.Tensor]:
    return getattr(similarity, name)  # type: ignore[no-any-return]


def test_every_metric_of_the_family_has_a_function_and_expected_values() -> None:
    family = {
        name
        for name in METRICS
        if getattr(metric_plugin(name).build, "place", "") == "affectbench.metrics.similarity:build"
    }
    assert family == set(MEASURES) == set(BEST) == set(SIDES) == set(GOLDEN[4]) == set(GOLDEN[8])


def noisy(hr: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, 1, hr.shape)
    return np.stack([np.clip(hr + s * noise, 0, 255).round().astype(np.uint8) for s in levels])


@pytest.mark.parametrize("scale", [4, 8])
def test_values_of_other_libraries(scale: int) -> None:
    for sr, hr in demo_pairs(scale):
        x, y = unit(sr), unit(hr)
        expected = {
            "mae": np.abs(sr.astype(float) - hr).mean() / 255,
            "gmsd": float(piq.gmsd(x, y)),
            "haarpsi": float(piq.haarpsi(x, y)),
        }
        assert similarity.vif(sr, hr).item() == pytest.approx(float(piq.vif_p(x, y)), abs=1e-9)
        small = tuple(w / sum(SMALL_WEIGHTS) for w in SMALL_WEIGHTS)
        for name, weights in (("ms_ssim", WEIGHTS), ("ms_ssim_small", small)):
            if min(hr.shape[:2]) >= SIDES[name]:
                expected[name] = _ms_ssim(x, y, weights)
        for name, value in expected.items():
            assert function(name)(sr, hr).item() == pytest.approx(value, abs=2e-5), name


def _ms_ssim(x: torch.Tensor, y: torch.Tensor, weights: tuple[float, ...]) -> float:
    """MS-SSIM in float64: whole windows, scales by 2x2 means."""
    offsets = np.arange(-5, 6)
    taps = np.exp(-0.5 * (offsets / 1.5) ** 2)
    taps /= taps.sum()

    def smooth(z: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(z, taps, 0), taps, 1)[5:-5, 5:-5]

    def halved(z: np.ndarray) -> np.ndarray:
        even = z[: z.shape[0] // 2 * 2, : z.shape[1] // 2 * 2]
        return even.reshape(even.shape[0] // 2, 2, -1, 2).mean((1, 3))

    channels = []
    for planes in zip(x[0].numpy(), y[0].numpy(), strict=True):
        a, b = planes
        value = 1.0
        for level, weight in enumerate(weights):
            if level:
                a, b = halved(a), halved(b)
            ma, mb = smooth(a), smooth(b)
            va, vb, c = smooth(a * a) - ma**2, smooth(b * b) - mb**2, smooth(a * b) - ma * mb
            contrast = (2 * c + 0.03**2) / (va + vb + 0.03**2)
            luminance = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
            whole = luminance * contrast if level == len(weights) - 1 else contrast
            value *= max(whole.mean(), 0.0) ** weight
        channels.append(value)
    return float(np.mean(channels))


def _hard(side: int = 96) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs that float32 has no digits for: flat, nearly flat, and pictures on white paper."""
    rng = np.random.default_rng(6)
    flat = np.full((side, side, 3), 255)
    paper = flat.copy()
    paper[20:60, 30:80] = rng.integers(0, 256, (40, 50, 3))
    noise = rng.normal(0, 9, flat.shape) * (paper < 255)
    dark = flat.copy()
    dark[40:50, 40:50] = 0
    one = flat - 55
    one[40, 40] += 1
    odd = rng.integers(0, 256, (2, 87, 93, 3))
    pairs = {
        "constants": (flat - 1, flat),
        "dark constants": (flat - 254, flat - 255),
        "nearly flat": tuple(255 - rng.integers(0, 2, (2, *flat.shape))),
        "on paper": (np.clip(paper + noise, 0, 255), paper),
        "a square": (np.maximum(dark, 12), dark),
        "one pixel": (one, flat - 55),
        "inverted": (255 - paper, paper),
        "flat SR": (flat - 165, paper),
        "odd size": tuple(odd),
        "odd width": tuple(odd[:, :86]),
    }
    return {kind: (sr.astype(np.uint8), hr.astype(np.uint8)) for kind, (sr, hr) in pairs.items()}


def test_where_float32_has_no_digits() -> None:
    weights = torch.tensor(SMALL_WEIGHTS, dtype=torch.float64)
    for kind, (sr, hr) in _hard().items():
        x, y = unit(sr), unit(hr)
        for name, theirs, off in (
            ("ms_ssim_small", partial(piq.multi_scale_ssim, scale_weights=weights), 1e-9),
            ("vif", piq.vif_p, 1e-9),
            ("gmsd", piq.gmsd, 1e-5),
            ("haarpsi", piq.haarpsi, 1e-5),
        ):
            value = function(name)(sr, hr).item()
            assert value == pytest.approx(float(theirs(x, y)), abs=off), (kind, name)
            if name != "vif":  # which is more than 1 where SR has more contrast
                assert 0.0 <= value <= 1.0, (kind, name)


def test_vif_of_a_flat_reference_has_nothing_to_lose() -> None:
    flat = np.full((64, 64, 3), 254, np.uint8)
    assert similarity.vif(flat + 1, flat).item() == 1.0
    assert similarity.ms_ssim_small(*(np.full((90, 90, 3), v, np.uint8) for v in (254, 255))) < 1.0


@pytest.mark.parametrize("scale", GOLDEN)
@pytest.mark.parametrize("name", NAMES)
def test_golden_values(scale: int, name: str) -> None:
    for (sr, hr), expected in zip(demo_pairs(scale), GOLDEN[scale][name], strict=True):
        if expected is not None:
            assert function(name)(sr, hr).item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_identical_images(name: str) -> None:
    side = SIDES[name] + 3
    images = np.stack([pattern(1, side), np.zeros((side, side, 3), np.uint8)])
    assert function(name)(images, images).tolist() == [BEST[name]] * 2


def test_vif_of_flat_and_sharpened_images() -> None:
    hr, flat = pattern(4), np.full((64, 64, 3), 90, np.uint8)
    assert similarity.vif(flat, hr).item() == pytest.approx(0.0, abs=1e-6)
    stronger = np.clip((hr.astype(float) - 128) * 1.3 + 128, 0, 255).astype(np.uint8)
    assert similarity.vif(stronger, hr).item() > 1.05


@pytest.mark.parametrize("name", NAMES)
def test_smallest_image(name: str) -> None:
    side = SIDES[name]
    needed = needed_side(metric_plugin(name).spec, SETTINGS)
    assert needed == side
    assert function(name)(pattern(1, side), pattern(2, side)).isfinite()
    assert size_gap(name, needed, side, side) == ""
    if side == 1:
        return
    small = pattern(1, side)[:, 1:]
    with pytest.raises(InputError, match=f"{name} needs images of at least {side}x{side} pixels"):
        function(name)(small, small)
    assert f"these are {side - 1}x{side}" in size_gap(name, needed, side, side - 1)


@pytest.mark.parametrize("name", NAMES)
def test_plugins_score_uint8_batches(name: str) -> None:
    hr = np.stack([pattern(i, max(SIDES[name], 32)) for i in range(3)])
    sr = np.stack([noisy(one, (9,))[0] for one in hr])
    plugin = metric_plugin(name)
    metric = plugin.build(SETTINGS, None, CPU)
    x, y = stack(list(sr)), stack(list(hr))
    columns = metric.score(x, y, metric.reference(y))
    assert list(columns) == [name]
    assert columns[name].dtype == np.float64
    assert columns[name].tolist() == function(name)(sr, hr).tolist()


def test_large_batches_are_worked_on_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    hr = np.stack([pattern(i, 48) for i in range(5)])
    sr = hr[::-1].copy()
    whole = similarity.vif(sr, hr)
    plugin = metric_plugin("vif")
    seen = []
    from affectbench.metrics.base import pair_values

    def counted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return MEASURES["vif"](x, y)

    x, y = stack(list(sr)), stack(list(hr))
    values = pair_values(plugin.spec, counted, x, y, chunk_values=2 * 48 * 48 * 3)
    assert seen == [2, 2, 1]
    torch.testing.assert_close(values.double(), whole, rtol=0, atol=1e-6)


def test_identities_say_what_decides_the_numbers() -> None:
    assert metric_plugin("mae").identify(SETTINGS) == {}
    assert metric_plugin("gmsd").identify(SETTINGS) == {"package": f"piq {piq.__version__}"}
    five = metric_plugin("ms_ssim").identify(SETTINGS)
    four = metric_plugin("ms_ssim_small").identify(SETTINGS)
    assert metric_plugin("vif").identify(SETTINGS) == {}
    assert five["scale_weights"] == list(WEIGHTS)
    assert four["scale_weights"] == list(SMALL_WEIGHTS)


@pytest.mark.parametrize("absent", ["piq", "torchvision"])
def test_without_piq(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == absent else found(n))
    for name in set(NAMES) - {"gmsd", "haarpsi"}:
        metric_plugin(name).require()
    for name in ("gmsd", "haarpsi"):
        with pytest.raises(MissingExtraError, match=r"affectbench\[metrics\]"):
            metric_plugin(name).require()
    with pytest.raises(MissingExtraError):
        similarity.gmsd(pattern(1), pattern(1))


def test_a_protocol_that_is_too_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "--models", "bicubic", "--metrics", "ms_ssim", "--out", str(tmp_path)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "ms_ssim needs images of at least 161x161 pixels, and these are 128x128" in error
    assert "--hr-size 161 or more" in error


def test_compare_with_all_of_them(tmp_path: Path) -> None:
    names = ",".join(name for name in NAMES if name != "ms_ssim")
    done = affectbench_here("compare", "--models", "bicubic", "--metrics", names, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    for name in names.split(","):
        assert len(long_of(tmp_path, name)) == 2
