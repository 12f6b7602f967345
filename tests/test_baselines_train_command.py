"""The commands that train affectbench-baselines: one job, the queue, freezing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from affectbench_baselines import train
from affectbench_baselines.configs import build_network
from affectbench_baselines.training import freeze, schedule
from affectbench_baselines.training.files import CHECKPOINT, DONE, load_checkpoint
from affectbench_baselines.training.randomness import seeded
from tiny_training import PAPER, SETTINGS, write_archive, write_config

from affectbench.errors import InputError

pytest.importorskip("lightning_fabric")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("archive"))


def arguments(archive, out, *more: str) -> list[str]:
    data, landmarks = archive
    given = ["--data", str(data), "--landmarks", str(landmarks), "--out", str(out)]
    return [*given, "--cache", str(data.parent / "cache"), "--no-validation", *more]


def test_the_command_trains_resumes_and_freezes(archive, tmp_path):
    config = str(write_config(tmp_path, "fadn"))
    given = arguments(archive, tmp_path / "run", "--config", config, "--faces", "8")
    assert train.main(["fadn", *given]) == 0
    assert train.main(["fadn", *given]) == 2  # it holds a run
    assert train.main(["fadn", *given, "--resume"]) == 0
    figures = freeze.freeze("fadn", tmp_path / "run", tmp_path / "home")
    folder = tmp_path / "home/fadn/weights"
    assert {p.suffix for p in folder.iterdir()} >= {".safetensors", ".json", ".csv", ".md"}
    found = json.loads((folder / "fadn-base.json").read_text())
    assert found == json.loads(json.dumps(figures))
    assert figures["faces_seen"] == 8 and figures["native_scale_faces"] == 8
    costs = figures["executions"]
    assert list(costs)[:3] == ["dense-16", "pixel-16", "tile-16"] and len(costs) == 9
    assert costs["dense-16"]["multiply_adds"] == figures["multiply_adds"]
    for side in (16, 64, 128):
        dense, pixel = costs[f"dense-{side}"], costs[f"pixel-{side}"]
        assert 0 < pixel["multiply_adds"] < dense["multiply_adds"] and pixel["ms"] > 0
    assert "research use: trained on CelebA" in (folder / "fadn-base.md").read_text()
    with pytest.raises(InputError, match="is a run of fadn, not of wnet"):
        freeze.freeze("wnet", tmp_path / "run", tmp_path / "home")


def test_a_frozen_base_stage_is_a_finished_run_again(archive, tmp_path):
    config = str(write_config(tmp_path, "rrdbnet"))
    given = arguments(archive, tmp_path / "run", "--config", config, "--faces", "8")
    assert train.main(["rrdbnet", *given]) == 0
    figures = freeze.freeze("rrdbnet", tmp_path / "run", tmp_path / "home")
    again = tmp_path / "runs/rrdbnet/base"
    assert freeze.thaw("rrdbnet", again, tmp_path / "home")
    assert freeze.freeze("rrdbnet", again, tmp_path / "other") == figures
    assert not freeze.thaw("wnet", tmp_path / "runs/wnet/base", tmp_path / "home")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["wnett"], "there is no 'wnett' to train"),
        (["wnet", "--config", "tinny"], "has no config 'tinny'"),
        (
            ["rrdbnet", "--size", "256"],
            "have 128 pixels a side, and enlarged ones",
        ),
        (["wnet", "--size", "80"], "takes multiples of 32 pixels, at least 64"),
        (["affectsrnet", "--config", "paper", "--size", "64"], "at least 128"),
        (["rrdbnet", "--stage", "last"], "needs the weights of VGG16"),
        (["rrdbnet", "--init", "none.safetensors"], "cannot be read"),
        (["rrdbnet", "--backbone", "real-esrgan-animee"], "did you mean 'real-esrgan-anime'"),
        (["rrdbnet", "--stage", "last", "--vgg16", "none.safetensors"], "none.safetensors"),
    ],
)
def test_bad_commands_are_explained(given, message, archive, tmp_path, caplog):
    assert train.main([*given, *arguments(archive, tmp_path / "run")]) == 2
    assert message in caplog.text


def test_landmark_networks_ask_for_landmarks(archive, tmp_path, caplog):
    given = ["affectsrnet", "--data", str(archive[0]), "--out", str(tmp_path / "x")]
    assert train.main(given) == 2
    assert "learns from landmarks" in caplog.text


def test_a_prior_by_mesh_learns_from_faces_alone(archive, tmp_path):
    config = tmp_path / "mesh.json"
    config.write_text(json.dumps({"network": PAPER}))
    given = ["affectsrnet", "--data", str(archive[0]), "--out", str(tmp_path / "x")]
    given += ["--config", str(config), "--faces", "16", "--no-validation"]
    assert train.main(given) == 0
    done = json.loads((tmp_path / "x" / DONE).read_text(encoding="utf-8"))
    assert set(done["figures"]) >= {"loss_pixel"} and "loss_landmarks" not in done["figures"]


def test_the_queue_names_runs_that_the_command_takes(tmp_path):
    data = ["--data", "a.zip", "--landmarks", "b.npz", "--vgg16", "v.safetensors"]
    options = schedule.parser().parse_args([*data, "--runs", str(tmp_path)])
    folders = [entry.folder for entry in schedule.queue()]
    assert len(set(folders)) == len(folders)
    for entry in schedule.queue():
        parsed = train.parser().parse_args(schedule.command(entry, options))
        job = train.job_of(parsed)
        assert parsed.resume and job.variant == entry.variant
        assert entry.init == "" or entry.init in folders
        assert (job.stage_name == "last") == bool(entry.init)


def test_the_queue_goes_on_where_it_was(archive, tmp_path, caplog):
    caplog.set_level("INFO")
    config = str(write_config(tmp_path, "rrdbnet"))
    entries = [
        schedule.Entry(
            "a/base", "rrdbnet", ("--faces", "8", "--config", config, "--no-validation")
        ),
        schedule.Entry("b/last", "rrdbnet", ("--stage", "last"), "missing/base"),
    ]
    options = schedule.parser().parse_args(
        [
            "--data",
            str(archive[0]),
            "--landmarks",
            str(archive[1]),
            "--runs",
            str(tmp_path / "runs"),
        ]
    )
    assert schedule.run_queue(entries, options) == 1
    assert "b/last: waits for missing/base" in caplog.text
    assert schedule.state(entries[0], tmp_path / "runs").startswith("done")
    caplog.clear()
    assert schedule.run_queue(entries[:1], options) == 0
    assert "== a/base" not in caplog.text


@pytest.mark.slow
def test_two_gloo_processes_make_the_same_steps(archive, tmp_path):
    """Each sees half of every batch; the mean of their gradients is that of the whole batch.

    For a plain L1 loss, that is: batch normalisation, dropout and a mean over the faces that have
    landmarks see another half in each process.
    """
    config = str(write_config(tmp_path, "rrdbnet"))
    more = ("--config", config, "--faces", "48", "--devices")
    alone = ["rrdbnet", *arguments(archive, tmp_path / "1", *more, "1")]
    assert train.main(alone) == 0
    two = ["rrdbnet", *arguments(archive, tmp_path / "2", *more, "2", "--strategy", "ddp")]
    command = [sys.executable, "-m", "affectbench_baselines.train", *two]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    found = [load_checkpoint(tmp_path / devices / CHECKPOINT)["network"] for devices in ("1", "2")]
    with seeded(0):
        start = build_network("rrdbnet", SETTINGS["rrdbnet"]).state_dict()
    one, two = found
    way = torch.cat([(one[k] - start[k]).flatten() for k in one]).abs().mean()
    apart = torch.cat([(one[k] - two[k]).flatten() for k in one]).abs().mean()
    assert float(way) > 0 and float(apart / way) < 1e-3
    assert json.loads((tmp_path / "2/done.json").read_text())["processes"] == 2
