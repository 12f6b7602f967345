"""HSEmotion and EmotiEffLib: their judges on stand-in files of the real architectures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from field_standins import (
    in_memory,
    network,
    write_exported,
    write_like_old_timm,
    write_pickled,
)
from torch import nn

from affectbench import emotion_consistency, emotion_consistency_loss
from affectbench.assets.catalogue import Bundled
from affectbench.errors import InputError, MissingExtraError, WeightsError
from affectbench.judges.catalogue import ENTRIES, Entry
from affectbench.judges.field.files import FILES, OUR_NAMES, FieldFile
from affectbench.judges.network_judge import AffectJudge, NetworkJudge
from affectbench.types import EXPRESSIONS, AffectiveJudge, JudgePlugin

CPU = torch.device("cpu")
B0 = FILES["enet_b0_8_best_vgaf"]
MTL = FILES["enet_b0_8_va_mtl"]
B2_7 = FILES["enet_b2_7"]


@pytest.fixture(scope="module")
def b0() -> nn.Module:
    return network("tf_efficientnet_b0", 8)


@pytest.fixture(scope="module")
def pickled(b0, tmp_path_factory) -> Path:
    return write_pickled(b0, tmp_path_factory.mktemp("pickled") / f"{B0.stem}.pt")


@pytest.fixture(scope="module")
def exported(b0, tmp_path_factory) -> Path:
    return write_exported(b0, tmp_path_factory.mktemp("exported") / f"{B0.stem}.onnx", 224)


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(3))


def entry(kind: str, file: FieldFile) -> Entry:
    return ENTRIES[f"{kind}-{file.stem.replace('_', '-')}"]


def judge_at(path: Path, kind: str, file: FieldFile) -> NetworkJudge:
    """The judge of a file of any name."""
    return replace(entry(kind, file), weights=Bundled("", path, "0" * 64)).plugin.load(CPU)


def hsemotion(path, file=B0):
    return judge_at(path, "hsemotion", file)


def emotieff(path, file=B0):
    return judge_at(path, "emotieff", file)


def by_class(outputs: torch.Tensor, file=B0) -> torch.Tensor:
    """Outputs of the network in the order of the judge, found by name."""
    classes = entry("hsemotion", file).spec.classes
    return torch.stack([outputs[:, file.native_classes.index(c)] for c in classes], dim=1)


# What the files are


def test_classes_are_ours_by_name_and_those_of_seven_lack_contempt_only():
    assert B0.native_classes == tuple(OUR_NAMES[name] for name in sorted(OUR_NAMES))
    for kind in ("hsemotion", "emotieff"):
        assert entry(kind, B0).spec.classes == (*EXPRESSIONS, "contempt")
        assert entry(kind, B2_7).spec.classes == EXPRESSIONS
    assert MTL.outputs == (*B0.native_classes, "valence", "arousal")


def test_specs_are_told_without_weights_or_torch():
    code = (
        "import sys; from affectbench import list_judges; "
        "specs = [s for s in list_judges() if s.name.startswith(('emotieff', 'hsemotion'))]; "
        "assert all(s.sha256 == '' for s in specs); "
        "print(*sorted(s.name for s in specs)); assert 'torch' not in sys.modules"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    stems = sorted(stem.replace("_", "-") for stem in FILES)
    assert listed.stdout.split() == [f"{k}-{s}" for k in ("emotieff", "hsemotion") for s in stems]


# hsemotion


def test_logits_are_those_of_the_network_in_memory(b0, pickled, faces):
    judge = hsemotion(pickled)
    expected = by_class(in_memory(b0, faces))
    assert expected.std() > 0.3  # or equality would say nothing
    torch.testing.assert_close(judge.logits(faces), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("moved", "failure"),
    [(True, "No module named 'timm.models"), (False, "object has no attribute")],
)
def test_a_file_of_an_old_timm_gives_the_same(b0, tmp_path, faces, moved, failure):
    path = write_like_old_timm(b0, tmp_path / "old.pt", moved=moved)
    with pytest.raises((ModuleNotFoundError, AttributeError), match=failure):  # as `hsemotion` does
        torch.load(path, weights_only=False)(faces)
    expected = by_class(in_memory(b0, faces))
    torch.testing.assert_close(hsemotion(path).logits(faces), expected, rtol=0, atol=1e-5)


def test_gradients_reach_the_face_and_nothing_else(pickled, faces):
    judge = hsemotion(pickled)
    sr = faces.clone().requires_grad_()
    emotion_consistency_loss(sr, faces.roll(1, 0), judge, framing="whole").backward()
    assert sr.grad.isfinite().all()
    assert (sr.grad.flatten(1).abs().amax(1) > 0).all()


def test_the_seven_classes_of_b2_at_its_own_size(tmp_path):
    made = network("tf_efficientnet_b2", 7)
    judge = hsemotion(write_pickled(made, tmp_path / "b2.pt"), B2_7)
    faces = torch.rand(1, 3, 260, 260, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        judge.logits(faces), by_class(in_memory(made, faces), B2_7), rtol=0, atol=1e-5
    )


def test_valence_and_arousal_are_the_last_two_outputs(tmp_path, faces):
    made = network("tf_efficientnet_b0", 10)
    judge = hsemotion(write_pickled(made, tmp_path / "mtl.pt"), MTL)
    outputs = in_memory(made, faces)
    assert isinstance(judge, AffectJudge)
    torch.testing.assert_close(judge.valence_arousal(faces), outputs[:, 8:], rtol=0, atol=1e-5)
    torch.testing.assert_close(judge.logits(faces), by_class(outputs, MTL), rtol=0, atol=1e-5)
    assert judge.spec.affect
    assert isinstance(judge, AffectiveJudge)
    logits, affect = judge.logits_and_affect(faces)
    assert torch.equal(logits, judge.logits(faces))
    assert torch.equal(affect, judge.valence_arousal(faces))


def test_only_the_networks_with_two_more_outputs_say_that_they_give_affect():
    for stem, file in FILES.items():
        for spec in (entry("hsemotion", file).spec, entry("emotieff", file).spec):
            assert spec.affect == stem.endswith("_mtl")
            assert spec.features == 0


def test_small_faces_are_judged_and_scored(pickled):
    faces = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    result = emotion_consistency(faces.roll(1, 0), faces, hsemotion(pickled), framing="whole")
    assert float(result) > 0
    assert "p_contempt" in result.columns


def test_the_caller_keeps_its_random_state(pickled):
    before = torch.random.get_rng_state()
    hsemotion(pickled)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_network_of_other_layers_is_refused_although_its_tensors_fit(tmp_path):
    # timm's own EfficientNet-B0 has the same shapes, and another padding and epsilon.
    path = write_pickled(network("efficientnet_b0", 8), tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"layer conv_stem has padding \(1, 1\)"):
        hsemotion(path)


@pytest.mark.parametrize("file", [MTL, B2_7])
def test_weights_of_another_network_are_refused(pickled, file):
    with pytest.raises(WeightsError, match=r"do not fit|another network"):
        hsemotion(pickled, file)


def test_timm_missing_names_the_extra(pickled, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"affectbench\[hsemotion\]"):
        hsemotion(pickled)


# emotieff


def test_an_exported_network_says_what_the_network_says(b0, exported, faces):
    judge = emotieff(exported)
    expected = by_class(in_memory(b0, faces))
    torch.testing.assert_close(judge.logits(faces), expected, rtol=0, atol=1e-4)


def test_it_gives_no_gradients_and_says_so(exported, faces):
    judge = emotieff(exported)
    assert not judge.spec.differentiable
    assert not judge.logits(faces.clone().requires_grad_()).requires_grad
    with pytest.raises(InputError, match="gives no gradients"):
        emotion_consistency_loss(faces, faces, judge)


def test_a_graph_for_single_faces_serves_batches(b0, tmp_path, faces, exported):
    path = write_exported(b0, tmp_path / "single.onnx", 224, batch=1)
    torch.testing.assert_close(
        emotieff(path).logits(faces), emotieff(exported).logits(faces), rtol=0, atol=1e-5
    )


def test_other_graphs_are_refused(exported, tmp_path):
    with pytest.raises(WeightsError, match="gives 10 values"):
        emotieff(exported, MTL)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(exported.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot load it"):
        emotieff(damaged)
    with pytest.raises(WeightsError, match="cannot be read"):
        emotieff(tmp_path / "missing.onnx")


def test_a_graph_whose_tensors_lie_elsewhere_is_refused(exported, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "split.onnx"
    onnx.save(onnx.load(exported), path, save_as_external_data=True, location="outside.data")
    with pytest.raises(WeightsError, match="keeps tensors in other files"):
        emotieff(path)


def test_onnxruntime_missing_names_the_extra(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"affectbench\[emotieff\]"):
        emotieff(exported)


# The plug-ins


def test_a_plugin_finds_its_file_and_names_its_revision(pickled, b0, faces, monkeypatch):
    monkeypatch.setenv("AFFECTBENCH_HSEMOTION_DIR", str(pickled.parent))
    plugin = entry("hsemotion", B0).plugin
    assert isinstance(plugin, JudgePlugin)
    judge = plugin.load(CPU)
    assert len(judge.spec.sha256) == 64
    assert judge.spec == plugin.found() == replace(plugin.spec, sha256=judge.spec.sha256)
    assert judge.spec.revision != plugin.spec.revision
    torch.testing.assert_close(
        judge.logits(faces), by_class(in_memory(b0, faces)), rtol=0, atol=1e-5
    )


def test_the_registry_knows_them(pickled, monkeypatch):
    from affectbench.judges import judge_spec, list_judges, load_judge

    names = {spec.name for spec in list_judges()}
    assert {f"{k}-{s.replace('_', '-')}" for k in ("emotieff", "hsemotion") for s in FILES} <= names
    monkeypatch.setenv("AFFECTBENCH_HSEMOTION_DIR", str(pickled.parent))
    name = "hsemotion-enet-b0-8-best-vgaf"
    assert load_judge(name).spec == judge_spec(name)
