"""A run's table as a LaTeX float that can be pasted into a paper.

The float needs the packages booktabs and graphicx and says so in its first line. A table wider than
its column is scaled down to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from affectbench.report.cells import Cell, Layout
from affectbench.report.marks import BEST

_BEST = r"Bold: best of the models; underlined: second best"
_TIED = r"$^{*}$: not distinguishable from the best (max-T, 95\,\%)"


def to_latex(layout: Layout, two_columns: bool = False) -> str:
    """Return a table as wide as a column, or as both columns of a page (`table*`).

    The caption says how the numbers were made and what each sign means; all other notes follow as
    comments.
    """
    name = "table*" if two_columns else "table"
    spec = f"@{{}}l{'r' * (len(layout.labels) + 1)}@{{}}"
    lines = [
        r"% Needs in the preamble: \usepackage{booktabs,graphicx}",
        rf"\begin{{{name}}}[t]",
        r"\centering",
        rf"\caption{{{_caption(layout)}}}",
        r"\label{tab:affectbench}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{spec}}}",
        *_body(layout),
        r"\end{tabular}}",
        rf"\end{{{name}}}",
        *(f"% {' '.join(note.split())}" for note in layout.notes),
    ]
    return "\n".join(lines) + "\n"


def _body(layout: Layout) -> Iterator[str]:
    head = " & ".join(["Model", "$n$", *(_latex(label) for label in layout.labels.values())])
    yield from (r"\toprule", rf"{head} \\")
    for block in layout.blocks:
        width = len(layout.labels) + 2
        yield from (
            r"\midrule",
            rf"\multicolumn{{{width}}}{{@{{}}l@{{}}}}{{{_latex(block.title)}}} \\",
            r"\midrule",
        )
        for line in block.lines:
            name = _latex(line.name)
            name = rf"\textit{{{name}}}" if line.anchor else name
            cells = [_cell(line.cells[key]) for key in layout.labels]
            yield " & ".join([name, line.faces, *cells]) + r" \\"
    yield r"\bottomrule"


def _caption(layout: Layout) -> str:
    """Return the caption: the facts, and a sentence for each sign that the table has."""
    cells = [c for block in layout.blocks for line in block.lines for c in line.cells.values()]
    parts = [_latex(layout.facts)]
    if any(cell.best for cell in cells):
        parts.append(_BEST)
    if any(cell.tied for cell in cells):
        parts.append(_TIED)
    if any(cell.interval for cell in cells):
        parts.append(r"in brackets: 95\,\% intervals")
    if any(line.anchor for block in layout.blocks for line in block.lines):
        parts.append("italic: points of reference, which are not ranked")
    parts += [_latex(mark) for mark in layout.marks if mark != BEST]
    return ". ".join(part[:1].upper() + part[1:] for part in parts) + "."


def _cell(cell: Cell) -> str:
    text = cell.written(r"$\sim$", r"$^{*}$", r"$^{\dagger}$")
    if text and cell.best:
        text = rf"\textbf{{{text}}}"
    elif text and cell.second:
        text = rf"\underline{{{text}}}"
    return f"{text} {{\\footnotesize {cell.interval}}}".strip() if cell.interval else text


_LATEX = {
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # LaTeX would read a bare one after a line break as an option
    "*": "{*}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "∅": r"$\emptyset$",
    "✗": r"$\times$",
    "…": r"\dots{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in re.sub(r"\s+", " ", text.strip()))
