"""`affectbench report`: one self-contained page from a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from affectbench.records import write_atomic
from affectbench.report.figures.collect import collect, write_figures
from affectbench.report.figures.slide import write_slide
from affectbench.report.html.face_data import face_data
from affectbench.report.html.page import FACE_FILES, page
from affectbench.report.html.pictures import BUDGET, Embedded, embed, write_all
from affectbench.report.html.provenance import provenance_of, report_command
from affectbench.report.html.sections import (
    ShownView,
    copied_texts,
    shown_figures,
    shown_views,
    switches,
)
from affectbench.results.chosen import chosen_faces
from affectbench.results.faces import FaceTable, face_tables
from affectbench.results.runs import Run, load_run
from affectbench.results.views import View, build_views
from affectbench.texts import unicode_text

Faces = Literal["default", "all", "none"]
_LINKS = (
    ("#tables", "Tables"),
    ("#figures", "Figures"),
    ("#faces", "Faces"),
    ("#provenance", "Provenance"),
)


@dataclass(frozen=True)
class Written:
    """The output of a call: the page, its size, the folder of faces beside it, figures, remarks."""

    page: Path
    size: int
    faces: Path | None
    figures: tuple[Path, ...]
    remarks: tuple[str, ...]


def write_report(
    folder: Path,
    target: Path | None = None,
    *,
    faces: Faces = "default",
    figures: Path | None = None,
    png: Path | None = None,
    budget: int = BUDGET,
) -> Written:
    """Write the report of a run folder to `target` (default: `report.html` in it).

    `faces` selects the faces on the page: `default` embeds the most informative ones, `all` also
    copies every face to a folder beside the page, `none` shows no faces at all. `figures` is a
    folder for the figures as PDF, PNG and SVG, `png` a file for the main one as a slide. Raises
    RecordError for a damaged run, MissingExtraError if figures are asked for without matplotlib,
    and InputError for a slide of a run without ECM or quality.
    """
    run = load_run(folder)
    path = target or folder / "report.html"
    views, tables = build_views(run), face_tables(run)
    if png:
        write_slide(views, png)
    drawings = collect(run, views, tables)
    beside = _beside(path, run, tables) if faces == "all" else None
    embedded = _embedded(run, tables, faces, budget)
    remarks = _remarks(tables, embedded, faces)
    options = {
        "html": target,
        "figures": figures,
        "png": png,
        "faces": "all" if faces == "all" else None,
        "no-faces": faces == "none",
    }
    shown = shown_views(views)
    text = page(
        "report",
        title=f"{run.folder.resolve().name}: affectbench report",
        lead=_lead(run, views),
        links=_LINKS,
        data=_data(shown, tables, embedded, beside),
        pictures=_pictures(embedded),
        images=FACE_FILES if beside else "",
        views=shown,
        switches=switches(views),
        figures=shown_figures(drawings),
        faces=faces,
        remarks=remarks,
        provenance=provenance_of(run, report_command(run, options)),
    )
    content = unicode_text(text).encode()
    write_atomic(path, content)
    files = write_figures(drawings, figures) if figures else []
    return Written(path, len(content), beside, tuple(files), tuple(remarks))


def _beside(path: Path, run: Run, tables: Sequence[FaceTable]) -> Path:
    """Copy every saved face to a folder beside the page, and return the folder."""
    folder = path.with_name(f"{path.stem}-faces")
    for table in tables:
        write_all(table, run.folder, folder)
    return folder


def _embedded(run: Run, tables: Sequence[FaceTable], faces: Faces, budget: int) -> list[Embedded]:
    """Return the embedded faces of each data set; the data sets share the budget equally."""
    if faces == "none":
        return [Embedded({}, 0, saved=True) for _ in tables]
    share = budget // len(tables)
    seed = int(run.settings["seed"])
    return [embed(table, run.folder, chosen_faces(table, seed), share) for table in tables]


def _remarks(tables: Sequence[FaceTable], embedded: Sequence[Embedded], faces: Faces) -> list[str]:
    if faces == "none":
        return ["Pictures of faces were left out on request (--no-faces)."]
    remarks = []
    for table, shown in zip(tables, embedded, strict=True):
        if not shown.saved:
            remarks.append(
                f"{table.dataset}: the run kept no pictures; run the same command again with "
                "--save-images, then make this report again."
            )
            continue
        text = f"{table.dataset}: pictures of {len(shown.faces)} of {len(table.ids)} faces are "
        text += "in this page"
        if shown.left_out:
            text += f"; {shown.left_out} more were chosen and left out to keep it small"
        if faces != "all" and len(shown.faces) < len(table.ids):
            text += " (--faces all keeps every face in a folder beside it)"
        remarks.append(text + ".")
    return remarks


def _lead(run: Run, views: Sequence[View]) -> str:
    sets = dict.fromkeys(view.dataset for view in views)
    titles = {r.dataset["name"]: f"{r.dataset['title']} (n = {r.n:,})" for r in run.records}
    models = dict.fromkeys(record.row for record in run.records if record.role == "model")
    what = f"{len(models)} {'model' if len(models) == 1 else 'models'} on "
    what += "; ".join(str(titles[name]) for name in sets)
    return f"{what}. Protocol {run.settings['protocol']}."


def _data(
    views: Sequence[ShownView],
    tables: Sequence[FaceTable],
    embedded: Sequence[Embedded],
    beside: Path | None,
) -> dict[str, Any]:
    """Return the data for the page's script."""
    folder = beside.name if beside else ""
    return {
        "views": copied_texts(views),
        "faces": [
            face_data(table, shown.faces, folder)
            for table, shown in zip(tables, embedded, strict=True)
        ],
    }


def _pictures(embedded: Sequence[Embedded]) -> list[tuple[str, Any]]:
    """Return the embedded faces with the ids of their elements."""
    return [
        (f"face-{number}-{position}", face)
        for number, shown in enumerate(embedded)
        for position, face in shown.faces.items()
    ]
