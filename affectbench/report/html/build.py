"""`affectbench report`: one self-contained page from a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from affectbench.records import write_atomic
from affectbench.report.figures.collect import collect, write_figures
from affectbench.report.html.face_data import face_data
from affectbench.report.html.markup import Markup, data_script, joined, tag
from affectbench.report.html.page import FACE_FILES, page
from affectbench.report.html.pictures import BUDGET, Embedded, embed, write_all
from affectbench.report.html.provenance import provenance_section, report_command
from affectbench.report.html.sections import copied_texts, figures_section, tables_section
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
    """What a call wrote: the page, its size, the folder of faces beside it, figures, remarks."""

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
    budget: int = BUDGET,
) -> Written:
    """Write the report of a run folder to `target` (default: `report.html` in it).

    `faces` says which faces the page shows: `default` embeds the most telling ones, `all` also
    copies every face to a folder beside the page, `none` shows no pixel of anybody. `figures` is
    a folder for the figures as PDF, PNG and SVG. Raises RecordError for a damaged run and
    MissingExtraError if figures are asked for without matplotlib.
    """
    run = load_run(folder)
    path = target or folder / "report.html"
    views, tables = build_views(run), face_tables(run)
    drawings = collect(run, views, tables)
    beside = _beside(path, run, tables) if faces == "all" else None
    embedded = _embedded(run, tables, faces, budget)
    remarks = _remarks(tables, embedded, faces)
    options = {
        "html": target,
        "figures": figures,
        "faces": "all" if faces == "all" else None,
        "no-faces": faces == "none",
    }
    text = page(
        f"{run.folder.resolve().name}: affectbench report",
        lead=_lead(run, views),
        body=joined(
            tables_section(views),
            figures_section(drawings),
            _faces_section(remarks, faces),
            provenance_section(run, report_command(run, options)),
        ),
        links=_LINKS,
        data=_data(views, tables, embedded, beside),
        images=FACE_FILES if beside else "",
    )
    content = unicode_text(text).encode()
    write_atomic(path, content)
    files = write_figures(drawings, figures) if figures else []
    return Written(path, len(content), beside, tuple(files), tuple(remarks))


def _beside(path: Path, run: Run, tables: Sequence[FaceTable]) -> Path:
    """Every saved face in a folder beside the page; the folder."""
    folder = path.with_name(f"{path.stem}-faces")
    for table in tables:
        write_all(table, run.folder, folder)
    return folder


def _embedded(run: Run, tables: Sequence[FaceTable], faces: Faces, budget: int) -> list[Embedded]:
    """The embedded faces of each data set, which share the budget equally."""
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


def _lead(run: Run, views: Sequence[View]) -> Markup:
    sets = dict.fromkeys(view.dataset for view in views)
    titles = {r.dataset["name"]: f"{r.dataset['title']} (n = {r.n:,})" for r in run.records}
    models = dict.fromkeys(record.row for record in run.records if record.role == "model")
    what = f"{len(models)} {'model' if len(models) == 1 else 'models'} on "
    what += "; ".join(str(titles[name]) for name in sets)
    return tag("p", f"{what}. Protocol {run.settings['protocol']}.", class_="lead")


def _faces_section(remarks: Sequence[str], faces: Faces) -> Markup:
    return tag(
        "section",
        tag("h2", "Faces"),
        [tag("p", remark, class_="remark") for remark in remarks],
        tag("noscript", tag("p", "The face browser needs JavaScript; the tables above do not.")),
        tag("div", id="browser", class_="browser", hidden=True),
        id="faces",
        aria_label="Faces",
        data_faces=faces,
    )


def _data(
    views: Sequence[View],
    tables: Sequence[FaceTable],
    embedded: Sequence[Embedded],
    beside: Path | None,
) -> list[Markup]:
    folder = beside.name if beside else ""
    main: dict[str, Any] = {
        "views": copied_texts(views),
        "faces": [
            face_data(table, shown.faces, folder)
            for table, shown in zip(tables, embedded, strict=True)
        ],
    }
    pictures = [
        data_script(face, f"face-{number}-{position}")
        for number, shown in enumerate(embedded)
        for position, face in shown.faces.items()
    ]
    return [data_script(main, "data"), *pictures]
