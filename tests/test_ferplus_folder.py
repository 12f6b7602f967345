"""FER2013 with FER+ as a folder that the library reads, from made arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tools.ferplus import FERPLUS, main, write_folder

from affectbench.errors import InputError
from affectbench.study.faces import read_faces

COLUMNS = [
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
]
CLASSES = np.array(["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"])


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    votes = {}
    faces = rng.integers(0, 256, (12, 48, 48)).astype(np.uint8)
    for split, rows in (("public_test", [0, 1, 2, 3]), ("private_test", [3, 4, 5])):
        labels = np.arange(len(rows), dtype=np.uint8)
        np.savez(folder / f"{split}.npz", images=faces[rows], labels=labels, classes=CLASSES)
        votes[split] = np.tile(np.arange(10, dtype=np.uint8), (len(rows), 1))
    np.savez(folder / "ferplus.npz", columns=np.array(COLUMNS), **votes)
    return folder


def test_faces_labels_and_votes_come_back(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    main(["--data", str(data), "--split", "private_test", "--out", str(out)])
    faces = read_faces(out, out / "labels.csv", "x")
    assert faces.files.tolist() == [f"private_test-0000{i}.png" for i in range(3)]
    assert faces.emotions.tolist() == ["angry", "disgust", "fear"]
    with np.load(data / "private_test.npz") as archive:
        assert np.array_equal(faces.images[:, 1].numpy(), archive["images"])
    assert faces.votes is not None and faces.all_votes is not None
    assert faces.votes[0].tolist() == [4, 5, 6, 1, 0, 3, 2]  # in the order of the library
    assert faces.all_votes[0] == 45
    opened = FERPLUS.open(out)
    assert (opened.spec.framing, len(opened.ids)) == ("whole", 3)


def test_a_face_of_a_later_split_is_left_out_and_rows_keep_their_names(
    data: Path, tmp_path: Path
) -> None:
    assert write_folder(data, "public_test", tmp_path / "out") == 3
    assert not (tmp_path / "out" / "public_test-00003.png").exists()


def test_what_does_not_fit_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "private_test.npz" in capsys.readouterr().err
    np.savez(data / "ferplus.npz", columns=np.array(COLUMNS), private_test=np.zeros((2, 10)))
    with pytest.raises(InputError, match="votes on 2; they must stand row by row"):
        write_folder(data, "private_test", tmp_path / "out")
