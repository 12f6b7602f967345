"""`python -m tools.validation`: runs compared on the validation slice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from affectbench_baselines.configs import build_network
from affectbench_baselines.header import Header
from affectbench_baselines.weights import write_weights
from tiny_training import SETTINGS, write_archive
from tools import validation
from tools.validation import Column, bicubic, differences, row

from affectbench.images.tensors import unit_range
from affectbench.metrics.fidelity import psnr


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two runs and bicubic on a slice of twelve made-up faces."""
    folder = tmp_path_factory.mktemp("runs")
    archive, landmarks = write_archive(folder)
    for seed, family in enumerate(("affectsrnet", "rrdbnet")):
        torch.manual_seed(seed)
        network = build_network(family, SETTINGS[family])
        (folder / family).mkdir()
        write_weights(
            network.state_dict(),
            Header(family, SETTINGS[family]),
            folder / family / "weights.safetensors",
        )
    runs = [str(folder / "affectsrnet"), str(folder / "rrdbnet"), "bicubic"]
    with pytest.MonkeyPatch.context() as patch:
        ids = [f"{'loose' if i % 2 else 'tight'}/{i:05}.png" for i in range(12)]
        patch.setattr(validation, "validation_ids", lambda: tuple(ids))
        patch.setattr(validation, "lpips", lambda a, _b: torch.zeros(len(a)))
        arguments = [*runs, "--versus", "bicubic", "--data", str(archive)]
        arguments += ["--landmarks", str(landmarks), "--cache", str(folder / "cache")]
        validation.main([*arguments, "--out", str(folder / "out.csv")])
    return pd.read_csv(folder / "out.csv")


def test_a_new_affectsrnet_is_bicubic(table):
    """Its bicubic is torch's, not Pillow's, which filters and rounds otherwise."""
    new, other, base = table["psnr"]
    assert new > other and abs(new - base) < 2.0
    assert table["psnr_diff"][1] == pytest.approx(other - base, abs=1e-4)
    assert np.isnan(table["psnr_diff"][2]) and (table["psnr_low"] <= table["psnr"]).all()


def test_predicted_landmarks_are_measured_where_there_are_some(table):
    assert table["landmarks"].notna().tolist() == [True, False, False]
    assert (table["nme"] > 0).all()


def test_p_is_adjusted_over_the_other_runs():
    rng = np.random.default_rng(0)
    base = rng.random(40)
    better = base - 0.2 + 0.05 * rng.random(40)
    runs = {
        "base": {"x": Column(base), "y": Column(base)},
        "better": {"x": Column(better)},
        "same": {"x": Column(base.copy()), "y": Column(base)},
    }
    found = differences(runs, "base")
    assert set(found) == {"better", "same"} and "y_diff" not in found["better"]
    assert found["better"]["x_diff"] == pytest.approx(float((better - base).mean()))
    assert found["better"]["x_diff_p"] < 0.05 and found["same"]["x_diff_p"] == 1.0


def test_a_macro_mean_counts_its_classes_and_no_missing_face():
    values = np.array([*[0.2] * 12, *[0.6] * 10, np.nan, 5.0])
    classes = np.array([*[0] * 12, *[1] * 10, 1, -1])
    assert row({"ecm": Column(values, classes)})["ecm"] == pytest.approx(0.4)


def test_bicubic_is_pillow_s(rng):
    hr = torch.from_numpy(rng.integers(0, 256, (2, 3, 128, 128), np.uint8))
    flat = torch.full_like(hr, 77)
    assert torch.equal(bicubic(flat, 4), flat)
    one, other = (unit_range(bicubic(hr, scale)) for scale in (4, 8))
    assert bool((psnr(one, unit_range(hr)) > psnr(other, unit_range(hr))).all())
