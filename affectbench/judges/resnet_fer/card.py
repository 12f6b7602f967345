"""Write the model card from the figures: `python -m affectbench.judges.resnet_fer.card`.

Reads `frozen.json`, `evaluation.json` and `card_template.md`; writes `CARD.md` and
`calibration.svg`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .network import CLASSES

_HERE = Path(__file__).parent


def main() -> None:
    """Write the card and the plot."""
    frozen = json.loads((_HERE / "frozen.json").read_text(encoding="utf-8"))
    figures = json.loads((_HERE / "evaluation.json").read_text(encoding="utf-8"))
    config = json.loads((_HERE / "config.json").read_text(encoding="utf-8"))
    private = figures["private_test"]
    template = (_HERE / "card_template.md").read_text(encoding="utf-8")
    text = template.format(
        parameters=figures["parameters"],
        seed=config["seed"],
        epochs=frozen["run"]["epochs"],
        minutes=frozen["run"]["seconds_training"] / 60,
        chosen=frozen["chosen"],
        candidates=len(frozen["candidates"]),
        public_faces=frozen["public_faces"],
        temperature=frozen["temperature"],
        size=frozen["weights_bytes"],
        splits="\n".join(_split(n, figures[n]) for n in ("public_test", "private_test")),
        recalls=", ".join(f"{name} {value:.3f}" for name, value in private["recall"].items()),
        confusion=_confusion(private["confusion_rows_true"]),
        mirror=private["mirror"]["label_share"],
        mirror_logit=private["mirror"]["max_logit_difference"],
        degraded="\n".join(_degraded(row) for row in figures["public_test_degraded"]),
        machine=figures["machine"],
        speed=", ".join(
            f"{value:.0f} faces/s ({name.removeprefix('faces_per_second_').replace('_', ' ')})"
            for name, value in figures["speed"].items()
            if name.startswith("faces_per_second")
        ),
    )
    (_HERE / "CARD.md").write_text(text, encoding="utf-8")
    _plot(private["calibration_bins"], _HERE / "calibration.svg")


def _split(name: str, row: dict[str, Any]) -> str:
    keys = ("accuracy", "accuracy_one_sided", "balanced_accuracy", "ece_before", "ece_after")
    return f"| {name} | {row['faces']:,} | " + " | ".join(f"{row[k]:.4f}" for k in keys) + " |"


def _degraded(row: dict[str, Any]) -> str:
    keys = ("accuracy", "balanced_accuracy", "same_label_as_clean", "ece_after")
    return f"| {row['change']} | " + " | ".join(f"{row[k]:.3f}" for k in keys) + " |"


def _confusion(rows: list[list[int]]) -> str:
    lines = ["| | " + " | ".join(CLASSES) + " |", "|---|" + "---:|" * len(CLASSES)]
    lines += [
        f"| {name} | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(CLASSES, rows, strict=True)
    ]
    return "\n".join(lines)


def _plot(bins: list[list[float]], path: Path) -> None:
    from matplotlib.figure import Figure

    filled = [row for row in bins if row[0] > 0]
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    largest = max(row[0] for row in filled)
    sizes = [200 * row[0] / largest for row in filled]
    axes.scatter([row[1] for row in filled], [row[2] for row in filled], s=sizes, color="black")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("private test; area: faces")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
