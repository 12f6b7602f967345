"""`affectbench score --as`: a paper's numbers from a folder of its result images."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from conftest import affectbench_here, pattern
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from affectbench.metrics.conventions import Convention

MATLAB = np.array([65.481, 128.553, 24.966]) / 255


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three results and their originals."""
    sr, hr = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("originals")
    noise = np.random.default_rng(1).normal(0, 9, (3, 64, 64, 3))
    for i in range(3):
        original = pattern(i)
        result = np.clip(original + noise[i], 0, 255).round().astype(np.uint8)
        Image.fromarray(original).save(hr / f"{i}.png")
        Image.fromarray(result).save(sr / f"{i}.png")
    return sr, hr


def lumas(folder: Path, border: int) -> list[np.ndarray]:
    """Rounded MATLAB luma of each image, without its border."""
    images = [np.asarray(Image.open(path)).astype(float) for path in sorted(folder.iterdir())]
    return [np.round(16 + x @ MATLAB)[border:-border, border:-border] for x in images]


def test_the_papers_numbers_and_what_they_are(folders: tuple[Path, Path]) -> None:
    sr, hr = folders
    done = affectbench_here("score", "--sr", sr, "--hr", hr, "--as", "sfmnet", "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)[0]
    pairs = list(zip(lumas(hr, 8), lumas(sr, 8), strict=True))
    expected = np.mean([peak_signal_noise_ratio(y, x, data_range=255) for y, x in pairs])
    assert row["psnr"] == pytest.approx(expected, abs=1e-6)
    expected = np.mean([structural_similarity(y, x, data_range=255) for y, x in pairs])
    assert row["ssim"] == pytest.approx(expected, abs=1e-6)
    assert "ecm" not in row  # psnr and ssim alone are implied


def test_every_field_is_said(folders: tuple[Path, Path]) -> None:
    sr, hr = folders
    done = affectbench_here("score", "--sr", sr, "--hr", hr, "--as", "dic", "--scale", "4")
    assert done.returncode == 0, done.stderr
    said = done.stdout[done.stdout.index("convention dic: Deep Iterative") :]
    for field in fields(Convention):
        if field.name not in ("name", "title", "our_choice"):
            assert f"  {field.name.replace('_', ' ')}: " in said
    assert "border: scale (4 pixels at scale 4)" in said
    assert "colour: y-matlab" in said
    assert "our choice: nothing" in said


def test_metrics_can_be_named(folders: tuple[Path, Path]) -> None:
    sr, hr = folders
    arguments = ["score", "--sr", sr, "--hr", hr, "--as", "rgb", "--metrics", "psnr,mae"]
    done = affectbench_here(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)[0]
    assert {"psnr", "mae"} <= set(row)
    assert "ssim" not in row
    assert "convention rgb" in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--as", "sfmnet", "--scale", "4"), "says nothing about scale 4"),
        (("--as", "sfmnt"), "did you mean 'sfmnet'"),
        (("--as", "rgb", "--convention", "rgb"), "leave --convention out"),
    ],
)
def test_refusals(folders: tuple[Path, Path], options: tuple[str, ...], says: str) -> None:
    sr, hr = folders
    done = affectbench_here("score", "--sr", sr, "--hr", hr, *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_without_as_nothing_changed(folders: tuple[Path, Path]) -> None:
    sr, hr = folders
    done = affectbench_here("score", "--sr", sr, "--hr", hr, "--json")
    assert done.returncode == 0, done.stderr
    assert {"ecm", "psnr", "ssim"} <= set(json.loads(done.stdout)[0])
    assert "convention" not in done.stderr
