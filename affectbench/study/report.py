"""The study as files: a Markdown report, a CSV per table, two plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from affectbench.errors import MissingExtraError
from affectbench.records import write_atomic


@dataclass(frozen=True)
class Section:
    """A part of the report: a question, how to read the answer, and the table."""

    slug: str
    title: str
    reading: str
    table: pd.DataFrame


def write_report(title: str, intro: Sequence[str], sections: Sequence[Section], out: Path) -> Path:
    """Write `study.md`, the tables as CSV next to it, and the plots; return the report's path."""
    plots = _plots({section.slug: section.table for section in sections}, out)
    images = [f"![{caption}]({name})" for name, caption in plots]
    return write_sections(title, intro, sections, out / "study.md", images)


def write_sections(
    title: str,
    intro: Sequence[str],
    sections: Sequence[Section],
    path: Path,
    end: Sequence[str] = (),
) -> Path:
    """Write a Markdown page, and the tables as CSV next to it; return the page's path."""
    lines = [f"# {title}", "", *intro, ""]
    for section in sections:
        name = f"{section.slug}.csv"
        write_atomic(
            path.parent / name, section.table.to_csv(index=False, float_format="%.6g").encode()
        )
        lines += [f"## {section.title}", "", section.reading, "", markdown(section.table), ""]
        lines += [f"All digits: [{name}]({name}).", ""]
    write_atomic(path, ("\n".join([*lines, *end]).rstrip() + "\n").encode())
    return path


def markdown(table: pd.DataFrame) -> str:
    """Return a Markdown table with three decimals; intervals follow their value."""
    shown = table.copy()
    for low in [c for c in shown.columns if str(c).endswith("_low")]:
        value, high = low.removesuffix("_low"), low.replace("_low", "_high")
        shown[value] = [
            f"{_cell(v)} [{_cell(a)}, {_cell(b)}]"
            for v, a, b in zip(shown[value], shown[low], shown[high], strict=True)
        ]
        shown = shown.drop(columns=[low, high])
    head = "| " + " | ".join(str(c).replace("_", " ") for c in shown.columns) + " |"
    rule = "|" + "---|" * len(shown.columns)
    rows = ["| " + " | ".join(_cell(v) for v in row) + " |" for row in shown.to_numpy()]
    return "\n".join([head, rule, *rows])


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"


def _plots(tables: dict[str, pd.DataFrame], out: Path) -> list[tuple[str, str]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the study's plots", "plots") from error
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    if "response" not in tables:
        return []  # without labels there is nothing to plot
    response = tables["response"]
    for judge, rows in response[response.kind == "damage"].groupby("judge"):
        axes[0].plot(rows.condition, rows.ecm, marker=".", label=str(judge))
    axes[0].tick_params(axis="x", rotation=90, labelsize=6)
    axes[0].set_ylabel("ecm (macro), lower is better")
    axes[0].legend(fontsize=7)
    auc = tables["same-person"] if "same-person" in tables else tables["cross-person"]
    names = [f"{s} ({j})" for s, j in zip(auc.score, auc.judge, strict=True)]
    spans = [auc.auc - auc.auc_low, auc.auc_high - auc.auc]
    axes[1].errorbar(auc.auc, names, xerr=np.abs(np.array(spans)), fmt=".", color="black")
    axes[1].axvline(0.5, color="grey", linewidth=0.5)
    axes[1].tick_params(axis="y", labelsize=6)
    axes[1].set_xlabel("AUC, other against same expression")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "study.svg", metadata={"Date": None})
    return [("study.svg", "Response to damage, and the AUC of every score")]
