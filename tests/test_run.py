"""The runner: resume, isolation, locking and anchors, on pictures made by formula."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import pattern
from PIL import Image
from run_tables import long_of

from affectbench import compare
from affectbench.aggregate import macro_classes
from affectbench.cli.main import main
from affectbench.errors import InputError
from affectbench.judges import judge_spec
from affectbench.metrics.ecm import ecm_parts
from affectbench.records import Record, SavedFaces, slug
from affectbench.results.runs import load_run
from affectbench.run.again import run_again
from affectbench.run.anchors import anchor_rows, derangement
from affectbench.run.constant_face import best_constant_face
from affectbench.run.lock import locked
from affectbench.run.measures import Measure
from affectbench.stats import set_mean
from affectbench.types import Columns, MetricSettings, content_id

MODELS = """
import time, torch
from torch.nn.functional import interpolate

def enlarge(lr):
    return interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False)

def logged(scale, log):
    def model(lr):
        time.sleep(0.15)
        with open(log + ".calls", "a") as file:
            file.write(f"{len(lr)}\\n")
        return enlarge(lr)
    return model

def fine(scale): return enlarge
def raises(scale):
    def model(lr): raise RuntimeError("no more ideas")
    return model
def nans(scale): return lambda lr: enlarge(lr) * float("nan")
def small(scale): return lambda lr: enlarge(lr)[..., 1:]
def bytes_range(scale): return lambda lr: enlarge(lr) * 255
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A file with model factories."""
    path = tmp_path / "toy_models.py"
    path.write_text(MODELS)
    return path


def toy(toy_faces: Path, out: Path, models: str, *more: object) -> list[str]:
    """Arguments of a comparison on the toy faces, two a batch."""
    given = ["compare", "--models", models, "--datasets", "toy", "--data", f"toy={toy_faces}"]
    given += ["--hr-size", "64", "--scale", "4", "--batch-size", "2", "--out", str(out)]
    return [*given, *map(str, more)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the model `logged` adds `.calls` to for the file that it writes.

    A file or folder that an option names would be part of the model.
    """
    return tmp_path / "log"


def calls(log: Path) -> int:
    """How many batches, of two faces each, the model `logged` has seen.

    The one face by which its cost is measured is none of them.
    """
    path = log.with_suffix(".calls")
    return path.read_text().splitlines().count("2") if path.exists() else 0


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(
    tmp_path: Path, toy_faces: Path, models: Path, log: Path
) -> None:
    whole = tmp_path / "whole"
    rows = f"bicubic,python:{models}:logged@log={log}@name=logged"
    assert main(toy(toy_faces, whole, rows)) == 0
    batches = calls(log)
    assert batches == 4
    for after in range(batches):
        log.with_suffix(".calls").unlink()
        out = tmp_path / f"killed-{after}"
        arguments = toy(toy_faces, out, rows)
        kill_when(lambda after=after: calls(log) > after, arguments)
        assert not (out / "table.csv").exists()
        assert main(arguments) == 0
        assert batches <= calls(log) <= batches + 1
        assert (out / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()


def kill_when(reached: Callable[[], bool], arguments: list[str]) -> None:
    """Run the command in a process of its own and kill it as soon as that is true."""
    process = subprocess.Popen(
        [sys.executable, "-m", "affectbench.cli.main", *arguments], stderr=subprocess.DEVNULL
    )
    while not reached() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_second_call_does_no_work(
    tmp_path: Path, toy_faces: Path, models: Path, log: Path
) -> None:
    out = tmp_path / "out"
    arguments = toy(toy_faces, out, f"python:{models}:logged@log={log}", "--metrics", "psnr")
    assert main(arguments) == 0
    table, first = (out / "table.csv").read_bytes(), calls(log)
    assert main(arguments) == 0
    assert calls(log) == first
    assert (out / "table.csv").read_bytes() == table
    assert main([*arguments, "--rerun", "all"]) == 0
    assert calls(log) == 2 * first
    assert (out / "table.csv").read_bytes() == table


def test_changed_model_source_is_another_model(
    tmp_path: Path, toy_faces: Path, models: Path, log: Path
) -> None:
    out = tmp_path / "out"
    arguments = toy(toy_faces, out, f"python:{models}:logged@log={log}", "--metrics", "psnr")
    main(arguments)
    first = calls(log)
    models.write_text(MODELS + "\n# changed\n")
    main(arguments)
    assert calls(log) == 2 * first


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("raises", "no more ideas"),
        ("nans", "NaN"),
        ("small", "shape"),
        ("bytes_range", "range"),
    ],
)
def test_a_broken_model_fails_alone(
    tmp_path: Path, toy_faces: Path, models: Path, factory: str, says: str
) -> None:
    out = tmp_path / "out"
    both = f"python:{models}:{factory}@name=broken,python:{models}:fine@name=fine"
    arguments = toy(toy_faces, out, both, "--metrics", "psnr")
    assert main(arguments) == 1
    table = pd.read_csv(out / "table.csv").set_index("model")
    assert says.lower() in str(table.loc["broken", "marks"]).lower()
    assert np.isnan(table.loc["broken", "psnr"])
    assert table.loc["fine", "psnr"] > 10
    # The failure is remembered, and computed again only when asked for.
    assert main(arguments) == 1
    models.write_text(MODELS)
    assert main([*arguments, "--rerun", "failed"]) == 1


def test_two_processes_on_one_folder(
    tmp_path: Path, toy_faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path):
        assert main(toy(toy_faces, tmp_path, "nearest")) == 2
    assert f"in use by process {os.getpid()} on {socket.gethostname()}" in capsys.readouterr().err


def test_full_disk_keeps_what_is_finished(
    tmp_path: Path,
    toy_faces: Path,
    models: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = toy(toy_faces, out, f"python:{models}:logged@log={log}", "--metrics", "psnr")
    original = Path.replace
    written = []

    def full(self: Path, target: Path) -> Path:
        if ".partial" in str(target):
            written.append(target)
            if len(written) > 4:
                raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", full)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "disk is full" in error
    assert not list(out.rglob(".tmp-*"))
    assert not (out / "table.csv").exists()
    before = calls(log)
    monkeypatch.undo()
    assert main(arguments) == 0
    assert calls(log) <= before + 4 - 1


def test_damaged_and_newer_records(
    tmp_path: Path, toy_faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = toy(toy_faces, tmp_path, "nearest", "--metrics", "psnr")
    assert main(arguments) == 0
    record = next((tmp_path / "records").rglob("*.json"))
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "schema": 99}))
    assert main(arguments) == 2
    assert "schema 99" in capsys.readouterr().err
    record.write_text('{"schema": 1, "id"')
    assert main(arguments) == 2
    assert str(record) in capsys.readouterr().err
    record.unlink()
    assert main(arguments) == 0


def test_missing_results_are_counted(tmp_path: Path, toy_faces: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for i in range(1, 8):
        Image.fromarray(pattern(i)[::-1]).save(results / f"face{i}.png")
    out = tmp_path / "out"
    assert main(toy(toy_faces, out, f"bicubic,images:{results}@name=mine")) == 0
    table = pd.read_csv(out / "table.csv").set_index("model")
    assert table.loc["mine", "missing"] == 1
    assert table.loc["mine", "n"] == 8
    psnr = long_of(out, "psnr").loc[("model", "mine")]
    assert (psnr.n, psnr.missing) == (7, 1)
    assert np.isfinite(psnr["diff"])
    assert long_of(out, "failed").loc[("model", "mine"), "value"] == 1


def test_images_are_saved_and_made_again_if_one_is_gone(tmp_path: Path, toy_faces: Path) -> None:
    arguments = toy(toy_faces, tmp_path, "nearest", "--metrics", "psnr", "--save-images")
    assert main(arguments) == 0
    saved = sorted(tmp_path.glob("faces/toy-*/sr/nearest-*/*.png"))
    assert len(saved) == 8
    pixels = np.asarray(Image.open(saved[3]))
    assert pixels.shape == (64, 64, 3)
    saved[3].unlink()
    assert main(arguments) == 0
    assert (np.asarray(Image.open(saved[3])) == pixels).all()


def test_images_of_a_finished_run_are_saved_without_measuring_again(
    tmp_path: Path, toy_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows, anchors too; what was measured stays as it is, and so does the table."""
    arguments = toy(toy_faces, tmp_path, "nearest,lanczos", "--metrics", "psnr,ecm")
    assert main(arguments) == 0
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json") if p.parent != tmp_path}
    table = (tmp_path / "table.csv").read_bytes()
    expected = tmp_path / "at-once"
    assert (
        main(
            [*toy(toy_faces, expected, "nearest,lanczos", "--metrics", "psnr,ecm"), "--save-images"]
        )
        == 0
    )

    def measured(*_given: object) -> object:
        raise AssertionError("it is measured again")

    monkeypatch.setattr("affectbench.run.execute.Metrics.score", measured)
    assert main([*arguments, "--save-images"]) == 0
    assert (tmp_path / "table.csv").read_bytes() == table
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    made = {p.relative_to(expected): p.read_bytes() for p in (expected / "faces").rglob("*.png")}
    assert len(made) == 8 * 8  # HR, LR, and six rows
    assert {p: (tmp_path / p).read_bytes() for p in made} == made
    one = sorted(made)[-1]
    (tmp_path / one).unlink()
    assert main([*arguments, "--save-images"]) == 0
    assert (tmp_path / one).read_bytes() == made[one]


def test_saved_faces_are_what_was_measured(tmp_path: Path, toy_faces: Path) -> None:
    """HR, LR and SR of another protocol lie elsewhere: none is taken for the other."""
    found = {}
    for scale in ("4", "8"):
        arguments = toy(toy_faces, tmp_path, "nearest", "--metrics", "psnr", "--save-images")
        assert main([*arguments, "--scale", scale]) == 0
        run = load_run(tmp_path)
        record = next(r for r in run.records if r.row == "nearest")
        place = SavedFaces(tmp_path, "toy", record.dataset["revision"])
        found[scale] = place
        columns = run.columns(record)
        for image_id, psnr in zip(columns["id"], columns["psnr"], strict=True):
            hr, lr, sr = (
                np.asarray(Image.open(path)).astype(float)
                for path in (
                    place.hr(image_id),
                    place.lr(image_id),
                    place.sr("nearest", record.cell["model"], image_id),
                )
            )
            assert lr.shape[0] * int(scale) == hr.shape[0] == sr.shape[0] == 64
            assert 10 * np.log10(255**2 / ((hr - sr) ** 2).mean()) == pytest.approx(psnr, abs=1e-9)
            assert (sr == lr.repeat(int(scale), axis=0).repeat(int(scale), axis=1)).all()
    assert found["4"].folder != found["8"].folder
    assert found["4"].folder.is_dir()
    found["8"].lr("face2").unlink()
    assert main([*arguments, "--scale", "8"]) == 0
    assert found["8"].lr("face2").is_file()


def test_anchors_are_what_they_say(toy_faces: Path) -> None:
    result = compare(
        "nearest", "toy", data={"toy": toy_faces}, hr_size=64, scale=4, metrics=["ecm", "psnr"]
    )
    table = result.table.set_index("model")
    assert list(table.index) == ["nearest", "reference", "bicubic", "one-face", "wrong-face"]
    assert table.loc["reference", "psnr"] > 35
    assert table.loc["reference", "ecm"] < table.loc["wrong-face", "ecm"]
    # The constant face is one of the set: exactly one of its pairs is a face with itself.
    alone = result.images("one-face", "toy", "psnr")
    assert np.isinf(alone.psnr).sum() == 1
    scores = result.images("one-face", "toy", "ecm")
    assert (scores.ecm == 0).sum() == 1


def test_one_face_is_the_best_of_all_constant_faces(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(4), size=12)
    labels = p.argmax(1).astype(str)

    def plain_ecm(q: np.ndarray) -> float:
        values = []
        for face in p:
            k = face.argmax()
            hellinger = np.sqrt(0.5 * ((np.sqrt(face) - np.sqrt(q)) ** 2).sum())
            values.append(0.5 * hellinger + np.log(1 + abs(face[k] - q[k])))
        return float(np.mean(values))

    assert best_constant_face(p, labels) == int(np.argmin([plain_ecm(q) for q in p]))


def test_one_face_of_many_is_screened(rng: np.random.Generator) -> None:
    """Nearly always the best of all; never worse by more than its choice could matter."""
    p = np.concatenate([rng.dirichlet(np.ones(7) * a, size=700) for a in (0.2, 0.5, 2.0)])
    labels = p.argmax(1).astype(str)
    exact, screened = best_constant_face(p, labels), best_constant_face(p, labels, screened=True)
    logits = torch.from_numpy(p).log()
    classes, _ = macro_classes(labels)
    best, found = (
        set_mean(ecm_parts(logits, logits[[face]].expand_as(logits)).ecm.numpy(), classes)
        for face in (exact, screened)
    )
    assert best <= found <= best + 0.002


def test_one_face_of_twenty_thousand_takes_seconds(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(7) * 0.3, size=20_000)
    began = time.process_time()
    best_constant_face(p, p.argmax(1).astype(str), screened=True)
    assert time.process_time() - began < 20


def test_equal_faces_give_the_first_of_them(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(5), size=40)
    twice = np.concatenate([p, p])
    assert best_constant_face(twice, twice.argmax(1).astype(str)) < 40


def test_how_one_face_is_chosen_is_part_of_its_revision() -> None:
    """Up to 4,000 faces as before, so that what is known of them stays valid."""
    judge = judge_spec("mini-xception")
    measure = Measure("ecm", MetricSettings("rgb", 4, "centre", judge))

    def revision(faces: int) -> str:
        rows = {row.label: row for row, _ in anchor_rows([], [measure], 0, faces)}
        return rows["one-face"].spec.revision

    exact = content_id({"anchor": "one-face", "judge": judge.revision})
    assert revision(1) == revision(4000) == exact
    assert revision(4001) == revision(20_000) != exact


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_a_derangement_has_no_fixed_point(n: int) -> None:
    for seed in range(5):
        answer = derangement(n, np.random.default_rng(seed))
        assert sorted(answer) == list(range(n))
        assert (answer != np.arange(n)).all()


def test_names_become_safe_file_names() -> None:
    names = ["a/b", "a_b", "../x", "<script>", "ü", "x" * 300, ""]
    made = [slug(name) for name in names]
    assert len(set(made)) == len(made)
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in made)


def test_faces_of_a_finished_run_can_be_run_again(
    tmp_path: Path, toy_faces: Path, models: Path
) -> None:
    out = tmp_path / "out"
    assert main(toy(toy_faces, out, f"bicubic,python:{models}:fine@name=fine")) == 0
    run = load_run(out)
    record = next(r for r in run.records if r.row == "fine" and r.metric["name"] == "psnr")

    data = tmp_path / "data"
    data.mkdir()
    (data / "toy").symlink_to(toy_faces)
    same = run_again(run.settings, run.records, run.columns, data, weights=None, faces=8, seed=0)
    assert same == []
    values = dict(run.columns(record))
    values["psnr"] = values["psnr"] + 0.01

    def changed(which: Record) -> Columns:
        return values if which is record else run.columns(which)

    found = run_again(run.settings, run.records, changed, data, weights=None, faces=8, seed=0)
    assert found == ["toy: fine, psnr: 8 of 8 faces differ, face0 among them"]
    for more, problems in (
        ({2: 0.04}, []),  # one pixel's level, on another kind of processor
        ({2: 0.06}, ["toy: fine, psnr: 1 of 8 faces differ, face2 among them"]),
        (
            dict.fromkeys(range(5), 0.002),
            ["toy: fine, psnr: 5 of 8 faces differ, face0 among them"],
        ),
    ):
        values["psnr"] = run.columns(record)["psnr"].copy()
        for face, difference in more.items():
            values["psnr"][face] += difference
        found = run_again(run.settings, run.records, changed, data, weights=None, faces=8, seed=0)
        assert found == problems
    options = {"weights": None, "faces": 8, "seed": 0}
    other = [name for name in run.settings["metrics"] if name != "psnr"]
    found = run_again(run.settings, run.records, changed, data, metrics=other, **options)
    assert found == []
    with pytest.raises(InputError, match=r"toy: the board has no psrn; it has .*psnr"):
        run_again(run.settings, run.records, changed, data, metrics=["psrn"], **options)
    models.write_text(MODELS + "# another revision")
    found = run_again(run.settings, run.records, run.columns, data, weights=None, faces=8, seed=0)
    assert "another revision" in " ".join(found)
    missing = tmp_path / "nowhere"
    found = run_again(
        run.settings, run.records, run.columns, missing, weights=None, faces=8, seed=0
    )
    assert "is not there" in found[0]
