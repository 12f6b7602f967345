"""EmotionConsistency in one process, in two, with torchmetrics and without."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ecm_worker import TOTAL, all_faces
from tiny_judge import SPEC, TinyJudge

from affectbench import EmotionConsistency, emotion_consistency
from affectbench.errors import InputError, UnknownNameError

JUDGE = TinyJudge()
TESTS = Path(__file__).resolve().parent


def expected(sr: torch.Tensor, hr: torch.Tensor, **settings: object) -> dict[str, float]:
    result = emotion_consistency(sr, hr, JUDGE, **settings)
    agreement = float(result.to_frame()["agreement"].mean())
    return {"ecm": result.macro, "ecm_mean": float(result), "agreement": agreement}


def same(values: dict[str, torch.Tensor], wanted: dict[str, float]) -> bool:
    assert all(v.dtype == torch.float64 and v.ndim == 0 for v in values.values())
    return {k: float(v) for k, v in values.items()} == pytest.approx(wanted, abs=1e-12)


def fed(metric: EmotionConsistency, sr: torch.Tensor, hr: torch.Tensor, step: int = 7) -> None:
    for i in range(0, len(sr), step):
        metric.update(sr[i : i + step], hr[i : i + step])


def test_batches_add_up_to_the_value_of_the_whole() -> None:
    sr, hr = all_faces()
    wanted = expected(sr, hr)
    assert wanted["ecm"] != pytest.approx(wanted["ecm_mean"], abs=1e-4)
    for step in (1, 7, TOTAL):
        metric = EmotionConsistency(JUDGE)
        fed(metric, sr, hr, step)
        assert same(metric.compute(), wanted)


def test_few_faces_give_the_plain_mean() -> None:
    sr, hr = (images[:5] for images in all_faces())
    metric = EmotionConsistency(JUDGE)
    metric.update(sr, hr)
    assert same(metric.compute(), expected(sr, hr))
    assert metric.compute()["ecm"] == metric.compute()["ecm_mean"]


@pytest.mark.parametrize(
    "settings",
    [{"alpha": 0.3}, {"framing": "whole"}, {"distance": "cross_entropy"}],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_are_those_of_the_function(settings: dict[str, object]) -> None:
    sr, hr = all_faces()
    metric = EmotionConsistency(JUDGE, **settings)
    fed(metric, sr, hr)
    assert same(metric.compute(), expected(sr, hr, **settings))
    assert metric.definition == emotion_consistency(sr, hr, JUDGE, **settings).definition


def test_reset_forgets() -> None:
    sr, hr = all_faces()
    metric = EmotionConsistency(JUDGE)
    fed(metric, sr, sr.flip(0))
    metric.reset()
    fed(metric, sr[:20], hr[:20])
    assert same(metric.compute(), expected(sr[:20], hr[:20]))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_face_is_nan() -> None:
    assert all(math.isnan(value) for value in EmotionConsistency(JUDGE).compute().values())


def test_bad_batches_are_refused_and_leave_no_trace() -> None:
    sr, hr = all_faces()
    metric = EmotionConsistency(JUDGE)
    metric.update(sr, hr)
    with pytest.raises(InputError, match="must be the same"):
        metric.update(sr[:2], hr[:3])
    with pytest.raises(InputError, match=r"not in \[0, 1\]"):
        metric.update(sr * 2 - 1, hr)
    assert same(metric.compute(), expected(sr, hr))


def test_bad_settings_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="alpha is -1"):
        EmotionConsistency(JUDGE, alpha=-1.0)
    with pytest.raises(InputError, match="unknown distance"):
        EmotionConsistency(JUDGE, distance="euclid")
    with pytest.raises(UnknownNameError, match="unknown framing"):
        EmotionConsistency(JUDGE, framing="center")
    with pytest.raises(UnknownNameError, match="nobody"):
        EmotionConsistency("nobody")


def test_a_bundled_judge_by_name() -> None:
    sr, hr = all_faces()
    metric = EmotionConsistency("face-api")
    fed(metric, sr, hr, 30)
    result = emotion_consistency(sr, hr, "face-api")
    assert float(metric.compute()["ecm_mean"]) == pytest.approx(float(result), abs=1e-6)


# torchmetrics


@pytest.fixture
def torchmetrics() -> Any:
    return pytest.importorskip("torchmetrics")


def test_works_in_a_metric_collection(torchmetrics: Any) -> None:
    sr, hr = all_faces()
    collection = torchmetrics.MetricCollection(
        {"emotion": EmotionConsistency(JUDGE), "mse": torchmetrics.MeanSquaredError()},
        prefix="val/",
    )
    fed(collection, sr, hr)
    values = collection.compute()
    assert set(values) == {"val/ecm", "val/ecm_mean", "val/agreement", "val/mse"}
    assert values["val/ecm"].item() == pytest.approx(expected(sr, hr)["ecm"], abs=1e-12)
    assert values["val/mse"].item() == pytest.approx(float((sr - hr).square().mean()), abs=1e-6)
    collection.reset()
    collection.update(sr[:9], hr[:9])
    values = collection.clone().compute()
    assert values["val/ecm"].item() == pytest.approx(expected(sr[:9], hr[:9])["ecm"], abs=1e-12)


def test_metrics_of_other_settings_never_share_a_state(torchmetrics: Any) -> None:
    """After a first batch of identical images all of their states hold the same values."""
    sr, hr = all_faces()
    other = TinyJudge(replace(SPEC, name="other"), contrast=1.0)
    collection = torchmetrics.MetricCollection(
        {
            "one": EmotionConsistency(JUDGE),
            "two": EmotionConsistency(other),
            "three": EmotionConsistency(JUDGE, alpha=0.1),
        }
    )
    collection.update(hr, hr)
    collection.update(sr, hr)
    values = collection.compute()
    one, two, three = (values[f"{name}_ecm"].item() for name in ("one", "two", "three"))
    assert len({one, two, three}) == 3
    both = torch.cat([hr, sr]), torch.cat([hr, hr])
    assert one == pytest.approx(expected(*both)["ecm"], abs=1e-12)
    assert three == pytest.approx(expected(*both, alpha=0.1)["ecm"], abs=1e-12)


def test_forward_gives_the_batch_and_keeps_the_sum(torchmetrics: Any) -> None:
    sr, hr = all_faces()
    metric = EmotionConsistency(JUDGE)
    for part in (slice(0, 25), slice(25, 60)):
        assert same(metric(sr[part], hr[part]), expected(sr[part], hr[part]))
    assert same(metric.compute(), expected(sr, hr))


def test_survives_pickling_and_ignores_train(torchmetrics: Any) -> None:
    class Moody(torch.nn.Module):
        spec, classes = JUDGE.spec, JUDGE.classes

        def logits(self, x: torch.Tensor) -> torch.Tensor:
            return JUDGE.logits(x) * (2.0 if self.training else 1.0)

    sr, hr = all_faces()
    metric: Any = EmotionConsistency(Moody().eval())
    metric.train()
    fed(metric, sr, hr)
    assert same(metric.compute(), expected(sr, hr))
    plain = EmotionConsistency(JUDGE)
    fed(plain, sr[:30], hr[:30])
    thawed = pickle.loads(pickle.dumps(plain))
    fed(thawed, sr[30:], hr[30:])
    assert same(thawed.compute(), expected(sr, hr))


# two processes


def in_two_processes(folder: Path, torchmetrics: str, shards: list[list[int]]) -> list[list[dict]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "ecm_worker.py")]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(folder), torchmetrics, json.dumps(shards)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        answers = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, error) in zip(processes, answers, strict=True):
        assert process.returncode == 0, error
    return [json.loads(answer) for answer, _ in answers]


@pytest.mark.slow
@pytest.mark.parametrize("torchmetrics", ["with", "without"])
def test_two_processes_give_the_single_value(tmp_path: Path, torchmetrics: str) -> None:
    if torchmetrics == "with":
        pytest.importorskip("torchmetrics")
    sr, hr = all_faces()
    wanted = expected(sr, hr)
    # uneven shards, then a process without any face, on either side
    shards = [[0, 41, TOTAL], [0, TOTAL, TOTAL], [0, 0, TOTAL]]
    for results in in_two_processes(tmp_path, torchmetrics, shards):
        assert len(results) == 3
        for result in results:
            assert result == pytest.approx(wanted, abs=1e-12)


@pytest.mark.slow
def test_without_torchmetrics_everything_else_works(tmp_path: Path) -> None:
    """The tests of this module that need no torchmetrics, in a Python that cannot import it."""
    (tmp_path / "hide.py").write_text("import sys\nsys.modules['torchmetrics'] = None\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "hide", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "-m", "not slow", __file__],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout
    assert "4 skipped" in ran.stdout, ran.stdout
