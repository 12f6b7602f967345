"""All figures of a run, and the files they are written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from affectbench.errors import MissingExtraError
from affectbench.records import write_atomic
from affectbench.report.figures.drawing import Drawing, can_draw, write
from affectbench.report.figures.expressions import confusion_figure, distribution_figure
from affectbench.report.figures.judges import agreement_figure
from affectbench.report.figures.quality import cost_figure, quality_figure
from affectbench.report.figures.regions import regions_figure
from affectbench.results.faces import FaceTable
from affectbench.results.runs import Run
from affectbench.results.views import ALL_JUDGES, View


def collect(run: Run, views: Sequence[View], faces: Sequence[FaceTable]) -> list[Drawing]:
    """Return the figures of every data set: first those of each judge, then those of all judges."""
    own = [view for view in views if view.convention == run.settings["convention"]]
    found = []
    for table in faces:
        of_set = [view for view in own if view.dataset == table.dataset]
        single = [view for view in of_set if view.judge != ALL_JUDGES] or of_set
        for view in single:
            found += [
                quality_figure(view),
                distribution_figure(table, view.judge),
                confusion_figure(table, view.judge),
                cost_figure(view),
            ]
        found.append(agreement_figure(of_set[-1]))
        found.append(regions_figure(run, table.dataset))
    return found


def write_figures(drawings: Sequence[Drawing], folder: Path) -> list[Path]:
    """Write each figure as PDF, PNG and SVG; raise MissingExtraError without matplotlib."""
    if not can_draw():
        raise MissingExtraError("--figures", "plots")
    written = []
    for drawing in drawings:
        if drawing.paint is None:
            continue
        for kind in ("pdf", "png", "svg"):
            path = folder / f"{drawing.name}.{kind}"
            write_atomic(path, write(drawing, kind))
            written.append(path)
    return written
