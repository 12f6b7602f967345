"""What a model costs: counted by hand on small networks, and as a run keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import pattern
from PIL import Image
from run_tables import short_of
from torch import nn
from torch.nn import functional as F

from affectbench.cli.main import main
from affectbench.errors import AffectBenchError
from affectbench.metrics import cost, metric_plugin
from affectbench.metrics.cost import PeakTensors, measure_cost
from affectbench.results.cost import COST_COLUMNS
from affectbench.types import MetricSettings

NAMES = ("parameters", "multiply_adds", "faces_per_second", "peak_memory")
MODEL = """
import torch
from torch import nn

def build(scale):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale), Half())

class Half(nn.Module):
    def forward(self, x):
        return x.clamp(0, 1) * 0.5 + 0.25

def scripted(scale):
    return torch.jit.trace(build(scale), torch.zeros(1, 3, 16, 16))
"""
BYTES = 4
"""Of a float32."""


class Chain(nn.Module):
    """Two convolutions; what the first one gives is gone when the sum is made, or is kept."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.keep = keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.one(x)
        second = self.two(first)
        if not self.keep:
            first = second
        third = second + 1.0
        return third + first.mean()


def measured(network: nn.Module, size: int = 10) -> dict[str, float]:
    return measure_cost(network.eval(), torch.rand(1, 3, size, size))  # type: ignore[arg-type]


def test_multiply_adds_are_those_of_the_layers() -> None:
    found = measured(Chain(keep=False))["multiply_adds"]
    assert found == 100 * (3 * 8 * 9 + 8 * 3)
    assert measured(Chain(keep=False), size=20)["multiply_adds"] == 4 * found
    linear = nn.Sequential(nn.Flatten(), nn.Linear(300, 7))
    assert measured(linear)["multiply_adds"] == 300 * 7


def test_peak_memory_is_that_of_the_tensors_alive() -> None:
    first, plane = 8 * 100 * BYTES, 3 * 100 * BYTES
    # The first map and the second; the first is gone before more than that would be alive.
    assert measured(Chain(keep=False))["peak_memory"] == first + plane
    # The first map is still there when the third is made, and a mean of one number.
    kept = measured(Chain(keep=True))["peak_memory"]
    assert first + 2 * plane <= kept <= first + 3 * plane + BYTES


def test_views_and_operations_in_place_take_no_memory() -> None:
    x = torch.rand(1, 3, 10, 10)
    with torch.no_grad(), PeakTensors() as peak:
        y = x.view(3, 100).t()[1:]
        x.add_(1.0)
        assert peak.bytes == 0
        z = F.relu(y.contiguous(), inplace=True)
        assert peak.bytes == z.numel() * BYTES
        del z
        w = x * 2
    assert peak.bytes == x.numel() * BYTES == w.numel() * BYTES


def test_measuring_changes_nothing() -> None:
    network, x = Chain(keep=True).eval(), torch.rand(1, 3, 10, 10)
    with torch.no_grad():
        before = network(x)
        state = torch.random.get_rng_state()
        measure_cost(network, x)  # type: ignore[arg-type]
        assert torch.equal(network(x), before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_does_not_run_in_torch_has_no_cost() -> None:
    def elsewhere(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.repeat(x.numpy(), 2, axis=3))

    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("cannot be watched")

    for model in (elsewhere, broken):
        assert measure_cost(model, torch.rand(1, 3, 4, 4)) == {}  # type: ignore[arg-type]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(pattern(i)).save(folder / f"face{i}.png")
    return folder


def run(tmp_path: Path, faces: Path, models: str, *more: str) -> pd.DataFrame:
    out = tmp_path / "out"
    given = ["compare", "--models", models, "--datasets", "toy", "--data", f"toy={faces}"]
    given += ["--hr-size", "64", "--scale", "4", "--metrics", "psnr", "--out", str(out), *more]
    assert main(given) == 0
    return pd.read_csv(out / "cost.csv").set_index("model")


def test_a_run_keeps_the_cost_of_its_models(tmp_path: Path, faces: Path) -> None:
    path = tmp_path / "models.py"
    path.write_text(MODEL)
    stored = tmp_path / "stored"
    stored.mkdir()
    for face in faces.iterdir():
        (stored / face.name).write_bytes(face.read_bytes())
    models = f"python:{path}:build@name=net,bicubic,images:{stored}@name=stored"
    table = run(tmp_path, faces, models)
    assert list(table.columns) == COST_COLUMNS[1:]
    net = table.loc["net"]
    assert net["multiply_adds"] == 16 * 16 * 3 * 9 * 48
    assert net["parameters"] == 3 * 9 * 48 + 48
    sr = 3 * 64 * 64 * BYTES
    assert 2 * sr <= net["peak_memory"] <= 4 * sr
    assert net["faces_per_second"] == pytest.approx(3 / net["seconds"], rel=1e-6)
    assert table.loc["bicubic", ["multiply_adds", "peak_memory"]].isna().all()
    assert table.loc["bicubic", "faces_per_second"] > 0
    assert table.loc["stored", list(NAMES)].isna().all()
    assert set(table.index) == {"net", "bicubic", "stored"}  # no anchors


def test_cost_is_in_no_table_that_is_compared_by_bytes(tmp_path: Path, faces: Path) -> None:
    path = tmp_path / "models.py"
    path.write_text(MODEL)
    model = f"python:{path}:build@name=net"
    run(tmp_path, faces, model)
    written = ("table.csv", "long.csv", "table.md")
    tables = {name: (tmp_path / "out" / name).read_bytes() for name in written}
    own = short_of(tmp_path / "out").loc[("model", "net")]
    assert (own.parameters, own.multiply_adds) == (3 * 9 * 48 + 48, 16 * 16 * 3 * 9 * 48)
    varying = {*NAMES} - {"parameters", "multiply_adds"}
    assert not [name for name in varying if name in tables["table.csv"].decode()]
    again = run(tmp_path, faces, model, "--rerun", "all")
    for name, content in tables.items():
        assert (tmp_path / "out" / name).read_bytes() == content
    assert again.loc["net", "multiply_adds"] == 16 * 16 * 3 * 9 * 48


def test_a_model_that_cannot_be_watched_keeps_its_results(tmp_path: Path, faces: Path) -> None:
    path = tmp_path / "models.py"
    path.write_text(MODEL)
    table = run(tmp_path, faces, f"python:{path}:scripted@name=net")
    assert table.loc["net", "faces_per_second"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_listed_and_never_built(name: str) -> None:
    plugin = metric_plugin(name)
    assert (plugin.spec.kind, plugin.spec.group) == ("cost", "cost")
    assert cost.__doc__ is not None
    assert f"`{name}`" in cost.__doc__
    settings = MetricSettings(convention="rgb", scale=8, framing="whole")
    with pytest.raises(AffectBenchError, match="measured of a model"):
        plugin.build(settings, None, torch.device("cpu"))
