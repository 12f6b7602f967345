"""`niqe`: BasicSR's own values, properties, and sizes that have none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, affectbench_here, pattern
from photographs import bicubic, photograph
from PIL import Image
from skimage import data

from affectbench.cli.main import main
from affectbench.errors import InputError
from affectbench.images.tensors import stack
from affectbench.metrics import metric_plugin
from affectbench.metrics.conventions import needed_side
from affectbench.metrics.naturalness import natural, niqe
from affectbench.types import MetricSettings

ORIGINAL = ROOT / "tests" / "reference" / "niqe_basicsr.csv"
"""Made by `make_niqe.py` beside it."""
CPU = torch.device("cpu")
SETTINGS = MetricSettings("rgb", 8, "celeba")


def rows() -> list[dict[str, str]]:
    with ORIGINAL.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['photograph']}-x{row['bicubic']}")
def test_values_of_basicsr(row: dict[str, str]) -> None:
    hr, scale = photograph(row["photograph"]), int(row["bicubic"])
    value = niqe(hr if scale == 1 else bicubic(hr, scale)).item()
    assert value == pytest.approx(float(row["exact"]), abs=1e-8)
    # BasicSR itself works in float32.
    assert value == pytest.approx(float(row["published"]), abs=5e-3)


def test_damage_and_noise_are_less_natural() -> None:
    hr = photograph("grace_hopper")
    noise = np.random.default_rng(0).normal(0, 1, hr.shape)
    noisy = np.clip(hr + 20 * noise, 0, 255).round().astype(np.uint8)
    values = niqe(np.stack([hr, bicubic(hr, 2), bicubic(hr, 4), bicubic(hr, 8)]))
    assert values.dtype == torch.float64
    assert (values.diff() > 0).all()
    assert niqe(noisy).item() > values[0].item() + 1
    assert niqe(hr).item() == values[0].item()


def test_only_whole_blocks_count() -> None:
    hr = photograph("astronaut")
    assert niqe(hr[:290, :400]).item() == niqe(hr[:288, :384]).item()
    assert niqe(hr[:288, :384]).item() != niqe(hr[:288, :480]).item()


def test_flat_blocks_are_left_out() -> None:
    """They have no distribution to fit."""
    hr = data.coffee()[:192, :288].copy()
    whole = niqe(hr).item()
    hr[:96, :96] = 77
    assert niqe(hr).isfinite()
    assert niqe(hr).item() != whole
    hr[:, 96:] = 77
    assert niqe(hr).isnan()  # one block is no distribution
    hr[:] = 77
    assert niqe(hr).isnan()


def test_smallest_image() -> None:
    hr = photograph("astronaut")[:192, :192]
    assert niqe(hr).isfinite()
    with pytest.raises(InputError, match="niqe needs images of at least 192x192 pixels"):
        niqe(hr[1:])


def test_plugin() -> None:
    plugin = metric_plugin("niqe")
    assert needed_side(plugin.spec, SETTINGS) == 192
    assert set(plugin.identify(SETTINGS)) == {"numbers"}
    metric = plugin.build(SETTINGS, None, CPU)
    hr = photograph("grace_hopper")[:192, :288]
    sr = np.asarray(Image.fromarray(hr).reduce(2).resize((288, 192)))
    x, y = stack([sr, hr]), stack([hr, hr])
    columns = metric.score(x, y, metric.reference(y))
    assert columns["niqe"].tolist() == [niqe(sr).item(), niqe(hr).item()]
    assert columns["niqe_hr"].tolist() == [niqe(hr).item()] * 2
    assert plugin.summarise(columns) == {"niqe_hr": niqe(hr).item()}
    assert plugin.summarise({"niqe_hr": np.array([np.nan, 3.0, 5.0])}) == {"niqe_hr": 4.0}
    assert np.isnan(plugin.summarise({"niqe_hr": np.array([])})["niqe_hr"])


def test_numbers_of_natural_photographs() -> None:
    numbers = natural()
    assert numbers.mean.shape == (36,)
    assert numbers.covariance.shape == (36, 36)
    np.testing.assert_array_equal(numbers.covariance, numbers.covariance.T)
    assert np.linalg.eigvalsh(numbers.covariance).min() > 0
    assert numbers.mean[0] == pytest.approx(2.60131368, abs=1e-8)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "--models", "bicubic", "--metrics", "niqe", "--out", str(tmp_path)]
    assert main(arguments) == 2
    assert "niqe needs images of at least 192x192" in capsys.readouterr().err
    faces = tmp_path / "faces"
    faces.mkdir()
    for i in range(2):
        Image.fromarray(pattern(i, 192)).save(faces / f"{i}.png")
    done = affectbench_here("score", "--sr", faces, "--hr", faces, "--metrics", "niqe", "--json")
    assert done.returncode == 0, done.stderr
    assert '"niqe"' in done.stdout
