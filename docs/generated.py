"""What the pages say about metrics and conventions, made from the specs that the library runs by.

It stands in the pages between two lines, such as `<!-- generated: metrics -->` and `<!-- end -->`.
`python docs/generated.py` writes it anew; a test says when that is due.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from affectbench.metrics import metric_plugin
from affectbench.metrics.conventions import CONVENTIONS, Convention
from affectbench.metrics.selection import groups
from affectbench.types import MetricSpec

MARK = re.compile(r"^<!-- generated: ([a-z-]+) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
DOCS = Path(__file__).parent

OUTSIDE = re.compile(r"\]\((?=\.\./)")
"""A link to a file of the repository that is no page: the website offers a copy of it."""


def filled(page: str) -> str:
    """A page with its generated parts written anew."""
    return MARK.sub(
        lambda mark: f"<!-- generated: {mark[1]} -->\n{PARTS[mark[1]]()}\n<!-- end -->", page
    )


def offered(page: str) -> str:
    """The Markdown of a page as Sphinx reads it: files outside of the pages are offered."""
    return OUTSIDE.sub("](path:", page)


def metric_reference() -> str:
    """Every installed metric under the heading of its group, in Markdown."""
    return "\n\n".join(_group(group, names) for group, names in groups().items())


def convention_reference() -> str:
    """Every convention of PSNR and SSIM with the fields that tell it apart, in Markdown."""
    head = ("name", "what it is", "colour", "border", "SSIM window", "covariance", "edges")
    return _table(head, [_convention(c) for c in CONVENTIONS.values()])


def _group(group: str, names: Sequence[str]) -> str:
    return f"## {group}\n\n" + "\n\n".join(_metric(metric_plugin(name).spec) for name in names)


def _metric(spec: MetricSpec) -> str:
    best = f"{spec.direction} is better"
    unit = f" {spec.unit}" if spec.unit else ""
    facts = [
        ("range", f"{_span(spec.range)}{unit}, {best}"),
        ("made of", _KINDS[spec.kind].format(aggregate=_AGGREGATES[spec.aggregate])),
        ("judge", "one value for each judge of the run" if spec.per_judge else ""),
        (
            "smallest side",
            _SIDES[spec.by_convention].format(side=spec.min_size) if _sized(spec) else "",
        ),
        ("faces", f"a note under {spec.few_faces:,}" if spec.few_faces else ""),
        ("brings along", ", ".join(f"`{name}`" for name in spec.beside)),
        ("version", f"`{spec.name}/{spec.version}`"),
        ("source", _cell(spec.source)),
    ]
    return f"### `{spec.name}`\n\n{spec.title}.\n\n" + "\n".join(
        f"- **{name}**: {fact}" for name, fact in facts if fact
    )


_KINDS = {
    "image": "a value per face; {aggregate}",
    "set": "all faces together; no value per face",
    "cost": "the model alone; in `cost.csv`",
}
_SIDES = {
    "nothing": "{side} px",
    "border": "{side} px between the borders of the run's convention",
    "window": "the SSIM window of the run's convention, between its borders",
}
_AGGREGATES = {
    "mean": "the set's is their mean",
    "macro": "the set's is the mean of the means of the reference's expression classes",
}


def _sized(spec: MetricSpec) -> bool:
    return spec.min_size > 1 or spec.by_convention != "nothing"


def _span(ends: tuple[float, float]) -> str:
    low, high = (_number(end) for end in ends)
    return f"{low} to {high}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "infinity" if value > 0 else "minus infinity"
    return f"{value:.4g}"


def _convention(convention: Convention) -> tuple[str, ...]:
    c = convention
    colour = c.colour if c.luma_quantisation == "none" else f"{c.colour}, {c.luma_quantisation}"
    border = f"{c.border} (at x{c.border_scale})" if c.border_scale else str(c.border)
    window = f"{c.window} {c.size}" + (f", sigma {c.sigma}" if c.window == "gaussian" else "")
    return (f"`{c.name}`", c.title, colour, border, window, c.covariance, c.edges)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text that Markdown takes for nothing but text in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


PARTS: dict[str, Callable[[], str]] = {
    "metrics": metric_reference,
    "conventions": convention_reference,
}


if __name__ == "__main__":
    for path in DOCS.glob("*.md"):
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
