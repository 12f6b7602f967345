"""What users may pass as images, and the one rule of quantising."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from affectbench.errors import InputError
from affectbench.images.tensors import (
    as_batch,
    as_levels,
    as_pair,
    checked,
    quantise,
    stack,
    unit_range,
)


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_all_forms_of_one_image_are_equal(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    forms = [
        expected,
        expected[0],
        expected.double(),
        stack([pixels]),
        stack([pixels])[0],
        stack([pixels]).to(memory_format=torch.channels_last),
        pixels,
        np.repeat(pixels, 2, axis=1)[:, ::2],
        pixels[None],
        Image.fromarray(pixels),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        [pixels],
    ]
    for form in forms:
        batch = as_batch(form)
        assert batch.dtype == torch.float32
        assert torch.equal(batch, expected)


def test_lists_are_joined_in_order(pixels):
    batch = as_batch([pixels, Image.fromarray(255 - pixels)])
    assert torch.equal(batch, unit_range(stack([pixels, 255 - pixels])))


def test_floats_keep_their_gradient():
    image = torch.rand(1, 3, 4, 4, requires_grad=True)
    as_batch(image).sum().backward()
    assert torch.equal(image.grad, torch.ones_like(image))


def test_levels_take_no_detour_through_floats(pixels, tmp_path, monkeypatch):
    """uint8 in any form is passed on as it is; floats are rounded."""
    Image.fromarray(pixels).save(tmp_path / "a.png")
    levels = stack([pixels])
    assert torch.equal(as_levels(unit_range(levels)), levels)
    monkeypatch.setattr("affectbench.images.tensors.quantise", None)
    monkeypatch.setattr("affectbench.images.tensors.unit_range", None)
    frozen = pixels.copy()
    frozen.flags.writeable = False
    for form in (
        levels,
        levels[0],
        [levels, pixels][1:],
        pixels,
        pixels[None],
        frozen,
        [tmp_path / "a.png"],
        pixels[::-1][::-1],
        Image.fromarray(pixels),
    ):
        found = as_levels(form)
        assert found.is_contiguous()
        assert torch.equal(found, levels)


def test_minus_zero_is_in_range():
    image = torch.full((1, 3, 4, 4), -0.0)
    assert torch.equal(as_levels(image), torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


def test_floats_and_levels_may_share_a_list(pixels):
    levels = stack([pixels])
    mixed = as_batch([levels, unit_range(levels), pixels])
    assert torch.equal(mixed, unit_range(levels).expand(3, -1, -1, -1))


def test_an_array_is_not_copied_to_be_checked():
    array = np.zeros((2, 4, 5, 3), np.uint8)
    view = checked(array)
    array[1, 2, 3, 0] = 9
    assert view[1, 0, 2, 3] == 9


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_not_finite(bad):
    image = torch.rand(1, 3, 4, 4)
    image[0, 1, 2, 3] = bad
    with pytest.raises(InputError, match=r"^sr: .*NaN or infinite"):
        as_batch(image, "sr")


@pytest.mark.parametrize("bad", [-1e-3, 1.001, 255.0])
def test_out_of_range_is_refused_not_clamped(bad):
    image = torch.rand(1, 3, 4, 4)
    image[0, 1, 2, 3] = bad
    with pytest.raises(InputError, match=r"not in \[0, 1\]"):
        as_batch(image)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_tensors_that_are_neither_floats_nor_uint8(dtype):
    with pytest.raises(InputError, match=r"tensors are uint8, or floats in \[0, 1\]"):
        as_batch(torch.ones(1, 3, 4, 4, dtype=dtype))


@pytest.mark.parametrize(
    "shape",
    [(4, 4), (1, 4, 4), (4, 4, 3), (2, 1, 4, 4), (0, 3, 4, 4), (1, 3, 0, 4), (1, 1, 3, 4, 4)],
)
def test_tensors_of_another_shape(shape):
    with pytest.raises(InputError, match="shape"):
        as_batch(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4), (4, 4, 4), (0, 4, 4, 3), (1, 4, 4, 1)])
def test_arrays_of_another_shape(shape):
    with pytest.raises(InputError, match="shape"):
        as_batch(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, bool])
def test_arrays_that_are_neither_floats_nor_uint8(dtype):
    with pytest.raises(InputError, match=r"arrays are uint8, or floats in \[0, 1\]"):
        as_batch(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "g"])
def test_float_arrays_are_the_image(pixels, dtype):
    floats = (pixels / 255).astype(dtype)
    assert torch.equal(as_levels(floats), stack([pixels]))
    assert torch.equal(as_levels(floats[None, ::-1]), stack([pixels[::-1]]))


def test_half_precision_arrays_are_rounded():
    assert as_levels(np.full((4, 4, 3), 0.5, np.float16)).eq(128).all()


@pytest.mark.parametrize("make", [torch.tensor, np.array])
@pytest.mark.parametrize("beyond", [1.0000002, 1 + 0.9e-3 / 255, -0.9e-3 / 255])
def test_rounding_errors_are_no_overshoot(make, beyond):
    image = make(np.full((1, 3, 3, 3), beyond, np.float32))
    found = as_batch(image)
    assert found.eq(round(beyond)).all()
    assert as_levels(image).eq(255 * round(beyond)).all()


@pytest.mark.parametrize("beyond", [1 + 1.2e-3 / 255, -1.2e-3 / 255])
def test_more_than_rounding_errors_is_refused(beyond):
    for image in (torch.full((1, 3, 3, 3), beyond), np.full((1, 3, 3, 3), beyond)):
        with pytest.raises(InputError, match=r"^sr: values lie in .*not in \[0, 1\]"):
            as_batch(image, "sr")


def test_an_enlarged_white_face_is_white():
    white = torch.ones(1, 3, 16, 16)
    large = torch.nn.functional.interpolate(white, scale_factor=8, mode="bicubic", antialias=True)
    assert large.max() > 1
    assert as_levels(large).eq(255).all()


def test_the_gradient_passes_rounding_errors():
    image = torch.tensor([0.5, 1.0000002, 0.25]).reshape(3, 1, 1).requires_grad_()
    as_batch(image).sum().backward()
    assert image.grad[0] == image.grad[2] == 1


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (torch.zeros(2, 1, 4, 4), "it is grey, and faces are RGB"),
        (torch.zeros(4, 4), "it is grey"),
        (np.zeros((4, 4), np.uint8), "it is grey"),
        (np.zeros((2, 4, 4, 1)), "it is grey"),
        (torch.zeros(1, 4, 4, 3), r"on another axis: movedim\(-1, -3\)"),
        (np.zeros((3, 4, 4)), r"on another axis: numpy.moveaxis\(array, -3, -1\)"),
        (torch.zeros(1, 4, 5, 5), "an alpha channel has to be left out"),
        (np.zeros((5, 5, 4)), "an alpha channel has to be left out"),
        (torch.full((1, 3, 4, 4), 255.0), r"\(by 1 / 255\?\)"),
    ],
)
def test_the_remedy_is_said(image, says):
    with pytest.raises(InputError, match=rf"^hr: .*{says}"):
        as_batch(image, "hr")


def test_what_is_not_an_image():
    with pytest.raises(InputError, match="int is not an image"):
        as_batch(3)
    with pytest.raises(InputError, match="empty"):
        as_batch([])


def test_list_of_different_sizes_names_the_one(pixels):
    with pytest.raises(InputError, match=r"hr\[1\]: the image is 7x6 and hr\[0\] is 8x6"):
        as_batch([pixels, pixels[:, :7]], "hr")


@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 3, 8, 8), (1, 3, 8, 8)), ((1, 3, 8, 8), (1, 3, 8, 1)), ((4, 3, 8, 8), (3, 3, 8, 8))],
)
def test_pairs_are_never_broadcast(left, right):
    for sr, hr in ((left, right), (right, left)):
        with pytest.raises(InputError, match="must be the same"):
            as_pair(torch.zeros(sr), torch.zeros(hr))


def test_quantise_gives_every_level_back():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(unit_range(levels)), levels)


def test_quantise_clamps_and_rounds_half_to_even():
    values = torch.tensor(
        [-0.1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 0.499 / 255, 1.2], dtype=torch.float64
    )
    assert quantise(values).tolist() == [0, 0, 2, 2, 0, 255]


def test_quantise_rounds_every_chunk_alike():
    values = torch.linspace(-0.2, 1.2, 3 * (1 << 18) + 7).view(1, -1)
    expected = (values.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
    assert torch.equal(quantise(values), expected)
    assert torch.equal(quantise(values.T), expected.T)
    assert quantise(values[:, :0]).shape == (1, 0)
