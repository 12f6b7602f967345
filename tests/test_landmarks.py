"""Landmarks of images: MediaPipe's own, properties, masks, and the face region `crop/2`."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import drawn_faces
from PIL import Image
from skimage.draw import polygon2mask

from affectbench import load_dataset
from affectbench.errors import UnknownNameError
from affectbench.faces import masks
from affectbench.faces.landmark_points import OVAL, crop_record, landmarks_record
from affectbench.faces.landmarks import Landmarker, Landmarks, find_landmarks, landmarker
from affectbench.faces.masks import region_masks
from affectbench.faces.mesh import FaceMesh, load_face_mesh
from affectbench.faces.oval_crop import Square, cut_square, oval_squares
from affectbench.faces.regions import pixel_box
from affectbench.images.resizing import enlarge, resize
from affectbench.images.tensors import stack

CPU = torch.device("cpu")
MEDIAPIPE = {
    # mean distance to MediaPipe's points by outer eye distance, and faces that are found
    "celeba": (0.0145, 996),
    "helen": (0.0100, 50),
    "ffhq": (0.0114, 80),
}


@pytest.fixture(scope="module")
def network() -> FaceMesh:
    return load_face_mesh(CPU)


@pytest.fixture
def find() -> Landmarker:
    return landmarker("celeba", CPU)


def demo(size: int = 128) -> list[np.ndarray]:
    dataset = load_dataset("demo")
    return [resize(dataset.read(i), size, size, "pil-bicubic") for i in dataset.ids]


# MediaPipe's own landmarks


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", MEDIAPIPE)
def test_close_to_mediapipe(name: str, shared: Path) -> None:
    known = np.load(shared / "data" / "landmarks478" / f"{name}.npz")
    paths = [shared / "data" / name / file for file in known["files"]]
    images = stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    points = torch.from_numpy(known["landmarks"].astype(np.float32))
    found = landmarker(name, CPU)(images)
    eyes = (points[:, 33] - points[:, 263]).norm(dim=1)
    error = (found.points - points).norm(dim=2).mean(1) / eyes
    mean, count = MEDIAPIPE[name]
    assert float(error.mean()) == pytest.approx(mean, abs=2e-4)
    assert float(error.mean()) < 0.02
    assert int(found.found.sum()) == count


@pytest.mark.shared
def test_misses_what_mediapipe_misses(shared: Path) -> None:
    missed = np.load(shared / "data" / "landmarks478" / "celeba.npz")["missed"]
    paths = [shared / "data" / "celeba" / file for file in missed]
    images = stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    assert not landmarker("celeba", CPU)(images).found.any()


# Properties


def test_demo_faces(find: Landmarker) -> None:
    landmarks = find(stack(demo()))
    assert landmarks.points.shape == (2, 478, 2)
    assert landmarks.found.tolist() == [True, True]
    assert (landmarks.presence > 0.99).all()
    oval = landmarks.points[:, list(OVAL)]
    # Both were cut so that their oval lies about where that of CelebA does.
    box = torch.cat([oval.amin(1), oval.amax(1)], 1)
    assert (box - torch.tensor([0.20, 0.14, 0.82, 0.85])).abs().max() < 0.08


def test_no_face(find: Landmarker, rng: np.random.Generator) -> None:
    noise = torch.from_numpy(rng.integers(0, 256, (1, 3, 128, 128), dtype=np.uint8))
    grey = torch.full_like(noise, 128)
    assert find(torch.cat([noise, grey])).found.tolist() == [False, False]


@pytest.mark.parametrize(("right", "down"), [(6, 0), (0, -5), (-4, 7)])
def test_moves_with_the_face(find: Landmarker, right: int, down: int) -> None:
    faces = stack(demo())
    rows = (torch.arange(128) - down).clamp(0, 127)
    columns = (torch.arange(128) - right).clamp(0, 127)
    moved = find(faces[:, :, rows][..., columns]).points - find(faces).points
    expected = torch.tensor([right, down]) / 128
    assert (moved.mean(1) - expected).abs().max() < 0.004
    assert (moved - expected).abs().mean() < 0.006


def test_turns_with_the_face(find: Landmarker) -> None:
    faces = [Image.fromarray(face) for face in demo()]
    turned = [np.asarray(face.rotate(25, Image.Resampling.BICUBIC)) for face in faces]
    angle = torch.tensor(np.deg2rad(25.0), dtype=torch.float32)
    back = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
    expected = (find(stack(demo())).points - 0.5) @ back.T + 0.5
    assert (find(stack(turned)).points - expected).norm(dim=2).mean() < 0.02


def test_large_images_are_averaged_down(find: Landmarker) -> None:
    small = find(stack(demo(256)))
    large = find(stack([enlarge(face, 1024, 1024, "bicubic") for face in demo(256)]))
    assert (small.points - large.points).norm(dim=2).mean() < 0.005


def test_images_that_are_not_square(network: FaceMesh) -> None:
    """The central face of a wide image: x and depth are in its width."""
    face = stack(demo()).float() / 255
    narrow = find_landmarks(network, face[..., 19:109], "whole")
    wide = find_landmarks(
        network, torch.nn.functional.pad(face, (40, 40, 0, 0), "replicate"), "centre"
    )
    across = (wide.points * torch.tensor([208, 128]) - torch.tensor([59, 0])) / torch.tensor(
        [90, 128]
    )
    assert (across - narrow.points).norm(dim=2).mean() < 0.03
    assert (wide.depth * 208 / 90 - narrow.depth).abs().mean() < 0.03


def test_batches(find: Landmarker) -> None:
    faces = (drawn_faces(128) * 255).round().byte().repeat(4, 1, 1, 1)  # more than one chunk
    every = find(faces)
    for i in (0, 20):
        one = find(faces[i : i + 1])
        assert (one.points[0] - every.points[i]).abs().max() < 1e-4


def test_gradient(network: FaceMesh) -> None:
    faces = (stack(demo()).float() / 255).requires_grad_()
    landmarks = find_landmarks(network, faces, "celeba")
    landmarks.points[:, 13].sum().backward()
    assert faces.grad is not None
    assert faces.grad.isfinite().all()
    assert (faces.grad[..., 60:110, 30:100].abs().amax((1, 2, 3)) > 0).all()


def test_unknown_framing() -> None:
    for ask in (lambda: Landmarker("nowhere", CPU), lambda: landmarks_record("nowhere")):
        with pytest.raises(UnknownNameError, match="nowhere"):
            ask()


# What is kept


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[Landmarker, list[int]]:
    """A landmarker of its own, and the sizes of the batches that it worked on."""
    find, sizes = Landmarker("celeba", CPU), []
    work = find._find

    def counting(images: torch.Tensor) -> Landmarks:
        sizes.append(len(images))
        return work(images)

    monkeypatch.setattr(find, "_find", counting)
    return find, sizes


def test_nothing_is_found_twice(counted: tuple[Landmarker, list[int]]) -> None:
    find, sizes = counted
    hr = stack(demo())
    sr = hr[:1].clone()
    first = find(hr)
    assert find(sr) is find(sr)
    assert find(hr) is first
    assert sizes == [2, 1]
    with torch.inference_mode():
        inference = hr.clone()
    assert find(inference) is find(inference)
    assert sizes == [2, 1, 2]


def test_what_changed_is_found_anew(counted: tuple[Landmarker, list[int]]) -> None:
    find, sizes = counted
    faces = stack(demo())
    before = find(faces).presence
    faces.zero_()
    assert (find(faces).presence < before).all()
    assert sizes == [2, 2]


def test_images_are_not_kept(counted: tuple[Landmarker, list[int]]) -> None:
    find, _ = counted
    faces = stack(demo())
    find(faces)
    del faces
    gc.collect()
    assert find._kept[0][0]() is None


def test_one_landmarker_for_all() -> None:
    assert landmarker("celeba", CPU) is landmarker("celeba", CPU)
    assert landmarker("celeba", CPU) is not landmarker("ffhq", CPU)


# Masks


def test_masks_of_another_library(rng: np.random.Generator) -> None:
    points = torch.from_numpy(rng.random((3, 478, 2)))
    found = region_masks(points, 40, 56)
    assert set(found) == {"eyes", "mouth", "face"}
    for name, rings in masks.MASKS.items():
        for i in range(3):
            expected = np.zeros((40, 56), bool)
            for ring in rings:
                corners = points[i, list(ring)].numpy()[:, ::-1] * (40, 56)  # rows first
                # There a pixel's centre has whole coordinates.
                expected |= polygon2mask((40, 56), corners - 0.5)
            assert 100 < expected.sum() < 2000
            np.testing.assert_array_equal(found[name][i].numpy(), expected)


def test_masks_of_a_rectangle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "MASKS", {"box": ((0, 1, 2, 3),)})
    points = torch.tensor([[[0.25, 0.5], [0.75, 0.5], [0.75, 1.5], [0.25, 1.5]]])
    mask = region_masks(points, 10, 20, ["box"])["box"]
    expected = torch.zeros(1, 10, 20, dtype=torch.bool)
    expected[0, 5:, 5:15] = True  # cut off at the lower border
    assert torch.equal(mask, expected)
    assert not region_masks(points * torch.nan, 10, 20, ["box"])["box"].any()


def test_masks_of_demo_faces(find: Landmarker) -> None:
    found = region_masks(find(stack(demo())).points, 128, 128)
    sizes = {name: mask.float().mean((1, 2)) for name, mask in found.items()}
    assert (sizes["eyes"] > 0.02).all()
    assert (sizes["eyes"] < 0.10).all()
    assert (sizes["mouth"] > 0.01).all()
    assert (sizes["mouth"] < 0.08).all()
    assert not (found["eyes"] & found["mouth"]).any()
    assert (found["face"] | ~found["mouth"]).all()


# crop/2


def test_square_around_the_oval() -> None:
    points = torch.full((2, 478, 2), 0.5)
    points[:, OVAL[0]] = torch.tensor([0.5, 0.25])
    points[:, OVAL[1]] = torch.tensor([0.6, 0.75])
    points[1] += 0.4
    assert oval_squares(points, 100, 100) == [Square(30, 25, 50), Square(70, 65, 50)]
    assert oval_squares(torch.full((1, 478, 2), 0.5), 100, 100) == [Square(50, 50, 1)]


def test_cut_square() -> None:
    image = torch.arange(12).view(1, 3, 4)
    assert cut_square(image, Square(1, 0, 2)).tolist() == [[[1, 2], [5, 6]]]
    assert cut_square(image, Square(-1, 1, 3)).tolist() == [[[4, 4, 5], [8, 8, 9], [8, 8, 9]]]


def test_close_to_crop_1(find: Landmarker) -> None:
    """The demo faces were cut so that the box of `crop/1` fits them."""
    left, top, right, _ = pixel_box("celeba", 128, 128)
    for square in oval_squares(find(stack(demo())).points, 128, 128):
        assert abs(square.left - left) < 12
        assert abs(square.top - top) < 12
        assert abs(square.side - (right - left)) < 12


def test_crop_records() -> None:
    old = {"crop": "crop/1", "framing": "celeba", "box": [0.155, 0.14, 0.865, 0.85]}
    assert crop_record("crop/1", "celeba") == old
    new = crop_record("crop/2", "celeba")
    assert new["landmarks"] == "face-mesh/1"
    assert {**new, **old} == {**new, "crop": "crop/1"}
    with pytest.raises(UnknownNameError, match="crop/1, crop/2"):
        crop_record("crop/3", "celeba")
