"""A sealed cell is whole: what is lost, damaged or meddled with during a run is never a number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import interrupted_after, pattern
from PIL import Image
from run_tables import long_of
from test_run import toy

from affectbench import compare
from affectbench.cli.main import main
from affectbench.cli.signals import Terminated, ended_by_signals
from affectbench.errors import InputError
from affectbench.metrics.ecm import EcmMetric
from affectbench.records import read_columns, write_columns
from affectbench.results.runs import load_run

MODELS = """
import os, pathlib, shutil, torch
from torch.nn.functional import interpolate

def enlarge(lr):
    return interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False)

def at(call, act):
    seen = []
    def model(lr):
        seen.append(len(lr))
        if len(seen) == call + 2:  # two faces of the first batch alone
            act()
        return enlarge(lr)
    return model

def moves(scale): return at(2, lambda: os.chdir("/"))
def threads(scale): return at(2, lambda: torch.set_num_threads(3))
def removes(scale, folder, call="3"): return at(int(call), lambda: shutil.rmtree(folder))
def deletes(scale, folder):
    return at(3, lambda: sorted(pathlib.Path(folder).rglob("000000.*"))[0].unlink())
def empties(scale, folder):
    return at(3, lambda: [p.write_bytes(b"") for p in pathlib.Path(folder).rglob("000001.parquet")])
def others(scale, folder):
    def swap():
        for path in pathlib.Path(folder).rglob("000000.parquet"):
            shutil.copy(path, path.with_name("000001.parquet"))
    return at(4, swap)
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A file with model factories."""
    path = tmp_path / "meddling.py"
    path.write_text(MODELS)
    return path


def table_of(out: Path) -> pd.DataFrame:
    """The table by role and name."""
    return pd.read_csv(out / "table.csv").set_index(["role", "model"])


def test_threads_set_by_a_model_lose_no_batch(
    tmp_path: Path, toy_faces: Path, models: Path
) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        arguments = toy(toy_faces, tmp_path / "a", "lanczos", "--metrics", "psnr")
        assert main(arguments) == 0
        rows = f"lanczos,python:{models}:threads@name=x"
        assert main(toy(toy_faces, tmp_path / "b", rows, "--metrics", "psnr")) == 0
    finally:
        torch.set_num_threads(before)
    alone, beside = (table_of(tmp_path / name) for name in "ab")
    assert beside.loc[("model", "lanczos"), "psnr"] == alone.loc[("model", "lanczos"), "psnr"]
    run = load_run(tmp_path / "b")
    assert {record.provenance["threads"] for record in run.records} == {before}
    assert all(len(run.columns(record)["id"]) == 8 for record in run.records)
    assert (beside.missing == 0).all()
    assert not (tmp_path / "b" / ".partial").exists()


def test_a_model_that_changes_the_working_directory(
    tmp_path: Path, toy_faces: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = toy(toy_faces, Path("out"), f"python:{models}:moves@name=x,nearest")
    assert main(arguments) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"out", models.name}
    assert (tmp_path / "out" / "table.csv").is_file()


@pytest.mark.parametrize("how", ["removes", "deletes", "empties", "others"])
def test_batches_that_are_lost_during_a_run(
    tmp_path: Path,
    toy_faces: Path,
    models: Path,
    how: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The run ends with an error; the same command mends it, and gives what it would have given."""
    out, link = tmp_path / "out", tmp_path / "partial"
    # The folder's name, not its content, is an option of the model: there is none at first.
    row = f"python:{models}:{how}@folder={link}@name=x"
    (out / ".partial").mkdir(parents=True)
    link.symlink_to(out / ".partial")
    if how == "removes":
        row = row.replace(str(link), str(out / ".partial"))
    arguments = toy(toy_faces, out, f"{row},nearest", "--metrics", "psnr")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert ".partial" in error
    assert "run the same command again" in error
    assert not list((out / "records").rglob("psnr-*.json")) or how != "removes"
    for record in (out / "records").rglob("*.json"):
        assert json.loads(record.read_text())["values"]["n"] == 8
    models.write_text(MODELS.replace("act()", "pass"))
    (out / ".partial").mkdir(exist_ok=True)
    assert main(arguments) == 0
    assert main(toy(toy_faces, tmp_path / "whole", f"{row},nearest", "--metrics", "psnr")) == 0
    assert (out / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()


@pytest.mark.parametrize("call", [1, 3, 4])
def test_the_folder_is_removed_during_a_run(
    tmp_path: Path, toy_faces: Path, models: Path, call: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    row = f"python:{models}:removes@folder={out}@call={call}@name=x"
    assert main(toy(toy_faces, out, f"{row},nearest", "--metrics", "psnr")) == 2
    assert "was removed" in capsys.readouterr().err
    assert not (out / "table.csv").exists()
    assert not list(out.rglob("psnr-*.json"))


def test_one_content_under_two_names(tmp_path: Path, toy_faces: Path) -> None:
    """Two rows, two data sets, and a model beside the anchor that it is."""
    rows = "nearest,nearest@name=again,bicubic@name=base"
    data = ["--datasets", "toy,other", "--data", f"other={toy_faces}"]
    arguments = toy(toy_faces, tmp_path / "out", rows, "--metrics", "psnr,ecm", *data)
    assert main(arguments) == 0
    table = pd.read_csv(tmp_path / "out" / "table.csv").set_index(["dataset", "role", "model"])
    for dataset in ("toy", "other"):
        for a, b in (
            (("model", "nearest"), ("model", "again")),
            (("model", "base"), ("anchor", "bicubic")),
        ):
            for metric in ("psnr", "ecm"):
                values = [table.loc[(dataset, *row), metric] for row in (a, b)]
                assert values[0] == values[1] > 0
    assert (long_of(tmp_path / "out", "psnr").loc[("model", "base"), "diff"] == 0).all()
    assert main(arguments) == 0


def test_one_content_under_two_names_killed_and_resumed(tmp_path: Path, toy_faces: Path) -> None:
    rows = "nearest,nearest@name=again"
    arguments = [toy(toy_faces, tmp_path / n, rows, "--metrics", "psnr") for n in ("a", "b")]
    assert main(arguments[0]) == 0
    with interrupted_after(5):
        assert main(arguments[1]) == 130
    assert main(arguments[1]) == 0
    tables = [(tmp_path / name / "table.csv").read_bytes() for name in ("a", "b")]
    assert tables[0] == tables[1]


def emptied(path: Path) -> None:
    """As a crash leaves a file that was not synchronised."""
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    """The end is missing."""
    path.write_bytes(path.read_bytes()[:-20])


def shortened(path: Path) -> None:
    """A file that can be read and lacks a face."""
    write_columns({name: values[1:] for name, values in read_columns(path).items()}, path)


def renamed(path: Path) -> None:
    """A face of another set."""
    columns = read_columns(path)
    columns["id"] = np.array(["stranger", *columns["id"][1:]])
    write_columns(columns, path)


@pytest.mark.parametrize("damage", [emptied, truncated, shortened, renamed, Path.unlink])
def test_damaged_values_are_computed_again(
    tmp_path: Path, toy_faces: Path, damage: Callable[[Path], None]
) -> None:
    arguments = toy(toy_faces, tmp_path, "nearest", "--metrics", "psnr,ssim")
    assert main(arguments) == 0
    table = (tmp_path / "table.csv").read_bytes()
    path = next((tmp_path / "images" / "toy" / "nearest").glob("psnr-*.parquet"))
    values = path.read_bytes()
    damage(path)
    notes: list[str] = []
    options = {"hr_size": 64, "scale": 4, "batch_size": 2, "metrics": ["psnr", "ssim"]}
    found = compare(
        "nearest", "toy", data={"toy": toy_faces}, out=tmp_path, note=notes.append, **options
    )
    assert found.outcome.computed == 1
    assert [n for n in notes if n.startswith(str(path)) and "is damaged or not whole" in n]
    assert path.read_bytes() == values
    assert (tmp_path / "table.csv").read_bytes() == table


@pytest.mark.parametrize("name", ["*.json", "*.parquet", "*"])
def test_empty_unfinished_batches_are_done_again(
    tmp_path: Path, toy_faces: Path, name: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(toy(toy_faces, whole, "nearest", "--metrics", "psnr")) == 0
    for more in ((), ("--rerun", "all")):
        arguments = toy(toy_faces, out, "nearest", "--metrics", "psnr", *more)
        with interrupted_after(5):
            assert main(arguments) == 130
        for path in (out / ".partial").rglob(name):
            if path.is_file():
                path.write_bytes(b"")
        assert main(arguments) == 0
        assert (out / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
        assert not (out / ".partial").exists()


def test_all_computed_again_clears_whatever_is_damaged(tmp_path: Path, toy_faces: Path) -> None:
    arguments = toy(toy_faces, tmp_path, "nearest,lanczos", "--metrics", "psnr")
    assert main(arguments) == 0
    table = (tmp_path / "table.csv").read_bytes()
    records = sorted((tmp_path / "records").rglob("*.json"))
    for path, text in zip(records, ("", "[", '{"schema": 99}'), strict=False):
        path.write_text(text)
    for path in (tmp_path / "images").rglob("*.parquet"):
        path.write_bytes(b"PAR1")
    (tmp_path / "run.json").write_text("")
    assert main(arguments) == 2
    assert main([*arguments, "--rerun", "all"]) == 0
    assert (tmp_path / "table.csv").read_bytes() == table


def test_an_empty_saved_face_is_saved_again(tmp_path: Path, toy_faces: Path) -> None:
    arguments = toy(toy_faces, tmp_path, "nearest", "--metrics", "psnr", "--save-images")
    assert main(arguments) == 0
    paths = [next(tmp_path.glob(f"faces/*/{kind}/face3.png")) for kind in ("hr", "lr", "sr/near*")]
    contents = [path.read_bytes() for path in paths]
    for path in paths:
        emptied(path)
    assert main(arguments) == 0
    assert [path.read_bytes() for path in paths] == contents


def raising(error: BaseException) -> Callable[..., object]:
    """A function that fails."""

    def fails(*_given: object) -> object:
        raise error

    return fails


def too_long(*_given: object) -> dict[str, np.ndarray]:
    """Columns of more faces than a batch has."""
    return {"ecm": np.zeros(5), "label_hr": np.array(["sad"] * 5)}


def nameless(_metric: object, sr: np.ndarray, *_given: object) -> dict[str, np.ndarray]:
    """Columns without the metric's own."""
    return {"other": np.zeros(len(sr))}


FAULTS = {
    "score": ("affectbench.metrics.ecm.EcmMetric.score", ValueError("no idea")),
    "exit": ("affectbench.metrics.ecm.EcmMetric.score", SystemExit(0)),
    "reference": ("affectbench.metrics.ecm.EcmMetric.reference", KeyError("no idea")),
    "input": ("affectbench.metrics.ecm.EcmMetric.score", InputError("no idea")),
    "judge": ("affectbench.run.scoring.load_judge", RuntimeError("no idea")),
}


SLOW_FAULTS = ("exit", "reference", "input", "nameless")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind in SLOW_FAULTS else ())
        for kind in (*FAULTS, "too_long", "nameless")
    ],
)
def test_a_metric_that_fails_costs_its_cells_alone(
    tmp_path: Path, toy_faces: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "nearest,bicubic"
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(toy(toy_faces, whole, rows, "--metrics", "psnr")) == 0
    target, error = FAULTS.get(kind, ("affectbench.metrics.ecm.EcmMetric.score", None))
    fault = {"too_long": too_long, "nameless": nameless}.get(kind) or raising(error)  # type: ignore[arg-type]
    monkeypatch.setattr(target, fault)
    arguments = toy(toy_faces, out, rows, "--metrics", "ecm,psnr")
    assert main(arguments) == 1
    found, right = table_of(out), table_of(whole)
    for model in ("nearest", "bicubic"):
        assert found.loc[("model", model), "psnr"] == right.loc[("model", model), "psnr"]
        assert long_of(out, "failed").loc[("model", model), "value"] == 0
        assert "failed: ecm" in found.loc[("model", model), "marks"]
        assert "failed: ecm" in long_of(out, "ecm").loc[("model", model), "mark"]
    assert np.isnan(found["ecm"]).all() if "ecm" in found else True
    assert long_of(out, "psnr").loc["model", "tied"].notna().all()
    layout = (out / "table.md").read_text()
    assert "nearest ✗ | 8 |" in layout
    # The other metrics are kept, and only the failed one is computed when asked for.
    monkeypatch.undo()
    assert main(arguments) == 1
    assert main([*arguments, "--rerun", "failed"]) == 0
    assert (table_of(out)["ecm"] >= 0).all()


def test_a_metric_that_fails_on_one_row(
    tmp_path: Path, toy_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, calls = EcmMetric.score, []

    def sometimes(self: EcmMetric, *given: object) -> object:
        calls.append(0)
        if len(calls) == 4:  # the second of two rows, in the second batch
            raise ValueError("no idea")
        return score(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(EcmMetric, "score", sometimes)
    metrics = "ecm,psnr,confidence_drift"
    main(toy(toy_faces, tmp_path, "nearest,bicubic", "--metrics", metrics))
    table = table_of(tmp_path)
    assert table.loc[("model", "nearest"), "ecm"] > 0
    failed = [row for row in table.index if np.isnan(table.loc[row, "ecm"])]
    assert len(failed) == 1
    # What shares the computation has gone with it; nothing else has.
    assert np.isnan(table.loc[failed[0], "confidence_drift"])
    assert (table["psnr"] > 0).all()


def test_a_set_value_that_cannot_be_made(
    tmp_path: Path, toy_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affectbench.run.scoring.cell_values", raising(ZeroDivisionError("n")))
    arguments = toy(toy_faces, tmp_path, "nearest", "--metrics", "psnr")
    assert main(arguments) == 1
    mark = table_of(tmp_path).loc[("model", "nearest"), "marks"]
    assert "psnr: raised ZeroDivisionError: n" in mark
    monkeypatch.undo()
    assert main([*arguments, "--rerun", "failed"]) == 0


SLOW_SCORE = """
import sys, time
from affectbench import api
from affectbench.cli.main import main
api.run_comparison = lambda *given, **options: time.sleep(60)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.slow)])
def test_a_signal_leaves_no_temporary_folder(tmp_path: Path, toy_faces: Path, name: str) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    model = tmp_path / "slow.py"
    model.write_text("import time\ndef build(scale): time.sleep(60)\n")
    code = "import sys; from affectbench.cli import score; from affectbench.cli.main import main\n"
    code += "from affectbench import api; run = api.run_comparison\n"
    code += "def slow(*a, **k):\n    import time; time.sleep(60)\n"
    code += f"api.run_comparison = slow\nsys.exit(main({['score', '--sr', str(toy_faces)]!r} + "
    code += f"{['--hr', str(toy_faces)]!r}))"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    given = ["score", "--sr", str(toy_faces), "--hr", str(toy_faces)]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_SCORE, *given],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not list(temporary.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert list(temporary.iterdir())
    number = getattr(signal, name)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "interrupted" in error
    assert "Traceback" not in error
    assert not list(temporary.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
def test_a_signal_ends_a_process_whose_thread_hangs(tmp_path: Path) -> None:
    """As one that reads from a network that is gone."""
    code = SLOW_SCORE.replace("time.sleep(60)", "hang()") + "\n"
    hang = "def hang():\n    with ThreadPoolExecutor() as pool: pool.submit(time.sleep, 60)\n"
    code = f"from concurrent.futures import ThreadPoolExecutor\n{hang}{code}"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    given = ["score", "--sr", "sr", "--hr", "hr"]
    for name in ("sr", "hr"):
        (tmp_path / name).mkdir()
        Image.fromarray(pattern(0)).save(tmp_path / name / "face.png")
    process = subprocess.Popen([sys.executable, "-c", code, *given], env=environment, cwd=tmp_path)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("affectbench-*")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM


def test_signals_are_left_as_they_were() -> None:
    with ended_by_signals():
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ending_is_no_error_of_a_model() -> None:
    assert not issubclass(Terminated, (Exception, SystemExit))
    assert issubclass(Terminated, KeyboardInterrupt)
