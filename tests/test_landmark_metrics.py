"""`nme`, `au_proxy`, the regions' PSNR and SSIM, and ECM on `crop/2`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run_tables import long_of, short_of
from skimage.metrics import structural_similarity
from torch.nn import functional as F

from affectbench import compare, load_dataset, load_judge
from affectbench.cli.main import main
from affectbench.errors import InputError, UnknownNameError
from affectbench.faces.landmark_points import IBUG_68, REGIONS
from affectbench.faces.landmarks import Landmarker, Landmarks, landmarker
from affectbench.faces.oval_crop import cut_square, oval_squares
from affectbench.images.resizing import enlarge, resize
from affectbench.images.tensors import stack
from affectbench.judges import judge_spec
from affectbench.metrics import fidelity, metric_plugin
from affectbench.metrics.base import OnReferenceFaces
from affectbench.metrics.conventions import CONVENTIONS, find_convention
from affectbench.metrics.ecm import EcmMetric
from affectbench.metrics.fidelity import mean_ssim, psnr_values, ssim_values
from affectbench.metrics.landmarks import au_columns, nme_columns
from affectbench.results.columns import scorer_of
from affectbench.results.runs import load_run
from affectbench.run.again import run_again
from affectbench.types import Columns, ImageMetric, MetricSettings, content_id

CPU = torch.device("cpu")
SETTINGS = MetricSettings(convention="rgb", scale=8, framing="celeba")
OURS = ("nme", "au_proxy", "psnr_eyes", "psnr_mouth", "ssim_eyes", "ssim_mouth")
GOLDEN = {
    # bicubic at scale: values of astronaut and grace_hopper at 128x128
    2: {
        "nme": (0.012438, 0.012456),
        "au_proxy": (0.011229, 0.009953),
        "psnr_eyes": (25.180805, 22.661659),
        "psnr_mouth": (25.830669, 24.708076),
        "ssim_eyes": (0.915709, 0.827618),
        "ssim_mouth": (0.874388, 0.900159),
    },
    4: {
        "nme": (0.036037, 0.028696),
        "au_proxy": (0.042990, 0.012538),
        "psnr_eyes": (19.361872, 18.197617),
        "psnr_mouth": (19.365455, 17.837462),
        "ssim_eyes": (0.661811, 0.528915),
        "ssim_mouth": (0.438694, 0.447431),
    },
    8: {
        "nme": (0.240828, 0.092739),
        "au_proxy": (0.112824, 0.025377),
        "psnr_eyes": (15.120592, 15.752532),
        "psnr_mouth": (17.748569, 15.302678),
        "ssim_eyes": (0.246326, 0.257896),
        "ssim_mouth": (0.298923, 0.031703),
    },
}


def demo_faces() -> list[np.ndarray]:
    dataset = load_dataset("demo")
    return [resize(dataset.read(i), 128, 128, "pil-bicubic") for i in dataset.ids]


def hr_faces() -> torch.Tensor:
    return stack(demo_faces())


def bicubic(scale: int) -> torch.Tensor:
    side = 128 // scale
    small = [resize(face, side, side, "pil-bicubic") for face in demo_faces()]
    return stack([enlarge(face, 128, 128, "bicubic") for face in small])


def built(name: str) -> ImageMetric:
    return metric_plugin(name).build(SETTINGS, None, CPU)


def scored(name: str, sr: torch.Tensor, hr: torch.Tensor) -> Columns:
    metric = built(name)
    return metric.score(sr, hr, metric.reference(hr))


def noise(rng: np.random.Generator, n: int = 2) -> torch.Tensor:
    return torch.from_numpy(rng.integers(0, 256, (n, 3, 128, 128), dtype=np.uint8))


# The formulas


def test_nme_by_hand(rng: np.random.Generator) -> None:
    sr, hr = rng.random((2, 3, 478, 2)) * 100
    found = nme_columns(torch.from_numpy(sr), torch.from_numpy(hr))
    for i in range(3):
        eyes = np.hypot(*(hr[i, 33] - hr[i, 263]))
        error = np.hypot(*(sr[i] - hr[i]).T) / eyes
        parts = {"nme_68": list(IBUG_68), **{f"nme_{k}": list(v) for k, v in REGIONS.items()}}
        for name, points in {"nme": slice(None), **parts}.items():
            assert float(found[name][i]) == pytest.approx(error[points].mean(), abs=1e-12)


def test_au_proxy_by_hand() -> None:
    hr = torch.zeros(1, 478, 2, dtype=torch.float64)
    hr[:, 263] = torch.tensor([100.0, 0.0])
    sr = hr.clone()
    sr[:, 13, 1] -= 3  # lips 10 apart, where they were closed
    sr[:, 14, 1] += 7
    sr[:, 291, 0] += 20  # a corner of the mouth 20 away
    sr[:, [70, 63, 105, 66, 107], 1] -= 8  # the left brow 8 above the eye, the right one as it was
    sr[:, 374, 1] += 4  # the right lids 4 apart
    found = {name: float(values[0]) for name, values in au_columns(sr, hr).items()}
    assert found == pytest.approx(
        {
            "au_proxy": (0.10 + 0.20 + 0.04 + 0.02) / 4,
            "mouth_opening": 0.10,
            "mouth_width": 0.20,
            # The right brow, at 0, lies 50 from the middle of the corners 0 and 100 either way.
            "brow_raise": 0.04,
            "eye_opening": 0.02,
        }
    )


@pytest.mark.parametrize("columns", [nme_columns, au_columns])
def test_unit_is_the_references(columns: Any, rng: np.random.Generator) -> None:
    sr, hr = (torch.from_numpy(points) for points in rng.random((2, 4, 478, 2)))
    for name, values in columns(sr * 3, hr * 3).items():
        torch.testing.assert_close(values, columns(sr, hr)[name])
    shift = torch.tensor([5.0, -2.0], dtype=torch.float64)
    for name, values in columns(hr + shift, hr).items():
        eyes = (hr[:, 33] - hr[:, 263]).norm(dim=1)
        expected = shift.norm() / eyes if "nme" in name else torch.zeros_like(eyes)
        torch.testing.assert_close(values, expected)


# The metrics


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_golden(name: str, scale: int) -> None:
    values = scored(name, bicubic(scale), hr_faces())[name]
    np.testing.assert_allclose(values, GOLDEN[scale][name], atol=2e-3 if "psnr" in name else 2e-4)


def test_nme_of_a_shift() -> None:
    hr = hr_faces()
    sr = hr[..., (torch.arange(128) - 4).clamp(0, 127)]
    points = landmarker("celeba", CPU)(hr).points
    eyes = 128 * (points[:, 33] - points[:, 263]).norm(dim=1)
    np.testing.assert_allclose(scored("nme", sr, hr)["nme"], 4 / eyes, rtol=0.15)
    assert (scored("au_proxy", sr, hr)["au_proxy"] < 0.01).all()


def test_the_mouth_is_told_from_the_eyes() -> None:
    hr = hr_faces()
    sr = hr.clone()
    mouth = metric_plugin("psnr_mouth").build(SETTINGS, None, CPU).reference(hr)
    sr.masked_fill_(mouth.unsqueeze(1), 90)
    assert np.isposinf(scored("psnr_eyes", sr, hr)["psnr_eyes"]).all()
    assert (scored("psnr_mouth", sr, hr)["psnr_mouth"] < 30).all()
    assert (scored("ssim_mouth", sr, hr)["ssim_mouth"] < 0.6).all()
    columns = scored("nme", sr, hr)
    assert (columns["nme_mouth"] > 2 * columns["nme_eyes"]).all()


# Faces that are not found


def test_a_face_that_is_lost_has_no_value(rng: np.random.Generator) -> None:
    hr, lost = hr_faces(), noise(rng)
    sr = torch.stack([hr[0], lost[1]])
    for name in ("nme", "au_proxy"):
        columns = scored(name, sr, hr)
        assert np.isnan(columns[name]).tolist() == [False, True]
        assert columns["found_sr"].tolist() == [True, False]
        assert columns["found_hr"].tolist() == [True, True]
        summary = metric_plugin(name).summarise(columns)
        assert summary[f"{name}_failure_rate"] == 0.5
        assert summary[f"{name}_no_reference"] == 0.0
        parts = [key for key in summary if key in columns]
        assert len(parts) == {"nme": 6, "au_proxy": 4}[name]
        assert all(summary[part] == columns[part][0] for part in parts)


def test_a_reference_that_is_not_found(rng: np.random.Generator) -> None:
    hr = torch.stack([noise(rng)[0], hr_faces()[1]])
    for name in OURS:
        columns = scored(name, hr_faces(), hr)
        assert np.isnan(columns[name]).tolist() == [True, False]
    for name in ("nme", "au_proxy"):
        summary = metric_plugin(name).summarise(scored(name, hr_faces(), hr))
        assert summary[f"{name}_no_reference"] == 1.0
        assert summary[f"{name}_failure_rate"] == 0.5
    nothing = scored("nme", noise(rng), noise(rng))
    assert metric_plugin("nme").summarise(nothing)["nme_failure_rate"] == 1.0
    assert np.isnan(metric_plugin("nme").summarise(nothing)["nme_eyes"])


def test_two_metrics_look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hr, sr = hr_faces(), bicubic(2)
    batches = []
    work = Landmarker._find

    def counting(self: Landmarker, images: torch.Tensor) -> Landmarks:
        batches.append(images)
        return work(self, images)

    monkeypatch.setattr(Landmarker, "_find", counting)
    metrics = [built(name) for name in OURS]
    for metric in metrics:
        metric.score(sr, hr, metric.reference(hr))
    assert [images is hr for images in batches] == [True, False]


# PSNR and SSIM of a region


def large_pair(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(4)
    hr = rng.integers(0, 256, (1, 3, side, side - 5), dtype=np.uint8)
    sr = np.clip(hr + rng.normal(0, 30, hr.shape), 0, 255).astype(np.uint8)
    return torch.from_numpy(sr), torch.from_numpy(hr)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_whole_image_is_a_region(convention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every convention, for alike and unlike images, and for large ones that `piq` shrinks."""
    monkeypatch.setattr(fidelity, "FLOAT32_WINDOWS", 1 << 60)  # regions are in float64
    rules = find_convention(convention)
    border, hr, sr = rules.border_at(8), hr_faces(), bicubic(4)
    for x, y in ((sr, hr), (255 - hr, hr), (hr, hr), large_pair(150), large_pair(400)):
        everything = torch.ones(len(x), *x.shape[-2:], dtype=torch.bool)
        for measure in (psnr_values, ssim_values):
            whole = measure(x, y, rules, border)
            assert torch.equal(measure(x, y, rules, border, everything), whole)
            assert measure(x, y, rules, border, ~everything).isnan().all()


def test_regions_of_identical_images_by_the_libraries_conventions() -> None:
    hr = hr_faces()
    for name in ("piq", "pyiqa", "pyiqa-y"):
        settings = MetricSettings(name, 8, "celeba")
        for region in ("psnr_eyes", "psnr_mouth"):
            metric = metric_plugin(region).build(settings, None, CPU)
            columns = metric.score(hr, hr, metric.reference(hr))
            assert columns[region] == pytest.approx([80.0, 80.0], abs=1e-12)


def test_a_region_is_the_mean_of_the_conventions_own_map() -> None:
    """Clipped, mirrored, of rounded luma: scikit-image's map over a mask says the same."""
    rng = np.random.default_rng(8)
    x, y = rng.integers(0, 256, (2, 60, 70, 3), dtype=np.uint8)
    y[:30] = 255 - x[:30]  # negative values of the map
    mask = np.zeros((60, 70), bool)
    mask[2:40, 1:50] = True

    def found(measure: Any, name: str) -> float:
        rules = find_convention(name)
        values = measure(stack([x]), stack([y]), rules, 0, torch.from_numpy(mask)[None])
        return float(values[0])

    def skimage_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        axis = 2 if a.ndim == 3 else None
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return structural_similarity(a, b, channel_axis=axis, data_range=255, full=True, **options)[
            1
        ]

    a, b = x.astype(float), y.astype(float)
    inner = mask.copy()
    inner[:5] = inner[-5:] = inner[:, :5] = inner[:, -5:] = False
    colour = skimage_map(a, b)
    assert found(ssim_values, "rgb") == pytest.approx(colour[inner].mean(), abs=1e-10)
    assert found(ssim_values, "pyiqa") == pytest.approx(colour[inner].clip(min=0).mean(), abs=1e-10)
    assert found(ssim_values, "pyiqa") > found(ssim_values, "rgb") + 0.05
    padded = [np.pad(z, ((5, 5), (5, 5), (0, 0)), mode="reflect") for z in (a, b)]
    mirrored = skimage_map(*padded)[5:-5, 5:-5]
    assert found(ssim_values, "torchmetrics") == pytest.approx(mirrored[mask].mean(), abs=1e-10)
    luma = [np.round(z @ [299, 587, 114] / 1000) for z in (a, b)]
    expected = skimage_map(*luma)[inner].clip(min=0).mean()
    assert found(ssim_values, "pyiqa-y") == pytest.approx(expected, abs=1e-10)
    error = ((a - b)[mask] ** 2).mean() / 255**2
    expected = -10 * np.log10(error + 1e-8)
    assert found(psnr_values, "piq") == pytest.approx(expected, abs=1e-10)
    error = ((a - b)[mask] @ [0.299, 0.587, 0.114]) ** 2
    expected = -10 * np.log10(error.mean() / 255**2 + 1e-8)  # not rounded for PSNR
    assert found(psnr_values, "pyiqa-y") == pytest.approx(expected, abs=1e-10)


def test_a_region_of_an_image_that_is_averaged_down() -> None:
    """`piq` halves 512 pixels: a pixel belongs to the region if half of its four do."""
    sr, hr = large_pair(517)
    mask = torch.zeros(1, 517, 512, dtype=torch.bool)
    mask[:, 100:201, 100:200] = True  # row 200 holds half of the small image's row 100
    small = torch.zeros(1, 258, 256, dtype=torch.bool)
    small[:, 50:101, 50:100] = True
    half_sr, half_hr = (F.avg_pool2d(z.double(), 2) for z in (sr, hr))
    expected = mean_ssim(half_sr, half_hr, find_convention("rgb"), small)
    found = ssim_values(sr, hr, find_convention("piq"), 0, mask)
    assert float(found) == pytest.approx(float(expected), abs=1e-12)


def test_ssim_of_scikit_image() -> None:
    hr, sr = hr_faces(), bicubic(4)
    mask = built("ssim_eyes").reference(hr)
    found = scored("ssim_eyes", sr, hr)["ssim_eyes"]
    for i in range(2):
        x, y = (image[i].permute(1, 2, 0).numpy() for image in (sr, hr))
        _, values = structural_similarity(
            x,
            y,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        assert found[i] == pytest.approx(values[mask[i].numpy()].mean(), abs=1e-6)


def test_mask_at_the_border() -> None:
    """A mask pixel without a whole window has no SSIM; an empty mask has no value."""
    hr, sr = hr_faces(), bicubic(4)
    rules = find_convention("rgb")
    mask = torch.zeros(2, 128, 128, dtype=torch.bool)
    mask[:, :5] = True
    assert ssim_values(sr, hr, rules, 0, mask).isnan().all()
    assert psnr_values(sr, hr, rules, 0, mask).isfinite().all()
    assert psnr_values(sr, hr, rules, 8, mask).isnan().all()
    mask[:, 5, 60] = True
    assert ssim_values(sr, hr, rules, 0, mask).isfinite().all()
    with pytest.raises(InputError, match="at least 11x11"):
        ssim_values(sr[..., :10], hr[..., :10], rules, 0, mask[..., :10])


# ECM on the reference's own region


def ecm(crop: str) -> MetricSettings:
    return MetricSettings("rgb", 8, "celeba", judge_spec("mini-xception"), crop)


def test_cells_of_crop_1_keep_their_ids() -> None:
    plugin, judge = metric_plugin("ecm"), judge_spec("mini-xception")
    assert MetricSettings("rgb", 8, "celeba", judge) == ecm("crop/1")
    known = {
        "definition": "ecm/1",
        "crop": "crop/1",
        "framing": "celeba",
        "box": [0.155, 0.14, 0.865, 0.85],
        "judge": "mini-xception",
        "judge_revision": judge.revision,
    }
    assert plugin.identify(ecm("crop/1")) == known
    assert content_id(plugin.identify(ecm("crop/2"))) != content_id(known)
    with pytest.raises(UnknownNameError, match="crop/9"):
        plugin.identify(ecm("crop/9"))


def test_ecm_on_regions_of_the_reference() -> None:
    hr, sr, judge = hr_faces(), bicubic(4), load_judge("mini-xception")
    metric = metric_plugin("ecm").build(ecm("crop/2"), judge, CPU)
    found = metric.score(sr, hr, metric.reference(hr))
    whole = EcmMetric(judge, "whole", CPU)
    squares = oval_squares(landmarker("celeba", CPU)(hr).points, 128, 128)
    for i, square in enumerate(squares):
        x, y = (cut_square(images[i], square)[None] for images in (sr, hr))
        for name, values in whole.score(x, y, whole.reference(y)).items():
            expected = values[0]
            assert found[name][i] == (
                expected if isinstance(expected, str) else pytest.approx(float(expected), abs=1e-6)
            )
    assert (metric.score(hr, hr, metric.reference(hr))["ecm"] == 0).all()


def test_only_the_reference_says_where_the_region_is(rng: np.random.Generator) -> None:
    hr, judge = hr_faces(), load_judge("mini-xception")
    metric = metric_plugin("ecm").build(ecm("crop/2"), judge, CPU)
    assert np.isfinite(metric.score(noise(rng), hr, metric.reference(hr))["ecm"]).all()


def test_ecm_without_a_region(rng: np.random.Generator) -> None:
    judge = load_judge("mini-xception")
    metric = OnReferenceFaces(EcmMetric(judge, "whole", CPU), landmarker("celeba", CPU))
    hr = torch.stack([noise(rng)[0], *hr_faces()])
    columns = metric.score(hr, hr, metric.reference(hr))
    for name in ("ecm", "agreement", "p_k", "p_happy", "q_sad"):
        assert np.isnan(columns[name]).tolist() == [True, False, False]
    summary = metric_plugin("ecm").summarise(columns)
    assert summary["agreement"] == 1.0
    nobody = metric.score(hr[:1], hr[:1], metric.reference(hr[:1]))
    assert nobody.keys() == columns.keys()
    assert np.isnan(metric_plugin("ecm").summarise(nobody)["agreement"])


# In a run


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Eight faces: the two of the library four times each, the last one replaced by noise."""
    where = tmp_path / "data" / "mine"
    where.mkdir(parents=True)
    for i in range(7):
        face = np.roll(demo_faces()[i % 2], i // 2, axis=1)
        Image.fromarray(face).save(where / f"face{i}.png")
    Image.fromarray(noise(rng)[0].permute(1, 2, 0).numpy()).save(where / "face7.png")
    return where


@pytest.mark.slow
def test_missing_faces_are_counted(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "--models", "bicubic", "--datasets", "mine", "--data", f"mine={folder}"]
    arguments += ["--metrics", "ecm,nme,psnr_eyes,psnr", "--crop", "crop/2", "--scale", "4"]
    out = tmp_path / "out"
    assert main([*arguments, "--batch-size", "3", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "crop/2" in printed
    assert "missing" in printed
    bicubic = ("model", "bicubic")
    assert set(short_of(out).loc[bicubic, ["n", "missing"]]) == {8, 1}
    assert {name for _, name in short_of(out).index} == {
        "bicubic",
        "reference",
        "one-face",
        "wrong-face",
    }
    for name, missing in (("ecm", 1), ("nme", 1), ("psnr_eyes", 1), ("psnr", 0)):
        row = long_of(out, name).loc[bicubic]
        assert (row.n, row.missing) == (8 - missing, missing)
        assert np.isfinite(row.value)
    assert long_of(out, "nme_failure_rate").loc[bicubic, "value"] == 0.125
    run = load_run(out)
    record = next(r for r in run.records if r.row == "bicubic" and r.metric["name"] == "nme")
    assert (record.n, record.values["n"], record.failed) == (8, 7, ())
    assert record.values["nme_no_reference"] == 1.0
    assert scorer_of(record.metric) == "face-mesh"
    assert run.settings["crop"] == "crop/2"
    data = folder.parent
    assert not run_again(
        run.settings, run.records, run.columns, data, weights=None, faces=8, seed=0
    )


@pytest.mark.slow
def test_crop_of_a_comparison() -> None:
    tables = [
        compare("bicubic", metrics=["ecm"], crop=crop).table.ecm[0] for crop in ("crop/1", "crop/2")
    ]
    assert tables[0] != tables[1]
    with pytest.raises(InputError, match="crop/3"):
        compare("bicubic", metrics=["ecm"], crop="crop/3")
