"""A metric of another distribution: what its spec says is enough for every part of the library."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from run_tables import long_of
from run_writer import edit_record

from affectbench.metrics import METRICS
from affectbench.metrics.selection import missing
from affectbench.report.cells import lay_out
from affectbench.report.html.build import write_report
from affectbench.report.render import to_markdown
from affectbench.report.table import build_table
from affectbench.results.compare import compared
from affectbench.results.runs import load_run
from affectbench.types import MetricPlugin, MetricSpec, as_json

METRIC = """
import os
from dataclasses import replace
import gradient_error
from affectbench.types import MetricPlugin

class Edges(gradient_error.GradientError):
    def score(self, sr, hr, reference):
        values = super().score(sr, hr, reference)["gradient_error"] * 1000
        return {"edges": values + float(os.environ.get("OTHER_MACHINE", "0"))}

EDGES = MetricPlugin(
    replace(
        gradient_error.GRADIENT_ERROR.spec, name="edges", unit="grey", range=(0.0, 2000.0),
        label="Edges!", digits=1, tolerance=0.5, network="vgg16", quality_axis=9,
        summaries=("edges_most",),
    ),
    gradient_error.identify,
    lambda settings, judge, device: Edges(device),
    summarise=lambda columns: {"edges_most": float(columns["edges"].max()), "edges_not_shown": 1.0},
)
"""
MODELS = """
import torch.nn.functional as F

def soft(scale):
    return lambda lr: F.interpolate(lr, scale_factor=scale, mode="bilinear").clamp(0, 1)
"""
AGAIN = """
import sys
from pathlib import Path
from affectbench.results.runs import load_run
from affectbench.run.again import run_again

run = load_run(Path(sys.argv[1]))
options = {"weights": None, "faces": 8, "seed": 0}
print(run_again(run.settings, run.records, run.columns, Path(sys.argv[2]), **options))
"""


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds an installed distribution with the metric `edges`."""
    folder = tmp_path_factory.mktemp("site")
    example = ROOT / "docs/examples/gradient_error.py"
    (folder / "gradient_error.py").write_text(example.read_text())
    (folder / "edges.py").write_text(METRIC)
    (folder / "zoo.py").write_text(MODELS)
    about = folder / "edges-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: edges\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[affectbench.metrics]\nedges = edges:EDGES\n")
    return folder


def python(outside: Path, *arguments: object, **variables: str) -> str:
    """What Python prints where the distribution is installed."""
    paths = [str(outside), str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(toy_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "toy").symlink_to(toy_faces)
    return folder


@pytest.fixture(scope="module")
def run_folder(outside: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the metric, in which one model was trained against another of its network."""
    folder = tmp_path_factory.mktemp("run")
    soft = f"python:{outside / 'zoo.py'}:soft@name=soft@trained_against=dists"
    arguments = ["--models", f"nearest,bicubic,{soft}", "--metrics", "ecm,psnr,edges"]
    arguments += ["--datasets", "toy", "--data-root", str(data), "--hr-size", "64"]
    arguments += ["--judges", "mini-xception", "--out", str(folder)]
    python(outside, "-m", "affectbench.cli.main", "compare", *arguments)
    return folder


def test_it_is_rounded_ranked_and_summarised(run_folder: Path) -> None:
    table = long_of(run_folder, "edges")
    assert len(long_of(run_folder, "edges_most")) and not len(
        long_of(run_folder, "edges_not_shown")
    )
    assert table.loc[("model", "soft"), "mark"].split("; ")[0] == "trained-against:edges"
    assert pd.isna(table.loc[("model", "soft"), "tied"])
    lines = (run_folder / "table.md").read_text().splitlines()
    for name, sign in (("nearest", ""), ("soft", "†")):
        value = table.loc[("model", name), "value"]
        line = next(line for line in lines if line.startswith(f"| {name}"))
        assert f"{value:.1f}{sign}" in line.replace(r"\*", "").replace("**", "")
    assert "†" not in next(line for line in lines if line.startswith("| nearest"))


def test_it_is_labelled_and_plotted(outside: Path, run_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    python(outside, "-m", "affectbench.cli.main", "report", run_folder, "--html", page)
    text = page.read_text()
    assert ">Edges!</span>" in text
    assert "Edges! and ECM of each model with 95 % intervals" in text
    assert '"label":"Edges!","unit":"grey","direction":"lower","digits":1' in text


@pytest.mark.parametrize(("off", "differs"), [("0", False), ("0.4", False), ("0.6", True)])
def test_it_is_run_again_with_its_tolerance(
    outside: Path, run_folder: Path, data: Path, tmp_path: Path, off: str, differs: bool
) -> None:
    script = tmp_path / "again.py"
    script.write_text(AGAIN)
    found = python(outside, script, run_folder, data, OTHER_MACHINE=off)
    assert ("edges" in found) is differs, found


def test_without_its_extra_it_is_left_out_of_a_group_and_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its plug-in checks nothing itself: the spec is enough."""
    spec = MetricSpec(
        *("edges", "1", "Edges", "fidelity", "lower", (0.0, 1.0), "none"), extras=("distribution",)
    )
    plugin = MetricPlugin(spec, lambda *_a: {}, lambda *_a: None)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(METRICS, "load", lambda _name: plugin)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "tqdm" else found(n))
    assert missing("edges") == (
        "metric 'edges' needs an optional dependency: pip install 'affectbench[distribution]'"
    )
    assert "extras" not in as_json(spec)


def test_records_outlive_it(run_folder: Path, tmp_path: Path) -> None:
    """It is not installed in this process: its records say the same of it."""
    run = load_run(run_folder)
    stored = (run_folder / "table.md").read_text()
    assert to_markdown(lay_out(compared(run))) == stored
    page = write_report(run_folder, tmp_path / "report.html").page.read_text()
    assert ">Edges!</span>" in page


FACTS = ("label", "digits", "summaries", "tolerance", "network", "quality_axis", "regions", "leads")


def _forget(content: dict[str, Any]) -> None:
    for name in FACTS:
        content["metric"].pop(name)


def test_records_from_before_these_facts_are_read_with_defaults(
    run_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    subprocess.run(["cp", "-r", str(run_folder), str(folder)], check=True)
    for path in (folder / "records").rglob("*.json"):
        edit_record(path, _forget)
    run = load_run(folder)
    table = build_table(run)
    assert "edges_most" not in table and "identical" in table
    line = lay_out(compared(run)).blocks[0].lines[0]
    assert line.cells["edges"].text.rstrip("*") == f"{table['edges'][0]:.4f}"
    assert line.cells["psnr"].text.rstrip("*") == f"{table['psnr'][0]:.2f}"
    page = write_report(folder, tmp_path / "report.html").page.read_text()
    assert ">edges</span>" in page and ">PSNR</span>" in page


def test_a_record_with_too_many_digits_is_refused(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    subprocess.run(["cp", "-r", str(run_folder), str(folder)], check=True)
    cells = json.loads((folder / "run.json").read_text())["cells"]
    path = folder / "records" / f"{next(c for c in cells if 'edges' in c)}.json"
    content = json.loads(path.read_text())
    content["metric"]["digits"] = 10**9
    path.write_text(json.dumps(content))
    with pytest.raises(Exception, match=r"metric\.digits"):
        load_run(folder)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("name='other'", "metric 'edges' (edges: edges:EDGES) has a spec named 'other'"),
        ("direction='down'", "cannot be imported: direction 'down' is none of higher, lower"),
        ("kind='picture'", "cannot be imported: kind 'picture' is none of image, set, cost"),
        ("digits='2'", "cannot be imported: digits '2' is no number from 0 to 17"),
        ("digits=18", "cannot be imported: digits 18 is no number from 0 to 17"),
        ("extras=('plot',)", "cannot be imported: extra 'plot' is none of distribution, metrics"),
    ],
)
def test_a_spec_that_no_record_could_keep_is_refused_when_it_is_loaded(
    outside: Path, tmp_path: Path, wrong: str, said: str
) -> None:
    text = METRIC.replace('name="edges"', "name='edges'")
    field = wrong.partition("=")[0]
    for known in ("name='edges', ", "digits=1, "):
        if known.startswith(f"{field}="):
            text = text.replace(known, "")
    (tmp_path / "edges.py").write_text(text.replace('unit="grey"', f'{wrong}, unit="grey"'))
    (tmp_path / "gradient_error.py").write_text((outside / "gradient_error.py").read_text())
    paths = [str(tmp_path), str(outside), str(ROOT), os.environ.get("PYTHONPATH", "")]
    command = ["compare", "--models", "nearest", "--metrics", "edges", "--out", str(tmp_path / "o")]
    done = subprocess.run(
        [sys.executable, "-m", "affectbench.cli.main", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "o").rglob("*.json"))
