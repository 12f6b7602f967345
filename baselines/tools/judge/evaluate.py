"""Measure the frozen judge: `python -m tools.judge.evaluate --data DIR --runs DIR`.

Writes `results/evaluation.json`: agreement with votes on both tests with intervals, the same on
reduced faces, mirroring and speed; with `--expressions DIR` also what it says of that labelled set.
The private test and the labelled set serve for this and nothing else, once: an evaluation that
holds private figures is not overwritten. Other judges stand beside it, for comparison.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affectbench.judges import load_judge
from affectbench.judges.catalogue import BUNDLED
from affectbench.types import EXPRESSIONS, Judge
from tools.judge.augment import blur, down_up
from tools.judge.data import Split, load_split
from tools.judge.former import SPEC as FORMER
from tools.judge.former import load_former
from tools.judge.freeze import RESULTS
from tools.judge.labelled import labelled_figures
from tools.judge.measures import (
    accuracy_figures,
    agreement,
    kl,
    mirror_disagreement,
    random_pairs,
    top_bins,
    top_ece,
    vote_figures,
)

_LOG = logging.getLogger("judge.evaluate")
JUDGE = "resnet-ferplus"
OTHERS = (FORMER.name, *(name for name in BUNDLED if name != JUDGE))
_REDUCTIONS = {"x2": 24, "x4": 12, "x8": 6}
_BLURS = (1.0,)
_MIRRORED = 512  # faces
_DRAWS = 1_000
_DRAW_PAIRS = 10_000
_SEED = 17


@torch.inference_mode()
def judged(judge: Judge, faces: Tensor) -> Tensor:
    """Return the logits (N,7) of faces (N,1,48,48), as users get them."""
    parts = [judge.logits(part.expand(-1, 3, -1, -1)) for part in torch.split(faces, 64)]
    return torch.cat(parts)


def split_figures(judge: Judge, split: Split) -> dict[str, Any]:
    """Return every figure of one split; intervals over faces for our own judge."""
    logits = judged(judge, split.all_faces())
    p, votes = logits.double().softmax(1).numpy(), split.shares.double().numpy()
    labelled = logits.argmax(1) == split.labels
    return {
        "faces": len(p),
        "clear_faces": int((votes.max(1) > 0.5).sum()),
        "figures": vote_figures(logits, split.shares),
        "agreed": agreed_figures(p, votes, split.agreed.numpy()),
        "intervals": intervals(p, votes) if judge.spec.name == JUDGE else {},
        "accuracy_on_fer2013_labels": labelled.double().mean().item(),
        "calibration_bins": top_bins(p, votes).tolist(),
        "confusion_rows_voted": confusion(p, votes),
    }


def agreed_figures(
    p: NDArray[np.float64], votes: NDArray[np.float64], agreed: NDArray[np.bool_]
) -> dict[str, float]:
    """Return accuracies where more than half of all votes agree, a stricter rule."""
    found = accuracy_figures(p[agreed], votes[agreed])
    return {
        "faces": int(agreed.sum()),
        "accuracy": found["accuracy"],
        "balanced": found["balanced"],
    }


def confusion(p: NDArray[np.float64], votes: NDArray[np.float64]) -> list[list[int]]:
    """Return counts (7,7) where over half agree: rows are the voters', columns the judge's."""
    clear = votes.max(1) > 0.5
    table = np.zeros((len(EXPRESSIONS), len(EXPRESSIONS)), dtype=int)
    np.add.at(table, (votes[clear].argmax(1), p[clear].argmax(1)), 1)
    rows: list[list[int]] = table.tolist()
    return rows


def intervals(p: NDArray[np.float64], votes: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return 95 % percentile intervals from resampled faces."""
    generator = np.random.default_rng(_SEED)
    first, second = random_pairs(len(p), _DRAW_PAIRS)
    found: dict[str, list[float]] = {}
    for _ in range(_DRAWS):
        drawn = generator.integers(0, len(p), len(p))
        some, real = p[drawn], votes[drawn]
        # A face that was drawn twice forms pairs with itself, which carry no information.
        unlike = drawn[first] != drawn[second]
        clear = accuracy_figures(some, real)
        figures = {
            "spearman": agreement(some, real, (first[unlike], second[unlike])),
            "accuracy": clear["accuracy"],
            "balanced": clear["balanced"],
            "hellinger": float(np.sqrt(0.5 * ((some**0.5 - real**0.5) ** 2).sum(1)).mean()),
            "kl": kl(some, real),
            "ece_top": top_ece(some, real),
        }
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
    return {name: np.quantile(v, [0.025, 0.975]).tolist() for name, v in found.items()}


def reduced_figures(judge: Judge, split: Split) -> list[dict[str, Any]]:
    """Return agreement, calibration and stable labels on reduced and blurred faces."""
    changes: list[tuple[str, Callable[[Tensor], Tensor]]] = [
        *((f"bicubic {name}", partial(down_up, size=n)) for name, n in _REDUCTIONS.items()),
        *((f"blur of {sigma:g} px", partial(blur, sigma=sigma)) for sigma in _BLURS),
    ]
    faces = split.all_faces()
    clean = judged(judge, faces).argmax(1)
    rows = []
    for name, change in changes:
        logits = judged(judge, change(faces))
        figures = vote_figures(logits, split.shares)
        chosen = ("spearman", "accuracy", "balanced", "hellinger", "kl", "ece", "ece_top")
        same = (logits.argmax(1) == clean).double().mean().item()
        rows.append({"change": name, "same_label": same, **{k: figures[k] for k in chosen}})
    return rows


def speed(judges: Sequence[Judge], batch: int = 64, rounds: int = 12) -> dict[str, float]:
    """Return faces per second of `logits` on 128 px faces, the judges taking turns."""
    crops = torch.rand(batch, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {judge.spec.name: [] for judge in judges}
    with torch.inference_mode():
        for _ in range(rounds):
            for judge in judges:
                began = time.perf_counter()
                judge.logits(crops)
                seconds[judge.spec.name].append(time.perf_counter() - began)
    return {name: batch / median(values[2:]) for name, values in seconds.items()}


def evaluate(data: Path, runs: Path, expressions: Path | None) -> dict[str, Any]:
    """Return all figures; those of sets that are opened once only with `expressions`."""
    cache = runs / "similarity.npz"
    judge, former = load_judge(JUDGE), load_former()
    public = load_split(data, "public_test", cache)
    faces = public.all_faces()[:_MIRRORED]
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "public_test": split_figures(judge, public),
        "mirror": mirror_disagreement(judged(judge, faces), judged(judge, faces.flip(3))),
        "faces_per_second": speed((judge, former)),
    }
    if expressions:
        private = load_split(data, "private_test", cache)
        result["private_test"] = split_figures(judge, private)
        others = {name: former if name == FORMER.name else load_judge(name) for name in OTHERS}
        result["private_test_reduced"] = {
            one.spec.name: reduced_figures(one, private) for one in (judge, former)
        }
        result["others_private_test"] = {n: split_figures(o, private) for n, o in others.items()}
        result["expressions"] = {
            name: labelled_figures(one, expressions)
            for name, one in {JUDGE: judge, **others}.items()
        }
    return result


def main(arguments: list[str] | None = None) -> None:
    """Evaluate and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of FER2013 and FER+")
    parser.add_argument("--runs", type=Path, required=True, help="folder that holds the runs")
    parser.add_argument("--expressions", type=Path, help="labelled set; opens the private test too")
    parser.add_argument("--out", type=Path, default=RESULTS / "evaluation.json")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    if options.out.exists() and "private_test" in json.loads(options.out.read_text("utf-8")):
        raise FileExistsError(f"{options.out} holds private test figures already")
    result = evaluate(options.data, options.runs, options.expressions)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _LOG.info("%s", result["public_test"]["figures"])


if __name__ == "__main__":
    main()
