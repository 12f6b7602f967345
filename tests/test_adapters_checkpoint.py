"""`checkpoint:`: architectures that spandrel knows, and third-party weights."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_models import write_esrgan

from affectbench.adapters import load_model
from affectbench.adapters.adapted import resample
from affectbench.adapters.contract import run_model
from affectbench.adapters.spandrel_network import one_by_one, refuse_others, takes_batches
from affectbench.errors import InputError, MissingExtraError, WeightsError
from affectbench.images.tensors import stack, unit_range

THIRD_PARTY = Path(__file__).parent.parent / "baselines" / "affectbench_baselines" / "third_party"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".ckpt"])
def test_a_checkpoint_of_each_kind_gives_the_same(tmp_path, esrgan, lr, suffix):
    path = write_esrgan(tmp_path / f"tiny{suffix}", scale=4)
    expected = load_model(f"checkpoint:{esrgan}", 4)(lr)
    model = load_model(f"checkpoint:{path}", 4)
    assert torch.equal(model(lr), expected)
    assert model.spec.scale == 4 and model.spec.weights_sha256
    assert model.spec.parameters == 226_099


def test_another_scale_is_refused_with_the_option_that_helps(esrgan):
    with pytest.raises(InputError, match=r"is a x4 model and x8 is asked for; add @then=bicubic"):
        load_model(f"checkpoint:{esrgan}", 8)


@pytest.mark.parametrize("scale", [2, 8])
@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "nearest"])
def test_then_resamples_the_rest(esrgan, lr, scale, kernel):
    model = load_model(f"checkpoint:{esrgan}@then={kernel}", scale)
    native = load_model(f"checkpoint:{esrgan}", 4)(lr)
    sr = model(lr)
    assert sr.shape == (3, 3, 8 * scale, 10 * scale)
    assert torch.equal(sr, resample(native, 8 * scale, 10 * scale, kernel))
    assert model.spec.note == f"ESRGAN x4, then {kernel}"


def test_an_unknown_architecture_suggests_python(tmp_path):
    save_file({"mystery.weight": torch.zeros(3)}, tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match="python:FILE:FACTORY"):
        load_model(f"checkpoint:{tmp_path}/m.safetensors", 4)


def test_weights_that_do_not_fit_are_refused(tmp_path, esrgan):
    from safetensors.torch import load_file

    tensors = load_file(esrgan)
    name = next(n for n in tensors if "RDB2.conv3" in n and n.endswith("weight"))
    del tensors[name]
    save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_model(f"checkpoint:{tmp_path}/m.safetensors", 4)


def test_models_that_do_not_enlarge_rgb_are_refused(tmp_path):
    one = write_esrgan(tmp_path / "one.safetensors", scale=1)
    grey = write_esrgan(tmp_path / "grey.safetensors", scale=4, channels=1)
    with pytest.raises(WeightsError, match="of scale 1"):
        load_model(f"checkpoint:{one}", 1)
    with pytest.raises(WeightsError, match="RGB, 3 and 3, is needed"):
        load_model(f"checkpoint:{grey}", 4)
    restorer = SimpleNamespace(architecture=SimpleNamespace(name="GFPGAN"), purpose="FaceSR")
    with pytest.raises(WeightsError, match="GFPGAN restores a 512-pixel face"):
        refuse_others(restorer, "gfpgan.pth")


def test_a_network_for_single_images_is_served_one_by_one(lr):
    def single(image: torch.Tensor) -> torch.Tensor:
        return image[:1].repeat_interleave(2, -1).repeat_interleave(2, -2)

    assert not takes_batches(single, torch.device("cpu"))
    assert one_by_one(single)(lr).shape == (3, 3, 16, 20)
    assert takes_batches(lambda image: image, torch.device("cpu"))


def test_a_missing_extra_says_how_to_install_it(esrgan, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(MissingExtraError, match=r"affectbench\[checkpoint\]"):
        load_model(f"checkpoint:{esrgan}", 4)


def _psnr(argument: str, scale: int, hr: torch.Tensor, lr: torch.Tensor) -> float:
    sr = run_model(load_model(argument, scale), lr, scale).float()
    return float((10 * torch.log10(255**2 / ((sr - hr) ** 2).mean((1, 2, 3)))).mean())


@pytest.mark.shared
@pytest.mark.parametrize(
    ("scale", "argument", "gain"),
    [
        (8, f"python:{THIRD_PARTY}/srgan.py:srgan@weights=WEIGHTS/srgan_x8_leftthomas.pth", 1.2),
        (4, f"python:{THIRD_PARTY}/srgan.py:srgan@weights=WEIGHTS/srgan_x4_leftthomas.pth", 1.5),
        (4, "checkpoint:WEIGHTS/dctlsa_x4.pt", 2.4),
        (8, "checkpoint:WEIGHTS/dctlsa_x4.pt@then=bicubic", 1.5),
        (2, f"python:{THIRD_PARTY}/carn.py:carn_m@weights=WEIGHTS/carn_m_x234.pth", 2.8),
        (3, f"python:{THIRD_PARTY}/carn.py:carn_m@weights=WEIGHTS/carn_m_x234.pth", 2.0),
        (4, f"python:{THIRD_PARTY}/carn.py:carn_m@weights=WEIGHTS/carn_m_x234.pth", 2.2),
        (
            8,
            f"python:{THIRD_PARTY}/carn.py:carn_m@weights=WEIGHTS/carn_m_x234.pth@then=bicubic",
            1.4,
        ),
    ],
)
def test_third_party_weights_beat_bicubic(shared, scale, argument, gain):
    """A layer out of place would cost far more than the margin (measured on 32 faces)."""
    side = 128 // scale * scale
    faces = sorted((shared / "data" / "celeba").glob("*.jpg"))[:4]
    images = [Image.open(p).convert("RGB").crop((0, 0, side, side)) for p in faces]
    size = (side // scale, side // scale)
    small = [np.asarray(image.resize(size, Image.Resampling.BICUBIC)) for image in images]
    hr = stack([np.asarray(image) for image in images])
    lr = unit_range(stack(small))
    argument = argument.replace("WEIGHTS", str(shared / "data" / "weights"))
    assert _psnr(argument, scale, hr, lr) - _psnr("bicubic", scale, hr, lr) > gain


@pytest.mark.shared
def test_spandrel_refuses_srgan_and_the_error_says_what_to_do(shared):
    path = shared / "data" / "weights" / "srgan_x8_leftthomas.pth"
    with pytest.raises(WeightsError, match="python:FILE:FACTORY"):
        load_model(f"checkpoint:{path}", 8)
