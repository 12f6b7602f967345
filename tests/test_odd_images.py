"""Files that are odd: other formats and suffixes, damaged notes, and what is no image at all."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import affectbench_here, pattern
from PIL import ExifTags, Image, features

from affectbench.errors import InputError
from affectbench.images.depth import is_deep
from affectbench.images.formats import SUFFIXES_OF, has_signature
from affectbench.images.listing import list_images
from affectbench.images.reading import image_size, read_image

PICTURE = pattern(3, 32)[:24]
EXACT = {
    "PNG": {},
    "BMP": {},
    "PPM": {},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True},
    "JPEG2000": {"irreversible": False},
    "TGA": {},
}


def encoded(name: str, picture: np.ndarray = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, name, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    found = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


def png_with(*chunks: bytes) -> bytes:
    content = encoded("PNG")
    return content[:33] + b"".join(chunks) + content[33:]


def jpeg_with(marker: int, data: bytes) -> bytes:
    content = encoded("JPEG", quality=90)
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
    return content[:2] + segment + content[2:]


def tiff_with(entry: tuple[int, int, int, int], orientation: int) -> bytes:
    """An uncompressed TIFF with one more entry: tag, type, count, value."""
    height, width = PICTURE.shape[:2]
    entries = {
        256: (3, 1, width),
        257: (3, 1, height),
        258: (3, 3, 170),
        259: (3, 1, 1),
        262: (3, 1, 2),
        273: (4, 1, 176),
        274: (3, 1, orientation),
        277: (3, 1, 3),
        278: (3, 1, height),
        279: (4, 1, PICTURE.nbytes),
        entry[0]: entry[1:],
    }
    table = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)
    return head.ljust(170, b"\0") + struct.pack("<3H", 8, 8, 8) + PICTURE.tobytes()


def file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# formats and suffixes


@pytest.mark.parametrize("name", EXACT)
def test_every_suffix_of_a_format_in_any_case(tmp_path, name):
    content = encoded(name, **EXACT[name])
    for suffix in SUFFIXES_OF[name]:
        for spelt in (suffix, suffix.upper()):
            path = file(tmp_path / f"a{spelt}", content)
            assert list_images(tmp_path) == [path]
            assert np.array_equal(read_image(path), PICTURE)
            path.unlink()


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JIF"])
def test_jpeg_by_other_suffixes_is_the_same_picture(tmp_path, suffix):
    content = encoded("JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(read_image(file(tmp_path / f"a{suffix}", content)), expected)


def test_gif_and_grey_maps(tmp_path):
    grey = PICTURE[..., 0]
    for suffix, name in ((".gif", "GIF"), (".pgm", "PPM"), (".pnm", "PPM")):
        path = file(tmp_path / f"a{suffix}", encoded(name, grey))
        assert np.array_equal(read_image(path), np.stack([grey] * 3, axis=-1))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read(tmp_path):
    path = file(tmp_path / "a.avif", encoded("AVIF", quality=100, subsampling="4:4:4"))
    assert np.abs(read_image(path).astype(int) - PICTURE).max() < 12


@pytest.mark.parametrize("suffix", ["", ".img", ".happy", ".png"])
@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_content_decides_whatever_the_suffix(tmp_path, name, suffix):
    picture = PICTURE[..., 0] if name == "GIF" else PICTURE
    content = encoded(name, picture)
    path = file(tmp_path / f"subject{suffix}", content)
    assert has_signature(content[:32])
    assert list_images(tmp_path) == [path]
    assert read_image(path).shape == PICTURE.shape


@pytest.mark.parametrize(
    "text", [b"BMI values\nof all", b"P3 is the third person", b"RIFF", b"{}", b"GIF89", b"hello"]
)
def test_texts_are_no_images(text):
    assert not has_signature(text.ljust(32))


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
(opened) print showpage
%%EOF
"""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tga", ".tif"])
@pytest.mark.parametrize(
    "content",
    [
        POSTSCRIPT,
        b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, len(POSTSCRIPT)) + bytes(20) + POSTSCRIPT,
        b"\xd7\xcd\xc6\x9a" + bytes(60),
        b"8BPS\0\1" + bytes(60),
        b"GRIB" + bytes(60),
    ],
    ids=["eps", "dos-eps", "wmf", "psd", "grib"],
)
def test_no_other_format_is_tried(tmp_path, monkeypatch, suffix, content):
    started = []
    monkeypatch.setattr(subprocess, "check_call", lambda *a, **_k: started.append(a))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **_k: started.append(a))
    Image.init()
    for name in set(Image.OPEN) - set(SUFFIXES_OF):
        _, accept = Image.OPEN[name]
        monkeypatch.setitem(Image.OPEN, name, (lambda *_a, n=name, **_k: started.append(n), accept))
    path = file(tmp_path / f"f1{suffix}", content)
    with pytest.raises(InputError, match=r"f1.*is not an image in a format that is read here"):
        read_image(path)
    assert not started


# depth


def test_deep_jpeg2000_is_refused(tmp_path):
    grey = (np.arange(32 * 32, dtype=np.uint16) * 60).reshape(32, 32)
    content = bytearray(encoded("JPEG2000"))
    start = content.find(b"\xff\x4f\xff\x51") + 42
    content[start : start + 9 : 3] = bytes([11, 11, 11])  # twelve bits, and Pillow says RGB
    for found in (encoded("JPEG2000", grey), bytes(content)):
        with pytest.raises(InputError, match="8 bits"):
            read_image(file(tmp_path / "a.jp2", found))


def test_deep_avif_is_told_by_its_header():
    class Opened:
        format = "AVIF"

        def __init__(self, flags: int) -> None:
            self.fp = io.BytesIO(b"....ftypavif....av1C\x81\x00" + bytes([flags, 0]))

    assert not is_deep(Opened(0x0C))
    assert is_deep(Opened(0x4C))


# notes


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = orientation
    return found.tobytes()


BAD_PNGS = {
    "text with another sum": png_with(chunk(b"tEXt", b"a\0b", 1)),
    "large text": png_with(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))),
    "text of an unknown method": png_with(chunk(b"zTXt", b"a\0\7zz")),
    "short resolution": png_with(chunk(b"pHYs", b"a")),
    "short gamma": png_with(chunk(b"gAMA", b"")),
    "empty profile": png_with(chunk(b"iCCP", b"")),
    "empty EXIF": png_with(chunk(b"eXIf", b"")),
    "EXIF that leads nowhere": png_with(chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")),
    "EXIF with another sum": png_with(chunk(b"eXIf", exif(6)[6:], 1)),
    "EXIF as text that is none": png_with(chunk(b"tEXt", b"Raw profile type exif\0\n\n\nqq")),
}


@pytest.mark.parametrize("kind", BAD_PNGS)
def test_a_png_with_bad_notes_is_read(tmp_path, kind):
    path = file(tmp_path / "a.png", BAD_PNGS[kind])
    assert np.array_equal(read_image(path), PICTURE)
    assert image_size(path) == (32, 24)


def test_one_bad_note_does_not_cost_the_orientation(tmp_path):
    bad = chunk(b"tEXt", b"a\0b", 1)
    path = file(tmp_path / "a.png", png_with(bad, chunk(b"eXIf", exif(6)[6:])))
    assert np.array_equal(read_image(path), np.rot90(PICTURE, 3))


BAD_SEGMENTS = [
    (0xE0, b"JFIF\0"),
    (0xE1, b"Exif\0\0"),
    (0xE1, b"Exif\0\0nonsense"),
    (0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f"),
    (0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(20)),
    (0xE2, b"ICC_PROFILE\0"),
    (0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
    (0xED, b"Photoshop 3.0\x008BIM\x03"),
    (0xEE, b"Adobe\0"),
    (0xFE, b""),
]


@pytest.mark.parametrize(("marker", "data"), BAD_SEGMENTS)
def test_a_jpeg_with_bad_notes_is_read(tmp_path, marker, data):
    expected = np.asarray(Image.open(io.BytesIO(encoded("JPEG", quality=90))))
    path = file(tmp_path / "a.jpg", jpeg_with(marker, data))
    assert np.array_equal(read_image(path), expected)
    assert image_size(path) == (32, 24)


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_orientation_that_does_not_exist_is_upright(tmp_path, name, value):
    path = file(tmp_path / "a", encoded(name, exif=exif(value)))
    assert image_size(path) == (32, 24)
    assert read_image(path).shape == PICTURE.shape


@pytest.mark.parametrize("tag", [270, 271, 282, 305, 700, 33432, 34665, 34675, 34853, 65000])
@pytest.mark.parametrize("kind", [1, 2, 4, 5, 7, 12, 16, 99])
def test_a_tiff_with_bad_notes_is_read_and_turned(tmp_path, tag, kind):
    for count, value in ((1, 4_000_000_000), (4_000_000_000, 8), (0, 0), (5000, 20)):
        path = file(tmp_path / "a.tif", tiff_with((tag, kind, count, value), orientation=6))
        assert np.array_equal(read_image(path), np.rot90(PICTURE, 3))
        assert image_size(path) == (24, 32)


def test_an_open_tiff_of_the_caller_stays_as_pillow_has_it(tmp_path):
    from affectbench.images.reading import rgb_pixels

    path = file(tmp_path / "a.tif", tiff_with((65000, 1, 1, 0), orientation=6))
    with Image.open(path) as image:
        assert np.array_equal(rgb_pixels(image), np.rot90(PICTURE, 3))
        assert np.array_equal(np.asarray(image), np.rot90(PICTURE, 3))


def test_mutated_pictures_never_end_in_another_exception(tmp_path, recwarn):
    rng = random.Random(5)
    sources = {name: encoded(name, **EXACT[name]) for name in EXACT}
    sources |= {"JPEG": encoded("JPEG", exif=exif(6)), "GIF": encoded("GIF", PICTURE[..., 0])}
    for _ in range(400):
        name = rng.choice(sorted(sources))
        content = bytearray(sources[name])
        for _ in range(rng.choice((1, 1, 3))):
            place = rng.randrange(len(content))
            content[place : place + rng.choice((1, 1, 4))] = rng.randbytes(rng.choice((1, 1, 3)))
        path = file(tmp_path / f"a{SUFFIXES_OF[name][0]}", bytes(content))
        for read in (read_image, image_size):
            try:
                read(path)
            except InputError as error:
                assert str(path) in str(error)
                assert "\n" not in str(error)
    assert not recwarn.list


# what is no regular file


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has to be short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def nothing(path: Path) -> None:
    path.symlink_to(path.parent / "gone.png")


def itself(path: Path) -> None:
    path.symlink_to(path)


def huge(path: Path) -> None:
    with path.open("wb") as sink:
        sink.truncate(1 << 40)


ODD = {
    pipe: "named pipe",
    endless: "device",
    listening: "socket",
    nothing: "link to a file that is not there",
    itself: "cannot be opened",
    Path.mkdir: "folder",
    huge: "1024.0 GiB",
}


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes in folders")
@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("place", ["face", "result"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, make, place):
    for name in ("hr", "sr"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(pattern(i)).save(tmp_path / name / f"{i}.png")
    odd = tmp_path / ("sr" if place == "result" else "hr") / "2.png"
    odd.unlink()
    make(odd)
    with pytest.raises(InputError, match=ODD[make]):
        read_image(odd)
    score = ("score", "--sr", tmp_path / "sr", "--hr", tmp_path / "hr", "--metrics", "psnr")
    data = ("--datasets", "p", "--data", f"p={tmp_path / 'hr'}", "--metrics", "psnr")
    stored = ("--models", f"images:{tmp_path / 'sr'}", "--hr-size", "64", "--out", tmp_path / "o")
    for arguments in (score, ("compare", *data, *stored)):
        done = affectbench_here(*arguments)
        assert done.returncode == 2
        assert "2.png" in done.stderr
        assert ODD[make] in done.stderr


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "x/" * 3000, "a.png/b"])
def test_impossible_paths_are_one_line(tmp_path, path):
    image = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(image)
    for action in (read_image, image_size, list_images):
        with pytest.raises(InputError) as caught:
            action(tmp_path / path)
        assert "\n" not in str(caught.value)
        assert "\0" not in str(caught.value)
    for arguments in (
        ("score", "--sr", tmp_path / path, "--hr", tmp_path),
        ("compare", "--models", f"images:{tmp_path / path}"),
        ("compare", "--models", "bicubic", "--datasets", "p", "--data", f"p={tmp_path / path}"),
        ("compare", "--models", "bicubic", "--datasets", "celeba", "--data-root", tmp_path / path),
    ):
        assert _code(*arguments, *_out(arguments, tmp_path)) == 2


def _code(*arguments: object) -> object:
    """The exit code, also where the parser of the command ends it."""
    try:
        return affectbench_here(*arguments).returncode
    except SystemExit as ended:
        return ended.code


def _out(arguments: tuple[object, ...], folder: Path) -> tuple[object, ...]:
    return ("--out", folder / "out") if arguments[0] == "compare" else ()
