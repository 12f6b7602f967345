"""Data sets in all their layouts, protocols and manifests, on pictures made by formula."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, pattern
from PIL import Image

from affectbench.datasets import list_datasets, load_dataset
from affectbench.datasets.celeba import CROP
from affectbench.datasets.files import FaceFiles
from affectbench.datasets.manifest import (
    FOLDER,
    Manifest,
    committed,
    make_manifest,
    read_manifest,
    verify,
    write_manifest,
)
from affectbench.datasets.pairs import KEPT_BYTES, FacePairs
from affectbench.datasets.protocol import SCALES, face_pair, validate
from affectbench.errors import AffectBenchError, InputError, RecordError, UnknownNameError
from affectbench.faces.regions import FRAMINGS
from affectbench.types import TestProtocol

SMALL = TestProtocol(scale=4, hr_size=32)


def save(path: Path, seed: int = 0, size: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pattern(seed, size)).save(path)
    return path


def touch(folder: Path, names: Iterable[str]) -> Path:
    """Empty files: opening a data set must not read any."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))
    return folder


def celeba_names(suffix: str = ".jpg", start: int = 201_600) -> list[str]:
    return [f"{i:06d}{suffix}" for i in range(start, 202_600)]


def title(name: str, folder: Path) -> str:
    return load_dataset(name, folder).spec.title


# Names


def test_all_sets_are_listed_with_a_known_framing() -> None:
    specs = list_datasets()
    names = ["celeba", "celeba-official", "demo", "ffhq", "helen"]
    assert [spec.name for spec in specs] == names
    assert all(spec.framing in FRAMINGS and spec.layout and spec.licence for spec in specs)


def test_unknown_name_suggests_and_says_how_to_give_a_folder() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'celeba'.*--data cileba=DIR"):
        load_dataset("cileba")


@pytest.mark.parametrize("name", ["celeba", "celeba-official", "ffhq", "helen"])
def test_a_set_without_its_folder_says_where_to_put_it(name: str) -> None:
    with pytest.raises(InputError, match=f"--data {name}=DIR.*--data-root DIR.*Layout: .*DIR"):
        load_dataset(name)


@pytest.mark.parametrize("name", ["celeba", "celeba-official", "ffhq", "helen", "mine"])
def test_a_folder_that_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        load_dataset(name, tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"a\.png: is a file"):
        load_dataset(name, save(tmp_path / "a.png"))


@pytest.mark.parametrize("name", ["celeba", "ffhq", "helen", "mine"])
def test_a_folder_without_images(name: str, tmp_path: Path) -> None:
    touch(tmp_path, ["notes.txt"])
    with pytest.raises(InputError, match="holds no images"):
        load_dataset(name, tmp_path)


def test_importing_loads_no_torch() -> None:
    code = (
        "import sys, affectbench.datasets as d, affectbench.datasets.manifest as m\n"
        "import affectbench.datasets.pairs as p\n"
        "from affectbench.types import TestProtocol\n"
        "d.list_datasets(); m.make_manifest(p.FacePairs(d.load_dataset('demo'), TestProtocol()))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Any folder


def test_any_folder(tmp_path: Path) -> None:
    save(tmp_path / "b.png", 1)
    save(tmp_path / "a.png", 2)
    touch(tmp_path, [".hidden.png", "notes.txt"])
    (tmp_path / "more").mkdir()
    faces = load_dataset("mine", tmp_path)
    assert faces.ids == ("a", "b")
    assert faces.spec.framing == "centre"
    assert faces.spec.title == "a folder of 2 faces"
    assert np.array_equal(faces.read("a"), pattern(2, 32))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path, ["a.png", "a.jpg"])
    with pytest.raises(InputError, match=r"a\.jpg and a\.png|a\.png and a\.jpg"):
        load_dataset("mine", tmp_path)


def test_reading_names_the_damaged_file_and_the_unknown_id(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    touch(tmp_path, ["bad.png"])
    faces = load_dataset("mine", tmp_path)
    with pytest.raises(InputError, match=r"bad\.png: the file is empty"):
        faces.read("bad")
    with pytest.raises(InputError, match="mine: has no face 'ugly'"):
        faces.read("ugly")
    with pytest.raises(InputError, match=r"bad\.png"):
        make_manifest(FacePairs(faces, SMALL))


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="gives up root's rights")
@pytest.mark.parametrize("mode", [0o700, 0o744], ids=["closed", "may be listed, not entered"])
def test_a_folder_without_permission(tmp_path: Path, mode: int) -> None:
    """As an unprivileged user, in a process of its own."""
    touch(tmp_path / "faces", ["a.png"]).chmod(mode)
    tmp_path.chmod(0o755)
    code = (
        "import os\n"
        "from affectbench.datasets import list_datasets, load_dataset\n"
        "from affectbench.errors import InputError\n"
        "list_datasets()\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for name in ['mine', 'celeba', 'celeba-official', 'ffhq', 'helen']:\n"
        "    try: load_dataset(name, 'faces').read('a')\n"
        "    except InputError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("no permission" in line and "faces" in line for line in lines)


# CelebA


@pytest.fixture(scope="module")
def celeba_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ["000001.jpg", "201599.jpg", "notes.txt", "201600.txt", *celeba_names()]
    return touch(tmp_path_factory.mktemp("celeba"), names)


@pytest.mark.parametrize(
    "inner", ["img_align_celeba", "Img/img_align_celeba", "img_align_celeba/img_align_celeba"]
)
def test_celeba_official_layout(tmp_path: Path, celeba_images: Path, inner: str) -> None:
    (tmp_path / inner).parent.mkdir(exist_ok=True)
    (tmp_path / inner).symlink_to(celeba_images)
    faces = load_dataset("celeba", tmp_path)
    assert len(faces.ids) == 1000
    assert (faces.ids[0], faces.ids[-1]) == ("201600", "202599")
    assert faces.spec.framing == "celeba"


def test_celeba_official_layout_has_to_be_complete(tmp_path: Path) -> None:
    touch(tmp_path / "img_align_celeba", celeba_names(start=201_612))
    with pytest.raises(
        InputError, match=r"12 of 1000 test ids are missing: 201600, .*201609 and 2"
    ):
        load_dataset("celeba", tmp_path)


def test_celeba_official_images_are_cut_to_the_written_square(tmp_path: Path) -> None:
    whole = pattern(5, 218)[:, :178]
    Image.fromarray(whole).save(tmp_path / "201600.png")
    save(tmp_path / "201601.png", 6, 128)
    faces = load_dataset("celeba", tmp_path)
    assert np.array_equal(faces.read("201600"), whole[58:200, 17:159])
    assert np.array_equal(faces.read("201601"), pattern(6, 128))
    assert faces.spec.title.startswith("CelebA, 2 of the 1,000")


def test_the_celeba_crop_puts_the_landmarks_where_the_ready_crops_have_them() -> None:
    """Means of CelebA's aligned landmarks, and medians of the ready crops, to 0.02."""
    official = np.array([(69, 111), (108, 111), (88, 136), (72, 152), (105, 152)])
    ready = np.array([(0.363, 0.373), (0.643, 0.369), (0.5, 0.554), (0.383, 0.651), (0.639, 0.648)])
    left, top, right, bottom = CROP
    assert right - left == bottom - top
    placed = (official - (left, top)) / (right - left)
    assert np.abs(placed - ready)[[0, 1, 2, 3]].max() < 0.02
    assert np.abs(placed - ready)[4].max() < 0.025  # the two sources disagree on the mouth's width


def test_celeba_ready_crops_take_test_ids_only(tmp_path: Path) -> None:
    touch(tmp_path, ["000001.jpg", "201599.jpg", *celeba_names(".png")])
    faces = load_dataset("celeba", tmp_path)
    assert len(faces.ids) == 1000
    assert faces.spec.title == "CelebA, the 1,000 test faces of FSRNet and DIC"
    (tmp_path / "201600.png").unlink()
    assert title("celeba", tmp_path) == "CelebA, 999 of the 1,000 test faces of FSRNet and DIC"


def test_celeba_folder_with_other_faces(tmp_path: Path) -> None:
    touch(tmp_path, ["000001.jpg"])
    with pytest.raises(InputError, match="holds 1 images, none of them of the ids 201600 to"):
        load_dataset("celeba", tmp_path)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("list_eval_partition.txt", "000001.jpg 0\n182637.jpg 1\n182638.jpg 2\n202599.jpg 2\n"),
        ("Eval/list_eval_partition.txt", "182638.jpg 2\n202599.jpg 2\n000001.jpg 0\n"),
        ("img_align_celeba/list_eval_partition.txt", "182638.jpg  2\r\n202599.jpg\t2\r\n"),
        ("list_eval_partition.csv", "image_id,partition\n182638.jpg,2\n202599.jpg,2\n"),
    ],
)
def test_celeba_official_split(tmp_path: Path, place: str, text: str) -> None:
    images = touch(tmp_path / "img_align_celeba", ["000001.jpg", "182638.jpg", "202599.jpg"])
    with pytest.raises(InputError, match=r"holds no list_eval_partition\.txt"):
        load_dataset("celeba-official", tmp_path)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(text)
    assert load_dataset("celeba-official", tmp_path).ids == ("182638", "202599")
    (images / "182638.jpg").unlink()
    with pytest.raises(InputError, match="1 of 2 ids of the official test split are missing: 1826"):
        load_dataset("celeba-official", tmp_path)


def test_celeba_partition_file_without_a_test_split(tmp_path: Path) -> None:
    touch(tmp_path / "img_align_celeba", ["000001.jpg"])
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    with pytest.raises(InputError, match="has no line"):
        load_dataset("celeba-official", tmp_path)


# FFHQ


@pytest.fixture(scope="module")
def ffhq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official layout of all test ids, and a part of the training ids."""
    root = tmp_path_factory.mktemp("ffhq") / "thumbnails128x128"
    touch(root / "59000", ["59000.png"])
    for start in range(60_000, 70_000, 1000):
        touch(root / str(start), (f"{i}.png" for i in range(start, start + 1000)))
    save(root / "60000" / "60000.png", 7, 128)
    return root.parent


def test_ffhq_official_layout(ffhq: Path) -> None:
    for folder in (ffhq, ffhq / "thumbnails128x128"):
        faces = load_dataset("ffhq", folder)
        assert len(faces.ids) == 10_000
        assert (faces.ids[0], faces.ids[-1]) == ("60000", "69999")
        assert faces.spec.title == "FFHQ, ids 60000 to 69999"
    assert np.array_equal(faces.read("60000"), pattern(7, 128))


def test_ffhq_official_layout_has_to_be_complete(tmp_path: Path) -> None:
    touch(tmp_path / "images1024x1024" / "60000", (f"{i}.png" for i in range(60_000, 61_000)))
    with pytest.raises(
        InputError, match="9000 of 10000 ids from 60000 to 69999 are missing: 61000"
    ):
        load_dataset("ffhq", tmp_path)


def test_ffhq_in_both_sizes_is_not_guessed(tmp_path: Path) -> None:
    for name in ("thumbnails128x128", "images1024x1024"):
        touch(tmp_path / name / "60000", ["60000.png"])
    with pytest.raises(InputError, match=r"choose one, such as --data ffhq=.*thumbnails128x128"):
        load_dataset("ffhq", tmp_path)


def test_ffhq_flat_folder_with_official_names_gives_test_ids(tmp_path: Path) -> None:
    touch(tmp_path, ["00000.png", "59999.png", "60000.png", "69999.png"])
    assert load_dataset("ffhq", tmp_path).ids == ("60000", "69999")
    assert title("ffhq", tmp_path) == "FFHQ, 2 of the ids 60000 to 69999"
    touch(tmp_path / "train", ["00000.png"])
    with pytest.raises(InputError, match="none of them of the ids 60000 to 69999"):
        load_dataset("ffhq", tmp_path / "train")


def test_ffhq_renumbered_faces_say_so(tmp_path: Path) -> None:
    touch(tmp_path, ["030.png", "031.png"])
    assert load_dataset("ffhq", tmp_path).ids == ("030", "031")
    assert title("ffhq", tmp_path) == "FFHQ, 2-face subset, ids unknown"


# Helen


def test_helen_folder(tmp_path: Path) -> None:
    touch(tmp_path, ["1.jpg", "2.jpg"])
    faces = load_dataset("helen", tmp_path)
    assert faces.ids == ("1", "2")
    assert (faces.spec.title, faces.spec.framing) == ("Helen, 2 faces", "helen")


def test_helen_list_chooses_by_name_also_from_inner_folders(tmp_path: Path) -> None:
    touch(tmp_path, ["1_1.jpg", "2_1.jpg"])
    touch(tmp_path / "helen_5", ["3_1.jpg", "4_1.jpg"])
    (tmp_path / "testnames.txt").write_text("3_1\r\n1_1.jpg\n\n")
    faces = load_dataset("helen", tmp_path)
    assert faces.ids == ("1_1", "3_1")
    assert faces.spec.title == "Helen, 2 faces of testnames.txt"
    (tmp_path / "testnames.txt").write_text("1_1\n9_9\n")
    with pytest.raises(InputError, match=r"1 of 2 names of testnames\.txt are missing: 9_9"):
        load_dataset("helen", tmp_path)
    (tmp_path / "testnames.txt").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        load_dataset("helen", tmp_path)


def test_helen_photo_that_is_not_a_face_crop(tmp_path: Path) -> None:
    Image.fromarray(pattern(1, 300)[:200]).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"photo: is 300x200 pixels.*crop the face first"):
        make_manifest(FacePairs(load_dataset("helen", tmp_path), TestProtocol()))


# The demonstration faces


def test_demo_is_what_the_notice_says() -> None:
    notice = (ROOT / "affectbench/datasets/demo/NOTICE.md").read_text(encoding="utf-8")
    faces = load_dataset("demo")
    for name, side in (("grace_hopper", 256), ("astronaut", 160)):
        pixels = faces.read(name)
        assert pixels.shape == (side, side, 3)
        assert hashlib.sha256(pixels.tobytes()).hexdigest() in notice


def test_the_astronaut_is_the_written_cut_of_its_origin() -> None:
    origin = pytest.importorskip("skimage.data").astronaut()
    assert np.array_equal(load_dataset("demo").read("astronaut"), origin[42:202, 145:305])


def test_grace_hopper_is_the_written_cut_of_its_origin() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    origin = Path(matplotlib.__file__).parent / "mpl-data/sample_data/grace_hopper.jpg"
    cut = Image.open(origin).convert("RGB").crop((113, 77, 413, 377))
    ours = load_dataset("demo").read("grace_hopper").astype(int)
    assert (
        np.abs(ours - cut.resize((256, 256), Image.Resampling.BICUBIC)).max() <= 4
    )  # JPEG decoders


def test_demo_matches_its_manifest() -> None:
    found = verify(load_dataset("demo"), TestProtocol())
    assert found.ok
    assert found.summary() == "demo at x8-128-pil-bicubic: 2 of 2 faces match"


# Protocols


@pytest.mark.parametrize("kernel", ["pil-bicubic", "matlab-bicubic", "opencv-area"])
@pytest.mark.parametrize("scale", SCALES)
def test_face_pair(scale: int, kernel: str) -> None:
    protocol = TestProtocol(scale, 64, kernel)  # type: ignore[arg-type]
    hr, lr = face_pair(pattern(1, 80), protocol, "a")
    assert (hr.shape, lr.shape) == ((64, 64, 3), (64 // scale, 64 // scale, 3))
    assert hr.dtype == lr.dtype == np.uint8


def test_hr_of_the_right_size_is_untouched_and_lr_is_made_from_hr() -> None:
    large, protocol = pattern(1, 80), TestProtocol(8, 64)
    hr, lr = face_pair(large, protocol, "a")
    again, low = face_pair(hr, protocol, "a")
    assert np.array_equal(again, hr)
    assert np.array_equal(low, lr)
    image = Image.fromarray(large).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.array_equal(hr, np.asarray(image))
    assert np.array_equal(lr, np.asarray(image.resize((8, 8), Image.Resampling.BICUBIC)))


def test_sizes_left_alone() -> None:
    wide = pattern(1, 64)[:50]
    hr, lr = face_pair(wide, TestProtocol(8, None), "a")
    assert np.array_equal(hr, wide)
    assert lr.shape == (6, 8, 3)
    assert TestProtocol(8, None).name == "x8-any-pil-bicubic"


@pytest.mark.parametrize(
    ("side", "protocol", "says"),
    [
        (100, TestProtocol(8, 128), "a: is 100x100 pixels, smaller than HR .*--hr-size 96 or less"),
        (128, TestProtocol(4, 256), "--hr-size 128 or less fits"),
        (7, TestProtocol(8, 64), "too small for scale 8"),
    ],
)
def test_nothing_is_enlarged(side: int, protocol: TestProtocol, says: str) -> None:
    with pytest.raises(InputError, match=says):
        face_pair(pattern(1, side), protocol, "a")


def test_faces_have_to_be_square() -> None:
    with pytest.raises(InputError, match="a: is 64x63 pixels, and faces have to be square"):
        face_pair(pattern(1, 64)[:63], SMALL, "a")


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        (TestProtocol(3, 129), "--scale 3: the scale is one of 2, 4, 8, 16"),
        (TestProtocol(1, 128), "--scale 1"),
        (TestProtocol(8, 100), "--hr-size 100: must be a multiple of the scale 8, such as 96"),
        (TestProtocol(8, 0), "--hr-size 0: .*such as 8"),
        (TestProtocol(8, -128), "--hr-size -128"),
        (TestProtocol(8, 128, "lanczos"), "unknown kernel 'lanczos'"),  # type: ignore[arg-type]
    ],
)
def test_protocols_that_cannot_be(protocol: TestProtocol, says: str) -> None:
    with pytest.raises(AffectBenchError, match=says):
        validate(protocol)
    with pytest.raises(AffectBenchError, match=says):
        face_pair(pattern(1, 128), protocol, "a")


# Manifests


@pytest.fixture
def faces(tmp_path: Path) -> FaceFiles:
    for i in range(4):
        save(tmp_path / "set" / f"{i}.png", i)
    found = load_dataset("mine", tmp_path / "set")
    assert isinstance(found, FaceFiles)
    return found


def test_a_manifest_hashes_the_pixels_of_hr_and_lr(faces: FaceFiles) -> None:
    manifest = make_manifest(FacePairs(faces, SMALL))
    hr, lr = face_pair(pattern(2, 32), SMALL, "2")
    row = manifest.faces[2]
    assert row.id == "2"
    assert row.hr == hashlib.sha256(hr.tobytes()).hexdigest()
    assert row.lr == hashlib.sha256(lr.tobytes()).hexdigest()


class CountedFaces:
    """A data set that counts how often each face is read."""

    def __init__(self, faces: FaceFiles) -> None:
        self.spec, self.ids, self.reads = faces.spec, faces.ids, Counter()
        self._faces = faces

    def read(self, image_id: str) -> np.ndarray:
        self.reads[image_id] += 1
        return self._faces.read(image_id)


@pytest.mark.parametrize(("room", "reads"), [(KEPT_BYTES, 1), (0, 3)])
def test_pairs_are_kept_as_long_as_there_is_room(
    faces: FaceFiles, monkeypatch: pytest.MonkeyPatch, room: int, reads: int
) -> None:
    monkeypatch.setattr("affectbench.datasets.pairs.KEPT_BYTES", room)
    counted = CountedFaces(faces)
    pairs = FacePairs(counted, SMALL)
    assert make_manifest(pairs) == make_manifest(pairs) == make_manifest(FacePairs(faces, SMALL))
    for image_id in faces.ids:
        hr, lr = pairs.read(image_id)
        wanted = face_pair(faces.read(image_id), SMALL, image_id)
        assert np.array_equal(hr, wanted[0]) and np.array_equal(lr, wanted[1])
    assert counted.reads == dict.fromkeys(faces.ids, reads)


def test_the_revision_follows_content_only(faces: FaceFiles, tmp_path: Path) -> None:
    revision = make_manifest(FacePairs(faces, SMALL)).revision
    assert len(revision) == 16
    (tmp_path / "other").mkdir()
    for i in range(4):
        Image.fromarray(pattern(i, 32)).save(tmp_path / "other" / f"{i}.bmp")
    assert (
        make_manifest(FacePairs(load_dataset("elsewhere", tmp_path / "other"), SMALL)).revision
        == revision
    )
    save(tmp_path / "other" / "3.bmp", 9)
    changed = {
        revision,
        make_manifest(FacePairs(load_dataset("elsewhere", tmp_path / "other"), SMALL)).revision,
        make_manifest(FacePairs(faces, replace(SMALL, scale=2))).revision,
        make_manifest(FacePairs(faces, replace(SMALL, kernel="opencv-area"))).revision,
        make_manifest(FacePairs(faces, SMALL), ids=["0", "1", "2"]).revision,
        make_manifest(FacePairs(faces, SMALL), ids=["3", "2", "1", "0"]).revision,
    }
    assert len(changed) == 6


def test_a_manifest_survives_its_file(faces: FaceFiles, tmp_path: Path) -> None:
    manifest = make_manifest(FacePairs(faces, SMALL))
    write_manifest(manifest, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv") == manifest


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("\n1,", "\n7,", "rows are not those of its revision"),
        ('"schema": 1', '"schema": 2', "newer affectbench"),
        ('"scale": 4', '"scale": 2', "rows are not those"),
        ("hr_sha256", "hr", "cannot be read"),
        ("# {", "{{", "cannot be read"),
    ],
)
def test_a_damaged_manifest(
    faces: FaceFiles, tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = tmp_path / "m.csv"
    write_manifest(make_manifest(FacePairs(faces, SMALL)), path)
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RecordError, match=says):
        read_manifest(path)


def test_verify_tells_what_differs(
    faces: FaceFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affectbench.datasets.manifest.FOLDER", tmp_path)
    expected = make_manifest(FacePairs(faces, SMALL))
    odd = replace(expected.faces[1], lr="0" * 64)
    shown = Manifest(SMALL, (expected.faces[0], odd, *expected.faces[2:]))
    write_manifest(shown, tmp_path / f"mine-{SMALL.name}.csv")
    save(tmp_path / "set" / "2.png", 8)
    (tmp_path / "set" / "3.png").unlink()
    save(tmp_path / "set" / "new.png", 9)
    found = verify(load_dataset("mine", tmp_path / "set"), SMALL)
    assert not found.ok
    assert found.matching == ("0",)
    assert (found.lr_differs, found.hr_differs) == (("1",), ("2",))
    assert (found.missing, found.extra) == (("3",), ("new",))
    lines = found.summary().splitlines()
    assert lines[0] == "mine at x4-32-pil-bicubic: 1 of 4 faces match"
    assert len(lines) == 5


def test_no_manifest_of_that_protocol() -> None:
    with pytest.raises(InputError, match=r"no manifest of 'demo' at x4-128.*demo-x8-128"):
        committed("demo", TestProtocol(4, 128))


def test_committed_manifests_are_whole() -> None:
    sizes = {path.stem: len(read_manifest(path).faces) for path in FOLDER.glob("*.csv")}
    assert sizes == {
        "celeba-x8-128-pil-bicubic": 1000,
        "demo-x8-128-pil-bicubic": 2,
        "ffhq-x4-256-pil-bicubic": 80,
        "ffhq-x8-128-pil-bicubic": 80,
        "helen-x8-128-pil-bicubic": 50,
    }


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "protocol", "says"),
    [
        ("celeba", TestProtocol(), "CelebA, the 1,000 test faces of FSRNet and DIC"),
        ("ffhq", TestProtocol(), "FFHQ, 80-face subset, ids unknown"),
        ("ffhq", TestProtocol(4, 256), "FFHQ, 80-face subset, ids unknown"),
        ("helen", TestProtocol(), "Helen, 50 faces"),
    ],
)
def test_the_real_faces_match(shared: Path, name: str, protocol: TestProtocol, says: str) -> None:
    faces = load_dataset(name, shared / "data" / name)
    assert faces.spec.title == says
    assert verify(faces, protocol).summary().endswith("faces match")
