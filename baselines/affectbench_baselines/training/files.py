"""The files of a run: written atomically, and read without executing code."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from affectbench.assets.untrusted import read_weights
from affectbench.errors import WeightsError

CHECKPOINT, LOG, CURVE, WEIGHTS, DONE = (
    "checkpoint.pt",
    "log.csv",
    "curve.png",
    "weights.safetensors",
    "done.json",
)

Row = dict[str, float]


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint to a temporary file in the same folder, then rename it."""
    temporary = path.with_suffix(".tmp")
    torch.save(dict(state), temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's state; WeightsError if it is missing, damaged or of another kind."""
    state = read_weights(path)
    if not {"job", "network", "ema", "optimizer", "step"} <= set(state):
        raise WeightsError(f"{path}: is no checkpoint of this training")
    return state


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON through a temporary file."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def write_log(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV through a temporary file; columns that a row lacks stay empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def draw_curve(rows: Sequence[Row], path: Path, title: str) -> None:
    """Plot PSNR, SSIM and ECM over faces seen; does nothing without matplotlib or data."""
    measured = [row for row in rows if "psnr" in row]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    if not measured:
        return
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    panels = {
        "PSNR (dB)": ("psnr",),
        "SSIM": ("ssim",),
        "macro ECM": tuple(k for k in measured[0] if k.startswith("ecm_macro_")),
    }
    faces = [row["faces"] for row in measured]
    for axes, (label, names) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name in names:
            axes.plot(faces, [row[name] for row in measured], marker=".", label=name[10:])
        axes.set(xlabel="faces seen", ylabel=label)
    if panels["macro ECM"]:
        figure.axes[-1].legend(fontsize=7)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, metadata={"Date": None, "Software": None})
