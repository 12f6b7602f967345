"""Pages from the templates of the package: whatever a template writes is escaped as text."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from affectbench.report.figures.drawing import inline_svg

_ADDRESSES = ("#", "./", "https://", "http://")
"""How an address begins: `javascript:` and its like are none, whoever named the thing."""


def rendered(template: str, **values: Any) -> str:
    """Return a template of the package with these values; a value that it lacks is an error."""
    return _environment().get_template(f"{template}.html.j2").render(values)


def address(text: str) -> str:
    """Return an address that a page may link to; ValueError for any other."""
    if not str(text).startswith(_ADDRESSES):
        raise ValueError(f"{text}: is no address that a page may have")
    return text


def file_link(name: str) -> str:
    """The address of a file beside the page, whatever the file is called.

    >>> file_link("javascript:alert(1).csv")
    './javascript%3Aalert%281%29.csv'
    """
    return f"./{quote(os.fsencode(name), safe='')}"


def data_script(data: Any, element_id: str) -> Markup:
    """JSON data in the page that no parser takes for markup, whatever its texts are.

    >>> str(data_script("</script>", "x"))
    '<script type="application/json" id="x">"\\\\u003c/script>"</script>'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    opening = Markup('<script type="application/json" id="{}">').format(element_id)
    return opening + Markup(safe) + Markup("</script>")


def rendered_markdown(text: str) -> Markup:
    """Markdown as HTML: CommonMark with tables. HTML in it is text; pictures are left out."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup(reader.render(text))


def asset(name: str) -> str:
    """A text file of the package."""
    return (files("affectbench.report.html") / "assets" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "address": address,
        "data_script": data_script,
        "file_link": file_link,
        "markdown": rendered_markdown,
        "svg": lambda drawing: Markup(inline_svg(drawing)),
    }
    return environment


def _source(name: str) -> str:
    """A template without its line breaks: no white space stands between elements."""
    path = files("affectbench.report.html") / "templates" / name
    lines = path.read_text(encoding="utf-8").splitlines()
    return "{#\n#}".join(line.strip() for line in lines)  # errors keep their line numbers
