"""Metrics beside ECM: other libraries' values, properties, the demo faces, and one judge's work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from tiny_judge import SPEC, TinyJudge, faces

from affectbench import compare
from affectbench.aggregate import cell_values
from affectbench.images.tensors import stack
from affectbench.judges import load_judge
from affectbench.metrics import metric_plugin
from affectbench.metrics.ecm import EcmMetric, concordance
from affectbench.run import plan, scoring
from affectbench.types import Columns

CPU = torch.device("cpu")
NAMES = ("agreement", "js_divergence", "confidence_drift")
AFFECT = ("valence_drift", "arousal_drift")
GOLDEN = {
    # bicubic x8 on astronaut and grace_hopper, judge mini-xception
    "agreement": (0.0, 1.0),
    "js_divergence": (0.591996, 0.132851),
    "confidence_drift": (0.951500, 0.114735),
}


@dataclass(frozen=True)
class AffectiveJudge(TinyJudge):
    """The tiny judge, with valence and arousal: the means of the red and the green channel."""

    def logits_and_affect(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.logits(x), 2.0 * x[:, :2].mean((2, 3)) - 1.0


AFFECTIVE = AffectiveJudge(replace(SPEC, name="affective", affect=True))


def ecm_columns(sr: np.ndarray, hr: np.ndarray, judge: TinyJudge = AFFECTIVE) -> Columns:
    metric = EcmMetric(judge, "whole", CPU)
    x, y = stack(list(sr)), stack(list(hr))
    return {"id": np.arange(len(sr)).astype(str), **metric.score(x, y, metric.reference(y))}


def columns_of(name: str, computed: Columns) -> Columns:
    return {"id": computed["id"], **metric_plugin(name).derive(computed)}


# Other libraries


def test_js_divergence_is_scipys(rng: np.random.Generator) -> None:
    computed = ecm_columns(faces(rng), faces(rng))
    p, q = (
        np.stack([computed[f"{side}_{name}"] for name in SPEC.classes], axis=1) for side in "pq"
    )
    expected = jensenshannon(p.astype(float), q.astype(float), axis=1) ** 2
    found = columns_of("js_divergence", computed)["js_divergence"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected.min() > 0.01


def test_concordance_is_that_of_torchmetrics(rng: np.random.Generator) -> None:
    functional = pytest.importorskip("torchmetrics.functional.regression")
    x = rng.normal(size=4000)
    y = 0.7 * x + 0.2 + 0.4 * rng.normal(size=4000)
    # torchmetrics divides by N - 1 in the variances and not in the means: equal for a large N.
    expected = functional.concordance_corrcoef(torch.from_numpy(y), torch.from_numpy(x))
    assert concordance(x, y) == pytest.approx(float(expected), abs=1e-4)


def test_concordance_by_hand() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.5, 1.0, 4.0, 4.0])
    covariance = np.cov(x, y, bias=True)[0, 1]
    expected = 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert concordance(x, y) == pytest.approx(expected, abs=1e-15)
    assert concordance(y, x) == pytest.approx(expected, abs=1e-15)
    assert concordance(x, x) == 1.0
    assert concordance(x, 6 - x) < 0
    assert concordance(x, x + 1) < concordance(x, x + 0.1) < 1
    assert concordance(x, np.full(4, 2.0)) == 0.0
    assert np.isnan(concordance([1.0], [1.0]))
    assert np.isnan(concordance([2.0, 2.0], [2.0, 2.0]))


# Properties


@pytest.mark.parametrize("name", [*NAMES, *AFFECT])
def test_identical_faces_lose_nothing(name: str, rng: np.random.Generator) -> None:
    hr = faces(rng)
    found = columns_of(name, ecm_columns(hr, hr))[name]
    assert (found == (1 if name == "agreement" else 0)).all()


@pytest.mark.parametrize("name", [*NAMES, *AFFECT])
def test_range_and_batches(name: str, rng: np.random.Generator) -> None:
    hr, sr = faces(rng), faces(rng)
    spec = metric_plugin(name).spec
    whole = columns_of(name, ecm_columns(sr, hr))
    assert (whole[name] >= spec.range[0]).all()
    assert (whole[name] <= spec.range[1]).all()
    assert whole[name].astype(float).std() > 0
    for i in range(len(hr)):
        alone = columns_of(name, ecm_columns(sr[i : i + 1], hr[i : i + 1]))
        assert float(alone[name][0]) == pytest.approx(float(whole[name][i]), abs=1e-6)


def test_more_damage_costs_more(rng: np.random.Generator) -> None:
    hr = faces(rng, n=64)
    noise = faces(rng, n=64)
    before = dict.fromkeys(NAMES, 0.0)
    for share in (0.2, 0.4, 0.8):
        sr = np.rint((1 - share) * hr + share * noise).astype(np.uint8)
        computed = ecm_columns(sr, hr)
        for name in NAMES:
            mean = float(columns_of(name, computed)[name].mean())
            cost = 1 - mean if name == "agreement" else mean
            assert cost > before[name]
            before[name] = cost


def test_drift_is_what_the_judge_says_of_the_two(rng: np.random.Generator) -> None:
    hr, sr = faces(rng), faces(rng)
    computed = ecm_columns(sr, hr)
    for name, channel in (("valence", 0), ("arousal", 1)):
        plugin = metric_plugin(f"{name}_drift")
        columns = columns_of(f"{name}_drift", computed)
        means = [2 * x[..., channel].mean((1, 2)) / 255 - 1 for x in (hr, sr)]
        np.testing.assert_allclose(columns[f"{name}_drift"], np.abs(means[1] - means[0]), atol=1e-6)
        values = cell_values(columns, plugin, 0)
        assert values[f"{name}_ccc"] == pytest.approx(concordance(*means), abs=1e-6)
        assert values["value"] == pytest.approx(np.abs(means[1] - means[0]).mean(), abs=1e-6)


def test_a_judge_without_affect_gives_no_such_columns(rng: np.random.Generator) -> None:
    computed = ecm_columns(faces(rng), faces(rng), TinyJudge())
    assert not [name for name in computed if name.startswith(("valence", "arousal"))]
    for name in AFFECT:
        assert "tiny" in metric_plugin(name).unfit(SPEC)
        assert metric_plugin(name).unfit(AFFECTIVE.spec) == ""


# A run


class Counting:
    """A judge that counts the faces it is asked about."""

    def __init__(self, judge: TinyJudge) -> None:
        self.judge, self.spec, self.classes, self.asked = judge, judge.spec, judge.classes, 0

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += len(x)
        return self.judge.logits(x)


@pytest.mark.parametrize("metrics", [["ecm"], ["ecm", *NAMES], [*NAMES, "ecm"]])
def test_a_judge_is_asked_once_for_each_face(
    toy_faces: Path, monkeypatch: pytest.MonkeyPatch, metrics: list[str]
) -> None:
    judge = Counting(load_judge("mini-xception"))  # type: ignore[arg-type]
    monkeypatch.setattr(scoring, "load_judge", lambda _name, _device: judge)
    options = {"hr_size": 64, "scale": 4, "batch_size": 4, "metrics": metrics}
    compare("nearest", "toy", data={"toy": toy_faces}, **options)  # type: ignore[arg-type]
    # The HR faces, twice since `one-face` runs last; nearest and the four anchors.
    assert judge.asked == 8 * (2 + 5)


def test_one_column_of_a_name(tmp_path: Path, toy_faces: Path) -> None:
    options = {"hr_size": 64, "scale": 4}
    alone = compare("nearest", "toy", data={"toy": toy_faces}, metrics=["ecm"], **options)
    both = compare(
        "nearest", "toy", data={"toy": toy_faces}, metrics=["ecm", "agreement"], **options
    )
    for table in (alone.table, both.table):
        assert not table.columns.duplicated().any()
        assert {"agreement", "flip_rate"} <= set(table.columns)
    assert alone.table["agreement"].tolist() == both.table["agreement"].tolist()
    assert "agreement_low" not in alone.table.columns
    assert {"agreement_low", "agreement_p"} <= set(both.table.columns)


def test_affect_in_a_table(toy_faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "judge_spec", lambda _name: AFFECTIVE.spec)
    monkeypatch.setattr(scoring, "load_judge", lambda _name, _device: AFFECTIVE)
    result = compare(
        *("nearest", "toy"),
        data={"toy": toy_faces},
        judges=["affective"],
        metrics=["expression"],
        hr_size=64,
        scale=4,
    )
    assert result.gaps == ()
    table = result.table.set_index("model")
    for name in ("valence", "arousal"):
        assert 0.9 < table.loc["nearest", f"{name}_ccc"] < 1
        assert table.loc["wrong-face", f"{name}_drift"] > table.loc["nearest", f"{name}_drift"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_demo_faces(name: str) -> None:
    result = compare("bicubic", metrics=[name], judges=["mini-xception"])
    found = result.images("bicubic", "demo", name)
    assert list(found["id"]) == ["astronaut", "grace_hopper"]
    np.testing.assert_allclose(found[name].astype(float), GOLDEN[name], atol=1e-4)
