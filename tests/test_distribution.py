"""`fid`, `kid` and `fed`: torch-fidelity's numbers, properties, intervals and tests, and runs."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import itertools
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import interrupted_after, pattern

from affectbench import compare
from affectbench.assets.catalogue import Address
from affectbench.cli.main import main
from affectbench.errors import AssetMissingError, InputError, RecordError, WeightsError
from affectbench.images.tensors import stack
from affectbench.judges import DEFAULT_JUDGE, load_judge
from affectbench.metrics import distribution, metric_plugin
from affectbench.metrics.assets import INCEPTION
from affectbench.metrics.catalogue import FED, FID, KID, KID_TORCH_FIDELITY
from affectbench.metrics.distances import (
    frechet_distance,
    kernel_difference,
    kernel_sums,
    pack,
    unpack,
)
from affectbench.results.boards import check_records
from affectbench.results.runs import load_run
from affectbench.run.again import run_again
from affectbench.stats import jackknife_interval, sign_flip_p

fidelity = pytest.importorskip("torch_fidelity")
CPU = torch.device("cpu")
FED_DEMO = {"bicubic": 14.37996, "reference": 0.0023077}
"""Judge mini-xception on the two demo faces at x8."""


def features(
    rng: np.random.Generator, n: int, d: int, *, scale: float = 1.0, shift: float = 0.0
) -> np.ndarray:
    """Correlated features (n, d) that are not negative, as those of a network are."""
    mixing = np.random.default_rng(1).normal(size=(d, d)) / math.sqrt(d)
    return np.maximum(scale * rng.normal(size=(n, d)) @ mixing + shift + 0.3, 0.0)


def theirs_fid(x: np.ndarray, y: np.ndarray) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    sides = [fid_features_to_statistics(torch.from_numpy(side)) for side in (x, y)]
    return float(fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"])


def theirs_kid(x: np.ndarray, y: np.ndarray, size: int, subsets: int) -> float:
    from torch_fidelity.metric_kid import kid_features_to_metric

    sides = [torch.from_numpy(side) for side in (x, y)]
    options = {"kid_subset_size": size, "kid_subsets": subsets, "verbose": False, "rng_seed": 3}
    found = kid_features_to_metric(*sides, **options)
    return float(found["kernel_inception_distance_mean"])


# torch-fidelity's numbers


@pytest.mark.parametrize(("n", "m", "d"), [(400, 300, 48), (40, 60, 96), (12, 12, 512)])
def test_frechet_is_torch_fidelitys(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    x, y = features(rng, n, d), features(rng, m, d, scale=1.3, shift=0.2)
    expected = theirs_fid(x, y)
    assert expected > 1
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("n", "d"), [(300, 48), (12, 2048)])
def test_kernel_distance_is_torch_fidelitys(rng: np.random.Generator, n: int, d: int) -> None:
    x, y = features(rng, n, d), features(rng, n, d, scale=1.1, shift=0.1)
    expected = theirs_kid(x, y, n, 1)
    assert abs(expected) > 1e-3
    sums = kernel_sums(x, y)
    assert sums.unpaired == pytest.approx(expected, abs=1e-10)
    # Independent sets: both are unbiased, and differ by chance.
    assert sums.distance == pytest.approx(expected, abs=0.1 * abs(expected) + 0.05)
    assert sums.distance != pytest.approx(expected, abs=1e-10)


def test_random_subsets_estimate_the_whole_set(rng: np.random.Generator) -> None:
    x, y = features(rng, 300, 16), features(rng, 300, 16, shift=0.3)
    whole = kernel_sums(x, y).unpaired
    assert theirs_kid(x, y, 100, 400) == pytest.approx(whole, rel=0.05)


def test_kernel_sums_in_blocks(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(rng, 50, 8), features(rng, 50, 8, shift=0.4)
    whole = kernel_sums(x, y)
    monkeypatch.setattr("affectbench.metrics.distances._BLOCK", 7)
    blocks = kernel_sums(x, y)
    for name in ("xx", "yy", "xy", "yx", "same"):
        np.testing.assert_allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-12)


# Properties


@pytest.mark.parametrize("d", [3, 80])
def test_distances_of_a_set_to_itself(rng: np.random.Generator, d: int) -> None:
    x, y = features(rng, 40, d), features(rng, 40, d, shift=0.2)
    assert 0 <= frechet_distance(x, x) < 1e-10
    assert frechet_distance(x, x[::-1]) < 1e-10
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-10)
    assert kernel_sums(x, y).distance == pytest.approx(kernel_sums(y, x).distance, rel=1e-10)
    # A set and itself as results: no face is set against itself on either side.
    assert kernel_sums(x, x).distance == pytest.approx(0.0, abs=1e-12)
    assert kernel_sums(x, x).unpaired < 0


def test_distances_grow_with_the_shift(rng: np.random.Generator) -> None:
    x, y = features(rng, 200, 10), features(rng, 200, 10)
    for distance in (frechet_distance, lambda a, b: kernel_sums(a, b).distance):
        found = [distance(x, y + shift) for shift in (0.0, 0.1, 0.2, 0.4)]
        assert found == sorted(set(found))
        assert found[0] < found[-1] / 10


def test_frechet_of_gaussians_is_the_formula(rng: np.random.Generator) -> None:
    raw = rng.normal(size=(50, 3))
    raw -= raw.mean(axis=0)
    x = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False)).T)
    np.testing.assert_allclose(np.cov(x, rowvar=False), np.eye(3), atol=1e-12)
    deviation = np.array([1.0, 2.0, 0.5])
    expected = 0.25 + ((1 - deviation) ** 2).sum()
    y = x[::-1] * deviation + [0.5, 0, 0]
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_too_few_vectors() -> None:
    one = np.ones((1, 4))
    assert math.isnan(frechet_distance(one, one))
    assert math.isnan(kernel_sums(one, one).distance)
    columns = {"id": np.array(["a"]), "features_hr": pack(one), "features_sr": pack(one)}
    for plugin in (FID, KID, FED):
        assert plugin.finish is not None
        assert plugin.difference is not None
        assert math.isnan(plugin.finish(columns)["value"])
        assert math.isnan(plugin.difference(columns, columns, np.random.default_rng(0))["diff"])


def test_vectors_are_kept_to_the_last_bit(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(5, 7)).astype(np.float32)
    vectors[0] = 0.0  # bytes of zeros must not be taken for an empty text
    assert np.array_equal(unpack(pack(vectors)), vectors.astype(np.float64))
    assert {len(entry) for entry in pack(vectors)} == {28}
    assert unpack(pack(np.zeros((0, 3)))).shape == (0, 0)
    for damaged in ([b"1234", b"12345678"], [b"123"], ["1234"], [None]):
        column = np.empty(len(damaged), dtype=object)
        column[:] = damaged
        with pytest.raises(RecordError, match="feature vectors"):
            unpack(column)


# Paired sets


def pairs(rng: np.random.Generator, n: int, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Faces and their results, which have most in common, and differ a little as sets."""
    x = features(rng, n, d, shift=1.0)
    return x, 0.95 * x + 0.1 * rng.normal(size=x.shape)


@pytest.mark.parametrize("n", [10, 40])
def test_kid_of_paired_sets_is_unbiased(n: int) -> None:
    """Against the estimator for independent sets, which another set's results make of it."""
    rng = np.random.default_rng(2)
    sets = [pairs(rng, n) for _ in range(1500)]
    truth = np.array([kernel_sums(x, sets[i - 1][1]).unpaired for i, (x, _) in enumerate(sets)])
    found = [kernel_sums(x, y) for x, y in sets]
    off = np.array([sums.distance for sums in found]) - truth
    biased = np.array([sums.unpaired for sums in found]) - truth
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(1500)
    assert biased.mean() < -8 * biased.std() / math.sqrt(1500)


def test_intervals_of_kid_hold_the_distance_of_paired_sets() -> None:
    rng = np.random.default_rng(3)
    sets = [pairs(rng, 50) for _ in range(300)]
    truth = np.mean([kernel_sums(x, sets[i - 1][1]).unpaired for i, (x, _) in enumerate(sets)])
    found = [KID.finish(columns_of(x, y)) for x, y in sets]
    hits = [one["low"] <= truth <= one["high"] for one in found]
    assert np.mean(hits) > 0.88


def test_torch_fidelitys_kid_has_a_name_of_its_own(rng: np.random.Generator) -> None:
    x, y, z = (features(rng, 40, 8, shift=s) for s in (0.0, 0.2, 0.3))
    a, b = columns_of(x, y), columns_of(x, z)
    found = KID_TORCH_FIDELITY.finish(a)
    assert found["value"] == pytest.approx(theirs_kid(*sides_of(a), 40, 1), abs=1e-10)
    assert math.isnan(found["low"])
    change = KID_TORCH_FIDELITY.difference(a, b, rng)
    expected = found["value"] - KID_TORCH_FIDELITY.finish(b)["value"]
    assert change["diff"] == pytest.approx(expected, rel=1e-9)
    assert math.isnan(change["p"])
    assert (KID.spec.version, KID_TORCH_FIDELITY.spec.version) == ("2", "1")


# Intervals and tests


def swapped_sides(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(mask[:, None], b, a), np.where(mask[:, None], a, b)


def test_a_label_swap_of_kid_is_a_sign_flip(rng: np.random.Generator) -> None:
    x = features(rng, 8, 5)
    a, b = x + 0.2 * rng.normal(size=x.shape), x + 0.5 * rng.normal(size=x.shape)

    def difference(mask: np.ndarray) -> float:
        ours, theirs = swapped_sides(a, b, mask)
        return kernel_sums(x, ours).distance - kernel_sums(x, theirs).distance

    every = [np.array(mask) for mask in itertools.product([False, True], repeat=8)]
    observed = abs(difference(every[0]))
    exact = np.mean([abs(difference(mask)) >= observed * (1 - 1e-9) for mask in every])
    terms, _ = kernel_difference(x, a, b)
    assert sign_flip_p(terms, rng) == pytest.approx(exact)


def test_without_each_face(rng: np.random.Generator) -> None:
    x, y, z = (features(rng, 9, 6, shift=s) for s in (0.0, 0.2, 0.3))
    sums, (_, rest) = kernel_sums(x, y), kernel_difference(x, y, z)
    for i in range(9):
        keep = np.arange(9) != i
        alone = kernel_sums(x[keep], y[keep]).distance
        assert sums.without_each()[i] == pytest.approx(alone, abs=1e-12)
        assert rest[i] == pytest.approx(alone - kernel_sums(x[keep], z[keep]).distance, abs=1e-12)


def sides_of(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return unpack(columns["features_hr"]), unpack(columns["features_sr"])


def columns_of(hr: np.ndarray, sr: np.ndarray) -> dict[str, np.ndarray]:
    ids = np.array([f"{i:04}" for i in range(len(hr))])
    return {"id": ids, "features_hr": pack(hr), "features_sr": pack(sr)}


@pytest.mark.parametrize("plugin", [FED, KID], ids=["fed", "kid"])
def test_intervals_are_as_wide_as_values_scatter(plugin) -> None:
    """Over 60 sets of one population: 95 % intervals are about 4 deviations wide."""
    rng = np.random.default_rng(5)
    values, widths = [], []
    for _ in range(60):
        x = features(rng, 150, 3)
        found = plugin.finish(columns_of(x, x + 0.5 * rng.normal(size=x.shape)))
        assert found["n"] == 150
        values.append(found["value"])
        widths.append(found["high"] - found["low"])
    assert 3.0 < np.mean(widths) / np.std(values) < 6.0


@pytest.mark.parametrize("plugin", [FED, KID], ids=["fed", "kid"])
def test_equal_models_are_seldom_told_apart(plugin) -> None:
    """200 pairs of models that are as good: p < 0.05 for about 5 % of them."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(200):
        x = features(rng, 100, 6)
        one, other = (columns_of(x, x + 0.5 * rng.normal(size=x.shape)) for _ in range(2))
        found.append(plugin.difference(one, other, rng)["p"])
    assert 0.01 <= np.mean(np.array(found) < 0.05) <= 0.1


@pytest.mark.parametrize("plugin", [FED, KID], ids=["fed", "kid"])
def test_differences(plugin, rng: np.random.Generator) -> None:
    x = features(rng, 80, 4)
    near, far = x + 0.2 * rng.normal(size=x.shape), x + 0.9 * rng.normal(size=x.shape)
    alike = x + 0.2 * rng.normal(size=x.shape)
    a, b, c = (columns_of(x, side) for side in (near, far, alike))
    found = plugin.difference(a, b, np.random.default_rng(0))
    expected = plugin.finish(a)["value"] - plugin.finish(b)["value"]
    assert found["diff"] == pytest.approx(expected, rel=1e-9)
    assert found["diff_low"] < found["diff"] < found["diff_high"] < 0
    assert found["p"] < 0.01
    back = plugin.difference(b, a, np.random.default_rng(0))
    assert back["diff"] == pytest.approx(-found["diff"], rel=1e-9)
    assert back["p"] == pytest.approx(found["p"])
    assert plugin.difference(a, c, np.random.default_rng(0))["p"] > 0.05


def test_fid_has_a_value_alone(rng: np.random.Generator) -> None:
    x = features(rng, 20, 4)
    a, b = columns_of(x, x + 0.1), columns_of(x, x + 0.2)
    assert FID.finish(a)["value"] == pytest.approx(4 * 0.01, rel=1e-4)
    assert math.isnan(FID.finish(a)["low"])
    found = FID.difference(a, b, rng)
    assert found["diff"] == pytest.approx(4 * (0.01 - 0.04), rel=1e-4)
    assert math.isnan(found["p"])


def test_jackknife_of_a_mean_is_the_t_interval(rng: np.random.Generator) -> None:
    from scipy import stats as scipy_stats

    values = rng.normal(size=30)
    rest = [np.delete(values, i).mean() for i in range(30)]
    found = jackknife_interval(values.mean(), rest)
    expected = scipy_stats.t.interval(
        0.95, 29, values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    )
    assert (found.low, found.high) == pytest.approx(expected)
    assert math.isnan(jackknife_interval(0.0, rest[:5]).low)
    assert math.isnan(jackknife_interval(math.nan, rest).low)
    assert math.isnan(jackknife_interval(0.0, [*rest, math.inf]).high)


# fed


def test_features_are_what_the_judge_decides_on() -> None:
    for name, layer in (("mini-xception", 128), ("face-api", 256), (DEFAULT_JUDGE, 384)):
        judge = load_judge(name)
        faces = torch.rand(2, 3, 90, 80, generator=torch.Generator().manual_seed(1))
        found = judge.features(faces)  # type: ignore[attr-defined]
        assert found.shape == (2, layer) == (2, judge.spec.features)
        if name == "face-api":  # a linear layer makes its logits
            native = judge._network.head(found)  # type: ignore[attr-defined]
            logits = judge.logits(faces)
            torch.testing.assert_close(native.sort(1).values, logits.sort(1).values)
    judge.spec = replace(judge.spec, features=0)  # type: ignore[misc]
    with pytest.raises(InputError, match="gives no features"):
        judge.features(faces)  # type: ignore[attr-defined]


def test_fed_of_the_demo_faces() -> None:
    table = compare("bicubic", metrics=["fed"], judges=["mini-xception"]).table.set_index("model")
    for row, expected in FED_DEMO.items():
        assert table.loc[row, "fed"] == pytest.approx(expected, rel=2e-3)


TOY = {"hr_size": 64, "scale": 4, "batch_size": 3}


def test_fed_orders_models_and_is_zero_for_the_same_faces(toy_faces: Path) -> None:
    result = compare(
        "nearest,bicubic", "toy", data={"toy": toy_faces}, metrics=["ecm", "fed"], **TOY
    )
    table = result.table.set_index("model")
    assert table.loc["bicubic", "fed"] < table.loc["nearest", "fed"] / 2
    assert table.loc["reference", "fed"] < table.loc["one-face", "fed"] / 2
    assert table.loc["wrong-face", "fed"] < 1e-8  # the same faces in another order
    assert table.loc["nearest", "fed_low"] < table.loc["nearest", "fed"]
    assert 0 < table.loc["nearest", "fed_p"] <= 1
    assert "fed_best" not in table.columns
    columns = result.images("nearest", "toy", "fed")
    assert set(columns) == {"id", "features_hr", "features_sr"}
    assert unpack(columns["features_hr"].to_numpy()).shape == (8, 384)
    assert list(check_records(result.run)) == []


def arguments(toy_faces: Path, out: Path, metrics: str) -> list[str]:
    given = ["compare", "--models", "nearest,bicubic", "--datasets", "toy"]
    given += ["--data", f"toy={toy_faces}", "--hr-size", "64", "--scale", "4", "--batch-size", "3"]
    return [*given, "--metrics", metrics, "--out", str(out)]


def test_interrupted_and_resumed_gives_the_same_bytes(toy_faces: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(arguments(toy_faces, whole, "agreement,fed,ecm")) == 0
    with interrupted_after(10):
        assert main(arguments(toy_faces, out, "agreement,fed,ecm")) == 130
    assert not (out / "table.csv").exists()
    assert main(arguments(toy_faces, out, "agreement,fed,ecm")) == 0
    assert (out / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
    assert (out / "long.csv").read_bytes() == (whole / "long.csv").read_bytes()
    assert (out / "table.md").read_bytes() == (whole / "table.md").read_bytes()


def test_features_of_a_finished_run_can_be_run_again(toy_faces: Path, tmp_path: Path) -> None:
    assert main(arguments(toy_faces, tmp_path / "out", "fed,psnr")) == 0
    run = load_run(tmp_path / "out")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "toy").symlink_to(toy_faces)
    options = {"weights": None, "faces": 8, "seed": 0}
    data = tmp_path / "data"
    assert run_again(run.settings, run.records, run.columns, data, **options) == []
    record = next(r for r in run.records if r.row == "nearest" and r.metric["name"] == "fed")
    changed = dict(run.columns(record))
    vectors = unpack(changed["features_sr"])
    vectors[2] *= 1.01
    changed["features_sr"] = pack(vectors)

    def read(which):
        return changed if which is record else run.columns(which)

    found = run_again(run.settings, run.records, read, data, **options)
    assert found == [f"toy: nearest, fed-{DEFAULT_JUDGE}: 1 of 8 faces differ, face2 among them"]


# InceptionV3, by a stand-in of the true architecture with random weights


class Untrained(fidelity.FeatureExtractorInceptionV3):  # type: ignore[name-defined]
    """The network as it is before its weights are read."""

    def load_state_dict(self, state: object) -> None:  # type: ignore[override]
        assert state == {}


@pytest.fixture(scope="session")
def stand_in() -> bytes:
    """A weights file whose features differ from image to image."""
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = Untrained("stand-in", ["2048"], feature_extractor_weights_path=empty)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # statistics of this one batch
        with torch.no_grad():
            network.train()(stack([pattern(i) for i in range(3)]))
    kept = io.BytesIO()
    torch.save({k: v for k, v in network.state_dict().items() if "num_batches" not in k}, kept)
    return kept.getvalue()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def served(stand_in: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """The stand-in at an address of this machine, in the place of InceptionV3's."""
    folder = tmp_path / "server"
    folder.mkdir()
    name = "pt_inception-2015-12-05-6726825d.pth"
    (folder / name).write_bytes(stand_in)
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    digest = hashlib.sha256(stand_in).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    address = Address(url, "metrics", digest, len(stand_in))
    monkeypatch.setitem(INCEPTION.__dict__, "source", address)
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AFFECTBENCH_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield address
    server.shutdown()
    server.server_close()


def test_pinned_to_the_published_file() -> None:
    source = INCEPTION.source
    assert source.origin.endswith(f"-{source.sha256[:8]}.pth")
    assert len(source.sha256) == 64
    assert not source.bundled


@pytest.mark.slow
def test_fid_and_kid_are_torch_fidelitys_from_images_on(
    served: Address, toy_faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(AssetMissingError):
        metric_plugin("fid").require()
    assert main(["assets", "fetch", "inception"]) == 0
    command = [*arguments(toy_faces, out, "fid,kid-torch-fidelity"), "--save-images"]
    assert main(command) == 0
    lines = pd.read_csv(out / "long.csv").query("role == 'model' and model == 'bicubic'")
    found = lines.set_index("metric").value
    expected = fidelity.calculate_metrics(
        input1=str(toy_faces),
        input2=str(next(out.glob("faces/toy*/sr/bicubic*"))),
        fid=True,
        kid=True,
        kid_subset_size=8,
        kid_subsets=1,
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=8,
        feature_extractor_weights_path=str(served.path()),
    )
    theirs = expected["kernel_inception_distance_mean"]
    assert found["kid-torch-fidelity"] == pytest.approx(theirs, rel=1e-4)
    assert found["kid"] > theirs
    run = load_run(out)
    record = next(r for r in run.records if (r.row, r.metric["name"]) == ("bicubic", "fid"))
    hr, sr = (unpack(run.columns(record)[f"features_{side}"]) for side in ("hr", "sr"))
    # Eight faces in 2,048 dimensions: torch-fidelity takes the roots of 2,041 eigenvalues that are
    # 0 but for rounding, and adds them up. That error is a share of the traces, not the value ...
    traces = hr.var(axis=0, ddof=1).sum() + sr.var(axis=0, ddof=1).sum()
    theirs = expected["frechet_inception_distance"]
    assert found["fid"] > 0.002 * traces
    assert found["fid"] == pytest.approx(theirs, abs=1e-5 * traces)
    # ... and is gone in coordinates of the 16 vectors' own span.
    basis = np.linalg.qr(np.concatenate([hr, sr]).T)[0]
    assert found["fid"] == pytest.approx(theirs_fid(hr @ basis, sr @ basis), rel=1e-4)
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert settings["metrics"] == ["fid", "kid", "kid-torch-fidelity"]
    assert "fid: fewer than 2048 faces" in (out / "table.md").read_text()


def test_weights_that_do_not_fit_or_are_more_than_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="does not fit InceptionV3"):
        distribution.load_inception(path, CPU)
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(WeightsError, match="refused"):
        distribution.load_inception(path, CPU)


def test_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path))
    path = INCEPTION.source.path()
    path.parent.mkdir(parents=True)
    torch.save({"fc.weight": torch.zeros(1)}, path)
    assert main(["compare", "--models", "nearest", "--metrics", "fid", "--out", str(tmp_path)]) == 2
    assert "SHA-256" in capsys.readouterr().err


def test_fid_in_a_run(toy_faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network replaced by colour means: what a run does with features, in no time."""
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path))
    path = INCEPTION.source.path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    pin = Address(INCEPTION.source.origin, "metrics", hashlib.sha256(b"weights").hexdigest(), 7)
    monkeypatch.setitem(INCEPTION.__dict__, "source", pin)
    seen = []

    def colour_means(_path: Path, _device: torch.device):
        def describe(images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return images.float().unfold(2, 16, 16).mean((2, 3)).flatten(1) / 255

        return describe

    monkeypatch.setattr(distribution, "load_inception", colour_means)
    result = compare("nearest", "toy", data={"toy": toy_faces}, metrics=["fid"], **TOY)
    assert sum(seen) == 8 * 4  # HR, nearest, reference and bicubic: fid and kid share them
    table = result.table.set_index("model")
    columns = [r.metric["name"] for r in result.run.records if r.row == "nearest"]
    assert columns == ["fid", "kid"]
    assert np.isnan(table.loc["nearest", "fid_low"])
    assert np.isnan(table.loc["nearest", "fid_p"])
    assert table.loc["nearest", "kid_low"] < table.loc["nearest", "kid_high"]
    assert table.loc["nearest", "kid_p"] > 0
    assert list(check_records(result.run)) == []
