"""docs/metrics-compared.md says what the library says today."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT
from photographs import NAMES, bicubic

from affectbench.datasets import load_dataset
from affectbench.images.resizing import resize
from affectbench.metrics import fidelity, similarity

PAGE = (ROOT / "docs" / "metrics-compared.md").read_text(encoding="utf-8")
FUNCTIONS = {
    "psnr": fidelity.psnr,
    "ssim": fidelity.ssim,
    "mae": similarity.mae,
    "gmsd": similarity.gmsd,
    "vif": similarity.vif,
}


def section(name: str) -> list[list[str]]:
    """The rows of a metric's table, without its head."""
    text = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return rows[1:]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_our_values(name: str) -> None:
    shown = section(name)[0]
    assert shown[0] == "**ours**"
    faces = [resize(load_dataset("demo").read(n), 128, 128, "pil-bicubic") for n in NAMES]
    pairs = [(bicubic(hr, scale), hr) for scale in (8, 4) for hr in faces]
    for (sr, hr), text in zip(pairs, shown[1:5], strict=True):
        assert FUNCTIONS[name](sr, hr).item() == pytest.approx(float(text), abs=1.5e-5)


def test_every_convention_of_a_library_meets_it() -> None:
    met = re.findall(r"`([\w-]+)`, to (\de-\d+)", PAGE)
    assert {name for name, _ in met} >= {"skimage", "torchmetrics", "piq", "pyiqa-y", "rgb"}
    assert all(float(bound) <= 2e-5 for _, bound in met)
    assert " off |" not in PAGE


@pytest.mark.parametrize(
    "name", ["ms_ssim", "ms_ssim_small", "haarpsi", "lpips-alex", "lpips-vgg", "dists", "niqe"]
)
def test_every_metric_has_peers_and_causes(name: str) -> None:
    rows = section(name)
    assert len(rows) >= 2
    assert all(len(row) == 9 and row[8] for row in rows[1:])
