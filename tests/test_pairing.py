"""Results of other faces than those that they are paired with are refused, poor ones are not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import affectbench_here
from PIL import Image, ImageFilter

from affectbench.images.resemblance import sketch, unlike

SIDE = 64
RGB = np.ndarray


def face(seed: int) -> RGB:
    """A made picture with what all of a set share, a bright oval, and what is its own."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (10, 10, 3), dtype=np.uint8))
    own = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), float)
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE - 0.5
    oval = 130 * np.exp(-((x / 0.3) ** 2) - (y / 0.4) ** 2)[..., None]
    return np.clip(0.5 * own + oval, 0, 255).astype(np.uint8)


def reduced(image: RGB, scale: int) -> RGB:
    small = Image.fromarray(image).resize((SIDE // scale,) * 2, Image.Resampling.BICUBIC)
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def jpeg(image: RGB) -> RGB:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=3)
    return np.asarray(Image.open(buffer).convert("RGB"))


def blurred(image: RGB) -> RGB:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(4)))


def mixed(share: float) -> Callable[[RGB], RGB]:
    """So much of one face for everybody, as a network that has collapsed gives."""
    common = np.mean([face(i) for i in range(30)], axis=0)
    return lambda image: (share * common + (1 - share) * image).astype(np.uint8)


def cast(image: RGB) -> RGB:
    return np.clip(image.astype(int) + np.array([60, -20, -60]), 0, 255).astype(np.uint8)


def noisy(image: RGB) -> RGB:
    noise = np.random.default_rng(int(image.sum())).normal(0, 50, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


POOR = {
    "x2": lambda image: reduced(image, 2),
    "x8": lambda image: reduced(image, 8),
    "x16": lambda image: reduced(image, 16),
    "blurred": blurred,
    "jpeg of quality 3": jpeg,
    "another colour": cast,
    "grey": lambda image: np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2),
    "dark": lambda image: image // 4,
    "pale": lambda image: image // 4 + 150,
    "noise": noisy,
    "70 % one face": mixed(0.7),
    "85 % one face": mixed(0.85),
    "shifted by 3": lambda image: np.roll(image, (3, 3), (0, 1)),
}


def judged(results: list[RGB], originals: list[RGB]) -> np.ndarray:
    return unlike([sketch(r) for r in results], [sketch(o) for o in originals])


# one face


@pytest.mark.parametrize("kind", POOR)
@pytest.mark.parametrize("n", [1, 2, 4, 6, 30])
def test_poor_results_are_like_their_originals(kind, n):
    originals = [face(i) for i in range(n)]
    if n < 5 and kind == "85 % one face":
        pytest.skip("with so few faces that is not told from one face for everybody")
    assert judged([POOR[kind](reduced(o, 8)) for o in originals], originals).mean() <= 0.05


@pytest.mark.parametrize("kind", POOR)
def test_results_of_other_faces_are_not(kind):
    originals = [face(i) for i in range(40)]
    for others in (
        [face(i + 1000) for i in range(40)],
        originals[1:] + originals[:1],
        [originals[i] for i in np.random.default_rng(0).permutation(40)],
        [originals[7]] * 40,
    ):
        assert judged([POOR[kind](o) for o in others], originals).mean() > 0.75


def test_frames_of_one_video_are_not_compared_with_each_other():
    rng = np.random.default_rng(0)
    start = [face(i) for i in range(4)]
    frames = [np.roll(s, tuple(rng.integers(-1, 2, 2)), (0, 1)) for s in start for _ in range(20)]
    assert not judged([reduced(f, 8) for f in frames], frames).any()
    assert judged(frames[20:] + frames[:20], frames).mean() > 0.8


def test_nothing_is_said_of_faces_without_structure_or_pixels():
    flat = [np.full((SIDE, SIDE, 3), 9 * i, np.uint8) for i in range(5)]
    tiny = [face(i)[:7, :7] for i in range(5)]
    assert not judged([face(i) for i in range(5)], flat).any()
    assert not judged(tiny[1:] + tiny[:1], tiny).any()


# a row


def write(folder: Path, images: list[RGB]) -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write(tmp_path / "hr", [face(i) for i in range(30)])


WRONG = {
    "shuffled": lambda n: np.random.default_rng(1).permutation(n),
    "off by one": lambda n: np.roll(np.arange(n), 1),
    "another set": lambda n: np.arange(n) + 500,
    "20 of 30": lambda n: np.concatenate([np.roll(np.arange(20), 1), np.arange(20, n)]),
    "off by one from the middle": lambda n: np.concatenate(
        [np.arange(n // 2), np.roll(np.arange(n // 2, n), 1)]
    ),
    "reversed": lambda n: np.arange(n)[::-1],
    "one for all": lambda n: np.full(n, 3),
}


@pytest.mark.parametrize("kind", WRONG)
def test_score_refuses_wrong_pairs_and_says_what_to_do(tmp_path, hr, kind):
    sr = write(tmp_path / "sr", [reduced(face(int(i)), 4) for i in WRONG[kind](30)])
    command = ("score", "--sr", sr, "--hr", hr, "--metrics", "psnr", "--out", tmp_path / "out")
    done = affectbench_here(*command)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "of 30 results do not look like the originals of their names (" in said
    assert "--allow-mismatch" in said
    assert pd.read_csv(tmp_path / "out" / "table.csv").psnr.isna()[0]
    insisted = affectbench_here(*command, "--allow-mismatch")
    assert insisted.returncode == 0
    assert "pairs were not checked (@mismatch=allow)" in insisted.stderr
    records = [json.loads(p.read_text()) for p in (tmp_path / "out").glob("records/hr/sr/*.json")]
    notes = {r["status"]: r["model"]["note"] for r in records}
    assert notes["ok"] == "pairs were not checked (@mismatch=allow)"
    assert "not checked" in (tmp_path / "out" / "table.md").read_text()


def test_another_model_of_the_table_is_not_lost(tmp_path, hr):
    sr = write(tmp_path / "sr", [face(i + 500) for i in range(30)])
    done = affectbench_here(
        *("compare", "--models", f"nearest,images:{sr}@name=mine", "--datasets", "p"),
        *("--data", f"p={hr}", "--hr-size", SIDE, "--metrics", "psnr", "--out", tmp_path / "out"),
    )
    table = pd.read_csv(tmp_path / "out" / "table.csv").set_index("model")
    assert done.returncode == 1
    assert table.psnr["nearest"] > 10
    assert np.isnan(table.psnr["mine"])
    assert "do not look like the originals" in table.marks["mine"]


def test_a_few_bad_results_are_noted_and_scored(tmp_path, hr):
    images = [reduced(face(i), 4) for i in range(30)]
    images[3], images[4] = images[4], images[3]
    sr = write(tmp_path / "sr", images)
    command = ("score", "--sr", sr, "--hr", hr, "--metrics", "psnr", "--out", tmp_path / "out")
    assert affectbench_here(*command).returncode == 0
    record = json.loads(next((tmp_path / "out").glob("records/hr/sr/psnr*.json")).read_text())
    note = "2 of 30 results do not look like the originals of their names: 03, 04"
    assert record["model"]["note"] == note


def test_missing_and_unreadable_results_do_not_hide_wrong_ones(tmp_path, hr):
    sr = write(tmp_path / "sr", [face(i + 1) for i in range(30)])
    (sr / "00.png").unlink()
    (sr / "01.png").write_text("damaged")
    done = affectbench_here(
        *("compare", "--models", f"images:{sr}", "--datasets", "p", "--data", f"p={hr}"),
        *("--hr-size", SIDE, "--metrics", "psnr", "--out", tmp_path / "out"),
    )
    assert done.returncode == 1
    assert "of 28 results do not look" in " ".join(done.stdout.split())


def test_the_option_has_one_value(tmp_path, hr):
    done = affectbench_here(
        *("compare", "--models", f"images:{hr}@mismatch=yes", "--datasets", "p"),
        *("--data", f"p={hr}", "--hr-size", 64, "--out", tmp_path / "out"),
    )
    assert done.returncode == 2
    assert "the one value is 'allow'" in done.stderr


# real faces


@pytest.mark.parametrize("name", ["celeba", "ffhq", "helen"])
@pytest.mark.parametrize("scale", [2, 4, 8, 16])
def test_real_faces(shared, name, scale):
    from affectbench.datasets import load_dataset
    from affectbench.datasets.protocol import face_pair
    from affectbench.images.resizing import enlarge
    from affectbench.types import TestProtocol

    dataset = load_dataset(name, shared / "data" / name)
    protocol = TestProtocol(scale, 128, "pil-bicubic")
    pairs = [face_pair(dataset.read(i), protocol, i) for i in dataset.ids[1:200:2][:60]]
    originals = [hr for hr, _ in pairs]
    for method in ("nearest", "bicubic"):
        results = [enlarge(lr, 128, 128, method) for _, lr in pairs]
        assert not judged(results, originals).any()
        assert not judged([blurred(blurred(r)) for r in results], originals).any()
        assert not judged([jpeg(cast(r)) for r in results], originals).any()
        assert judged([r[..., ::-1] for r in results], originals).mean() < 0.1  # BGR
        assert judged(results[1:] + results[:1], originals).mean() > 0.75
    assert judged(originals[:1] * len(originals), originals).mean() > 0.75


def test_the_check_costs_less_than_a_millisecond_a_face():
    import time

    faces = [np.asarray(Image.fromarray(face(i)).resize((128, 128))) for i in range(200)]
    best = np.inf
    for _ in range(3):
        began = time.perf_counter()
        judged(faces, faces)
        best = min(best, time.perf_counter() - began)
    assert best / len(faces) < 1e-3
