"""`affectbench run FILE`, and LR faces that exist already."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from affectbench import compare
from affectbench.cli.main import main
from affectbench.errors import InputError
from affectbench.records import read_record

SIDE, FACES = 32, 4


def face(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """HR faces, LR faces by another degradation (with a suffix), and results by nearest."""
    for name in ("hr", "lr", "ours"):
        (tmp_path / name).mkdir()
    for i in range(FACES):
        face(i).save(tmp_path / "hr" / f"{i}.png")
        low = face(i).resize((SIDE // 4,) * 2, Image.Resampling.NEAREST)
        low.save(tmp_path / "lr" / f"{i}x4.png")
        low.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(tmp_path / "ours" / f"{i}.png")
    return tmp_path


def psnr(kernel: Image.Resampling) -> float:
    def one(seed: int) -> float:
        low = face(seed).resize((SIDE // 4,) * 2, Image.Resampling.NEAREST)
        difference = np.asarray(face(seed), float) - np.asarray(low.resize((SIDE,) * 2, kernel))
        return float(10 * np.log10(255**2 / (difference**2).mean()))

    return float(np.mean([one(i) for i in range(FACES)]))


def test_models_get_the_lr_faces_that_exist(place):
    out = place / "out"
    options = {"data": {"mine": place / "hr"}, "hr_size": SIDE, "scale": 4, "metrics": "psnr"}
    result = compare("bicubic,nearest", lr=place / "lr", out=out, **options)
    table = result.table.set_index(["role", "model"])["psnr"]
    assert table["model", "bicubic"] == pytest.approx(psnr(Image.Resampling.BICUBIC), abs=0.01)
    assert table["model", "nearest"] == pytest.approx(psnr(Image.Resampling.NEAREST), abs=0.01)
    record = read_record(next((out / "records").rglob("*.json")))
    assert record.protocol["kernel"] == "given"
    assert record.protocol["name"] == "x4-32-given"
    made = compare("bicubic", **options).table.set_index("model")["psnr"]
    assert made["bicubic"] != pytest.approx(table["model", "bicubic"], abs=0.1)
    revision = record.dataset["revision"]
    face(9).resize((8, 8)).save(place / "lr" / "0x4.png")
    compare("bicubic,nearest", lr=place / "lr", out=out, **options)
    cells = json.loads((out / "run.json").read_text())["cells"]
    assert read_record(out / "records" / f"{cells[0]}.json").dataset["revision"] != revision


def test_lr_faces_must_be_there_and_fit(place):
    options = {"data": {"mine": place / "hr"}, "metrics": "psnr", "lr": place / "lr"}
    with pytest.raises(InputError, match=r"nothing is resized.*--hr-size 32 fits"):
        compare("bicubic", scale=4, **options)
    with pytest.raises(InputError, match=r"its LR face is 8x8 pixels.*is 4x4"):
        compare("bicubic", scale=8, hr_size=SIDE, **options)
    (place / "lr" / "2x4.png").unlink()
    with pytest.raises(InputError, match="1 of 4 faces of mine have no LR face: 2"):
        compare("bicubic", scale=4, hr_size=SIDE, **options)
    with pytest.raises(InputError, match="name them: --lr"):
        compare("bicubic", kernel="given", metrics="psnr")


COMPARE = """\
[compare]
models = ["bicubic", "images:ours"]
data = {mine = "hr"}
lr = "lr"
hr_size = 32
scale = 4
metrics = ["psnr"]
out = "out"
"""


def rows(folder: Path) -> list[str]:
    return [line.split(",")[1] for line in (folder / "table.csv").read_text().splitlines()[1:]]


def test_a_toml_file_says_all_of_it(place, tmp_path_factory, monkeypatch, capsys):
    (place / "table.toml").write_text(COMPARE)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["run", str(place / "table.toml")]) == 0
    assert rows(place / "out") == ["bicubic", "ours", "reference"]
    before = (place / "out" / "table.csv").read_bytes()
    monkeypatch.chdir(place)
    assert main(["run", "out/run.json", "--out", "again"]) == 0
    assert (place / "again" / "table.csv").read_bytes() == before
    text = COMPARE + 'fail_if = ["psnr<99"]\n'
    (place / "table.toml").write_text(text)
    assert main(["run", "table.toml"]) == 1
    assert "not good enough: bicubic on mine: psnr" in capsys.readouterr().err


def test_score_from_a_file(place, monkeypatch):
    monkeypatch.chdir(place)
    (place / "s.toml").write_text(
        '[score]\nsr = {ours = "ours", twin = "ours"}\nhr = "hr"\nmetrics = "psnr"\n'
        'scale = 4\nbicubic = true\nsave_images = false\nout = "scores"\n'
    )
    assert main(["run", "s.toml"]) == 0
    assert rows(place / "scores") == ["ours", "twin", "reference", "bicubic"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[compare]\nmodls = 'bicubic'\n", "has no option 'modls'; did you mean 'models'?"),
        ("[compare]\nmodels = 'bicubic'\n[score]\n", "must have one table"),
        ("[comprae]\nmodels = 'bicubic'\n", "did you mean 'compare'?"),
        ("models = 'bicubic'\n", "[models] is no table"),
        ("[compare\n", "is no TOML"),
        ("[compare]\nmodels = [['a']]\n", "must be a list of texts or numbers"),
    ],
)
def test_a_wrong_file_is_said_in_a_line(text, said, tmp_path, capsys):
    (tmp_path / "x.toml").write_text(text)
    assert main(["run", str(tmp_path / "x.toml")]) == 2
    assert said in capsys.readouterr().err


def test_a_run_of_python_cannot_be_run_again_by_the_command(tmp_path, capsys):
    compare("bicubic", metrics="psnr", out=tmp_path / "out")
    assert main(["run", str(tmp_path / "out" / "run.json")]) == 2
    assert "was made by 'affectbench.compare'" in capsys.readouterr().err


def test_a_failure_of_an_earlier_run_says_how_to_try_again(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "broken.py").write_text("def build(scale):\n    raise RuntimeError('no package')\n")
    words = ["compare", "--models", "python:broken.py:build@revision=1", "--metrics", "psnr"]
    assert main(words) == 1
    assert "--rerun failed" not in capsys.readouterr().err
    assert main(words) == 1
    assert "1 of the failures are of an earlier run; --rerun failed" in capsys.readouterr().err
    assert main(["compare", "--models", "broken.py"]) == 2
    assert "did you mean 'python:broken.py:FACTORY'?" in capsys.readouterr().err
