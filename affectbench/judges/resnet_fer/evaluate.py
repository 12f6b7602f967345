"""Evaluate the frozen weights: `python -m affectbench.judges.resnet_fer.evaluate --data DIR`.

Writes `evaluation.json`: figures of the public and the private test split, of the public split at
lower resolutions, mirroring and speed. The private split serves for this and nothing else, once:
the script refuses to overwrite an evaluation that holds private figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from affectbench.images.tensors import resized
from affectbench.judges.network_judge import coloured

from .augment import blur, down_up
from .data import Split, load_split
from .freeze import load_network
from .measures import (
    accuracy,
    calibration_bins,
    confusion,
    expected_calibration_error,
    mirror_disagreement,
    predict,
    recalls,
)
from .network import CLASSES, NATIVE_SIZE, ResNetFer

_LOG = logging.getLogger("resnet_fer.evaluate")
_HERE = Path(__file__).parent
_LOW_SIZES = (32, 24, 16, 12, 8, 6)
_BLURS = (0.5, 1.0, 1.5, 2.0)


def read_temperature(weights: Path) -> float:
    """The temperature that was fitted when the weights were frozen."""
    with safe_open(weights, framework="pt") as archive:
        return float(archive.metadata()["temperature"])


def split_figures(logits: Tensor, labels: Tensor, temperature: float) -> dict[str, Any]:
    """Accuracy, recall, confusion and calibration of one split."""
    counts = confusion(logits, labels)
    recall = recalls(counts)
    loss_before = F.cross_entropy(logits, labels).item()
    table = calibration_bins(F.softmax(logits / temperature, dim=1), labels)
    return {
        "faces": len(labels),
        "accuracy": accuracy(logits, labels),
        "balanced_accuracy": recall.mean().item(),
        "recall": dict(zip(CLASSES, recall.tolist(), strict=True)),
        "faces_per_class": dict(zip(CLASSES, counts.sum(dim=1).tolist(), strict=True)),
        "confusion_rows_true": counts.tolist(),
        "ece_before": expected_calibration_error(logits, labels),
        "ece_after": expected_calibration_error(logits, labels, temperature),
        "cross_entropy_before": loss_before,
        "cross_entropy_after": F.cross_entropy(logits / temperature, labels).item(),
        "calibration_bins": table.tolist(),
    }


def evaluate_split(model: ResNetFer, split: Split, temperature: float) -> dict[str, Any]:
    """The figures of the plain faces, of one side alone, and how the mirrored faces differ."""
    faces = split.all_faces()
    logits = predict(model, faces)
    figures = split_figures(logits, split.labels, temperature)
    one_sided = torch.cat([_one_sided(model, part) for part in torch.split(faces, 256)])
    figures["accuracy_one_sided"] = accuracy(one_sided, split.labels)
    figures["mirror"] = mirror_disagreement(logits, predict(model, faces.flip(3)))
    return figures


@torch.inference_mode()
def _one_sided(model: ResNetFer, faces: Tensor) -> Tensor:
    logits: Tensor = model.head(model.one_sided(faces))
    return logits


def degraded_figures(model: ResNetFer, split: Split, temperature: float) -> list[dict[str, Any]]:
    """Accuracy and calibration on faces of lower resolution, blurred, or enlarged to 128 px RGB."""
    changes: list[tuple[str, Callable[[Tensor], Tensor]]] = []
    for size in _LOW_SIZES:
        changes.append((f"48 -> {size} -> 48 px, bicubic", partial(down_up, size=size)))
    for sigma in _BLURS:
        changes.append((f"gaussian blur, sigma {sigma} px", partial(blur, sigma=sigma)))
    changes.append(("48 -> 128 px RGB -> network", _enlarge))
    clean = predict(model, split.all_faces()).argmax(dim=1)
    rows = []
    for name, change in changes:
        logits = predict(model, prepare_faces(change(split.all_faces())))
        rows.append(
            {
                "change": name,
                "accuracy": accuracy(logits, split.labels),
                "balanced_accuracy": recalls(confusion(logits, split.labels)).mean().item(),
                "same_label_as_clean": (logits.argmax(dim=1) == clean).double().mean().item(),
                "ece_after": expected_calibration_error(logits, split.labels, temperature),
            }
        )
    return rows


def prepare_faces(faces: Tensor) -> Tensor:
    """Crops (N,1|3,H,W) as the judge gives them to the network: grey (N,1,48,48)."""
    grey = coloured(faces, "grey") if faces.shape[1] == 3 else faces
    return resized(grey, NATIVE_SIZE)


def _enlarge(faces: Tensor) -> Tensor:
    large = F.interpolate(faces, size=(128, 128), mode="bicubic", align_corners=False)
    return large.clamp(0.0, 1.0).expand(-1, 3, -1, -1)


def measure_speed(model: ResNetFer, batch: int = 64, rounds: int = 15) -> dict[str, float]:
    """Faces per second from uint8 crops to logits, median over rounds, at two kinds of input."""
    generator = torch.Generator().manual_seed(0)
    results: dict[str, float] = {"batch": batch, "threads": torch.get_num_threads()}
    for name, channels, size in (("grey_48px", 1, 48), ("rgb_128px", 3, 128)):
        shape = (batch, channels, size, size)
        crops = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        seconds = []
        for _ in range(rounds):
            began = time.perf_counter()
            predict(model, prepare_faces(crops.float().div_(255.0)), batch)
            seconds.append(time.perf_counter() - began)
        results[f"faces_per_second_{name}"] = batch / median(seconds[2:])
    return results


def evaluate(data: Path, weights: Path, private: bool) -> dict[str, Any]:
    """All figures; the private split only if asked."""
    model = load_network(weights)
    temperature = read_temperature(weights)
    public = load_split(data, "public_test")
    result: dict[str, Any] = {
        "temperature": temperature,
        "parameters": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "public_test": evaluate_split(model, public, temperature),
        "public_test_degraded": degraded_figures(model, public, temperature),
        "speed": measure_speed(model),
    }
    if private:
        split = load_split(data, "private_test")
        result["private_test"] = evaluate_split(model, split, temperature)
    return result


def refuse_second_private(out: Path) -> None:
    """Raise FileExistsError where an evaluation with private figures exists."""
    if out.exists() and "private_test" in json.loads(out.read_text(encoding="utf-8")):
        raise FileExistsError(f"{out} holds private test figures already")


def main(arguments: list[str] | None = None) -> None:
    """Evaluate and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=_HERE / "weights.safetensors")
    parser.add_argument("--out", type=Path, default=_HERE / "evaluation.json")
    parser.add_argument("--private", action="store_true", help="open the private split, once")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    refuse_second_private(options.out)
    result = evaluate(options.data, options.weights, options.private)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _LOG.info("public accuracy %.4f", result["public_test"]["accuracy"])


if __name__ == "__main__":
    main()
