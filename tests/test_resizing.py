"""Resizing kernels against independent implementations.

`matlab-bicubic`: Pillow's float bicubic, which has the same kernel but cuts it off at the edges,
on an image whose edges were mirrored beforehand; one axis at a time. `opencv-area`: golden numbers
of opencv-python-headless 5.0, and OpenCV itself where it is installed.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from affectbench.errors import InputError, UnknownNameError
from affectbench.images.resizing import enlarge, resize

SIZES = [
    # old height and width, new height and width
    (128, 128, 16, 16),
    (128, 128, 64, 64),
    (96, 96, 32, 32),
    (218, 178, 128, 128),
    (130, 130, 128, 128),
    (100, 90, 99, 45),
    (150, 150, 25, 50),
    (64, 128, 64, 16),
]


def _formula(height: int, width: int) -> np.ndarray:
    """A busy image from whole numbers alone, the same everywhere."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((x * x * 7 + y * y * 3 + x * y * 5 + c * 83) // 8 % 256).astype(np.uint8)


def _mirrored_pillow(pixels: np.ndarray, new: int, axis: int) -> np.ndarray:
    pad = 80
    old = pixels.shape[axis]
    padding = [(pad, pad) if a == axis else (0, 0) for a in range(3)]
    padded = np.pad(pixels, padding, mode="symmetric").astype(np.float32)
    channels = []
    for plane in padded.transpose(2, 0, 1):
        image = Image.fromarray(plane)
        if axis == 0:
            size, box = (image.width, new), (0, pad, image.width, pad + old)
        else:
            size, box = (new, image.height), (pad, 0, pad + old, image.height)
        channels.append(np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=box)))
    return np.stack(channels, axis=-1)


def _half_up(values: np.ndarray) -> np.ndarray:
    return np.floor(values.clip(0, 255) + 0.5).astype(np.uint8)


@pytest.mark.parametrize("sizes", [*SIZES, (64, 64, 128, 128), (90, 100, 120, 33)])
def test_matlab_is_pillow_on_mirrored_edges(rng, sizes):
    old_height, old_width, height, width = sizes
    pixels = rng.integers(0, 256, (old_height, old_width, 3), dtype=np.uint8)
    expected = pixels
    rows_first = height / old_height <= width / old_width
    for axis in (0, 1) if rows_first else (1, 0):
        expected = _half_up(_mirrored_pillow(expected, (height, width)[axis], axis))
    difference = np.abs(resize(pixels, height, width, "matlab-bicubic") - expected.astype(int))
    # Pillow keeps float32, so that a value next to a half may round to the other side.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_matlab_by_hand():
    """Halving a step from 50 to 150 between the old pixels 4 and 5.

    Cubic weights at 1/4, 3/4, 5/4 and 7/4, halved: w = 0.43359375, 0.11328125, -0.03515625 and
    -0.01171875. New pixel 1 has 50 + 100 (w2 + w3) = 45.3, new pixel 3 as much above 150.
    """
    row = np.array([50] * 5 + [150] * 7, np.uint8)
    pixels = np.broadcast_to(row[None, :, None], (4, 12, 3)).copy()
    expected = np.array([50, 45, 100, 155, 150, 150])
    assert np.array_equal(resize(pixels, 4, 6, "matlab-bicubic")[2, :, 1], expected)
    turned = resize(pixels.transpose(1, 0, 2), 6, 4, "matlab-bicubic")
    assert np.array_equal(turned[:, 2, 1], expected)


AREA_GOLDEN = {
    (128, 128, 16, 16): "fb3f606bb18c3701",
    (128, 128, 64, 64): "204926f5f50fe097",
    (96, 96, 32, 32): "04b0de4091acf995",
    (218, 178, 128, 128): "ed5f0f5b9daaa6e8",
    (130, 130, 128, 128): "fa2568dff8dc9cd5",
    (100, 90, 99, 45): "0e3dc836bd08ccfc",
    (150, 150, 25, 50): "fef9ee0fedce93c3",
    (64, 128, 64, 16): "f9a1b35f6b849611",
}


@pytest.mark.parametrize("sizes", SIZES)
def test_area_gives_the_golden_numbers(sizes):
    result = resize(_formula(*sizes[:2]), sizes[2], sizes[3], "opencv-area")
    assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == AREA_GOLDEN[sizes]


@pytest.mark.parametrize("sizes", SIZES)
def test_area_is_opencv(rng, sizes):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is no dependency")
    old_height, old_width, height, width = sizes
    pixels = rng.integers(0, 256, (old_height, old_width, 3), dtype=np.uint8)
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    assert np.array_equal(resize(pixels, height, width, "opencv-area"), expected)


def test_area_is_the_mean_of_blocks():
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, axis=2)
    # 2.5, 4.5, 10.5 and 12.5: blocks of 2x2 are rounded half up ...
    assert resize(pixels, 2, 2, "opencv-area")[..., 0].tolist() == [[3, 5], [11, 13]]
    # ... and others half to even: 7.5 becomes 8, 1.5 becomes 2, 2.5 becomes 2
    assert resize(pixels, 1, 1, "opencv-area")[..., 0].tolist() == [[8]]
    column = np.array([[1], [2], [3], [4]], np.uint8)[..., None].repeat(3, axis=2)
    assert resize(column[:2], 1, 1, "opencv-area")[0, 0, 0] == 2
    assert resize(column[1:3], 1, 1, "opencv-area")[0, 0, 0] == 2


@pytest.mark.parametrize("sizes", [*SIZES, (16, 16, 128, 128)])
def test_pillow_is_pillow(rng, sizes):
    old_height, old_width, height, width = sizes
    pixels = rng.integers(0, 256, (old_height, old_width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for method in ("nearest", "bicubic", "lanczos"):
        expected = image.resize((width, height), Image.Resampling[method.upper()])
        assert np.array_equal(enlarge(pixels, height, width, method), np.asarray(expected))
    expected = image.resize((width, height), Image.Resampling.BICUBIC)
    assert np.array_equal(resize(pixels, height, width, "pil-bicubic"), np.asarray(expected))


@pytest.mark.parametrize("kernel", ["pil-bicubic", "matlab-bicubic", "opencv-area"])
def test_constant_same_size_and_views(rng, kernel):
    flat = np.full((50, 40, 3), 137, np.uint8)
    assert (resize(flat, 13, 40, kernel) == 137).all()
    pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(resize(pixels, 20, 30, kernel), pixels)
    cut = pixels[::-1, 2:22]
    assert np.array_equal(resize(cut, 10, 7, kernel), resize(cut.copy(), 10, 7, kernel))
    result = resize(pixels, 10, 15, kernel)
    result[:] = 0  # writable, and not a view of the input
    assert pixels.any()


def test_matlab_differs_from_pillow_at_the_edges_only(rng):
    pixels = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    matlab, pillow = (
        resize(pixels, 16, 16, k).astype(int) for k in ("matlab-bicubic", "pil-bicubic")
    )
    assert np.abs(matlab - pillow)[2:-2, 2:-2].max() <= 1
    assert np.abs(matlab - pillow).max() > 1


def test_refusals():
    pixels = np.zeros((8, 8, 3), np.uint8)
    for wrong in (pixels.astype(np.float32), pixels[..., 0], pixels[..., :1], pixels[:0]):
        with pytest.raises(InputError, match="uint8 pixels"):
            resize(wrong, 4, 4, "pil-bicubic")
    with pytest.raises(InputError, match="at least 1 pixel"):
        enlarge(pixels, 0, 4, "nearest")
    with pytest.raises(InputError, match="only reduces"):
        resize(pixels, 4, 9, "opencv-area")
    with pytest.raises(UnknownNameError, match="known: pil-bicubic, matlab-bicubic, opencv-area"):
        resize(pixels, 4, 4, "bicubic")
    with pytest.raises(UnknownNameError, match="known: nearest, bicubic, lanczos"):
        enlarge(pixels, 16, 16, "area")
