"""Render pages from the package's templates, with autoescaping."""

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
"""Allowed prefixes of a link: never `javascript:` or the like, whatever the source."""


def rendered(template: str, **values: Any) -> str:
    """Render a template of the package with these values; a missing value is an error."""
    return _environment().get_template(f"{template}.html.j2").render(values)


def address(text: str) -> str:
    """Return the address if a page may link to it; raise ValueError otherwise."""
    if not str(text).startswith(_ADDRESSES):
        raise ValueError(f"{text}: is no address that a page may have")
    return text


def file_link(name: str) -> str:
    """Return the link to a file beside the page, safe for any file name.

    >>> file_link("javascript:alert(1).csv")
    './javascript%3Aalert%281%29.csv'
    """
    return f"./{quote(os.fsencode(name), safe='')}"


def data_script(data: Any, element_id: str) -> Markup:
    """Embed JSON data in the page so that no string in it can be parsed as markup.

    >>> str(data_script("</script>", "x"))
    '<script type="application/json" id="x">"\\\\u003c/script>"</script>'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    opening = Markup('<script type="application/json" id="{}">').format(element_id)
    return opening + Markup(safe) + Markup("</script>")


def rendered_markdown(text: str) -> Markup:
    """Render Markdown (CommonMark with tables) as HTML; raw HTML is escaped, images dropped."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup(reader.render(text))


def asset(name: str) -> str:
    """Read a text file of the package."""
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
    """Return a template without its line breaks, so that elements have no white space between."""
    path = files("affectbench.report.html") / "templates" / name
    lines = path.read_text(encoding="utf-8").splitlines()
    return "{#\n#}".join(line.strip() for line in lines)  # keeps line numbers in errors
