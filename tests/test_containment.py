"""Models that meddle with their process, exit, print, or give strange things."""

from __future__ import annotations

import gc
import json
import locale
import logging
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from tiny_models import UP, write_code

import affectbench
from affectbench.adapters import load_model
from affectbench.adapters.containment import contained
from affectbench.adapters.contract import run_model
from affectbench.cli.main import main
from affectbench.errors import ModelError

MEDDLING = {
    "default dtype": "torch.set_default_dtype(torch.float64)",
    "default device": "torch.set_default_device('meta')",
    "device mode": "torch.device('meta').__enter__()",
    "threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "gradients": "torch.set_grad_enabled(False)",
    "no_grad": "torch.no_grad().__enter__()",
    "inference mode": "torch.inference_mode().__enter__()",
    "autocast": "torch.autocast('cpu', torch.bfloat16).__enter__()",
    "deterministic": "torch.use_deterministic_algorithms(True, warn_only=True)",
    "cudnn": "torch.backends.cudnn.benchmark = True; torch.backends.cudnn.enabled = False",
    "tf32": "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False",
    "fp32 precision": "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "matmul": "torch.set_float32_matmul_precision('medium')",
    "attention": "torch.backends.cuda.enable_flash_sdp(False)",
    "onednn": "torch._C._set_mkldnn_enabled(False)",
    "denormals": "torch.set_flush_denormal(True)",
    "global hook": "torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 0)",
    "torch seed": "torch.manual_seed(5)",
    "seeds": "import random, numpy; random.seed(5); numpy.random.seed(5)",
    "directory": "import os; os.chdir('/')",
    "environment": "import os; os.environ['HOME'] = 'x'; os.environ['NEW'] = 'y'",
    "environment less": "import os; del os.environ['PATH']",
    "umask": "import os; os.umask(0o077)",
    "locale": "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
    "warnings": "import warnings; warnings.simplefilter('error')",
    "showwarning": "import warnings; warnings.showwarning = None",
    "signals": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "path": "import sys; sys.path = ['nowhere']",
    "arguments": "import sys; sys.argv = ['x']",
    "streams": "import sys; sys.stdout.close(); sys.stdout = sys.stderr = None",
    "recursion": "import sys; sys.setrecursionlimit(5000)",
    "gc": "import gc; gc.disable()",
    "logging": "import logging; logging.basicConfig(level=1, force=True); logging.disable(50)",
    "numpy errors": "import numpy; numpy.seterr(all='raise')",
    "pillow": "from PIL import Image, ImageFile; ImageFile.LOAD_TRUNCATED_IMAGES = True; "
    "Image.MAX_IMAGE_PIXELS = 1",
}


def _hooked_sum() -> float:
    return float(torch.nn.Identity()(torch.ones(1)))


def _world() -> dict[str, object]:
    """What the process looks like, asked in other ways than the library asks where there are."""
    made = torch.ones(2) @ torch.ones(2, 1)
    return {
        "tensor": (made.dtype, str(made.device), made.is_inference(), torch.is_grad_enabled()),
        "leaf": torch.ones(1, requires_grad=True).mul(1).requires_grad,
        "threads": torch.get_num_threads(),
        "determinism": torch.get_deterministic_debug_mode(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.enabled),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "precision": torch.backends.cudnn.conv.fp32_precision
        if hasattr(torch.backends.cudnn, "conv")
        else "",
        "matmul": torch.get_float32_matmul_precision(),
        "attention": torch.backends.cuda.flash_sdp_enabled(),
        "onednn": torch.backends.mkldnn.enabled,
        "denormal": float(torch.tensor(1e-310, dtype=torch.float64) * 1.0),
        "hook": _hooked_sum(),
        "random": (float(torch.rand(1)), random.random(), float(np.random.rand())),
        "directory": Path.cwd(),
        "environment": dict(os.environ),
        "umask": os.umask(os.umask(0)),
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "signal": signal.getsignal(signal.SIGINT),
        "sys": (list(sys.path), list(sys.argv), sys.stdout, sys.stderr, sys.getrecursionlimit()),
        "closed": (sys.stdout.closed, sys.stderr.closed),
        "gc": gc.isenabled(),
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "numpy": np.geterr(),
        "pillow": (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS),
    }


def _seed() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)


@pytest.mark.parametrize("deed", MEDDLING.values(), ids=MEDDLING)
@pytest.mark.parametrize("when", ["import", "factory", "forward", "raises"])
def test_a_model_changes_nothing_but_its_result(tmp_path, lr, deed, when):
    code = {
        "import": f"{deed}\ndef build(scale): return lambda x: {UP.format(2)}",
        "factory": f"def build(scale):\n    {deed}\n    return lambda x: {UP.format(2)}",
        "forward": f"def build(scale):\n    def f(x):\n        up = {UP.format(2)}\n"
        f"        {deed}\n"
        "        return up\n    return f",
        "raises": f"def build(scale):\n    {deed}\n    raise SystemExit(0)",
    }[when]
    target = f"python:{write_code(tmp_path, code)}:build"
    _seed()
    before = _world()
    _seed()
    try:
        sr = run_model(load_model(target, 2), lr, 2)
        assert sr.shape == (3, 3, 16, 20)
    except ModelError as error:
        assert when == "raises", error
    assert _world() == before


def test_a_library_that_flushes_denormals_on_its_own_thread_is_undone(lr):
    def network(x):
        torch.set_flush_denormal(True)
        raise RuntimeError

    with pytest.raises(ModelError), contained("m"):
        network(lr)
    assert float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) > 0


def test_what_the_user_has_set_is_what_comes_back(lr):
    """The state before the call, not that of a fresh process."""
    with torch.device("meta"):
        with contained("m"):
            torch.set_default_device("cpu")
        assert torch.empty(1).is_meta
    torch.set_default_device("meta")
    try:
        with contained("m"):
            torch.set_default_device(None)
        assert torch.empty(1).is_meta
    finally:
        torch.set_default_device(None)
    with torch.no_grad():
        with contained("m"):
            assert not torch.is_grad_enabled()
            torch.set_grad_enabled(True)
        assert not torch.is_grad_enabled()


PRINTING = (
    "print('noise')",
    "import sys; sys.__stdout__.write('noise\\n')",
    "import os; os.write(1, b'noise')",
    "import os; os.system('echo noise')",
    "import subprocess; subprocess.run(['echo', 'noise'])",
    "import ctypes; ctypes.CDLL(None).puts(b'noise')",
    "import sys; sys.stdout.buffer.write(b'noise')",
    "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer); print('noise')",
    "import os; os.close(1); os.write(2, b'noise')",
    "import os; os.write(2, b'noise'); os.close(2)",
)


def test_what_a_model_prints_is_no_result(tmp_path):
    """Whichever way it prints: when it is built and when it runs, all goes to stderr."""
    for number, deed in enumerate(PRINTING):
        write_code(
            tmp_path,
            f"def build(scale):\n    {deed}\n    def f(x):\n        {deed}\n"
            f"        return {UP.format(2)}\n    return f",
            f"m{number}.py",
        )
    code = f"""
import sys, torch
from affectbench.adapters import load_model
from affectbench.adapters.contract import run_model
for number in range({len(PRINTING)}):
    model = load_model(f"python:m{{number}}.py:build", 2)
    print(run_model(model, torch.rand(1, 3, 4, 4), 2).shape[-1])
    print("end", number, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "8\n" * len(PRINTING)), done.stderr
    for number in range(len(PRINTING)):
        said, _, done.stderr = done.stderr.partition(f"end {number}\n")
        assert said.count("noise") >= 2, PRINTING[number]  # when it is built, and in each call


def test_json_is_json_whatever_a_model_prints(tmp_path, capfd):
    """Case 18."""
    path = write_code(
        tmp_path,
        "import os\nprint('loading')\ndef build(scale):\n    os.system('echo building')\n"
        f"    return lambda x: (print('running'), {UP.format('scale')})[1]",
    )
    command = ["compare", "--models", f"python:{path}:build", "--metrics", "psnr", "--json"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out)
    assert all(word in printed.err for word in ("loading", "building", "running"))


class _OddError(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(0), "raised SystemExit: 0"),
        (GeneratorExit(), "raised GeneratorExit: "),
        (StopIteration(), "raised StopIteration: "),
        (_OddError(), "raised _OddError: its message cannot be shown"),
        (MemoryError(), "raised MemoryError: "),
        (RuntimeError("one\n   two"), "raised RuntimeError: one two"),
    ],
)
def test_whatever_a_model_raises_is_an_error_of_the_model(error, said):
    with pytest.raises(ModelError) as caught, contained("m"):
        raise error
    assert str(caught.value) == f"m: {said}"


def test_an_interrupt_is_the_users():
    with pytest.raises(KeyboardInterrupt), contained("m"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "body",
    [
        "return lambda x: sys.exit(0)",
        "sys.exit(0)",
        "class Bye(BaseException): pass\n    def f(x): raise Bye\n    return f",
        "return lambda x: exit()",
    ],
)
def test_a_model_that_exits_costs_its_row(tmp_path, capsys, body):
    """Case 09: `compare` and `check` go on, say why, and end with 1."""
    path = write_code(tmp_path, f"import sys\ndef build(scale):\n    {body}")
    target, out = f"python:{path}:build", str(tmp_path / "out")
    assert main(["compare", "--models", f"{target}@name=M,lanczos", "--metrics=psnr", "--out", out])
    shown = capsys.readouterr().out
    assert "M ✗" in shown and "raised" in shown and "lanczos" in shown
    assert main(["check", target]) == 1
    assert "raised" in capsys.readouterr().out


def test_other_rows_have_the_numbers_that_they_have_without_it(tmp_path):
    """A model that meddles with everything at once, in the middle of a run in small batches."""
    deeds = "\n        ".join(
        MEDDLING[name] for name in ("default dtype", "threads", "directory", "global hook", "gc")
    )
    path = write_code(
        tmp_path,
        f"def build(scale):\n    def f(x):\n        up = {UP.format('scale')}\n        {deeds}\n"
        "        return up\n    return f",
    )
    alone = affectbench.compare("lanczos", batch_size=1, metrics=["psnr", "ssim"])
    both = affectbench.compare(
        f"python:{path}:build@name=M,lanczos", batch_size=1, metrics=["psnr", "ssim"]
    )
    assert not both.failed
    for metric in ("psnr", "ssim"):
        one, other = (run.images("lanczos", "demo", metric) for run in (alone, both))
        assert one.equals(other)


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    write_code(
        tmp_path,
        "import os\ndef build(scale):\n"
        f"    return lambda x: (os.chdir('other'), {UP.format(8)})[1]",
        "m.py",
    )
    command = ["compare", "--models", "python:m.py:build", "--metrics", "psnr", "--batch-size", "1"]
    assert main([*command, "--out", "out"]) == 0
    assert (tmp_path / "out" / "table.csv").exists()
    assert not list((tmp_path / "other").iterdir())


def test_networks_that_draw_their_weights_draw_the_same(tmp_path, lr):
    path = write_code(
        tmp_path,
        "def build(scale):\n    return torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), "
        "torch.nn.Conv2d(3, 3, 1), torch.nn.Sigmoid())",
    )
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(run_model(load_model(f"python:{path}:build", 2), lr, 2))
    assert torch.equal(*made)


def test_a_call_costs_less_than_a_millisecond():
    def once() -> float:
        began = time.process_time()
        for _ in range(20):
            with contained("m"):
                pass
        return (time.process_time() - began) / 20

    assert min(once() for _ in range(10)) < 1e-3
