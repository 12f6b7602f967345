"""The figure of the README: the two demo faces at x8, and what the default judge reads on them.

`python docs/figures/readme.py` writes `readme.png` beside this file. Both faces are in the public
domain (US Navy, NASA); no other face may be in a figure of these docs.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes

from affectbench import emotion_consistency, load_dataset, load_judge, load_model
from affectbench.adapters.contract import run_model
from affectbench.datasets.protocol import face_pair
from affectbench.faces.regions import crop
from affectbench.images.tensors import pixels, quantise, stack, unit_range
from affectbench.types import StoredResults, TestProtocol

MODELS = ("nearest", "bicubic", "lanczos")
TARGET = Path(__file__).with_name("readme.png")


def draw(target: Path) -> None:
    """Each model's SR and HR of both faces, with label, confidence and ECM under each."""
    dataset, protocol = load_dataset("demo"), TestProtocol()
    pairs = [face_pair(dataset.read(name), protocol, name) for name in dataset.ids]
    hr, lr = (unit_range(stack([pair[i] for pair in pairs])) for i in (0, 1))
    columns = {}
    for name in MODELS:
        model = load_model(name, protocol.scale)
        if not isinstance(model, StoredResults):
            columns[name] = unit_range(run_model(model, lr, protocol.scale))
    columns["original"] = hr
    framing = dataset.spec.framing
    figure, axes = plt.subplots(2, len(columns), figsize=(6.0, 3.75), dpi=90)
    for i, (title, faces) in enumerate(columns.items()):
        captions = _captions(faces, hr, framing)
        for row in range(2):
            _show(axes[row, i], _pixels_of(faces[row]), title if row == 0 else "", captions[row])
    figure.subplots_adjust(0.01, 0.09, 0.99, 0.94, wspace=0.04, hspace=0.27)
    figure.savefig(target, facecolor="white", metadata={"Software": None})
    plt.close(figure)


def _captions(sr: torch.Tensor, hr: torch.Tensor, framing: str) -> list[str]:
    """What the judge reads on each face, and its ECM where it is not the reference itself."""
    judge = load_judge()
    confidence, label = judge.logits(crop(sr, framing)).softmax(1).max(1)
    ecm = emotion_consistency(sr, hr, judge, framing=framing).to_frame().ecm
    return [
        f"{judge.classes[k]} {100 * p:.0f} %" + ("" if torch.equal(a, b) else f"\nECM {value:.3f}")
        for k, p, a, b, value in zip(
            label.tolist(), confidence.tolist(), sr, hr, ecm.tolist(), strict=True
        )
    ]


def _pixels_of(face: torch.Tensor) -> object:
    """One face (3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    return pixels(quantise(face[None]))[0]


def _show(axes: Axes, image: object, title: str, caption: str) -> None:
    axes.imshow(image, interpolation="nearest")  # type: ignore[arg-type]
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    axes.text(0.5, -0.03, caption, transform=axes.transAxes, ha="center", va="top", fontsize=9)


if __name__ == "__main__":
    draw(TARGET)
