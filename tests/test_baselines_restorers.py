"""GFPGAN, CodeFormer, RestoreFormer and Real-ESRGAN through spandrel: range, size, randomness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from affectbench_baselines.restorers.adapted import FaceRestorer
from affectbench_baselines.rrdbnet.network import RRDBConfig, RRDBNet
from conftest import pattern
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from affectbench.adapters import load_model, parse_model
from affectbench.errors import InputError, MissingPackageError, WeightsError
from affectbench.images.tensors import stack, unit_range


class Recorder(nn.Module):
    """Gives back what it is given, as restorers do: a tuple, in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.options = [], []

    def forward(self, x, **options):
        self.seen.append(x)
        self.options.append(options)
        return x, None


def lr_faces(count: int = 2) -> torch.Tensor:
    return unit_range(stack([pattern(i, 16) for i in range(count)]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gfpgan", {"randomize_noise": False}),
        ("codeformer", {"weight": 0.5}),
        ("restoreformer", {}),
    ],
)
def test_networks_see_512_pixels_from_minus_one_to_one(name, options):
    network = Recorder()
    lr = lr_faces()
    lr[0, :, 0, 0], lr[0, :, 5, 5] = 0.0, 1.0
    sr = FaceRestorer(network, name, 8)(lr)
    assert [tuple(x.shape) for x in network.seen] == [(1, 3, 512, 512)] * 2
    assert network.options == [options] * 2
    assert float(network.seen[0].min()) == -1.0 and float(network.seen[0].max()) == 1.0
    # Up and down again by the same kernel is nearly plain bicubic enlarging.
    face = np.rint(lr[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    expected = np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC))
    assert sr.shape == (2, 3, 128, 128)
    assert np.abs(sr[0].permute(1, 2, 0).numpy() * 255 - expected).mean() < 3


def test_weights_are_asked_for(tmp_path):
    for name in ("gfpgan", "codeformer", "restoreformer"):
        with pytest.raises(WeightsError, match=f"do not come with this package.*{name}@weights="):
            parse_model(name).describe(8)
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    pytest.importorskip("spandrel")
    with pytest.raises(WeightsError, match="does not know this architecture"):
        load_model(f"gfpgan@weights={tmp_path}/a.safetensors")
    with pytest.raises(InputError, match=r"@w=2 is not a number from 0 to 1"):
        parse_model(f"codeformer@weights={tmp_path}/a.safetensors@w=2").describe(8)


def test_real_esrgan_is_any_esrgan_of_its_authors(tmp_path):
    pytest.importorskip("spandrel")
    torch.manual_seed(0)
    network = RRDBNet(RRDBConfig(8, 32, 1, 4)).eval()
    torch.save({"params_ema": network.state_dict()}, tmp_path / "x4.pth")
    argument = f"real-esrgan@weights={tmp_path}/x4.pth"
    with pytest.raises(InputError, match="is a x4 model and x8 is asked for"):
        load_model(argument, 8)
    model = load_model(argument, 4)
    lr = lr_faces()
    with torch.no_grad():
        assert torch.allclose(model(lr), network(lr).clamp(0, 1), atol=1e-5)
    assert model.spec.trained_against == ("vgg19",)
    with pytest.raises(WeightsError, match="are weights of ESRGAN, not of GFPGAN"):
        load_model(f"gfpgan@weights={tmp_path}/x4.pth", 8)


def test_codeformer_names_the_package_it_needs(tmp_path, monkeypatch):
    pytest.importorskip("spandrel")
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    import sys

    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", None)
    with pytest.raises(MissingPackageError, match="pip install spandrel_extra_arches"):
        load_model(f"codeformer@weights={tmp_path}/a.safetensors")


def write_gfpgan(folder):
    arch = pytest.importorskip("spandrel.architectures.GFPGAN")
    return _written(arch.GFPGAN(), folder / "gfpgan.safetensors")


def write_restoreformer(folder):
    arch = pytest.importorskip("spandrel.architectures.RestoreFormer")
    network = arch.RestoreFormer(
        n_embed=16, embed_dim=32, ch=32, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1, z_channels=32
    )
    return _written(network, folder / "restoreformer.safetensors")


def write_codeformer(folder):
    arch = pytest.importorskip("spandrel_extra_arches.architectures.CodeFormer")
    network = arch.CodeFormer(dim_embd=64, n_layers=1, codebook_size=32, connect_list=["32"])
    return _written(network, folder / "codeformer.safetensors")


def _written(network, path):
    save_file({k: v.clone().contiguous() for k, v in network.state_dict().items()}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("gfpgan", write_gfpgan),
        ("restoreformer", write_restoreformer),
        ("codeformer", write_codeformer),
    ],
)
def test_the_real_architectures_run(name, write, tmp_path):
    """Random weights of the real architecture, which is given values in [-1, 1]."""
    torch.manual_seed(0)
    model = load_model(f"{name}@weights={write(tmp_path)}", 8)
    given = []
    model.network.network.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        sr = model(lr := lr_faces(1))
        assert torch.equal(model(lr), sr)  # no noise is drawn anew
    assert sr.shape == (1, 3, 128, 128) and bool(torch.isfinite(sr).all())
    small = torch.nn.functional.avg_pool2d(given[0], 512 // lr.shape[-1])
    assert given[0].shape == (1, 3, 512, 512) and given[0].min() >= -1
    assert torch.allclose(small, lr * 2 - 1, atol=0.2)
