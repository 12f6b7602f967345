"""PSNR and SSIM: every convention against scikit-image in float64, and their properties.

The oracle knows nothing of affectbench's tables: it spells each convention out with
scikit-image's own parameters and its own luma.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from affectbench.errors import InputError, UnknownNameError
from affectbench.metrics import list_metrics, metric_plugin
from affectbench.metrics.conventions import CONVENTIONS, find_convention
from affectbench.metrics.fidelity import psnr, ssim
from affectbench.types import MetricSettings

MATLAB = np.array([65.481, 128.553, 24.966]) / 255
YIQ = np.array([0.299, 0.587, 0.114])
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
ORACLES = {
    # name: (what is compared, border at x8, scikit-image's SSIM arguments)
    "rgb": (lambda x: x, 0, GAUSSIAN),
    "mmagic": (lambda x: x, 8, GAUSSIAN),
    "dic": (lambda x: 256 - np.round(16 + x @ MATLAB), 8, GAUSSIAN),
    "sfmnet": (lambda x: np.round(16 + x @ MATLAB), 8, {"win_size": 7}),
    "sparnet": (lambda x: np.floor(16 + x @ MATLAB + 1e-9), 0, GAUSSIAN),
    "basicsr": (lambda x: x, 0, GAUSSIAN),
    "basicsr+border=5": (lambda x: x, 5, GAUSSIAN),
    "basicsr-y": (lambda x: 16 + x @ MATLAB, 0, GAUSSIAN),
    "basicsr-y+border=scale": (lambda x: 16 + x @ MATLAB, 8, GAUSSIAN),
    "yiq": (lambda x: x @ YIQ, 0, GAUSSIAN),
    "skimage": (lambda x: x, 0, {"win_size": 7}),
    "matlab": (lambda x: np.round(16 + x @ MATLAB), 8, GAUSSIAN),
    "matlab+border=0": (lambda x: np.round(16 + x @ MATLAB), 0, GAUSSIAN),
}
LIBRARIES = {"torchmetrics", "piq", "pyiqa", "pyiqa-y"}
"""Held by tests/test_library_conventions.py."""


def _smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    channels = [127 + 90 * np.sin(x / (9 + c) + c) * np.cos(y / (13 - c)) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _formula(height: int, width: int, seed: int) -> np.ndarray:
    """An image from whole numbers alone, the same everywhere."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((x * x * 3 + y * y * 5 + x * y * (seed + 2) + c * 41 + seed * 17) // 16 % 256).astype(
        np.uint8
    )


def _pairs(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    noise = rng.integers(0, 256, (2, 45, 52, 3), dtype=np.uint8)
    smooth = _smooth(45, 52)
    near = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).round().astype(np.uint8)
    flat = np.full((45, 52, 3), 200, np.uint8)
    return {
        "random": (noise[0], noise[1]),
        "smooth": (near, smooth),
        "constant": (flat - 7, flat),
        "half": (np.where(np.arange(52)[:, None] < 26, flat, near), flat),
    }


def _tensor(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)).float() / 255


@pytest.mark.parametrize("name", ORACLES)
def test_values_of_scikit_image(rng, name):
    convert, border, arguments = ORACLES[name]
    for kind, (sr, hr) in _pairs(rng).items():
        cut = slice(border, -border or None)
        x, y = (convert(image.astype(np.float64))[cut, cut] for image in (sr, hr))
        axis = 2 if x.ndim == 3 else None
        expected_psnr = peak_signal_noise_ratio(y, x, data_range=255)
        expected_ssim = structural_similarity(y, x, data_range=255, channel_axis=axis, **arguments)
        assert psnr(sr, hr, name).item() == pytest.approx(expected_psnr, abs=1e-9), kind
        assert ssim(sr, hr, name).item() == pytest.approx(expected_ssim, abs=1e-10), kind


def test_every_convention_has_an_oracle():
    assert set(CONVENTIONS) <= set(ORACLES) | LIBRARIES


@pytest.mark.parametrize("name", ORACLES)
def test_identical_images(rng, name):
    images = rng.integers(0, 256, (3, 32, 40, 3), dtype=np.uint8)
    assert torch.isposinf(psnr(images, images, name)).all()
    assert ssim(images, images, name).tolist() == [1.0] * 3


@pytest.mark.parametrize("name", ORACLES)
def test_symmetry_bounds_and_batches(rng, name):
    sr, hr = rng.integers(0, 256, (2, 9, 64, 48, 3), dtype=np.uint8)
    for metric in (psnr, ssim):
        values = metric(sr, hr, name)
        assert values.dtype == torch.float64
        assert values.shape == (9,)
        torch.testing.assert_close(metric(hr, sr, name), values, rtol=0, atol=1e-13)
        single = torch.cat([metric(a, b, name) for a, b in zip(sr, hr, strict=True)])
        torch.testing.assert_close(single, values, rtol=0, atol=1e-13)
    assert (ssim(sr, hr, name).abs() <= 1).all()
    assert (psnr(sr, hr, name) >= 0).all()
    assert (ssim(255 - hr, hr, name) < 0).all()


@pytest.mark.parametrize("name", ORACLES)
def test_more_noise_is_worse(rng, name):
    hr = _smooth(64, 64)
    noise = rng.normal(0, 1, hr.shape)
    levels = [np.clip(hr + s * noise, 0, 255).round().astype(np.uint8) for s in (2, 5, 12, 30)]
    for metric in (psnr, ssim):
        values = metric(np.stack(levels), np.stack([hr] * 4), name)
        assert (values.diff() < 0).all()


def test_large_batches_are_worked_on_in_chunks(rng):
    sr, hr = rng.integers(0, 256, (2, 3, 200, 160, 3), dtype=np.uint8)  # two chunks
    expected = [
        structural_similarity(h, s, channel_axis=2, **GAUSSIAN) for s, h in zip(sr, hr, strict=True)
    ]
    np.testing.assert_allclose(ssim(sr, hr), expected, atol=1e-10)
    assert psnr(sr, hr)[2] == psnr(sr[2], hr[2])[0]


GOLDEN = {  # made with scikit-image 0.26
    "rgb": (9.052873637093716, 0.19696797394929325),
    "mmagic": (8.718117416830149, 0.1903169018718532),
    "dic": (10.097676286006838, 0.22017438824948604),
    "sfmnet": (10.097676286006838, 0.2140828718146169),
    "sparnet": (10.443144828992033, 0.21367611719926882),
    "basicsr": (9.052873637093716, 0.19696797394929325),
    "basicsr+border=5": (8.834379538673835, 0.19164836466783186),
    "basicsr-y": (10.44193810836421, 0.21377361922242136),
    "basicsr-y+border=scale": (10.097998585468007, 0.20650747306194708),
    "yiq": (9.120016796487475, 0.1965562478717374),
    "skimage": (9.052873637093716, 0.21032365285781673),
    "matlab": (10.097676286006838, 0.206379767171437),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    sr, hr = _formula(48, 56, 1), _formula(48, 56, 2)
    mixed = ((sr.astype(int) + 3 * hr) // 4).astype(np.uint8)
    expected = GOLDEN[name]
    assert psnr(mixed, hr, name).item() == pytest.approx(expected[0], abs=1e-9)
    assert ssim(mixed, hr, name).item() == pytest.approx(expected[1], abs=1e-11)


def test_psnr_of_a_known_error():
    hr = torch.zeros(1, 3, 16, 16)
    expected = 10 * np.log10(255**2 / 10**2)
    assert psnr(hr + 10 / 255, hr).item() == pytest.approx(expected, abs=1e-12)


def test_floats_are_quantised_first(rng):
    sr, hr = rng.random((2, 2, 3, 24, 24))
    rounded = [torch.from_numpy(np.round(x * 255) / 255) for x in (sr, hr)]
    for metric in (psnr, ssim):
        assert torch.equal(metric(torch.from_numpy(sr), torch.from_numpy(hr)), metric(*rounded))


def test_luma_of_black_white_and_colours():
    from affectbench.images.luma import luma

    colours = [[0, 0, 0], [255, 255, 255], [85, 85, 85], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    pixels = torch.tensor(colours, dtype=torch.uint8).T.reshape(1, 3, 1, -1)
    matlab = luma(pixels, "y-matlab", "none").flatten().tolist()
    assert matlab == pytest.approx([16, 235, 89, 81.481, 144.553, 40.966], abs=1e-12)
    truncated = luma(pixels, "y-matlab", "truncated").flatten().tolist()
    assert truncated == [16, 235, 89, 81, 144, 40]
    rounded = luma(pixels, "y-matlab", "rounded").flatten().tolist()
    assert rounded == [16, 235, 89, 81, 145, 41]
    yiq = luma(pixels, "y-yiq", "none").flatten().tolist()
    assert yiq == pytest.approx([0, 255, 85, 76.245, 149.685, 29.07], abs=1e-12)


def test_shapes_are_never_broadcast():
    for left, right in (((2, 3, 32, 32), (1, 3, 32, 32)), ((1, 3, 32, 33), (1, 3, 32, 32))):
        for metric in (psnr, ssim):
            with pytest.raises(InputError, match="must be the same"):
                metric(torch.zeros(left), torch.zeros(right))


@pytest.mark.parametrize(
    ("metric", "name", "side"),
    [(ssim, "rgb", 11), (ssim, "mmagic", 27), (ssim, "sfmnet", 23), (psnr, "mmagic", 17)],
)
def test_smallest_image(metric, name, side):
    assert metric(torch.zeros(1, 3, side, side), torch.ones(1, 3, side, side), name).isfinite()
    small = torch.zeros(1, 3, side, side - 1)
    with pytest.raises(InputError, match=f"at least {side}x{side}"):
        metric(small, small, name)


def test_dic_is_what_its_code_computes(rng):
    """Y rounded to uint8 and multiplied by 255 in uint8, as DIC's `calc_metrics` does it."""
    for kind, (sr, hr) in _pairs(rng).items():
        luma = [np.round(z @ MATLAB + 16).astype(np.uint8)[8:-8, 8:-8] for z in (sr, hr)]
        x, y = ((z * np.uint8(255)).astype(np.float64) for z in luma)
        assert psnr(sr, hr, "dic").item() == pytest.approx(
            20 * np.log10(255 / np.sqrt(np.mean((x - y) ** 2))), abs=1e-9
        ), kind
        expected = structural_similarity(y, x, data_range=255, **GAUSSIAN)
        assert ssim(sr, hr, "dic").item() == pytest.approx(expected, abs=1e-10), kind
        assert psnr(sr, hr, "dic") == psnr(sr, hr, "matlab")
    assert find_convention("dic").our_choice == ()


def test_unknown_conventions_suggest():
    with pytest.raises(UnknownNameError, match="did you mean 'basicsr-y'"):
        find_convention("basicsr_y")
    with pytest.raises(UnknownNameError, match=r"known: rgb, mmagic, dic"):
        find_convention("?")


@pytest.mark.parametrize(
    "name",
    [
        "rgb+border=3",
        "basicsr+luma=rounded",
        "basicsr+border=-1",
        "basicsr+border=x",
        "basicsr+border",
        "basicsr+",
    ],
)
def test_options_that_do_not_fit(name):
    with pytest.raises(InputError, match=r"border|luma|option"):
        find_convention(name)


def test_options_are_part_of_the_name_and_of_the_record():
    assert find_convention("basicsr+border=0") == find_convention("basicsr")
    assert find_convention("basicsr+border=4+border=8").name == "basicsr+border=8"
    record = find_convention("basicsr-y+border=8").as_record()
    assert record["name"] == "basicsr-y+border=8"
    assert record["border"] == 8


def test_borders_and_scales():
    assert [find_convention("mmagic").border_at(s) for s in (2, 4, 8)] == [2, 4, 8]
    assert find_convention("sfmnet").border_at(8) == 8
    assert find_convention("basicsr+border=8").border_at(4) == 8
    images = torch.zeros(1, 3, 64, 64)
    with pytest.raises(InputError, match="says nothing about scale 4"):
        psnr(images, images, "sfmnet", scale=4)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_record_has_every_field_of_the_table(name):
    record = metric_plugin("ssim").identify(MetricSettings(name, 8, "celeba"))
    fields = {
        "name",
        "input",
        "peak",
        "colour",
        "luma_quantisation",
        "border",
        "border_scale",
        "window",
        "size",
        "sigma",
        "covariance",
        "edges",
        "channels",
        "our_choice",
    }
    assert fields <= set(record["convention"])
    assert set(record["convention"]["our_choice"]) <= fields
    assert record["border_pixels"] == (0 if name in LIBRARIES else ORACLES[name][1])


def test_records_of_conventions_differ():
    records = [
        str({**c.as_record(), "name": "", "title": "", "our_choice": []})
        for c in CONVENTIONS.values()
        if c.name != "basicsr"  # which is `rgb` until an option says otherwise
    ]
    assert len(set(records)) == len(records)


def test_plugins_score_uint8_batches(rng):
    sr, hr = (torch.from_numpy(x) for x in rng.integers(0, 256, (2, 4, 3, 32, 32), dtype=np.uint8))
    sr[2] = hr[2]
    settings = MetricSettings("mmagic", 4, "celeba")
    for name, function in (("psnr", psnr), ("ssim", ssim)):
        plugin = metric_plugin(name)
        metric = plugin.build(settings, None, torch.device("cpu"))
        columns = metric.score(sr, hr, metric.reference(hr))
        expected = function(sr / 255, hr / 255, "mmagic", scale=4)
        np.testing.assert_array_equal(columns[name], expected.numpy())
    counts = metric_plugin("psnr").summarise({"psnr": np.array([30.0, np.inf, 20.0, np.inf])})
    assert counts == {"identical": 2}


def test_specs():
    specs = {spec.name: spec for spec in list_metrics()}
    assert (specs["psnr"].direction, specs["psnr"].unit) == ("higher", "dB")
    assert specs["psnr"].range == (0.0, float("inf"))
    assert (specs["ssim"].direction, specs["ssim"].range) == ("higher", (-1.0, 1.0))
    assert {specs[n].aggregate for n in ("psnr", "ssim")} == {"mean"}


def test_unknown_metric_suggests():
    with pytest.raises(UnknownNameError, match="did you mean 'psnr'"):
        metric_plugin("psrn")


def test_listing_metrics_loads_no_torch():
    script = (
        "import sys, affectbench.metrics as m; m.list_metrics(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_list_of_metrics_with_what_they_lack_loads_no_torch():
    script = (
        "import sys; from affectbench.metrics.selection import catalogue; catalogue(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_own_metrics_stand_in_the_catalogue():
    for point in entry_points(group="affectbench.metrics"):
        if point.dist and point.dist.name == "affectbench":
            name = point.name.upper().replace("-", "_")
            assert point.value == f"affectbench.metrics.catalogue:{name}"


@pytest.mark.parametrize("name", ["rgb", "dic", "basicsr-y", "piq", "pyiqa-y"])
@pytest.mark.parametrize("side", [40, 128])
def test_every_form_of_the_images_gives_the_same_digits(rng, name, side):
    sr, hr = rng.integers(0, 256, (2, 2, side, side, 3), dtype=np.uint8)
    levels = [torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in (sr, hr)]
    floats = [x / 255 for x in levels]
    pairs = [
        (sr, hr),
        (sr[:, ::-1][:, ::-1], levels[1]),
        tuple(levels),
        (floats[0].double(), sr.copy() * 0 + hr),
        tuple(x.to(memory_format=torch.channels_last) for x in levels),
        tuple(x.to(memory_format=torch.channels_last) for x in floats),
        (list(floats[0]), list(hr)),
        (floats[0].requires_grad_(), hr),
    ]
    for function in (psnr, ssim):
        expected = function(floats[0], floats[1], name)
        for x, y in pairs:
            assert torch.equal(function(x, y, name), expected)
