"""Write the judge's card from the figures: `python -m tools.judge.card`.

Reads `results/{frozen,evaluation}.json` and `card_template.md`; writes
`affectbench/judges/weights/resnet_ferplus.md` and `results/calibration.svg`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from affectbench.types import EXPRESSIONS
from tools.judge.evaluate import JUDGE
from tools.judge.former import SPEC as FORMER
from tools.judge.freeze import RESULTS, WEIGHTS

_HERE = Path(__file__).parent
_FIGURES = ("spearman", "accuracy", "balanced", "hellinger", "kl", "ece_top", "ece")
_NAMES = {JUDGE: f"**{JUDGE}**"}


def card(frozen: dict[str, Any], figures: dict[str, Any], template: str) -> str:
    """Return the text of the card."""
    private, public = figures["private_test"], figures["public_test"]
    labelled = figures["expressions"]
    splits = [("public test, chosen on", public), ("private test", private)]
    judges = [(JUDGE, private), *figures["others_private_test"].items()]
    fps, other_fps = figures["faces_per_second"].values()
    return template.format(
        **{key: frozen[key] for key in ("run", "strength", "temperature", "sha256")},
        **{f"train_{key}": value for key, value in frozen["train"].items()},
        **{f"public_{key}": value for key, value in frozen["public_test"].items()},
        parameters=frozen["parameters"],
        size=frozen["weights_bytes"],
        splits="\n".join(_agreement(name, row) for name, row in splits),
        judges="\n".join(_agreement(_NAMES.get(name, name), row) for name, row in judges),
        intervals=_intervals(private["intervals"]),
        agreed=_agreed(private["agreed"]),
        former=_agreed(figures["others_private_test"][FORMER.name]["agreed"]),
        agreed_faces=private["agreed"]["faces"],
        recalls=", ".join(f"{n} {private['figures'][f'recall_{n}']:.3f}" for n in EXPRESSIONS),
        own_labels=private["accuracy_on_fer2013_labels"],
        confusion=_confusion(private["confusion_rows_voted"]),
        labelled="\n".join(_labelled(name, row) for name, row in labelled.items()),
        labelled_recalls=", ".join(
            f"{name} {value:.2f}" for name, value in labelled[JUDGE]["recall"].items()
        ),
        reduced="\n".join(
            _reduced(_NAMES.get(name, name), row)
            for name, rows in figures["private_test_reduced"].items()
            for row in rows
        ),
        mirror=figures["mirror"]["label_share"],
        mirror_logit=figures["mirror"]["max_logit_difference"],
        machine=figures["machine"],
        speed=fps,
        speed_ratio=fps / other_fps,
    )


def _agreement(name: str, row: dict[str, Any]) -> str:
    cells = [f"{row['figures'][key]:.3f}" for key in _FIGURES]
    return f"| {name} | {row['faces']:,} | {row['clear_faces']:,} | " + " | ".join(cells) + " |"


def _agreed(row: dict[str, float]) -> str:
    return f"{row['accuracy']:.3f} ({row['balanced']:.3f} balanced)"


def _intervals(rows: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in rows.items())


def _labelled(name: str, row: dict[str, Any]) -> str:
    aucs = [row["auc"][kind] for kind in ("one_person", "two_persons")]
    cells = [f"{a['auc']:.3f} ({a['low']:.3f} to {a['high']:.3f})" for a in aucs]
    share = f"{row['accuracy']:.3f} | {row['balanced']:.3f}"
    return f"| {_NAMES.get(name, name)} | {share} | {cells[0]} | {cells[1]} |"


def _reduced(judge: str, row: dict[str, Any]) -> str:
    keys = ("same_label", "spearman", "accuracy", "balanced", "hellinger", "ece_top", "ece")
    return f"| {judge} | {row['change']} | " + " | ".join(f"{row[key]:.3f}" for key in keys) + " |"


def _confusion(rows: list[list[int]]) -> str:
    lines = ["| | " + " | ".join(EXPRESSIONS) + " |", "|---|" + "---:|" * len(EXPRESSIONS)]
    lines += [
        f"| {name} | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(EXPRESSIONS, rows, strict=True)
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
    axes.set(xlabel="probability of the first choice", ylabel="its share of the votes")
    axes.set(xlim=(0, 1), ylim=(0, 1), title="private test; area: faces")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the card and the plot."""
    frozen = json.loads((RESULTS / "frozen.json").read_text(encoding="utf-8"))
    figures = json.loads((RESULTS / "evaluation.json").read_text(encoding="utf-8"))
    template = (_HERE / "card_template.md").read_text(encoding="utf-8")
    WEIGHTS.with_suffix(".md").write_text(card(frozen, figures, template), encoding="utf-8")
    _plot(figures["private_test"]["calibration_bins"], RESULTS / "calibration.svg")


if __name__ == "__main__":
    main()
