"""Results in the layouts that people have: a folder per set, nested folders, suffixes, patterns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tables import long_of

from affectbench import compare, score
from affectbench.cli.main import main
from affectbench.errors import InputError
from affectbench.images.results import label_of, pair, result_files

SIDE, FACES = 64, 8


def face(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def reduced(image: Image.Image, scale: int) -> Image.Image:
    small = image.resize((SIDE // scale,) * 2, Image.Resampling.BICUBIC)
    return small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def psnr(scale: int, first: int) -> float:
    def one(seed: int) -> float:
        hr = np.asarray(face(seed), float)
        sr = np.asarray(reduced(face(seed), scale), float)
        return float(10 * np.log10(255**2 / ((hr - sr) ** 2).mean()))

    return float(np.mean([one(first + i) for i in range(FACES)]))


SETS = {"one": 0, "two": 100}
METHODS = {"ours": 4, "theirs": 8}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Two sets of different faces with equal names."""
    root = tmp_path_factory.mktemp("faces")
    for name, first in SETS.items():
        (root / name).mkdir()
        for i in range(FACES):
            face(first + i).save(root / name / f"{i:03d}.png")
    return root


def write(root: Path, layout: str, only: str = "") -> None:
    """Write both methods' results to `layout`, with {method}, {set}, {name}."""
    for method, scale in METHODS.items():
        for name, first in SETS.items():
            for i in range(FACES) if only in ("", name) else ():
                path = root / layout.format(method=method, set=name, name=f"{i:03d}")
                path.parent.mkdir(parents=True, exist_ok=True)
                reduced(face(first + i), scale).save(path)


LAYOUTS = {
    "a folder per set": ("{method}/{set}/{name}.png", "{root}/{method}", ""),
    "a method below each set": ("{set}/{method}/{name}.png", "{root}/{set}/{method}", ""),
    "one folder per set": (
        "{method}_{set}/{name}.png",
        "one={root}/{method}_one;two={root}/{method}_two",
        "",
    ),
    "set in the name of the folder": ("{method}_{set}/{name}.png", "{root}/{method}_{set}", ""),
    "basicsr": (
        "{method}/visualization/{set}/{name}/{name}_EDSR_x4.png",
        "{root}/{method}/visualization",
        "",
    ),
    "a suffix": ("{method}/{set}/{name}_out.png", "{root}/{method}", ""),
    "a suffix without a sign": ("{method}/{set}/{name}x4.png", "{root}/{method}", ""),
    "a prefix": ("{method}/{set}/sr_{name}.png", "{root}/{method}", ""),
    "a pattern": ("{method}/{set}/sr_{name}_x4.png", "{root}/{method}", "sr_{name}_x4"),
    "a pattern of paths": (
        "{method}/{set}/x4/{name}.png",
        "{root}/{method}",
        "x4/{name}.png",
    ),
}


def targets(root: Path, target: str) -> dict[str, str]:
    return {
        method: target.replace("{root}", str(root)).replace("{method}", method)
        for method in METHODS
    }


@pytest.mark.parametrize("kind", LAYOUTS)
def test_three_methods_over_two_sets_in_one_call(kind, faces, tmp_path):
    layout, target, pattern = LAYOUTS[kind]
    write(tmp_path, layout)
    given = targets(tmp_path, target)
    option = f"@pattern={pattern}" if pattern else ""
    compared = compare(
        ["bicubic", *(f"images:{path}{option}@name={name}" for name, path in given.items())],
        data={name: faces / name for name in SETS},
        hr_size=SIDE,
        scale=4,
        metrics="psnr",
    )
    scored = score(given, faces, pattern=pattern, metrics="psnr", versus="theirs")
    for result in (compared, scored):
        assert not result.failed
        table = result.table.set_index(["model", "dataset"])["psnr"]
        for name, first in SETS.items():
            for method, scale in METHODS.items():
                assert table[method, name] == pytest.approx(psnr(scale, first), abs=0.01)
    ours = scored.table[scored.table.model == "ours"]
    assert (ours["psnr_diff"] > 0).all() and (ours["psnr_p"] < 0.1).all()
    if "suffix" in kind or kind == "basicsr":
        assert any("names end in" in remark for remark in compared.remarks)
        assert any("names end in" in remark for remark in scored.remarks)
    if kind == "a prefix":
        for result in (compared, scored):
            assert any("names begin with 'sr_'" in remark for remark in result.remarks)


def test_results_of_the_other_set_are_refused_unless_insisted(faces, tmp_path):
    write(tmp_path, "{method}/{name}.png", only="two")
    refused = score({"ours": tmp_path / "ours"}, {"one": faces / "one"}, metrics="psnr")
    assert "do not look like the originals" in refused.failed[0]
    insisted = score(
        {"ours": tmp_path / "ours"}, {"one": faces / "one"}, metrics="psnr", allow_mismatch=True
    )
    assert not insisted.failed


def test_names_are_never_guessed(faces, tmp_path):
    ids = [f"{i:03d}" for i in range(FACES)]
    for suffix in ("_EDSR", "_RCAN"):
        write(tmp_path, "{method}/{name}" + suffix + ".png", only="one")
    with pytest.raises(InputError, match=r"go on in different ways: _EDSR, _RCAN.*@pattern="):
        pair(str(tmp_path / "ours"), "one", ids)
    assert len(pair(str(tmp_path / "ours"), "one", ids, "{name}_RCAN").paths) == FACES
    for prefix in ("x4_", "SR-"):
        write(tmp_path, "{method}/before/" + prefix + "{name}.png", only="one")
    with pytest.raises(InputError, match=r"different ways: SR-, x4_.*pattern SR-\{name\}"):
        pair(str(tmp_path / "ours" / "before"), "one", ids)
    write(tmp_path, "{method}/numbers/1{name}.png", only="one")
    assert not pair(str(tmp_path / "ours" / "numbers"), "one", ids).paths
    with pytest.raises(InputError, match=r"two results for '000'"):
        pair(str(tmp_path / "ours"), "one", ids, "{name}_*")
    write(tmp_path, "deep/{method}/{name}.png", only="one")
    with pytest.raises(InputError, match=r"two results for '000': ours/000.png and theirs/000.png"):
        pair(str(tmp_path / "deep"), "one", ids)
    write(tmp_path, "twice/{method}/one/{name}.png", only="one")
    with pytest.raises(InputError, match="more than one folder 'one'"):
        pair(str(tmp_path / "twice"), "one", ids)
    with pytest.raises(InputError, match=r"must hold \{name\} once"):
        pair(str(tmp_path / "ours"), "one", ids, "x4")


def test_a_number_is_no_suffix_of_a_number(tmp_path):
    for name in ("1_x4", "10_x4", "100_x4"):
        face(1).save(tmp_path / f"{name}.png")
    found = pair(str(tmp_path), "any", ["1", "10"])
    assert {face: path.stem for face, path in found.paths.items()} == {"1": "1_x4", "10": "10_x4"}
    assert [path.stem for path in found.extra] == ["100_x4"]


def test_a_scale_may_follow_a_name_as_div2k_writes_it(tmp_path):
    for name in ("annx8", "annax8", "0801x8"):
        face(1).save(tmp_path / f"{name}.png")
    found = pair(str(tmp_path), "any", ["ann", "anna", "0801"])
    assert {i: path.stem for i, path in found.paths.items()} == {
        "ann": "annx8",
        "anna": "annax8",
        "0801": "0801x8",
    }


def test_what_belongs_to_a_target(tmp_path):
    write(tmp_path, "{set}/{method}/{name}.png")
    assert len(result_files(f"{tmp_path}/{{set}}/ours")) == 2 * FACES
    assert label_of(f"{tmp_path}/{{set}}/ours") == "ours"
    with pytest.raises(InputError, match="no such folder for any set"):
        result_files(f"{tmp_path}/{{set}}/nobody")


def test_calls_into_one_folder_add_rows(faces, tmp_path, capsys):
    write(tmp_path, "{method}/{name}.png", only="one")
    hr, out = str(faces / "one"), str(tmp_path / "out")
    shared = ["--hr", hr, "--metrics", "psnr", "--scale", "4", "--out", out]
    assert main(["score", "--sr", str(tmp_path / "theirs"), *shared]) == 0
    assert main(["score", "--sr", str(tmp_path / "ours"), *shared, "--versus", "theirs"]) == 0
    assert (
        main(["score", "--sr", f"again={tmp_path / 'ours'}", *shared, "--versus", "bicubic"]) == 0
    )
    capsys.readouterr()
    table = (tmp_path / "out" / "table.csv").read_text().splitlines()
    rows = [line.split(",")[1] for line in table[1:]]
    assert rows == ["ours", "again", "theirs", "reference", "bicubic"]
    assert [line.split(",")[0] for line in table[1:]] == ["1", "1", "3", "", ""]
    assert long_of(tmp_path / "out", "psnr")["diff"].notna().any()
    shared[3] = "ssim"
    assert main(["score", "--sr", str(tmp_path / "ours"), *shared]) == 0
    assert "the earlier rows are left out: another metrics" in capsys.readouterr().err


def test_two_folders_of_one_name_need_names(faces, tmp_path, capsys):
    write(tmp_path, "{method}/x/{name}.png", only="one")
    given = ["--sr", str(tmp_path / "ours" / "x"), "--sr", str(tmp_path / "theirs" / "x")]
    assert main(["score", *given, "--hr", str(faces / "one"), "--metrics", "psnr"]) == 2
    assert "two folders would be called 'x'" in capsys.readouterr().err


def test_another_rule_is_another_model(faces, tmp_path):
    """Two methods in one folder have different revisions, so that no value is reused."""
    write(tmp_path, "{method}/{name}_A.png", only="one")
    for path in (tmp_path / "theirs").iterdir():
        shutil.copy(path, tmp_path / "ours" / path.name.replace("_A", "_B"))
    models = [f"images:{tmp_path / 'ours'}@pattern={{name}}_{m}@name={m}" for m in "AB"]
    options = {"data": {"one": faces / "one"}, "hr_size": SIDE, "scale": 4, "metrics": "psnr"}
    table = compare(models, **options).table.set_index("model")["psnr"]
    assert table["A"] == pytest.approx(psnr(4, 0), abs=0.01)
    assert table["B"] == pytest.approx(psnr(8, 0), abs=0.01)


def test_bicubic_on_request(faces, tmp_path, capsys):
    write(tmp_path, "{method}/{name}.png", only="one")
    given = ["--sr", str(tmp_path / "ours"), "--hr", str(faces / "one"), "--metrics", "psnr"]
    assert main(["score", *given, "--scale", "8", "--bicubic", "--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["bicubic"]["psnr"] == pytest.approx(psnr(8, 0), abs=0.01)
    assert rows["ours"]["psnr_diff"] > 0
