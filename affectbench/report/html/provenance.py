"""Where the numbers come from: what ran, with what, on what, and how to have it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from affectbench.report.html.markup import Child, Markup, tag
from affectbench.report.html.tables import plain_table
from affectbench.results.runs import Run


def provenance_section(run: Run, report_command: str) -> Markup:
    """Commands, data sets, models, judges, versions."""
    return tag(
        "section",
        tag("h2", "Provenance"),
        tag("p", "The commands that made the numbers, and this page:"),
        tag("pre", tag("code", f"{run.command}\n{report_command}"), class_="command", tabindex=0),
        _facts(run),
        _datasets(run),
        _models(run),
        _judges(run),
        id="provenance",
        aria_label="Provenance",
    )


def report_command(run: Run, options: Mapping[str, Any]) -> str:
    """The command line of `affectbench report` that makes the same page."""
    words = ["affectbench", "report", str(run.folder)]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _facts(run: Run) -> Markup:
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
    items = [[tag("dt", k), tag("dd", v)] for k, v in facts.items() if v]
    return tag("dl", items, class_="facts")


def _datasets(run: Run) -> Markup:
    rows: dict[str, list[Child]] = {}
    for record in run.records:
        data = record.dataset
        framing = str(data.get("framing", ""))
        rows.setdefault(
            str(data["name"]),
            [str(data["name"]), str(data["title"]), record.n, framing, _code(data["revision"])],
        )
    head = ["Data set", "What it is", "Faces", "Framing", "Revision (hash of all pixels)"]
    return plain_table("Data sets", "data-sets", head, list(rows.values()), "ttntt")


def _models(run: Run) -> Markup:
    rows: dict[str, list[Child]] = {}
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
    return plain_table("Models", "models-table", head, list(rows.values()), "tntttttt")


def _judges(run: Run) -> Markup | None:
    rows: dict[str, list[Child]] = {}
    for record in run.records:
        identity = record.metric["identity"]
        if "judge" in identity:
            crop = f"{identity.get('crop', '')} {identity.get('framing', '')}".strip()
            row = [identity["judge"], _code(identity.get("judge_revision")), crop]
            rows.setdefault(" ".join(map(str, row)), [*row, str(identity.get("definition", ""))])
    if not rows:
        return None
    head = ["Judge", "Revision", "Region", "Definition"]
    return plain_table("Judges", "judges-table", head, list(rows.values()))


def _code(text: Any) -> Markup | None:
    return tag("code", str(text)) if text else None


def _several(values: Iterator[Any]) -> str:
    return "; ".join(dict.fromkeys(str(value) for value in values if value))
