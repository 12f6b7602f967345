"""`load_metric`: every metric, one calling convention, with torchmetrics and without."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from affectbench import (
    EmotionConsistency,
    compare,
    emotion_consistency,
    list_metrics,
    load_dataset,
    load_metric,
)
from affectbench.errors import AssetMissingError, InputError, MissingExtraError, UnknownNameError
from affectbench.metrics.fidelity import psnr, ssim
from affectbench.metrics.selection import missing
from affectbench.records import SavedFaces

FACES = [spec.name for spec in list_metrics() if spec.kind != "cost"]


def pair(count: int = 12, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(4)
    shape = (count, 3, size, size)
    return tuple(torch.from_numpy(rng.integers(0, 256, shape, np.uint8)) for _ in "sh")  # type: ignore[return-value]


@pytest.fixture(scope="module")
def demo() -> tuple[torch.Tensor, torch.Tensor]:
    """HR faces of 192 pixels and the same, darker."""
    faces = load_dataset("demo")
    images = [Image.fromarray(np.asarray(faces.read(i))).resize((192, 192)) for i in faces.ids]
    hr = torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) for i in images]) / 255
    return (hr * 0.9 + 0.02).clamp(0, 1), hr


@pytest.mark.parametrize("name", FACES)
def test_every_metric_of_images_has_the_same_three_calls(name: str, demo: Any) -> None:
    if missing(name):
        with pytest.raises(
            (AssetMissingError, MissingExtraError), match=r"pip install|assets fetch"
        ):
            load_metric(name)
        return
    if name.startswith(("valence", "arousal")):
        with pytest.raises(InputError, match="gives no valence and arousal; name another judge"):
            load_metric(name)
        return
    if name in ("dists", "lpips-vgg"):
        pytest.skip("half a minute of VGG16; the others of their class are tested")
    metric = load_metric(name, framing="celeba")
    value = metric(*demo)
    assert value.shape == () and value.dtype == torch.float64
    assert math.isfinite(value)
    assert metric.compute() == value
    assert metric.higher_is_better == (metric.spec.direction == "higher")
    if metric.spec.kind == "image":
        values = metric.per_image(*demo)
        assert values.shape == (2,) and values.dtype == torch.float64
        assert metric.compute() == value  # nothing was added
        assert float(values.mean()) == pytest.approx(float(value))
    metric.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics says that nothing was added
        assert math.isnan(metric.compute())


def test_values_are_those_of_a_run(tmp_path: Path) -> None:
    names = ["psnr", "ssim", "ecm", "nme", "identity"]
    result = compare("nearest", metrics=names, save_images=True, out=tmp_path)
    record = next(r for r in result.run.records if r.row == "nearest")
    saved = SavedFaces(tmp_path, "demo", record.dataset["revision"])
    ids = result.images("nearest", "demo", "psnr").id
    hr = [saved.hr(i) for i in ids]
    sr = [saved.sr("nearest", record.model["revision"], i) for i in ids]
    table = result.table.set_index("model")
    for name in names:
        metric = load_metric(name, framing=record.dataset["framing"])
        assert float(metric(sr, hr)) == pytest.approx(table.loc["nearest", name], abs=1e-6)


def test_batches_add_up() -> None:
    sr, hr = pair(60)
    metric = load_metric("ecm", judge="mini-xception")
    for i in range(0, 60, 7):
        metric.update(sr[i : i + 7], hr[i : i + 7])
    whole = emotion_consistency(sr, hr, "mini-xception")
    assert float(metric.compute()) == pytest.approx(whole.macro, abs=1e-6)
    part = metric(sr[:9], hr[:9])
    assert float(part) == pytest.approx(emotion_consistency(sr[:9], hr[:9], "mini-xception").macro)
    metric.reset()
    metric.update(sr[:9], hr[:9])
    assert metric.compute() == part


def test_sets_are_the_sets_of_all_batches() -> None:
    sr, hr = pair(40)
    metric = load_metric("fed")
    metric.update(sr[:15], hr[:15])
    metric.update(sr[15:], hr[15:])
    assert float(metric.compute()) == pytest.approx(float(load_metric("fed")(sr, hr)), rel=1e-6)
    with pytest.raises(InputError, match="fed has a value for a set of faces"):
        metric.per_image(sr, hr)


def test_conventions_and_judges_are_options() -> None:
    sr, hr = pair()
    metric = load_metric("psnr", convention="matlab", scale=4)
    assert torch.equal(metric.per_image(sr, hr), psnr(sr, hr, "matlab", 4))
    assert torch.equal(load_metric("ssim").per_image(sr, hr), ssim(sr, hr))
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    metric = load_metric("ecm", judge=net)
    assert float(metric(sr, hr)) == pytest.approx(emotion_consistency(sr, hr, net).macro)
    assert repr(metric) == "FaceMetric(ecm, Sequential)"


def test_faces_without_a_value_are_left_out(demo: Any) -> None:
    metric = load_metric("nme", framing="celeba")
    metric.update(*demo)
    found = metric.compute()
    noise, _ = pair(1, 192)
    metric.update(noise, noise)
    assert metric.per_image(noise, noise).isnan().all()
    assert metric.compute() == found


@pytest.mark.parametrize(
    ("name", "options", "error", "says"),
    [
        ("pnsr", {}, UnknownNameError, "did you mean 'psnr'"),
        ("parameters", {}, InputError, "measured of a model"),
        ("psnr", {"framing": "center"}, UnknownNameError, "center"),
        ("psnr", {"convention": "rbg"}, UnknownNameError, "rgb"),
        ("ecm", {"judge": "nobody"}, UnknownNameError, "nobody"),
        ("ecm", {"crop": "crop/9"}, InputError, "crop/9"),
    ],
)
def test_what_cannot_be_loaded(name: str, options: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        load_metric(name, **options)


def test_to_and_copies() -> None:
    sr, hr = pair()
    metric = load_metric("psnr").to("cpu")
    metric.update(sr, hr)
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert other.compute() == metric.compute()
        other.update(hr, hr)
        assert other.compute() != metric.compute()


def test_a_collection_keeps_metrics_apart() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")
    sr, hr = pair()
    members = {
        "ssim": load_metric("ssim"),
        "y": load_metric("ssim", convention="basicsr-y"),
        "ecm": load_metric("ecm", judge="mini-xception"),
        "other": load_metric("ecm", judge="face-api"),
    }
    collection = torchmetrics.MetricCollection(members, prefix="val/")
    collection.update(hr, hr)  # the first batch leaves all the same state
    collection.update(sr, hr)
    values = collection.compute()
    both = torch.cat([hr, sr]), torch.cat([hr, hr])
    assert values["val/y"] != values["val/ssim"]
    assert values["val/ecm"] != values["val/other"]
    alone = float(load_metric("ecm", judge="face-api")(*both))
    assert float(values["val/other"]) == pytest.approx(alone, abs=1e-6)


SCRIPT = """
import json, sys
rank, place, choice = int(sys.argv[1]), sys.argv[2], sys.argv[3]
if choice == "without":
    sys.modules["torchmetrics"] = None
import torch
from affectbench import EmotionConsistency, load_metric
from test_load_metric import pair
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2
)
sr, hr = pair(24)
found = {}
for name in ("psnr", "ecm", "fed"):
    metric = load_metric(name)
    if rank == 0:  # the other process has no face at all
        batch = metric(sr[:5], hr[:5])
        metric.update(sr[5:], hr[5:])
        found[name + " batch"] = float(batch)
    found[name] = float(metric.compute())
ecm = EmotionConsistency()
if rank == 0:
    found["ecm of a batch"] = float(ecm(sr, hr)["ecm"])
found["sum"] = float(ecm.compute()["ecm"])
torch.distributed.destroy_process_group()
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["with", "without"])
def test_processes_share_their_faces(choice: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), str(tmp_path), choice],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    first, second = (json.loads(p.communicate(timeout=300)[0]) for p in started)
    sr, hr = pair(24)
    for name in ("psnr", "ecm", "fed"):
        expected = float(load_metric(name)(sr, hr))
        assert first[name] == second[name] == pytest.approx(expected, rel=1e-6)
    assert first["psnr batch"] == pytest.approx(float(psnr(sr[:5], hr[:5]).mean()))
    assert first["sum"] == second["sum"] == pytest.approx(first["ecm of a batch"])


def test_the_same_without_torchmetrics() -> None:
    script = (
        "import sys; sys.modules['torchmetrics'] = None\n"
        "import json, torch\n"
        "from affectbench import EmotionConsistency, load_metric\n"
        "from test_load_metric import pair\n"
        "sr, hr = pair()\n"
        "metric = load_metric('ecm').to('cpu'); metric.update(sr[:5], hr[:5])\n"
        "batch = metric(sr[5:], hr[5:]); ecm = EmotionConsistency().to('cpu')\n"
        "one, two = ecm(sr[:5], hr[:5]), ecm(sr[5:], hr[5:])\n"
        "print(json.dumps([type(metric).__mro__[1].__name__, float(batch), "
        "float(metric.compute()), float(two['ecm']), float(ecm.compute()['ecm'])]))\n"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    base, *found = json.loads(done.stdout)
    assert base == "PlainMetric"
    sr, hr = pair()
    metric, ecm = load_metric("ecm"), EmotionConsistency()
    metric.update(sr[:5], hr[:5])
    ecm(sr[:5], hr[:5])
    batch, two = metric(sr[5:], hr[5:]), ecm(sr[5:], hr[5:])["ecm"]
    expected = [batch, metric.compute(), two, ecm.compute()["ecm"]]
    assert found == pytest.approx([float(value) for value in expected], abs=1e-12)
