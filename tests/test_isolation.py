"""Models in processes of their own: the same bytes, and no end of a process is the end of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from conftest import affectbench
from tiny_models import ANY, UP, double, write_code, write_onnx

from affectbench.adapters import parse_model
from affectbench.adapters.contract import checked_sr, run_model
from affectbench.adapters.isolation import IsolatedModel, apply
from affectbench.cli.main import main
from affectbench.errors import InputError, ModelError
from affectbench.metrics.cost import measure_cost

CODE = f"""
import ctypes, os, sys, time
up = lambda x: {UP.format(2)}

def build(scale, deed="none", when="2"):
    def f(x):
        if len(x) == int(when):
            print("noise")
            DEEDS[deed]()
        return up(x)
    return f

def forever():
    while True:
        pass

def straggler():
    if os.fork() == 0:
        os.setsid()  # nothing reaches it any more, and it holds the pipes
        time.sleep(30)
        os._exit(0)
    os._exit(5)

def garbage():
    for number in range(3, 20):
        try:
            if os.readlink(f"/proc/self/fd/{{number}}").startswith("pipe:"):
                os.write(number, b"x" * 64)
        except OSError:
            pass

DEEDS = {{
    "none": lambda: None,
    "exit": lambda: os._exit(0),
    "exit3": lambda: os._exit(3),
    "sys.exit": lambda: sys.exit(4),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "segfault": lambda: ctypes.string_at(0),
    "abort": lambda: os.abort(),
    "memory": lambda: os.kill(os.getpid(), 9),
    "straggler": straggler,
    "loop": forever,
    "hang": lambda: ctypes.PyDLL(None).sleep(1000),
    "input": lambda: input(),
    "garbage": garbage,
}}

def network(scale, seed):
    torch.manual_seed(int(seed))
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 12, 3, padding=1), torch.nn.PixelShuffle(2), torch.nn.Sigmoid())

def slow_to_load(scale):
    time.sleep(1000)

def broken(scale):
    raise KeyError("in factory")

spec = {{"scale": 2, "trained_on": ["celeba"], "value_range": [0, 1]}}
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return f"python:{write_code(tmp_path_factory.mktemp('code'), CODE)}"


def _load(argument: str, timeout: float | None = None):
    request = replace(parse_model(argument), isolate=True, timeout=timeout)
    return request.load(2, "cpu")


@pytest.fixture
def small(lr):
    return lr[:2]


def test_results_are_to_the_last_bit_the_same(target, lr):
    """Under the settings of this process too."""
    argument = f"{target}:network@seed=3"
    plain, apart = parse_model(argument).load(2), _load(argument)
    assert isinstance(apart, IsolatedModel) and apart.spec == plain.spec
    assert apart.spec.trained_on == ("celeba",) and apart.spec.parameters == 2188
    for faces in (lr, lr[:1], lr[..., :5]):
        assert torch.equal(checked_sr(apart, faces, 2), checked_sr(plain, faces, 2))
    assert apply(measure_cost, apart, lr[:1]) == apply(measure_cost, plain, lr[:1])
    assert apply(measure_cost, apart, lr[:1])["multiply_adds"] > 0


@pytest.mark.slow
def test_settings_of_this_process_hold_in_the_child(tmp_path, lr):
    path = write_code(
        tmp_path,
        "def build(scale):\n    def f(x):\n        seen = torch.get_num_threads() / 255\n"
        "        seen += 0.2 * (torch.get_float32_matmul_precision() == 'high')\n"
        f"        return {UP.format(2)} * 0 + seen + torch.rand(1) * 0.1\n    return f",
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    torch.set_float32_matmul_precision("high")
    try:
        plain, apart = (
            replace(parse_model(f"python:{path}:build"), isolate=i).load(2) for i in (False, True)
        )
        for seed in (0, 1):
            assert torch.equal(checked_sr(apart, lr, 2, seed), checked_sr(plain, lr, 2, seed))
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("exit", "ended its process with exit code 0"),
        pytest.param("sys.exit", "raised SystemExit: 4", marks=pytest.mark.slow),
        pytest.param("segfault", "its process was ended by SIGSEGV", marks=pytest.mark.slow),
        pytest.param("exit3", "ended its process with exit code 3", marks=pytest.mark.slow),
        pytest.param("interrupt", "raised KeyboardInterrupt", marks=pytest.mark.slow),
        pytest.param("abort", "its process was ended by SIGABRT", marks=pytest.mark.slow),
        pytest.param("memory", r"SIGKILL \(is memory short\?\)", marks=pytest.mark.slow),
        pytest.param("straggler", "ended its process with exit code 5", marks=pytest.mark.slow),
        pytest.param("input", "raised EOFError", marks=pytest.mark.slow),
        pytest.param("garbage", "gave no answer, and was ended", marks=pytest.mark.slow),
    ],
)
def test_no_end_of_the_child_is_the_end_of_the_run(target, small, deed, said):
    model = _load(f"{target}:build@deed={deed}")
    assert torch.equal(checked_sr(model, small[:1], 2), double(small[:1]))
    with pytest.raises(ModelError, match=said):
        run_model(model, small, 2)


@pytest.mark.parametrize("deed", ["hang", pytest.param("loop", marks=pytest.mark.slow)])
def test_a_call_that_never_returns_is_ended(target, small, deed):
    model = _load(f"{target}:build@deed={deed}", timeout=1.5)
    began = time.monotonic()
    for _ in range(2):  # and it stays so
        with pytest.raises(ModelError, match=r"did not return within 1\.5 s \(--timeout\)"):
            run_model(model, small, 2)
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_loading_may_take_no_longer(target):
    with pytest.raises(ModelError, match=r"did not return within 0\.5 s"):
        _load(f"{target}:slow_to_load", timeout=0.5)


@pytest.mark.slow
def test_errors_are_those_of_the_same_process(target, lr):
    said = []
    for isolate in (False, True):
        with pytest.raises(ModelError) as caught:
            replace(parse_model(f"{target}:broken"), isolate=isolate).load(2)
        said.append(str(caught.value))
    assert said[0] == said[1] and said[0].endswith("raised KeyError: 'in factory'")


@pytest.mark.slow
def test_graphs_and_weights_run_apart_as_well(tmp_path, esrgan, lr):
    onnx = write_onnx(tmp_path / "x2.onnx", ANY, factor=0.7)
    for argument in (f"onnx:{onnx}", f"checkpoint:{esrgan}@then=lanczos", "lanczos"):
        plain, apart = parse_model(argument).load(2), _load(argument)
        assert isinstance(apart, IsolatedModel) == (argument != "lanczos")
        assert torch.equal(run_model(apart, lr, 2), run_model(plain, lr, 2))


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_timeout_is_a_number_above_zero(timeout):
    with pytest.raises(InputError, match="must be a number above 0"):
        replace(parse_model("bicubic"), timeout=timeout)


def test_a_wrong_timeout_is_an_error_of_usage(tmp_path, capsys):
    for verb in (["compare", "--models"], ["check"]):
        assert main([*verb, "bicubic", "--timeout", "0"]) == 2
        assert "a timeout of 0 s" in capsys.readouterr().err


@pytest.mark.slow
def test_a_child_ends_with_its_model(target):
    model = _load(f"{target}:build")
    pid = model._child._process.pid
    os.kill(pid, 0)
    del model
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_a_run_is_the_same_apart_and_loses_nothing_else(tmp_path):
    path = write_code(
        tmp_path,
        CODE.replace("scale_factor=2", "scale_factor=8").replace('"scale": 2', '"scale": 8'),
    )
    models = "lanczos," + ",".join(
        f"python:{path}:build@name={deed}@deed={deed}" for deed in ("none", "exit", "hang", "loop")
    )
    command = ["compare", "--models", models, "--metrics", "psnr", "--json"]
    done = affectbench(*command, "--out", tmp_path / "apart", "--timeout", "4")
    assert done.returncode == 1
    assert done.stdout, done.stderr
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert "noise" in done.stderr
    assert [name for name, row in rows.items() if row["psnr"] is None] == ["exit", "hang", "loop"]
    plain = f"lanczos,python:{path}:build@name=none@deed=none"
    command = ["compare", "--models", plain, "--metrics", "psnr", "--out", str(tmp_path / "plain")]
    assert main(command) == 0
    for row in ("lanczos", "none"):
        (one,), (other,) = (
            list((tmp_path / out / "images/demo" / row).iterdir()) for out in ("apart", "plain")
        )
        assert one.read_bytes() == other.read_bytes()


WAITING = """
import os, subprocess, ctypes
def build(scale):
    def f(x):
        subprocess.Popen(["sleep", "4321"])
        with open("running", "w") as out:
            out.write(f"{os.getpid()}\\n")
        ctypes.PyDLL(None).sleep(1000)  # holds the interpreter: no thread of the child can run
    return f
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, None, marks=pytest.mark.slow),
    ],
)
def test_no_child_outlives_its_parent(tmp_path, number, code):
    write_code(tmp_path, WAITING, "m.py")
    command = ["compare", "--models", "python:m.py:build", "--metrics", "psnr", "--isolate"]
    parent = subprocess.Popen(
        [sys.executable, "-m", "affectbench.cli.main", *command, "--out", "out"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for(lambda: (tmp_path / "running").exists() and (tmp_path / "running").read_text())
    child = int((tmp_path / "running").read_text())
    assert _is_running(child)
    parent.send_signal(number)
    ended = parent.wait(20)
    assert code is None or ended == code
    _wait_for(lambda: not _is_running(child) and not _group(child))


def _wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _is_running(pid: int) -> bool:
    """A zombie that nobody reaps does not run."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.startswith(b"Z")


def _group(leader: int) -> list[str]:
    done = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True)
    lines = (line.split() for line in done.stdout.splitlines())
    return [stat for group, stat in lines if int(group) == leader and not stat.startswith("Z")]
