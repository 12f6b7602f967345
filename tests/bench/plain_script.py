"""What a researcher writes to score one model: a loop over image files, one face at a time.

It uses affectbench's own public functions and networks, so that a comparison with the runner is of
how the work is organised and of nothing else: `inference_mode`, networks loaded once, batches of
one, nothing kept from one model to the next. It writes what such scripts write, a CSV of means.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from affectbench.faces.identity import load_face_descriptor
from affectbench.faces.regions import crop
from affectbench.judges import judge_spec, load_judge
from affectbench.metrics import list_metrics, metric_plugin
from affectbench.metrics.ecm import ecm_parts
from affectbench.metrics.fidelity import psnr, ssim
from affectbench.types import MetricSettings

Score = Callable[[torch.Tensor, torch.Tensor], float]
"""A value of an SR and an HR face, float (1, 3, H, W) in [0, 1]."""
SCALE = 8
JUDGE = "mini-xception"


def score_model(
    model: Callable[[torch.Tensor], torch.Tensor], files: Sequence[Path], framing: str, out: Path
) -> dict[str, float]:
    """Mean scores of a model over files of 128x128 faces, also written to the CSV file `out`."""
    scores = _scores(framing)
    rows = []
    with torch.inference_mode():
        for file in files:
            image = Image.open(file).convert("RGB")
            small = (image.width // SCALE, image.height // SCALE)
            hr, lr = _tensor(image), _tensor(image.resize(small, Image.Resampling.BICUBIC))
            sr = (model(lr).clamp(0, 1) * 255).round() / 255
            rows.append({name: score(sr, hr) for name, score in scores.items()})
    means = {name: float(np.mean([row[name] for row in rows])) for name in scores}
    with out.open("w", newline="") as sink:
        writer = csv.DictWriter(sink, list(means))
        writer.writeheader()
        writer.writerow(means)
    return means


def suite() -> tuple[str, ...]:
    """The default suite: `nme` is part of it once that metric is installed."""
    names = ("ecm", "psnr", "ssim", "identity", "nme")
    installed = {spec.name for spec in list_metrics()}
    return tuple(name for name in names if name in installed)


def _scores(framing: str) -> dict[str, Score]:
    judge, describe = load_judge(JUDGE), load_face_descriptor(torch.device("cpu"))

    def ecm(sr: torch.Tensor, hr: torch.Tensor) -> float:
        parts = ecm_parts(judge.logits(crop(hr, framing)), judge.logits(crop(sr, framing)))
        return float(parts.ecm)

    def identity(sr: torch.Tensor, hr: torch.Tensor) -> float:
        faces = (describe(crop(image, framing)) for image in (sr, hr))
        return float(torch.cosine_similarity(*faces))

    known: dict[str, Score] = {
        "ecm": ecm,
        "psnr": lambda sr, hr: float(psnr(sr, hr)),
        "ssim": lambda sr, hr: float(ssim(sr, hr)),
        "identity": identity,
    }
    return {name: known.get(name) or _plugin(name, framing) for name in suite()}


def _plugin(name: str, framing: str) -> Score:
    """Any other metric, called face by face as its plug-in is."""
    settings = MetricSettings("rgb", SCALE, framing, judge_spec(JUDGE))
    metric = metric_plugin(name).build(settings, None, torch.device("cpu"))

    def score(sr: torch.Tensor, hr: torch.Tensor) -> float:
        low, high = ((image * 255).round().to(torch.uint8) for image in (sr, hr))
        return float(metric.score(low, high, metric.reference(high))[name][0])

    return score


def _tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
