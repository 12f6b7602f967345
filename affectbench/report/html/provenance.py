"""The provenance of the numbers: commands, versions, data and hardware, to reproduce a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from affectbench.report.html.tables import PlainTable, Text
from affectbench.results.runs import Run


@dataclass(frozen=True)
class Provenance:
    """The commands, the facts of the run, and tables of data sets, models and judges."""

    commands: str
    facts: Mapping[str, str]
    tables: tuple[PlainTable, ...]


def provenance_of(run: Run, report_command: str) -> Provenance:
    """Return the commands, data sets, models, judges and versions of a run."""
    tables = (_datasets(run), _models(run), _judges(run))
    return Provenance(f"{run.command}\n{report_command}", _facts(run), tuple(filter(None, tables)))


def report_command(run: Run, options: Mapping[str, Any]) -> str:
    """Return the `affectbench report` command line that makes the same page."""
    words = ["affectbench", "report", str(run.folder)]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _facts(run: Run) -> dict[str, str]:
    settings = run.settings
    sources = [record.provenance for record in run.records]
    packages: dict[str, set[str]] = {}
    for source in sources:
        for name, version in source["packages"].items():
            packages.setdefault(str(name), set()).add(str(version))
    facts: dict[str, str] = {
        "Protocol": str(settings["protocol"]),
        "Convention of PSNR and SSIM": str(settings["convention"]),
        "Tests against": str(settings["versus"]),
        "Seed": str(settings["seed"]),
        "affectbench": _several(source["affectbench"] for source in sources),
        "Python": _several(source.get("python") for source in sources),
        "Packages": ", ".join(f"{n} {', '.join(sorted(v))}" for n, v in sorted(packages.items())),
        "Machine": _several(
            f"{s.get('machine')}, {s.get('device')}, {s.get('threads')} threads"
            for s in sources
            if s.get("machine")
        ),
        "Batch size": _several(source.get("batch_size") for source in sources),
        "SR as measured": _several(source.get("sr") for source in sources),
        "Dates": _several(source["date"] for source in sources),
        "Records": str(len(run.records)),
    }
    return {term: words for term, words in facts.items() if words}


def _datasets(run: Run) -> PlainTable:
    rows: dict[str, list[str | Text]] = {}
    for record in run.records:
        data = record.dataset
        framing = str(data.get("framing", ""))
        rows.setdefault(
            str(data["name"]),
            [
                str(data["name"]),
                str(data["title"]),
                str(record.n),
                framing,
                _code(data["revision"]),
            ],
        )
    head = ["Data set", "What it is", "Faces", "Framing", "Revision (hash of all pixels)"]
    return PlainTable("Data sets", "data-sets", head, list(rows.values()), "ttntt")


def _models(run: Run) -> PlainTable:
    rows: dict[str, list[str | Text]] = {}
    for record in run.records:
        if record.role != "model" or not record.model:
            continue
        model = record.model
        parameters = model.get("parameters")
        rows.setdefault(
            record.row,
            [
                record.row,
                "" if parameters is None else f"{int(parameters):,}",
                str(model.get("licence", "")),
                ", ".join(model.get("trained_on", ())) or "nothing declared",
                ", ".join(model.get("trained_against", ())) or "nothing declared",
                _code(model.get("revision")),
                _code(str(model.get("weights_sha256") or "")[:16]),
                str(model.get("note", "")),
            ],
        )
    head = ["Model", "Parameters", "Licence", "Trained on", "Trained against", "Revision"]
    head += ["SHA-256 of the weights (start)", "Note"]
    return PlainTable("Models", "models-table", head, list(rows.values()), "tntttttt")


def _judges(run: Run) -> PlainTable | None:
    rows: dict[str, list[str | Text]] = {}
    for record in run.records:
        identity = record.metric["identity"]
        if "judge" in identity:
            crop = f"{identity.get('crop', '')} {identity.get('framing', '')}".strip()
            judge, revision = str(identity["judge"]), identity.get("judge_revision")
            row: list[str | Text] = [
                judge,
                _code(revision),
                crop,
                str(identity.get("definition", "")),
            ]
            rows.setdefault(f"{judge} {revision} {crop}", row)
    if not rows:
        return None
    head = ["Judge", "Revision", "Region", "Definition"]
    return PlainTable("Judges", "judges-table", head, list(rows.values()))


def _code(text: Any) -> Text:
    return Text("code", str(text) if text else "")


def _several(values: Iterator[Any]) -> str:
    return "; ".join(dict.fromkeys(str(value) for value in values if value))
