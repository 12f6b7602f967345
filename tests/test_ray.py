"""Runs on a Ray cluster of two nodes on this machine: same bytes, and who dies costs nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_dispatch import errors, run, specs, tables

from affectbench.adapters import parse_models
from affectbench.errors import InputError, StorageError
from affectbench.run.cluster import Cluster
from affectbench.run.folder import RunFolder
from affectbench.run.plan import RunRequest, make_plan
from affectbench.run.session import run_comparison
from affectbench.types import TestProtocol

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

MODELS = """
import os, signal, time
from torch.nn.functional import interpolate
def up(lr): return interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False)
def fine(scale): return up
def raises(scale):
    def model(lr): raise RuntimeError("no more ideas")
    return model
def slow(scale):
    def model(lr):
        time.sleep(0.3)
        return up(lr)
    return model
def hangs(scale):
    def model(lr): time.sleep(1000)
    return model
def kills(scale):
    def model(lr):
        if {parent} != os.getppid(): os.kill(os.getpid(), signal.SIGKILL)
        return up(lr)
    return model
"""

QUIET = {"include_log_monitor": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes: one with one core, one with two and two pretended GPUs."""
    made = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "num_gpus": 0, "include_dashboard": False, **QUIET},
    )
    made.add_node(num_cpus=2, num_gpus=2, **QUIET)
    yield made
    made.shutdown()


@pytest.fixture
def faces(toy_faces: Path) -> Path:
    """Eight pictures: four batches."""
    return toy_faces


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads as a node has cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def models(tmp_path: Path) -> Callable[[str], str]:
    path = tmp_path / "toy_models.py"
    path.write_text(MODELS)
    return lambda name: f"python:{path}:{name}@name={name}@revision=1"


def on(cluster: Any, faces: Path, out: Path, rows: str, **more: Any) -> Any:
    return run(faces, out, rows, "ray", **{"address": cluster.address, "workers": 2, **more})


def request_for(faces: Path) -> RunRequest:
    protocol = TestProtocol(4, 64)
    return RunRequest(
        tuple(parse_models("bicubic")), (("toy", faces),), ("psnr",), protocol=protocol
    )


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """The processes of workers that were ready for work, and the GPUs that each one sees."""
    from affectbench.run.ray_pool import RayPool

    found: dict[int, str] = {}
    welcome = RayPool._welcome

    def noted(self: Any, member: Any, greeting: Any) -> None:
        found[greeting.pid] = greeting.gpus
        welcome(self, member, greeting)

    monkeypatch.setattr(RayPool, "_welcome", noted)
    return found


def test_the_same_bytes_and_back(
    tmp_path: Path, faces: Path, cluster: Any, models: Callable[[str], str]
) -> None:
    rows = f"bicubic,{models('fine')},{models('raises')}"
    more = {"metrics": "ecm,psnr,fed", "save_images": True}
    local = run(faces, tmp_path / "local", rows, "local", **more)
    found = on(cluster, faces, tmp_path / "ray", rows, **more)
    assert tables(found.folder) == tables(local.folder)
    assert errors(found) == errors(local)
    assert specs(found) == specs(local)


def test_two_gpus_are_two_workers_with_one_each(
    tmp_path: Path, faces: Path, cluster: Any, met: dict[int, str]
) -> None:
    from affectbench.run.ray_executor import RayExecutor
    from affectbench.run.ray_pool import RayPool, Room

    plan = make_plan(request_for(faces), print)[0]
    executor = RayExecutor(Cluster(cluster.address), RunFolder(tmp_path), print, print)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        pool = RayPool(Room(1, 1.0), 2, 600, print)
        pool.begin(plan, executor._setup(plan))
        while len(met) < 2:
            pool.wait()
        assert sorted(met.values()) == ["0", "1"]  # on the one node with GPUs
        pool.close()
    finally:
        ray.shutdown()


def test_gpus_that_nobody_can_have(tmp_path: Path, faces: Path, cluster: Any) -> None:
    with pytest.raises(InputError, match="--device cuda:1: Ray says which GPU a worker has"):
        on(cluster, faces, tmp_path, "bicubic", metrics="psnr", device="cuda:1", gpus_per_worker=1)
    with pytest.raises(InputError, match="room for a worker of 1 CPUs and 3 GPUs"):
        on(cluster, faces, tmp_path, "bicubic", metrics="psnr", gpus_per_worker=3)


def test_a_killed_worker_costs_nothing(
    tmp_path: Path, faces: Path, cluster: Any, models: Callable[[str], str], met: dict[int, str]
) -> None:
    rows = f"bicubic,{models('slow')}"
    local = run(faces, tmp_path / "local", rows, "local", metrics="psnr")
    messages: list[str] = []
    killed: list[int] = []

    def kill(_name: str, done: int, _total: int) -> None:
        if done and not killed:
            killed.append(next(iter(met)))
            os.kill(killed[0], signal.SIGKILL)

    more = {"metrics": "psnr", "progress": kill, "note": messages.append}
    found = on(cluster, faces, tmp_path / "ray", rows, **more)
    assert killed
    assert tables(found.folder) == tables(local.folder)
    assert any("a worker died" in line for line in messages)


def test_a_model_that_kills_its_worker_or_hangs_costs_its_row(
    tmp_path: Path, faces: Path, cluster: Any
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(MODELS.replace("{parent}", str(os.getpid())))
    rows = f"bicubic,python:{path}:hangs@name=hangs@revision=1"
    found = on(cluster, faces, tmp_path / "hangs", rows, metrics="psnr", timeout=30)
    assert [r.row for r in found.outcome.failed] == ["hangs"]
    assert "did not return within 30 s (--timeout)" in found.failed[0]
    rows = f"bicubic,python:{path}:kills@name=kills@revision=1"
    found = on(cluster, faces, tmp_path / "kills", rows, metrics="psnr", limit=2)
    assert [r.row for r in found.outcome.failed] == ["kills"]
    assert "kills: 3 workers died of the same batch" in found.failed[0]


def test_a_node_that_does_not_see_the_faces(
    tmp_path: Path, faces: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from affectbench.run import ray_executor

    monkeypatch.setattr(ray_executor, "_paths", lambda _plan: ["/mnt/only-here/faces"])
    with pytest.raises(InputError, match=r"node \S+: /mnt/only-here/faces is not there"):
        on(cluster, faces, tmp_path / "out", "bicubic", metrics="psnr")


def test_no_cluster_at_the_address(tmp_path: Path, faces: Path) -> None:
    with pytest.raises(InputError, match=r"--address 127\.0\.0\.1:1: no Ray cluster answers"):
        run(faces, tmp_path, "bicubic", "ray", address="127.0.0.1:1", metrics="psnr")


def test_a_driver_that_dies_is_resumed_here(
    tmp_path: Path, faces: Path, cluster: Any, models: Callable[[str], str]
) -> None:
    rows = f"bicubic,{models('slow')}"
    whole = run(faces, tmp_path / "whole", rows, "local", metrics="psnr")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "affectbench.cli.main", "compare", "--models", rows]
    command += ["--data", f"toy={faces}", "--hr-size", "64", "--scale", "4", "--batch-size", "2"]
    command += ["--seed", "3", "--metrics", "psnr", "--out", str(out)]
    command += ["--executor", "ray", "--address", cluster.address]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list(out.glob(".partial/*/*.json")) and driver.poll() is None:
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert list(out.glob(".partial/*/*.json"))
    found = run(faces, out, rows, "local", metrics="psnr")
    assert tables(found.folder) == tables(whole.folder)


def test_a_node_that_dies_costs_nothing(
    tmp_path: Path, faces: Path, cluster: Any, models: Callable[[str], str]
) -> None:
    rows = f"bicubic,{models('slow')}"
    local = run(faces, tmp_path / "local", rows, "local", metrics="psnr")
    extra = cluster.add_node(num_cpus=1, **QUIET)
    gone: list[threading.Thread] = []
    messages: list[str] = []

    def remove(_name: str, done: int, _total: int) -> None:
        if done and not gone:
            gone.append(threading.Thread(target=lambda: cluster.remove_node(extra, False)))
            gone[0].start()

    more = {"metrics": "psnr", "progress": remove, "note": messages.append, "workers": 4}
    found = on(cluster, faces, tmp_path / "ray", rows, **more)
    gone[0].join()
    assert tables(found.folder) == tables(local.folder)


def test_no_worker_left(tmp_path: Path, faces: Path, cluster: Any) -> None:
    @ray.remote(num_cpus=1)
    class Squatter:
        def here(self) -> bool:
            return True

    ray.init(address=cluster.address, log_to_driver=False)
    try:
        squatters = [Squatter.remote() for _ in range(3)]  # type: ignore[attr-defined]
        ray.get([squatter.here.remote() for squatter in squatters])
        with pytest.raises(StorageError, match="Ray has had no worker for 2 s"):
            run_comparison(
                request_for(faces), tmp_path, cluster=Cluster(cluster.address, 1, patience=2)
            )
    finally:
        ray.shutdown()
