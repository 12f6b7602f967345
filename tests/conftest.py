"""Fixtures that several test modules share."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import write_esrgan

from affectbench.cli.main import main
from affectbench.judges import JUDGES
from affectbench.metrics import METRICS
from affectbench.run.batches import Batches

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real faces on the maintainers' machines; the test skips without it."""
    folder = Path(os.environ.get("AFFECTBENCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("AFFECTBENCH_SHARED is not there")
    return folder


@pytest.fixture(autouse=True)
def only_what_is_installed() -> Iterator[None]:
    """Forget the metrics and judges of files (`python:FILE:NAME`) that a test made known."""
    yield
    for registry in (METRICS, JUDGES):
        registry.forget_added()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, new for every test."""
    return np.random.default_rng(20260711)


@pytest.fixture
def lr(rng: np.random.Generator) -> torch.Tensor:
    """Three 8-bit LR images of noise, (3, 3, 8, 10)."""
    return torch.from_numpy(rng.integers(0, 256, (3, 3, 8, 10), dtype=np.uint8)) / 255


@pytest.fixture(scope="session")
def esrgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a tiny x4 ESRGAN."""
    return write_esrgan(tmp_path_factory.mktemp("weights") / "tiny_x4.safetensors")


def pattern(seed: int, size: int = 64) -> np.ndarray:
    """A smooth uint8 picture (size, size, 3) made by formula: no face, but with structure."""
    y, x = np.mgrid[0:size, 0:size] / size
    phases = np.random.default_rng(seed).uniform(0, 6, (3, 3))
    waves = [np.sin(9 * x + a) + np.cos(7 * y + b) + np.sin(11 * x * y + c) for a, b, c in phases]
    return np.clip(np.stack(waves, axis=2) * 40 + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def toy_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight pictures of 64x64 pixels, face0.png to face7.png."""
    folder = tmp_path_factory.mktemp("toy")
    for i in range(8):
        Image.fromarray(pattern(i)).save(folder / f"face{i}.png")
    return folder


@contextmanager
def interrupted_after(count: int) -> Iterator[None]:
    """Interrupt a run inside the block, as Ctrl-C does, after it has written `count` batches."""
    write, written = Batches.write, []

    def interrupted(self: Batches, number: int, *rest: object) -> None:
        if len(written) == count:
            raise KeyboardInterrupt
        written.append(number)
        write(self, number, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "write", interrupted)
        yield


def affectbench(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command as a subprocess."""
    command = [sys.executable, "-m", "affectbench.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def affectbench_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has torch in memory already."""
    out, error = io.StringIO(), io.StringIO()
    command = [str(argument) for argument in arguments]
    with redirect_stdout(out), redirect_stderr(error):
        code = main(command)
    return subprocess.CompletedProcess(command, code, out.getvalue(), error.getvalue())
