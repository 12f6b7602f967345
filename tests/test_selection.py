"""Names of metrics and groups, and what a run does with a metric that it cannot compute."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import affectbench, pattern
from PIL import Image

from affectbench import compare, score
from affectbench.errors import AssetMissingError, InputError, UnknownNameError
from affectbench.judges import DEFAULT_JUDGE, judge_spec
from affectbench.metrics import list_metrics
from affectbench.metrics.conventions import find_convention
from affectbench.metrics.selection import AskedMetric, catalogue, expand_metrics, groups
from affectbench.run import measures
from affectbench.run.measures import SmallestImage, select
from affectbench.types import MetricPlugin, MetricSettings

SETTINGS = MetricSettings(convention="rgb", scale=8, framing="whole")

PLUGIN = """
import numpy as np
from affectbench.types import MetricPlugin, MetricSpec

class Zero:
    def reference(self, hr):
        return None
    def score(self, sr, hr, reference):
        return {"toy_large": np.zeros(len(sr))}

LARGE = MetricPlugin(
    MetricSpec("toy_large", "1", "Toy", "naturalness", "lower", (0.0, 1.0), "none", min_size=192),
    lambda settings: {},
    lambda settings, judge, device: Zero(),
)
"""
NO_AFFECT = f"judge '{DEFAULT_JUDGE}' gives no valence and arousal"


@pytest.fixture
def toy_metric(tmp_path: Path) -> dict[str, str]:
    """An environment with an installed plug-in that needs 192 pixels, and no fetched weights."""
    folder = tmp_path / "site"
    info = folder / "toy_metric-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "toy_metric.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-metric\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[affectbench.metrics]\ntoy_large=toy_metric:LARGE\n")
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "AFFECTBENCH_CACHE": str(tmp_path / "cache"),
    }


def test_groups_hold_every_metric_once() -> None:
    names = [name for members in groups().values() for name in members]
    assert sorted(names) == sorted(spec.name for spec in list_metrics())
    assert groups()["expression"][0] == "ecm"
    for group, members in groups().items():
        assert set(members) == {spec.name for spec in list_metrics() if spec.group == group}


def test_expansion_keeps_the_order_and_names_each_once() -> None:
    found = expand_metrics(["psnr", "fidelity", "ecm"])
    assert [c.metric for c in found if c.metric in ("psnr", "ssim", "ecm")] == [
        "psnr",
        "ssim",
        "ecm",
    ]
    assert AskedMetric("psnr") in found
    assert AskedMetric("ssim", "fidelity") in found
    # Named anywhere in the list is named.
    assert AskedMetric("ssim") in expand_metrics(["fidelity", "ssim"])


def test_a_name_of_both_is_the_metric() -> None:
    assert expand_metrics(["identity"]) == (AskedMetric("identity"),)
    both = {c.metric for c in expand_metrics(["group:identity"])}
    assert {"identity", "facenet"} <= both


def test_all_is_everything_but_cost() -> None:
    found = {c.metric for c in expand_metrics(["all"])}
    assert found == {spec.name for spec in list_metrics() if spec.kind != "cost"}


def test_kid_stands_beside_fid() -> None:
    assert expand_metrics(["fid"]) == (AskedMetric("fid"), AskedMetric("kid", "fid"))
    assert expand_metrics(["kid", "fid"]) == (AskedMetric("kid"), AskedMetric("fid"))
    assert expand_metrics(["kid"]) == (AskedMetric("kid"),)


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        (["exprssion"], UnknownNameError, "did you mean 'expression'"),
        (["group:nowhere"], UnknownNameError, "known: "),
        (["psnr", "ssim", "psnr"], InputError, "named twice"),
        (["cost"], InputError, "cost is measured in every run"),
        ([], InputError, "name at least one"),
    ],
)
def test_what_names_nothing(names: list[str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        expand_metrics(names)


def test_catalogue_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path))
    rows = {row["name"]: row for row in catalogue()}
    assert set(rows) == {spec.name for spec in list_metrics()}
    assert rows["psnr"]["missing"] == ""
    assert "pip install" in rows["fid"]["missing"] or "assets fetch inc" in rows["fid"]["missing"]
    assert str(tmp_path) not in rows["fid"]["missing"]
    for spec in list_metrics():
        assert rows[spec.name]["group"] == spec.group
        assert rows[spec.name]["direction"] in ("higher", "lower")


def test_a_group_leaves_out_what_it_cannot_compute(
    tmp_path: Path, toy_metric: dict[str, str]
) -> None:
    out = tmp_path / "out"
    arguments = ["compare", "--models", "nearest", "--out", out, "--metrics"]
    done = affectbench(
        *arguments, "fidelity,naturalness,distribution,valence_drift,expression", env=toy_metric
    )
    assert done.returncode == 2
    assert f"metric 'valence_drift': {NO_AFFECT}" in done.stderr
    done = affectbench(*arguments, "fidelity,naturalness,distribution,expression", env=toy_metric)
    assert done.returncode == 0, done.stderr
    notes = {
        line.split(": ")[1]: line
        for line in done.stderr.splitlines()
        if line.startswith("left out: ")
    }
    assert {"toy_large", "fid", "kid", "valence_drift", "arousal_drift"} <= set(notes)
    assert notes["valence_drift"] == f"left out: valence_drift: {NO_AFFECT}"
    assert "at least 192x192 pixels, and these are 128x128" in notes["toy_large"]
    assert "affectbench assets fetch inception" in notes["fid"] or "pip install" in notes["fid"]
    assert "left out: toy_large" in done.stdout
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert [f"left out: {gap}" for gap in settings["gaps"]] == list(notes.values())
    assert {"ecm", "fed", "psnr", "ssim"} <= set(settings["metrics"])
    assert not set(settings["metrics"]) & set(notes)
    assert r"left out: toy\_large" in (out / "table.md").read_text()
    metrics = set(pd.read_csv(out / "long.csv").metric)
    assert {"ecm", "agreement", "fed"} <= metrics
    assert not metrics & set(notes)
    assert len(pd.read_csv(out / "table.csv").columns) == 20


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("toy_large", "at least 192x192 pixels"),
        ("fid", "assets fetch inception|pip install"),
        ("facenet", "assets fetch facenet|pip install"),
        ("arousal_drift", NO_AFFECT),
    ],
)
def test_a_named_metric_that_cannot_be_computed_is_an_error(
    tmp_path: Path, toy_metric: dict[str, str], metric: str, says: str
) -> None:
    out = tmp_path / "out"
    done = affectbench(
        *("compare", "--models", "nearest", "--metrics", f"psnr,{metric}", "--out", out),
        env=toy_metric,
    )
    assert done.returncode == 2
    assert re.search(says, done.stderr)
    assert len(done.stderr.splitlines()) == 1
    assert not (out / "run.json").exists()


def test_large_enough_faces_are_no_gap(tmp_path: Path, toy_metric: dict[str, str]) -> None:
    out, faces = tmp_path / "out", tmp_path / "faces"
    faces.mkdir()
    Image.fromarray(pattern(1, 192)).save(faces / "a.png")
    arguments = ["compare", "--models", "nearest", "--datasets", "large", "--hr-size", "192"]
    arguments += ["--data", f"large={faces}", "--out", str(out)]
    done = affectbench(*arguments, "--metrics", "naturalness", env=toy_metric)
    assert done.returncode == 0, done.stderr
    assert (pd.read_csv(out / "table.csv")["toy_large"] == 0).all()


def test_scored_folders_have_the_size_of_their_smallest_image(
    toy_faces: Path, toy_metric: dict[str, str]
) -> None:
    done = affectbench(
        *("score", "--sr", toy_faces, "--hr", toy_faces, "--metrics", "psnr,naturalness"),
        env=toy_metric,
    )
    assert done.returncode == 0, done.stderr
    assert "and these are 64x64" in done.stderr
    assert "is the smallest: leave out such images, or the metric" in done.stderr


def test_a_convention_decides_how_small_an_image_may_be() -> None:
    small, smaller = SmallestImage(27), SmallestImage(26, "a.png")
    shaved = replace(SETTINGS, convention="mmagic")  # a border of 8 at x8, and a window of 11
    assert select(["psnr", "ssim"], [], shaved, small).metrics == ("psnr", "ssim")
    found = select(["psnr", "fidelity"], [], shaved, smaller)
    assert "psnr" in found.metrics
    assert "ssim" not in found.metrics
    with pytest.raises(InputError, match=r"ssim needs images of at least 27x27 .*a\.png is the sm"):
        select(["ssim"], [], shaved, smaller)


@pytest.mark.parametrize("convention", ["rgb", "mmagic", "sfmnet", "piq", "torchmetrics"])
@pytest.mark.parametrize("side", [1, 10, 16, 17, 23, 26, 27, 40])
def test_a_group_leaves_out_what_is_too_small(convention: str, side: int) -> None:
    """Regions need what their metric of the whole image needs; the rest is computed."""
    settings = replace(SETTINGS, convention=convention)
    rules = find_convention(convention)
    border = rules.border_at(8)
    needed = {spec.name: spec.min_size for spec in list_metrics() if spec.group == "fidelity"}
    for region in ("", "_eyes", "_mouth"):
        needed[f"psnr{region}"] = 1 + 2 * border
        needed[f"ssim{region}"] = rules.size + 2 * border
    found = select(["fidelity"], [], settings, SmallestImage(side))
    assert set(found.metrics) == {name for name, least in needed.items() if least <= side}
    for name in set(needed) - set(found.metrics):
        line = next(gap for gap in found.gaps if gap.startswith(f"{name}: "))
        assert f"needs images of at least {needed[name]}x{needed[name]} pixels" in line


@pytest.mark.slow
def test_scoring_small_images_by_a_group(tmp_path: Path) -> None:
    """A folder of 10x10 pixels, which is smaller than SSIM's window, has its other values."""
    rng = np.random.default_rng(1)
    for side in ("sr", "hr"):
        (tmp_path / side).mkdir()
        for i in range(2):
            face = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
            Image.fromarray(face).save(tmp_path / side / f"{i}.png")
    for group in ("fidelity", "all"):
        found = score(tmp_path / "sr", tmp_path / "hr", metrics=[group], allow_mismatch=True)
        assert {"psnr", "psnr_eyes", "gmsd", "mae"} <= set(found.table.columns)
        assert "ssim_eyes" not in found.table.columns
        assert not found.failed
        assert any(gap.startswith("ssim_eyes: ssim_eyes needs images of") for gap in found.gaps)


def test_nothing_left_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "expand_metrics", lambda _n: (AskedMetric("valence_drift", "x"),))
    with pytest.raises(InputError, match="none of these metrics can be computed: valence"):
        select(["x"], [judge_spec("mini-xception")], SETTINGS)


def test_a_panel_leaves_out_the_judges_that_cannot_serve() -> None:
    plain = judge_spec("mini-xception")
    affective = replace(plain, name="affective", affect=True)
    found = select(["valence_drift"], [plain, affective], SETTINGS)
    assert found.measures == (("valence_drift", affective),)
    assert found.gaps == ("valence_drift: judge 'mini-xception' gives no valence and arousal",)
    bare = replace(plain, name="bare", features=0)
    found = select(["fed"], [plain, bare], SETTINGS)
    assert found.measures == (("fed", plain),)
    with pytest.raises(InputError, match="judge 'bare' gives no features"):
        select(["fed"], [bare], SETTINGS)


def test_missing_weights_of_a_named_metric_keep_their_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def require() -> None:
        raise AssetMissingError("toy", "http://nowhere", "/cache/toy")

    original = measures.metric_plugin

    def plugin(name: str) -> MetricPlugin:
        return replace(original(name), require=require) if name == "ssim" else original(name)

    monkeypatch.setattr(measures, "metric_plugin", plugin)
    with pytest.raises(AssetMissingError, match="/cache/toy"):
        select(["psnr", "ssim"], [], SETTINGS)
    found = select(["fidelity"], [], SETTINGS)
    gap = "ssim: its weights are not here; 'affectbench assets fetch toy' gets them"
    assert gap in found.gaps
    assert ("psnr", None) in found.measures


def test_the_python_interface_takes_groups_too() -> None:
    result = compare("nearest", metrics=["expression", "psnr"])
    assert result.gaps == (f"arousal_drift: {NO_AFFECT}", f"valence_drift: {NO_AFFECT}")
    assert {"ecm", "agreement", "js_divergence", "psnr"} <= set(result.table.columns)
