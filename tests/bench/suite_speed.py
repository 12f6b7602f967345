"""The runner against the plain script, and what the runner itself costs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import made_faces
import plain_script
import rounds
import torch

from affectbench.adapters import load_model, parse_models
from affectbench.adapters.contract import run_model
from affectbench.images.tensors import unit_range
from affectbench.judges import load_judge
from affectbench.results.runs import load_run
from affectbench.run.plan import RunRequest, make_plan
from affectbench.run.scoring import score
from affectbench.run.session import run_comparison
from affectbench.run.sources import Produced, read_batch

FACES, FEWER, OWN = 96, 48, 1000
NETWORK = f"python:{Path(__file__).with_name('networks.py')}:plain_x8"
FIVE = (
    "nearest",
    "bicubic",
    "lanczos",
    f"{NETWORK}@width=32@depth=8@seed=1@name=first",
    f"{NETWORK}@width=32@depth=8@seed=2@name=second",
)


def report(work: Path) -> str:
    """The section of performance.md on the default suite."""
    many, fewer = (made_faces.write_faces(work / f"suite-{n}", n) for n in (FACES, FEWER))
    rows = [_compared(many, work, ("bicubic",)), _compared(fewer, work, FIVE)]
    return (
        f"## The default suite\n\n`{', '.join(plain_script.suite())}` over {FACES} faces "
        f"({FEWER} with five models) at x8, against `tests/bench/plain_script.py`, which uses the "
        "same networks and functions one face at a time. Reading, degrading, loading networks and "
        "writing results are included on both sides; the runner also hashes the faces and keeps a "
        "record of every value. Without anchors and tables, which the script does not make.\n\n"
        + rounds.table(("models", "script, ms per face and model", "runner", "ratio"), rows)
    )


def report_own_cost(work: Path) -> str:
    """The section of performance.md on the runner's own cost."""
    folder = made_faces.write_faces(work / "own", OWN)
    suites = (("ecm", "psnr", "ssim"), plain_script.suite())
    rows = [_own_cost(folder, work, metrics) for metrics in suites]
    parameters = sum(p.numel() for p in _parameters(load_model(NETWORK)))
    head = ("metrics", "model and metrics, ms a face", "whole run", "own cost")
    return (
        f"## The runner's own cost\n\n{OWN} faces at 128 px, a model of {parameters:,} "
        "parameters. What the model and the metrics take on faces that are in memory, and the "
        "whole run, with reading and hashing the faces, degrading, loading the networks, "
        "measuring the model's cost, intervals and records. Part of that is the same for any "
        "number of faces.\n\n" + rounds.table(head, rows)
    )


def _own_cost(folder: Path, work: Path, names: Sequence[str]) -> tuple[str, str, str, str]:
    request = _request(folder, (NETWORK,), names)
    (plan,) = make_plan(request, lambda _text: None)
    batches = [read_batch(plan.pairs, ids) for _, ids in plan.batches()]
    model = load_model(NETWORK)
    judge = load_judge(plain_script.JUDGE)
    measures = {cell.measure.metric: cell.measure for cell in plan.cells}
    metrics = {
        name: m.plugin.build(m.settings, judge if m.judge else None, torch.device("cpu"))
        for name, m in measures.items()
    }

    def bare() -> None:
        for batch in batches:
            sr = run_model(model, unit_range(batch.lr), plain_script.SCALE)
            produced = Produced(sr, tuple(range(len(batch.ids))))
            for name, metric in metrics.items():
                score(metric, measures[name], batch, produced, {})

    seconds = rounds.medians({"whole": _runner(request, work), "bare": bare})
    share = seconds["whole"] / seconds["bare"] - 1
    each = {name: 1000 * value / OWN for name, value in seconds.items()}
    return ", ".join(names), f"{each['bare']:.2f}", f"{each['whole']:.2f}", f"{share:.1%}"


def _compared(folder: Path, work: Path, models: Sequence[str]) -> tuple[str, str, str, str]:
    request = _request(folder, models, plain_script.suite())
    files = sorted(folder.iterdir())

    def script() -> None:
        for text in models:
            plain_script.score_model(load_model(text), files, "centre", work / "plain.csv")

    runner = _runner(request, work)
    _require_equal(runner(), load_model(models[0]), files, work)
    seconds = rounds.medians({"script": script, "runner": runner})
    each = {name: 1000 * value / (len(files) * len(models)) for name, value in seconds.items()}
    return (
        str(len(models)),
        f"{each['script']:.1f}",
        f"{each['runner']:.1f}",
        f"{each['script'] / each['runner']:.2f}",
    )


def _require_equal(run: Path, model: object, files: Sequence[Path], work: Path) -> None:
    """Both sides measure the same: means of the first model agree."""
    plain = plain_script.score_model(model, files, "centre", work / "plain.csv")
    loaded = load_run(run)
    first = loaded.records[0].row
    for record in loaded.records:
        name = record.metric["name"]
        if record.row == first:
            mean = float(loaded.columns(record)[name].mean())
            if abs(mean - plain[name]) > 1e-4 * max(1.0, abs(mean)):
                raise SystemExit(f"{name}: the script gives {plain[name]}, the runner {mean}")


def _request(folder: Path, models: Sequence[str], metrics: Sequence[str]) -> RunRequest:
    return RunRequest(
        models=tuple(parse_models(",".join(models))),
        datasets=(("made", folder),),
        metrics=tuple(metrics),
        judges=(plain_script.JUDGE,),
        anchors=(),
        device="cpu",
    )


def _runner(request: RunRequest, work: Path) -> Callable[[], Path]:
    out = work / "run"

    def run() -> Path:
        shutil.rmtree(out, ignore_errors=True)
        outcome = run_comparison(request, out)
        if outcome.failed:
            raise SystemExit(f"a model failed: {outcome.failed[0].error}")
        return out

    return run


def _parameters(model: Any) -> list[torch.Tensor]:
    return list(model.network.parameters())
