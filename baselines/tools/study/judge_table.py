"""Every bundled judge in one table: accuracy, calibration, mirroring, size and speed.

`python -m tools.study.judge_table --fer2013 DIR --out docs/judges.csv` reads the private
test split of FER2013 (`private_test.npz`: `images` uint8 (n, 48, 48), `labels`, `classes`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch

from affectbench.judges import load_judge
from affectbench.judges.catalogue import BUNDLED
from affectbench.records import write_atomic
from affectbench.types import EXPRESSIONS, Judge
from tools.judge.measures import accuracy_figures, mirror_disagreement, top_ece

BATCH = 64
ROUNDS = 9


def judge_row(judge: Judge, images: torch.Tensor, labels: Sequence[str]) -> dict[str, object]:
    """Return the figures of one judge on labelled faces (N, 3, H, W) in [0, 1]."""
    logits = _logits(judge, images)
    # A label is a vote of everybody for one expression.
    votes = (np.array(labels)[:, None] == np.array(judge.classes)).astype(float)
    p = logits.double().softmax(1).numpy()
    found = accuracy_figures(p, votes)
    mirrored = mirror_disagreement(logits, _logits(judge, images.flip(3)))
    return {
        "judge": judge.spec.name,
        "accuracy": found["accuracy"],
        "balanced_accuracy": found["balanced"],
        "ece": top_ece(p, votes),
        "temperature": judge.spec.temperature,
        "mirror_other_label": mirrored["label_share"],
        "faces_per_second": speed(judge),
        **{f"recall_{name}": found[f"recall_{name}"] for name in EXPRESSIONS},
    }


def speed(judge: Judge, side: int = 91) -> float:
    """Return faces per second in batches of 64 crops of `side` pixels, median of nine rounds."""
    crops = torch.rand(BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        _logits(judge, crops)
        seconds.append(time.perf_counter() - began)
    return BATCH / median(seconds)


@torch.inference_mode()
def _logits(judge: Judge, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([judge.logits(part) for part in torch.split(images, BATCH)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fer2013", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    with np.load(options.fer2013 / "private_test.npz") as archive:
        grey = torch.from_numpy(archive["images"]).float()[:, None] / 255.0
        names = [str(archive["classes"][label]) for label in archive["labels"]]
    rows = [judge_row(load_judge(name), grey.expand(-1, 3, -1, -1), names) for name in BUNDLED]
    text = pd.DataFrame(rows).to_csv(index=False, float_format="%.4f")
    write_atomic(options.out, text.encode())


if __name__ == "__main__":
    main()
