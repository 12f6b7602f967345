"""The plug-ins of affectbench-baselines, as affectbench sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from affectbench_baselines import plugins
from affectbench_baselines.configs import FAMILIES, build_network
from affectbench_baselines.header import Header, read_header
from affectbench_baselines.plugins import trained
from affectbench_baselines.rrdbnet.network import RRDBConfig, RRDBNet
from affectbench_baselines.variants import VARIANTS
from affectbench_baselines.weights import load_network, write_weights
from safetensors.torch import save_file
from tiny_training import PAPER, SETTINGS

from affectbench.adapters import ModelRequest, list_models, load_model, parse_model
from affectbench.adapters.contract import check_contract, run_model
from affectbench.api import compare
from affectbench.assets.untrusted import read_weights
from affectbench.cli.main import main
from affectbench.datasets import load_dataset
from affectbench.errors import InputError, ModelError, WeightsError
from affectbench.images.resizing import resize
from affectbench.images.tensors import quantise, stack, unit_range
from affectbench.results.flags import is_contaminated

TRAINED_ON = ("celeba-official:182640-201596", "celeba:182640-201596", "celeba-train-split")
RANKED = [name for name, v in VARIANTS.items() if v.ranked and not v.row]


def header(family: str, **changes) -> Header:
    settings = changes.pop("settings", SETTINGS[family])
    return Header(family, settings, TRAINED_ON, **{"faces": 60_000, **changes})


@pytest.fixture
def files(tmp_path):
    """Weights files of every family, by family."""

    def write(family: str, half: bool = True, **changes):
        head = header(family, **changes)
        torch.manual_seed(0)
        network = build_network(family, head.settings)
        path = tmp_path / f"{family}-{head.settings.get('scale', 8)}.safetensors"
        write_weights(network.state_dict(), head, path, half)
        return path

    return write


def argument(family: str, path, *options: str) -> str:
    return "@".join([family, f"weights={path}", *options])


# what is listed


def test_all_ranked_variants_are_listed_and_say_if_they_are_untrained():
    titles = {entry.name: entry.title for entry in list_models()}
    for name in RANKED:
        assert titles[name].startswith(VARIANTS[name].title)
        assert ("untrained" in titles[name]) == (not trained(name))
    assert main(["models"]) == 0


def test_asking_for_an_untrained_model_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plugins, "weights_path", lambda name: tmp_path / f"{name}.safetensors")
    assert "untrained" in plugins.plugin("sadn").title
    with pytest.raises(WeightsError, match="sadn: is not trained yet"):
        parse_model("sadn").describe(8)
    code = main(["compare", "--models", "sadn,bicubic", "--out", str(tmp_path / "out")])
    assert code == 2 and "is not trained yet" in capsys.readouterr().err


def test_the_scale_picks_the_weights(files, tmp_path, monkeypatch):
    (tmp_path / "x8").mkdir()
    paths = {
        "affectsrnet": files("affectsrnet").rename(tmp_path / "x8/weights.safetensors"),
        "affectsrnet-x4": files("affectsrnet", settings=PAPER),
    }
    monkeypatch.setattr(plugins, "weights_path", lambda name: paths.get(name, tmp_path / "none"))
    specs = {scale: parse_model("affectsrnet").describe(scale) for scale in (4, 8)}
    assert [specs[scale].scale for scale in specs] == [4, 8]
    assert [specs[scale].size_multiple for scale in specs] == [1, 4]
    assert specs[4].revision != specs[8].revision
    assert load_model("affectsrnet", 4)(torch.rand(1, 3, 32, 32)).shape == (1, 3, 128, 128)
    with pytest.raises(
        InputError, match=r"affectsrnet: has weights for x4 and x8, not for x2; use"
    ):
        parse_model("affectsrnet").describe(2)
    resized = load_model("affectsrnet@then=bicubic", 2)
    assert resized(torch.rand(1, 3, 16, 16)).shape == (1, 3, 32, 32)


def test_listing_and_describing_import_no_torch(files):
    path = files("affectsrnet")
    code = (
        "import sys; from affectbench.adapters import parse_model, list_models\n"
        f"list_models(); parse_model('affectsrnet@weights={path}').describe(8)\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


# what runs


@pytest.mark.parametrize("family", FAMILIES)
def test_models_keep_the_contract(family, files):
    request = parse_model(argument(family, files(family)))
    findings = {f.name: f for f in check_contract(request, 8)}
    # Untrained weights give any range; everything else has to hold.
    broken = {name: f.detail for name, f in findings.items() if not f.ok and name != "range"}
    assert broken == {}
    assert "works" in findings["odd sizes"].detail


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_weights_are_the_network(family, files):
    path = files(family)
    head = read_header(path)
    assert asdict(head) == asdict(header(family))
    torch.manual_seed(0)
    network = build_network(family, SETTINGS[family]).eval()
    lr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(load_network(path, head)(lr), network(lr), atol=5e-3)


def test_the_caller_s_random_state_is_kept(files):
    path = files("rrdbnet")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(argument("rrdbnet", path))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_one_sadn_serves_all_scales(files, scale):
    model = load_model(argument("sadn", files("sadn")), scale)
    assert model(torch.rand(1, 3, 16, 20)).shape == (1, 3, 16 * scale, 20 * scale)
    assert model.spec.scale is None
    with pytest.raises(InputError, match="serves scales from 1 to 8, not 16"):
        load_model(argument("sadn", files("sadn")), 16)


def test_public_esrgan_files_run_as_rrdbnet(tmp_path):
    torch.manual_seed(0)
    network = RRDBNet(RRDBConfig(8, 4, 1, 2, unshuffle=2)).eval()
    torch.save({"params_ema": network.state_dict()}, tmp_path / "x2.pth")
    model = load_model(argument("rrdbnet", tmp_path / "x2.pth"), 2)
    assert model.spec.size_multiple == 2 and model.spec.licence == "unknown"
    lr = torch.rand(1, 3, 10, 8)
    with torch.no_grad():
        assert torch.allclose(model(lr), network(lr))
        assert model(torch.rand(1, 3, 9, 11)).shape == (1, 3, 18, 22)
    (tmp_path / "bad.pth").write_bytes((tmp_path / "x2.pth").read_bytes()[:900])
    with pytest.raises(WeightsError, match="is damaged"):
        load_model(argument("rrdbnet", tmp_path / "bad.pth"), 2)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="is not an RRDBNet"):
        load_model(argument("rrdbnet", tmp_path / "other.pth"), 2)


# bad input


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "sadn"])
def test_a_wrong_scale_is_refused_unless_resampled(family, files):
    path = files(family)
    with pytest.raises(InputError, match=r"is a x8 model and x4 is asked for; add @then="):
        load_model(argument(family, path), 4)
    model = load_model(argument(family, path, "then=bicubic"), 4)
    assert model(torch.rand(1, 3, 16, 16)).shape == (1, 3, 64, 64)


def test_weights_of_another_architecture_are_refused(files, tmp_path):
    with pytest.raises(WeightsError, match="are weights of wnet, not of fadn"):
        load_model(argument("fadn", files("wnet")))
    save_file({"a": torch.zeros(2)}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match="is no weights file of wnet"):
        load_model(argument("wnet", tmp_path / "plain.safetensors"))
    with pytest.raises(WeightsError, match="is no weights file of sadn"):
        load_model(argument("sadn", _with_suffix(tmp_path / "plain.safetensors")))


def _with_suffix(path):
    other = path.with_suffix(".pth")
    torch.save({"a": torch.zeros(2)}, other)
    return other


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_another_size_are_refused(family, files, tmp_path):
    good = files(family)
    head = header(family)
    other = build_network(family, _larger(head.settings))
    write_weights(other.state_dict(), head, tmp_path / "other.safetensors")
    assert read_header(good) == read_header(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=f"are not weights of this {family}"):
        load_model(argument(family, tmp_path / "other.safetensors"))


def _larger(settings: dict) -> dict:
    if "backbone" in settings:
        return {**settings, "backbone": _larger(settings["backbone"])}
    return {**settings, "features": 2 * settings["features"]}


@pytest.mark.parametrize("left", [0, 4, 100, -1])
def test_truncated_files_are_refused(files, left):
    path = files("affectsrnet")
    content = path.read_bytes()
    path.write_bytes(content[:left])
    with pytest.raises(WeightsError, match="damaged"):
        parse_model(argument("affectsrnet", path)).describe(8)
    path.write_bytes(content + b"x")
    with pytest.raises(WeightsError, match="truncated or damaged"):
        parse_model(argument("affectsrnet", path)).describe(8)


@pytest.mark.parametrize(
    "text", ["{", "[]", json.dumps({"network": "other", "settings": {}}), json.dumps({"x": 1})]
)
def test_headers_of_another_kind_are_refused(text, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata={"affectbench": text})
    with pytest.raises(WeightsError, match=r"header is not one|does not know"):
        read_header(path)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(1, 1), (7, 16), (16, 5)])
def test_faces_too_small_to_be_one_are_refused(family, size, files):
    model = load_model(argument(family, files(family)))
    with pytest.raises(ModelError, match=rf"{family}: the LR face is .* at least 8x8 are needed"):
        run_model(model, torch.rand(1, 3, *size), 8)


def test_the_paper_s_prior_runs_the_face_mesh_on_lr(files):
    path = files("affectsrnet", settings=PAPER)
    assert not any("mesh" in name for name in read_weights(path))
    model = load_model(argument("affectsrnet", path), 4)
    faces = load_dataset("demo")
    lr = [resize(faces.read(i), 32, 32, "pil-bicubic") for i in faces.ids]
    assert run_model(model, unit_range(stack(lr)), 4).shape == (2, 3, 128, 128)
    with pytest.raises(ModelError, match="at least 32x32 are needed"):
        run_model(model, torch.rand(1, 3, 16, 16), 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_odd_sizes_are_served(family, files):
    model = load_model(argument(family, files(family)))
    lr = torch.rand(1, 3, 17, 13)
    assert model(lr).shape == (1, 3, 136, 104)


def test_options_are_checked(files):
    with pytest.raises(InputError, match=r"did you mean @weights=\?"):
        parse_model(f"fadn@weight={files('fadn')}").describe(8)
    with pytest.raises(WeightsError, match="cannot be read"):
        parse_model("fadn@weights=/no/such.safetensors").describe(8)


# what a leaderboard says


def test_revision_follows_from_weights_and_resampling(files):
    path = files("rrdbnet")
    one = parse_model(argument("rrdbnet", path)).describe(8)
    again = parse_model(argument("rrdbnet", path, "name=mine")).describe(8)
    then = parse_model(argument("rrdbnet", path, "then=bicubic")).describe(8)
    other = parse_model(argument("rrdbnet", files("rrdbnet", seed=1))).describe(8)
    assert one.revision == again.revision
    assert len({one.revision, then.revision, other.revision}) == 3


def test_claims_of_the_weights_are_the_spec_s(files):
    path = files("affectsrnet", trained_against=("vgg16", "face-api"))
    spec = parse_model(argument("affectsrnet", path)).describe(8)
    assert spec.trained_on == TRAINED_ON and spec.trained_against == ("vgg16", "face-api")
    assert spec.licence == "research use: trained on CelebA"
    assert load_model(argument("affectsrnet", path)).spec.trained_on == TRAINED_ON


def test_our_weights_are_marked_where_they_saw_the_faces(files, tmp_path, toy_faces):
    """On the official test split, from which `loose` comes, and not on the 1,000 test faces."""
    path = files("rrdbnet", trained_against=("face-api",))
    folder = tmp_path / "official"
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    ids = [f"{i}" for i in (182_700, 190_000, 201_700, 202_000, 182_639, 201_597)]
    _write_official(images, folder / "list_eval_partition.txt", ids)
    result = compare(
        argument("rrdbnet", path),
        "celeba-official",
        data={"celeba-official": folder},
        metrics=["psnr", "ecm"],
        judges=["face-api"],
    )
    row = result.table[result.table.model == "rrdbnet"].iloc[0]
    assert "contaminated" in row["mark"].split("; ")
    assert "trained-against:face-api" in row["mark"].split("; ")
    record = next(r for r in result.run.records if r.row == "rrdbnet")
    assert is_contaminated(record, ids) and not is_contaminated(record, ids[2:])
    on_celeba = record.__class__(
        **{**vars(record), "dataset": {**record.dataset, "name": "celeba"}}
    )
    assert not is_contaminated(on_celeba, [str(i) for i in range(201_600, 202_600)])
    assert is_contaminated(on_celeba, ["201500"])


def _write_official(images, partition, ids):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ids:
        pixels = rng.integers(0, 256, (218, 178, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.jpg")
    partition.write_text("".join(f"{name}.jpg 2\n" for name in ids))


def test_results_do_not_depend_on_the_reference(files):
    """A model is given LR alone: the same LR of two HR faces gives the same SR."""
    model = load_model(argument("affectsrnet", files("affectsrnet")))
    lr = quantise(torch.rand(2, 3, 16, 16)).float() / 255
    assert torch.equal(run_model(model, lr, 8), run_model(model, lr.clone(), 8))
    request = parse_model(argument("affectsrnet", files("affectsrnet")))
    assert isinstance(request, ModelRequest) and request.kind == ""
    assert plugins.AFFECTSRNET.name == "affectsrnet"
