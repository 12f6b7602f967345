"""Images smaller than a metric's window, and sets of which no image shows a face."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copy

import numpy as np
import pytest
from conftest import affectbench_here, pattern
from PIL import Image

from affectbench.api import compare, score
from affectbench.datasets.demo import BUNDLED
from affectbench.errors import InputError
from affectbench.metrics import metric_plugin
from affectbench.metrics.conventions import needed_side
from affectbench.types import MetricSettings


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """SR and HR folders of six pictures of the parametrised height and width."""
    height, width = request.param
    for name in ("sr", "hr"):
        (tmp_path / name).mkdir()
    for i in range(6):
        hr = Image.fromarray(pattern(i)).resize((width, height))
        hr.save(tmp_path / "hr" / f"{i}.png")
        less = hr.resize((max(1, width // 2), max(1, height // 2)))
        less.resize((width, height)).save(tmp_path / "sr" / f"{i}.png")
    return tmp_path / "sr", tmp_path / "hr"


SIZES = [(1, 1), (6, 40), (7, 7), (10, 10), (16, 15), (41, 41)]


@pytest.mark.parametrize("small", SIZES, indirect=True)
@pytest.mark.parametrize("convention", ["rgb", "sfmnet"])
def test_a_group_leaves_out_what_needs_larger_images(small, convention, request):
    side = min(request.node.callspec.params["small"])
    settings = MetricSettings(convention=convention, scale=8, framing="centre")
    result = score(*small, metrics=["fidelity", "mae"], convention=convention)
    names = set(result.run.settings["metrics"])
    left_out = {gap.partition(":")[0] for gap in result.gaps}
    for name in ("psnr", "psnr_eyes", "ssim", "ssim_mouth", "gmsd", "vif", "mae"):
        fits = side >= needed_side(metric_plugin(name).spec, settings)
        assert (name in names, name in left_out) == (fits, not fits)
    assert not result.failed
    hr, sr = (
        np.stack([np.asarray(Image.open(small[i] / f"{n}.png")) for n in range(6)]) for i in (1, 0)
    )
    expected = np.abs(hr.astype(float) - sr).mean() / 255
    assert result.table.mae[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("small", [(10, 10)], indirect=True)
@pytest.mark.parametrize("metric", ["ssim_eyes", "ssim_mouth", "ssim", "vif"])
def test_a_metric_that_was_named_is_an_error_before_anything_runs(small, metric):
    with pytest.raises(InputError, match=rf"{metric} needs images of at least \d+x\d+ pixels"):
        score(*small, metrics=[metric])


@pytest.mark.slow
@pytest.mark.parametrize("small", [(1, 1), (10, 10), (20, 57)], indirect=True)
def test_all_metrics_of_small_images_on_either_region(small):
    for crop in ("crop/1", "crop/2"):
        assert not score(*small, metrics=["all"], judges=["mini-xception"], crop=crop).failed


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    folder = tmp_path / "flat"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (128, 128), (20 * i, 90, 60)).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    "metrics", [["ecm"], ["ecm", "agreement", "psnr"], ["group:expression", "fed", "nme"]]
)
def test_a_set_without_any_face(flat, tmp_path, metrics):
    result = compare(
        *("bicubic", "p"),
        data={"p": flat},
        metrics=metrics,
        judges=["mini-xception"],
        crop="crop/2",
        batch_size=4,
        out=tmp_path / "out",
    )
    assert not result.failed
    table = result.table.set_index("model")
    assert table.ecm.isna().all()
    record = next((tmp_path / "out").glob("records/p/one-face/ecm*.json"))
    assert "no reference has a face region" in json.loads(record.read_text())["error"]
    assert affectbench_here("report", tmp_path / "out").returncode == 0


def test_batches_without_a_face_beside_one_with_faces(flat, tmp_path):
    for path in BUNDLED.glob("*.png"):
        copy(path, flat / f"z{path.name}")
    result = compare(
        *("bicubic", "p"),
        data={"p": flat},
        metrics=["ecm"],
        judges=["mini-xception"],
        crop="crop/2",
        batch_size=3,
        out=tmp_path / "out",
    )
    assert not result.failed
    values = result.images("bicubic", "p").set_index("id").ecm
    assert values.notna().sum() == 2
    assert values[values.notna()].index.str.startswith("z").all()
    assert result.table.set_index("model").ecm["bicubic"] == pytest.approx(values.mean())
