"""Choose the candidate that is best on the public test split, calibrate it and write its weights.

`python -m affectbench.judges.resnet_fer.freeze --data DIR --run DIR` compares the checkpoints of
a run (the last raw and averaged weights, and the best averaged ones), takes the most accurate one
after rounding to float16, fits its temperature on the same split and writes `weights.safetensors`
and `frozen.json`. The private test split is opened for its pixel hashes only.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .data import Split, load_split
from .measures import accuracy, expected_calibration_error, fit_temperature, predict
from .network import CLASSES, ResNetFer

_LOG = logging.getLogger("resnet_fer.freeze")
_MAX_BYTES = 6_000_000
State = dict[str, Tensor]


def load_network(weights: Path) -> ResNetFer:
    """The network in float32 and eval mode with weights from a safetensors file."""
    model = ResNetFer()
    state = load_file(weights)
    model.load_state_dict({name: widen(value) for name, value in state.items()})
    return model.to(memory_format=torch.channels_last).eval()  # half as fast otherwise


def widen(value: Tensor) -> Tensor:
    """Floating point as float32, counters unchanged."""
    return value.float() if value.is_floating_point() else value


def halve(state: State) -> State:
    """Floating point as float16, counters unchanged, each tensor with its own dense memory."""
    return {
        name: (value.half() if value.is_floating_point() else value).clone().contiguous()
        for name, value in state.items()
    }


def read_candidates(run: Path) -> dict[str, State]:
    """The states that a run left behind, by name."""
    last = torch.load(run / "checkpoint.pt", weights_only=True)
    found: dict[str, State] = {"last_ema": last["ema"], "last_raw": last["model"]}
    found["best_ema"] = torch.load(run / "best_ema.pt", weights_only=True)["model"]
    return found


def judge(model: ResNetFer, state: State, public: Split) -> tuple[dict[str, float], Tensor]:
    """Public figures of a state in float32 and float16, and the latter's logits."""
    model.load_state_dict(state)
    faces, labels = public.all_faces(), public.labels
    exact = predict(model, faces)
    model.load_state_dict({name: widen(value) for name, value in halve(state).items()})
    logits = predict(model, faces)
    temperature = fit_temperature(logits, labels)
    figures = {
        "public_accuracy_float32": accuracy(exact, labels),
        "public_accuracy_float16": accuracy(logits, labels),
        "temperature": temperature,
        "public_ece_before": expected_calibration_error(logits, labels),
        "public_ece_after": expected_calibration_error(logits, labels, temperature),
    }
    return figures, logits


def run_summary(run: Path) -> dict[str, float | int]:
    """Epochs, batches and seconds that the log of a run adds up to."""
    with (run / "train_log.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        "epochs": int(rows[-1]["epoch"]),
        "batches": sum(int(row["batches"]) for row in rows),
        "seconds_training": round(sum(float(row["seconds_training"]) for row in rows), 1),
        "seconds_evaluating": round(sum(float(row["seconds_evaluating"]) for row in rows), 1),
        "final_progress": float(rows[-1]["progress"]),
    }


def freeze(data: Path, run: Path, out: Path) -> dict[str, Any]:
    """Write `weights.safetensors`, `frozen.json` and `train_log.csv` to `out`."""
    public = load_split(data, "public_test")
    model = ResNetFer().to(memory_format=torch.channels_last)
    candidates = read_candidates(run)
    figures = {name: judge(model, state, public)[0] for name, state in candidates.items()}
    # Ties go to the first listed: the last averaged weights, which no epoch was picked for.
    chosen = max(figures, key=lambda name: figures[name]["public_accuracy_float16"])
    weights = out / "weights.safetensors"
    metadata = {
        "classes": " ".join(CLASSES),
        "temperature": repr(figures[chosen]["temperature"]),
        "candidate": chosen,
    }
    save_file(halve(candidates[chosen]), weights, metadata=metadata)
    size = weights.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"{weights} has {size} bytes, more than {_MAX_BYTES}")
    shutil.copyfile(run / "train_log.csv", out / "train_log.csv")
    frozen = {
        "chosen": chosen,
        "temperature": figures[chosen]["temperature"],
        "candidates": figures,
        "public_faces": len(public.labels),
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_bytes": size,
        "run": run_summary(run),
    }
    (out / "frozen.json").write_text(json.dumps(frozen, indent=2) + "\n", encoding="utf-8")
    return frozen


def main(arguments: list[str] | None = None) -> None:
    """Freeze a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _LOG.info("%s", json.dumps(freeze(options.data, options.run, options.out), indent=2))


if __name__ == "__main__":
    main()
