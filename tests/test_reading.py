"""Every rule of affectbench.images.reading."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from affectbench.errors import InputError
from affectbench.images.listing import by_id, list_images
from affectbench.images.reading import image_size, read_image


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _saved(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_rgb_is_taken_as_it_is(tmp_path, pixels, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = _saved(Image.fromarray(pixels), tmp_path / f"a.{suffix}", **options)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert np.array_equal(read, pixels)
    assert image_size(path) == (30, 20)


def test_jpeg_is_what_pillow_decodes(tmp_path, pixels):
    path = _saved(Image.fromarray(pixels), tmp_path / "a.jpg", quality=90)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


def test_grey_becomes_three_equal_channels(tmp_path, pixels):
    grey = pixels[..., 0]
    read = read_image(_saved(Image.fromarray(grey), tmp_path / "a.png"))
    assert np.array_equal(read, np.stack([grey] * 3, axis=-1))


def test_palette_is_looked_up(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 210, 220])
    image.putpixel((1, 0), 1)
    read = read_image(_saved(image, tmp_path / "a.png"))
    assert read.tolist() == [[[10, 20, 30], [200, 210, 220]]]


def test_bilevel_is_black_and_white(tmp_path):
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert read_image(_saved(image, tmp_path / "a.png")).tolist() == [[[0] * 3, [255] * 3]]


def test_opaque_alpha_is_dropped(tmp_path, pixels):
    opaque = np.dstack([pixels, np.full((20, 30), 255, np.uint8)])
    assert np.array_equal(read_image(_saved(Image.fromarray(opaque), tmp_path / "a.png")), pixels)


def test_one_transparent_pixel_is_refused(tmp_path, pixels):
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[3, 4] = 254
    image = Image.fromarray(np.dstack([pixels, alpha]))
    assert "transparent" in _refusal(_saved(image, tmp_path / "a.png"))


def test_transparent_palette_entry_and_colour_are_refused(tmp_path, pixels):
    palette = Image.fromarray(pixels).convert("P")
    used = palette.getpixel((0, 0))
    assert "transparent" in _refusal(_saved(palette, tmp_path / "p.png", transparency=used))
    key = tuple(int(v) for v in pixels[0, 0])
    path = _saved(Image.fromarray(pixels), tmp_path / "c.png", transparency=key)
    assert "transparent" in _refusal(path)


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "F", "I"])
def test_other_pixel_formats_are_refused(tmp_path, pixels, mode):
    image = Image.fromarray(pixels)
    image = image.convert("L").convert(mode) if mode in ("F", "I") else image.convert(mode)
    assert mode in _refusal(_saved(image, tmp_path / "a.tif"))


def _png16(pixels: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, which Pillow reads but cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    height, width = pixels.shape[:2]
    deep = pixels.astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_sixteen_bits_are_refused_grey_and_rgb(tmp_path, pixels):
    grey = _saved(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), tmp_path / "g.png")
    assert "8-bit" in _refusal(grey)
    deep = tmp_path / "rgb.png"
    deep.write_bytes(_png16(pixels))
    assert Image.open(deep).mode == "RGB"  # Pillow would silently drop the low byte
    assert "8-bit" in _refusal(deep)


@pytest.mark.parametrize("maximum", [100, 65535])
def test_ppm_with_another_maximum_is_refused(tmp_path, maximum):
    path = tmp_path / "a.ppm"
    size = 1 if maximum < 256 else 2
    path.write_bytes(b"P6\n4 4\n%d\n" % maximum + bytes(48 * size))
    assert "8 bits" in _refusal(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("P1 2 1 1 0", [[[0] * 3, [255] * 3]]), ("P2 1 1 255 7", [[[7] * 3]])],
)
def test_plain_ppm_is_read(tmp_path, text, expected):
    path = tmp_path / "a.ppm"
    path.write_text(text.replace(" ", "\n") + "\n")
    assert read_image(path).tolist() == expected


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :16] = 255  # the stored top left quarter is white
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = _saved(Image.fromarray(stored), tmp_path / f"a.{suffix}", exif=exif)
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    expected = np.rot90(stored, turns)
    read = read_image(path)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).max() < 16
    assert image_size(path) == (expected.shape[1], expected.shape[0])


@pytest.mark.parametrize("suffix", ["webp", "png", "tif"])
def test_animation_and_pages_are_refused(tmp_path, pixels, suffix):
    first = Image.fromarray(pixels)
    path = _saved(first, tmp_path / f"a.{suffix}", save_all=True, append_images=[first.rotate(180)])
    assert "animated" in _refusal(path)


def test_zero_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.touch()
    assert "0 bytes" in _refusal(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_truncated(tmp_path, pixels, suffix):
    path = _saved(Image.fromarray(pixels), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "truncated" in _refusal(path)


def test_not_an_image_no_file_and_a_folder(tmp_path):
    text = tmp_path / "a.png"
    text.write_text("hello")
    assert "not an image" in _refusal(text)
    assert "no such file" in _refusal(tmp_path / "none.png")
    assert "folder" in _refusal(tmp_path)


@pytest.mark.parametrize("side", [8_001, 10_000, 14_000])
def test_a_hundred_megapixels_are_refused_without_a_warning(tmp_path, side):
    path = _saved(Image.new("1", (side, side)), tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "64 million pixels" in _refusal(path)
    with pytest.raises(InputError, match="64 million"):
        image_size(path)


def test_list_images_sorts_and_ignores_other_files(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path)] == ["a.jpg", "b.PNG"]


def test_list_images_refuses(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "none")
    file = tmp_path / "a.png"
    file.touch()
    with pytest.raises(InputError, match="is a file"):
        list_images(file)


def test_by_stem_refuses_two_files_of_one_name():
    assert by_id([Path("x/a.png"), Path("x/b.jpg")]) == {
        "a": Path("x/a.png"),
        "b": Path("x/b.jpg"),
    }
    with pytest.raises(InputError, match=r"a\.png.*a\.jpg|a\.jpg.*a\.png"):
        by_id([Path("x/a.png"), Path("x/a.jpg")])


def test_unreadable_files_and_folders(tmp_path, pixels):
    """Run under an unprivileged uid, as root may read everything."""
    image = _saved(Image.fromarray(pixels), tmp_path / "a.png")
    closed = tmp_path / "closed"
    closed.mkdir()
    script = """
import os, sys
from pathlib import Path
from affectbench.errors import InputError
from affectbench.images.listing import list_images
from affectbench.images.reading import read_image
image, closed = (Path(a) for a in sys.argv[1:3])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for action in (lambda: read_image(image), lambda: list_images(closed),
               lambda: read_image(closed / "b.png"), lambda: list_images(closed / "deeper")):
    try:
        action()
    except InputError as error:
        print(error)
"""
    folders = [tmp_path, *tmp_path.parents]
    opened = [f for f in folders if f.stat().st_uid == os.geteuid() and "pytest" in f.name]
    modes = {folder: folder.stat().st_mode for folder in opened}
    try:
        for folder in opened:
            folder.chmod(0o755)
        image.chmod(0)
        closed.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", script, str(image), str(closed)],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        closed.chmod(0o755)
        for folder, mode in modes.items():
            folder.chmod(mode)
    messages = done.stdout.splitlines()
    assert len(messages) == 4
    assert all("no permission" in message for message in messages)
