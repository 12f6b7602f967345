"""How models are written, found, described and listed; resampling and stored results."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_models import function_model, write_code, write_esrgan

from affectbench import adapters
from affectbench.adapters import ModelRequest, list_models, load_model, parse_model, parse_models
from affectbench.adapters.contract import run_model
from affectbench.errors import InputError, UnknownNameError, WeightsError
from affectbench.images.tensors import stack, unit_range
from affectbench.registry import Registry
from affectbench.types import ModelPlugin, StoredResults


def test_parsing_and_describing_import_no_torch(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    target = function_model(tmp_path, "x")
    code = (
        "import sys; from affectbench.adapters import parse_models, list_models\n"
        f"models = parse_models('bicubic,{target},checkpoint:{tmp_path}/x.safetensors')\n"
        "[m.describe(8) for m in models]; list_models(); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_labels_come_from_the_name_the_file_or_the_user(tmp_path, esrgan):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    target = function_model(tmp_path, "x", "my net.py")
    text = f"nearest,checkpoint:{esrgan},{target},images:{tmp_path},bicubic@name=B"
    labels = [request.label for request in parse_models(text)]
    assert labels == ["nearest", "tiny_x4", "my net", tmp_path.name, "B"]


def test_two_rows_of_one_name_are_refused():
    with pytest.raises(InputError, match="add @name=LABEL"):
        parse_models("bicubic,bicubic")
    assert len(parse_models("bicubic,bicubic@name=again")) == 2


def test_paths_may_hold_at_signs_and_spaces(tmp_path):
    folder = tmp_path / "my lab@home"
    folder.mkdir()
    path = write_esrgan(folder / "x4@v2.pth", scale=4)
    request = parse_model(f"checkpoint:{path}@then=bicubic@name=mine")
    assert (request.target, request.label) == (str(path), "mine")


def test_a_comma_in_a_path_is_explained(tmp_path):
    path = write_esrgan(tmp_path / "a,b.pth", scale=4)
    with pytest.raises(WeightsError, match=r"a: no such file \(commas separate models"):
        parse_models(f"bicubic,checkpoint:{path}")
    assert parse_model(f"checkpoint:{path}").target == str(path)
    fine = write_esrgan(tmp_path / "fine.pth")
    with pytest.raises(InputError, match=r"did you mean @then=\?$"):
        parse_models(f"bicubic,checkpoint:{fine}@than=bicubic")


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        ("bicubik", UnknownNameError, "did you mean 'bicubic'"),
        ("checkpont:x.pth", UnknownNameError, "did you mean 'checkpoint:x.pth'"),
        ("zip:x", UnknownNameError, "known: checkpoint:PATH"),
        ("checkpoint:", InputError, "write checkpoint:PATH"),
        ("checkpoint:/no/such.pth", WeightsError, "no such file"),
        ("onnx:/no/such.onnx", WeightsError, "no such file"),
        ("images:/no/such", InputError, "no such folder"),
        ("python:/no/such.py:build", InputError, "no such file"),
        ("python:no.such.module:build", InputError, "no module 'no.such.module'"),
        ("python:json", InputError, "FACTORY"),
        ("python:json:loads@weights=/no/such", WeightsError, "no such file"),
        ("", UnknownNameError, "unknown model"),
    ],
)
def test_what_does_not_exist_is_named(argument, error, message):
    with pytest.raises(error, match=message):
        parse_model(argument)


@pytest.mark.parametrize("name", adapters.BASELINES)
def test_without_the_baselines_their_names_say_where_they_are(name, monkeypatch):
    points = entry_points(group="affectbench.models")
    own = [p for p in points if p.dist and p.dist.name == "affectbench"]
    monkeypatch.setattr("affectbench.registry.entry_points", lambda group: own)
    monkeypatch.setattr(adapters, "MODELS", Registry("affectbench.models", "model", ModelPlugin))
    with pytest.raises(UnknownNameError, match="pip install affectbench-baselines"):
        parse_model(name)
    with pytest.raises(UnknownNameError, match=r"has more models: pip install affectbench-base"):
        parse_model("bicubik")


def test_with_the_baselines_nobody_is_told_to_install_them():
    with pytest.raises(UnknownNameError, match=r"did you mean 'bicubic'\?$"):
        parse_model("bicubik")


def test_a_bare_file_or_folder_suggests_its_adapter(tmp_path, esrgan):
    with pytest.raises(UnknownNameError, match=f"did you mean 'checkpoint:{esrgan}'"):
        parse_model(str(esrgan))
    with pytest.raises(UnknownNameError, match=f"did you mean 'images:{tmp_path}'"):
        parse_model(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("@than=bicubic", "did you mean @then="),
        ("@zzz=1", "known: @name="),
        ("@then=cubic", "none of bicubic, lanczos, nearest"),
        ("@then=bicubic@then=lanczos", "given twice"),
        ("@then=", "has no value"),
    ],
)
def test_options_that_cannot_be_are_refused(esrgan, options, message):
    with pytest.raises(InputError, match=message):
        parse_model(f"checkpoint:{esrgan}{options}")


def test_options_of_plugins_are_checked_too():
    with pytest.raises(InputError, match="no option @then="):
        parse_model("bicubic@then=lanczos").describe(8)


def test_no_models_is_an_error():
    with pytest.raises(InputError, match="name at least one"):
        parse_models(" , ")


def test_requests_can_be_pickled(esrgan):
    request = parse_model(f"checkpoint:{esrgan}@then=bicubic")
    copy = pickle.loads(pickle.dumps(request))
    assert isinstance(copy, ModelRequest) and copy == request
    assert copy.describe(8) == request.describe(8)


def test_users_declare_what_the_file_does_not_say(esrgan):
    spec = parse_model(
        f"checkpoint:{esrgan}@trained_on=celeba; ffhq@trained_against=face-api@licence=MIT"
    ).describe(4)
    assert spec.trained_on == ("celeba", "ffhq")
    assert (spec.trained_against, spec.licence) == (("face-api",), "MIT")


def test_listing_has_plugins_and_prefixes():
    names = [entry.name for entry in list_models()]
    assert {"nearest", "bicubic", "lanczos", "checkpoint:PATH", "images:FOLDER"} <= set(names)
    assert all(entry.title for entry in list_models())


def test_a_revision_follows_content_not_place(tmp_path, esrgan):
    copy = tmp_path / "other.safetensors"
    copy.write_bytes(esrgan.read_bytes())
    one = parse_model(f"checkpoint:{esrgan}").describe(4)
    assert parse_model(f"checkpoint:{copy}@name=x").describe(8).revision == one.revision
    changed = bytearray(copy.read_bytes())
    changed[-1] ^= 1
    copy.write_bytes(changed)
    assert parse_model(f"checkpoint:{copy}").describe(4).revision != one.revision


def test_a_file_that_cannot_be_read_is_a_clear_error(esrgan, monkeypatch):
    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("affectbench.adapters.prefix.sha256_of", denied)
    with pytest.raises(InputError, match=f"{esrgan}: cannot be read .Permission denied."):
        parse_model(f"checkpoint:{esrgan}").describe(4)


def test_networks_of_another_spandrel_are_another_revision(esrgan, monkeypatch):
    seen = []
    for version in ("0.4.1", "0.4.2"):
        monkeypatch.setattr(
            "affectbench.adapters.checkpoint._spandrel_version", lambda v=version: v
        )
        seen.append(parse_model(f"checkpoint:{esrgan}").describe(8).revision)
    assert seen[0] != seen[1]


def test_options_are_part_of_the_revision(esrgan):
    texts = ("", "@then=bicubic", "@then=lanczos", "@trained_on=celeba")
    revisions = {parse_model(f"checkpoint:{esrgan}{text}").describe(8).revision for text in texts}
    assert len(revisions) == len(texts)


def test_files_in_options_of_python_count_by_content(tmp_path):
    path = write_code(tmp_path, "def build(scale, weights): ...\ndef other(scale, weights): ...")
    weights = tmp_path / "w.bin"
    seen = []
    for content in (b"1", b"2"):
        weights.write_bytes(content)
        seen.append(parse_model(f"python:{path}:build@weights={weights}").describe(8).revision)
    moved = weights.rename(tmp_path / "moved.bin")
    again = parse_model(f"python:{path}:build@weights={moved}").describe(8)
    assert again.revision == seen[1] != seen[0]
    assert parse_model(f"python:{path}:other@weights={moved}").describe(8).revision != seen[1]
    path.write_text(path.read_text() + "\n# changed")
    assert parse_model(f"python:{path}:build@weights={moved}").describe(8).revision != seen[1]


def test_stored_images_count_by_name_and_content(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    request = parse_model(f"images:{tmp_path}")
    first = request.describe(8).revision
    (tmp_path / "notes.txt").write_text("not an image")
    assert request.describe(8).revision == first
    (tmp_path / "1.png").rename(tmp_path / "2.png")
    second = request.describe(8).revision
    Image.new("RGB", (8, 8), "red").save(tmp_path / "2.png")
    assert len({first, second, request.describe(8).revision}) == 3


@pytest.mark.parametrize("name", ["nearest", "bicubic", "lanczos"])
@pytest.mark.parametrize("scale", [2, 8])
def test_resampling_is_pillow_bit_for_bit(name, scale, rng):
    images = list(rng.integers(0, 256, (2, 6, 5, 3), dtype=np.uint8))
    sr = run_model(load_model(name, scale), unit_range(stack(images)), scale)
    kernel = Image.Resampling[name.upper()]
    for image, result in zip(images, sr, strict=True):
        expected = np.asarray(Image.fromarray(image).resize((5 * scale, 6 * scale), kernel))
        assert np.array_equal(result.permute(1, 2, 0).numpy(), expected)


def test_stored_results_are_read_by_stem(tmp_path, rng):
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "000001.png")
    results = load_model(f"images:{tmp_path}", 8)
    assert isinstance(results, StoredResults)
    assert np.array_equal(results.read("000001"), pixels)
    with pytest.raises(InputError, match="no result for '000002'"):
        results.read("000002")
    Image.fromarray(pixels).save(tmp_path / "000001.bmp")
    with pytest.raises(InputError, match="same name but for the suffix"):
        parse_model(f"images:{tmp_path}")
