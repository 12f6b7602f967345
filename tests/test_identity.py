"""`identity` and `facenet`: original runtime, properties, the demo faces, and real persons."""

from __future__ import annotations

import csv
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from conftest import ROOT
from drawn_faces import drawn_faces
from PIL import Image, ImageFilter
from scipy.stats import rankdata
from tools.convert.faces import VALUES, convert_face_recognition
from tools.convert.packages import read_source

from affectbench.errors import (
    AssetMissingError,
    InputError,
    MissingExtraError,
    UnknownNameError,
    WeightsError,
)
from affectbench.faces import assets
from affectbench.faces.identity import FaceDescriptor, load_face_descriptor
from affectbench.images.resizing import enlarge, resize
from affectbench.images.tensors import stack
from affectbench.metrics import metric_plugin
from affectbench.metrics.assets import FACENET, FACENET_IMPORTS
from affectbench.metrics.identity import DlibMetric, IdentityMetric, cosine, facenet_metric
from affectbench.types import MetricSettings

CPU = torch.device("cpu")
SETTINGS = MetricSettings(convention="rgb", scale=8, framing="celeba")
ORIGINAL = ROOT / "tests" / "reference" / "face_api_descriptors.csv"
"""What @vladmandic/face-api 1.7.15 on TensorFlow.js 4.22.0 (CPU backend) says of `drawn_faces(150)`
times 255, one face at a time: the descriptors as they come, 128 numbers a line."""

GOLDEN = {
    # bicubic at scale: (identity, identity_distance) of astronaut and grace_hopper at 128x128
    2: ((0.986405, 0.238087), (0.991893, 0.177727)),
    4: ((0.941079, 0.490691), (0.959273, 0.391775)),
    8: ((0.913305, 0.604375), (0.853701, 0.752968)),
    16: ((0.877342, 0.701878), (0.847479, 0.778275)),
}


@pytest.fixture(scope="module")
def network() -> FaceDescriptor:
    return load_face_descriptor(CPU)


@pytest.fixture(scope="module")
def metric() -> IdentityMetric:
    return DlibMetric(SETTINGS, None, CPU)


def demo_faces() -> list[np.ndarray]:
    """The two faces that come with the library, 128x128."""
    folder = ROOT / "affectbench" / "datasets" / "demo"
    faces = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
    return [resize(face, 128, 128, "pil-bicubic") for face in faces]


def changed(change: Callable[[np.ndarray], np.ndarray]) -> torch.Tensor:
    return stack([np.ascontiguousarray(change(face)) for face in demo_faces()])


def original_descriptors() -> torch.Tensor:
    return torch.from_numpy(np.loadtxt(ORIGINAL, delimiter=","))


# The network


def test_original_runtime(network: FaceDescriptor) -> None:
    original = original_descriptors()
    assert original.shape == (6, 128)
    found = network(drawn_faces(150)).double()
    assert (found - original).abs().max() < 1e-4
    assert torch.cdist(original, original)[0, 5] > 0.5  # else a constant would do


def test_frozen_and_any_size(network: FaceDescriptor) -> None:
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) == 5_607_488
    for side in (1, 40, 300):
        assert network(drawn_faces(side)).isfinite().all()


def test_gradient(network: FaceDescriptor) -> None:
    faces = drawn_faces(91).requires_grad_()
    network(faces).square().sum().backward()
    assert faces.grad is not None
    assert (faces.grad.abs().amax((1, 2, 3)) > 0).all()


def test_loading_leaves_the_random_state() -> None:
    before = torch.random.get_rng_state()
    load_face_descriptor(CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_converter_takes_only_what_it_knows(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / VALUES[0]).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="SHA-256 of model/face_recognition"):
        read_source(tmp_path, VALUES)
    with pytest.raises(InputError, match="nowhere"):
        convert_face_recognition(tmp_path / "nowhere")


def test_notice_covers_the_weights() -> None:
    notice = (assets.WEIGHTS / "NOTICE.md").read_text(encoding="utf-8")
    for path in assets.WEIGHTS.glob("*.safetensors"):
        assert f"## {path.name}\n" in notice
    assert "released them into the public domain" in notice
    assert "Permission is hereby granted, free of charge" in notice


# The metric


def test_identical_faces(metric: IdentityMetric) -> None:
    faces = stack(demo_faces())
    columns = metric.score(faces, faces, metric.reference(faces))
    assert columns["identity"].tolist() == [1.0, 1.0]
    assert columns["identity_distance"].tolist() == [0.0, 0.0]


def test_cosine() -> None:
    x = torch.tensor([[3.0, 4.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([[6.0, 8.0], [0.0, 2.0], [-5.0, 0.0]], dtype=torch.float64)
    np.testing.assert_allclose(cosine(x, y), [1, 0, -1], atol=1e-15)


def test_batch_invariance(metric: IdentityMetric) -> None:
    hr = stack([np.rint(face * 255).astype(np.uint8) for face in _planes_last(drawn_faces(128))])
    sr = hr.roll(1, 0)
    whole = metric.score(sr, hr, metric.reference(hr))
    for i in range(len(hr)):
        one = metric.score(sr[i : i + 1], hr[i : i + 1], metric.reference(hr[i : i + 1]))
        for name, values in one.items():
            assert values.shape == (1,)
            assert values.dtype == np.float64
            assert abs(values[0] - whole[name][i]) < 1e-5


def _planes_last(faces: torch.Tensor) -> np.ndarray:
    return faces.permute(0, 2, 3, 1).numpy()


def test_only_the_face_region_counts(metric: IdentityMetric) -> None:
    hr = stack(demo_faces())
    sr = hr.clone()
    sr[..., :16] = 0  # left of the box of `celeba`
    assert metric.score(sr, hr, metric.reference(hr))["identity"].tolist() == [1.0, 1.0]
    whole = DlibMetric(replace(SETTINGS, framing="whole"), None, CPU)
    assert (whole.score(sr, hr, whole.reference(hr))["identity"] < 0.9999).all()


def test_blur_costs_identity(metric: IdentityMetric) -> None:
    hr = stack(demo_faces())
    reference, before = metric.reference(hr), np.ones(2)
    for radius in (1, 2, 4, 8):
        blur = ImageFilter.GaussianBlur(radius)
        sr = changed(lambda face, blur=blur: np.asarray(Image.fromarray(face).filter(blur)))
        now = metric.score(sr, hr, reference)["identity"]
        assert (now < before).all()
        before = now


@pytest.mark.parametrize("scale", GOLDEN)
def test_demo_faces(metric: IdentityMetric, scale: int) -> None:
    hr, side = stack(demo_faces()), 128 // scale
    sr = changed(lambda f: enlarge(resize(f, side, side, "pil-bicubic"), 128, 128, "bicubic"))
    columns = metric.score(sr, hr, metric.reference(hr))
    found = np.stack([columns["identity"], columns["identity_distance"]], axis=1)
    np.testing.assert_allclose(found, GOLDEN[scale], atol=1e-4)


def test_plugin() -> None:
    plugin = metric_plugin("identity")
    plugin.require()
    known = plugin.identify(SETTINGS)
    assert known["crop"] == "crop/1"
    assert known["framing"] == "celeba"
    assert known["weights"] == assets.FACE_RECOGNITION.source.sha256
    with pytest.raises(UnknownNameError, match="framing"):
        plugin.identify(MetricSettings(convention="rgb", scale=8, framing="nowhere"))
    assert isinstance(plugin.build(SETTINGS, None, CPU), IdentityMetric)
    summary = plugin.summarise({"identity_distance": np.array([0.1, 0.59, 0.6, 0.8])})
    assert summary == {"identity_distance": pytest.approx(0.5225), "same_person": 0.5}
    empty = plugin.summarise({"identity_distance": np.array([])})
    assert all(np.isnan(value) for value in empty.values())


# FaceNet, by a stand-in with random weights


class StandIn(torch.nn.Module):
    """What facenet-pytorch's network promises: 160x160 in, unit vectors out."""

    def __init__(self, pretrained: None) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 16, stride=16)
        self.last = torch.nn.Linear(800, 512)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (3, 160, 160)
        assert x.amin() >= -127.5 / 128
        assert x.amax() <= 127.5 / 128
        return torch.nn.functional.normalize(self.last(self.conv(x).flatten(1)), dim=1)


@pytest.fixture
def facenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in as an installed package, and its weights where they are looked for."""
    missing = [name for name in FACENET_IMPORTS if importlib.util.find_spec(name) is None]
    for name in (*missing, "facenet_pytorch"):
        package = ModuleType(name)
        package.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, package)
    package.InceptionResnetV1 = StandIn  # type: ignore[attr-defined]
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        tensors = StandIn(None).state_dict()
    path = FACENET.source.path()
    path.parent.mkdir(parents=True)
    torch.save({**tensors, "logits.weight": torch.zeros(2, 512)}, path)
    return path


def test_facenet(facenet: Path) -> None:
    metric = facenet_metric(facenet, "celeba", CPU)
    hr = stack(demo_faces())
    reference = metric.reference(hr)
    assert reference.shape == (2, 512)
    assert metric.score(hr, hr, reference)["facenet"].tolist() == [1.0, 1.0]
    swapped = metric.score(hr.flip(0), hr, reference)["facenet"]
    assert swapped[0] == swapped[1] < 0.999
    network = StandIn(None)
    network.load_state_dict({k: v for k, v in torch.load(facenet).items() if "logits" not in k})
    faces = hr[..., 18:109, 20:111] / 255
    inputs = torch.nn.functional.interpolate(faces, (160, 160), mode="bilinear")
    expected = network((inputs * 255 - 127.5) / 128).prod(0).sum()
    assert swapped[0] == pytest.approx(float(expected.detach()), abs=1e-5)


def test_facenet_refuses_what_is_not_its_weights(facenet: Path) -> None:
    plugin = metric_plugin("facenet")
    plugin.require()  # cheap: looks for the file only
    with pytest.raises(WeightsError, match="SHA-256"):
        plugin.identify(SETTINGS)
    with pytest.raises(WeightsError, match="SHA-256"):
        plugin.build(SETTINGS, None, CPU)
    torch.save({"conv.weight": torch.zeros(1)}, facenet)
    with pytest.raises(WeightsError, match="does not fit"):
        facenet_metric(facenet, "celeba", CPU)


def test_facenet_weights_are_not_unpickled(facenet: Path) -> None:
    torch.save(StandIn(None), facenet)
    with pytest.raises(WeightsError, match="refused"):
        facenet_metric(facenet, "celeba", CPU)


def test_facenet_without_its_weights(facenet: Path) -> None:
    facenet.unlink()
    with pytest.raises(AssetMissingError, match="assets fetch facenet") as caught:
        metric_plugin("facenet").require()
    assert str(facenet) in str(caught.value)
    assert FACENET.source.origin in str(caught.value)


def test_facenet_without_the_package(facenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"tqdm", "requests"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else 1)
    with pytest.raises(MissingExtraError, match="pip install requests tqdm"):
        metric_plugin("facenet").require()
    absent.add("facenet_pytorch")
    command = r"pip install --no-deps facenet-pytorch"
    for ask in (
        metric_plugin("facenet").require,
        lambda: metric_plugin("facenet").identify(SETTINGS),
    ):
        with pytest.raises(MissingExtraError, match=command):
            ask()


def test_facenet_package_that_cannot_be_imported(
    facenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(MissingExtraError, match="cannot be imported"):
        facenet_metric(facenet, "celeba", CPU)


# Real persons


@pytest.mark.shared
@pytest.mark.slow
def test_persons_are_told_apart(network: FaceDescriptor, shared: Path) -> None:
    """AUC over all pairs of 824 faces: 1,652 of one person, 337,424 of two."""
    folder = shared / "data" / "expressions"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    persons = np.array([re.sub(r"_\d+\.\w+$", "", row["source_file"]) for row in rows])
    images = [np.asarray(Image.open(folder / row["file"]).convert("RGB")) for row in rows]
    found = DlibMetric(replace(SETTINGS, framing="whole"), None, CPU).reference(stack(images))
    i, j = np.triu_indices(len(rows), k=1)
    same = persons[i] == persons[j]
    assert same.sum() == 1652
    units = torch.nn.functional.normalize(found, dim=1)
    assert _auc(-torch.cdist(found, found).numpy()[i, j], same) == pytest.approx(0.973, abs=0.002)
    assert _auc((units @ units.T).numpy()[i, j], same) == pytest.approx(0.964, abs=0.002)


def _auc(scores: np.ndarray, positive: np.ndarray) -> float:
    n, m = positive.sum(), (~positive).sum()
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))
