"""HTML that is escaped by construction: whatever is not `Markup` is text."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable
from typing import Any, TypeAlias
from urllib.parse import quote

from markdown_it import MarkdownIt

_ADDRESSES = ("#", "./", "https://", "http://")
"""How an address begins: `javascript:` and its like are none, whoever named the thing."""
VOID = frozenset({"br", "hr", "img", "input", "meta"})


class Markup(str):
    """Text that is HTML already. Only this module and files of the package make it."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Markup:
    """An element. Children and attributes are escaped, nested lists are flattened.

    An attribute's `_` is written `-` (a trailing one goes); None and False leave it out.

    >>> str(tag("p", "1 < 2", tag("b", "!"), class_="note", hidden=True))
    '<p class="note" hidden>1 &lt; 2<b>!</b></p>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def file_link(name: str) -> str:
    """The address of a file beside the page, whatever the file is called.

    >>> file_link("javascript:alert(1).csv")
    './javascript%3Aalert%281%29.csv'
    """
    return f"./{quote(os.fsencode(name), safe='')}"


def joined(*children: Child) -> Markup:
    """Children one after the other."""
    return Markup("".join(_texts(children)))


def data_script(data: Any, element_id: str) -> Markup:
    """JSON data in the page that no parser takes for markup, whatever its texts are.

    >>> str(data_script("</script>", "x"))
    '<script type="application/json" id="x">"\\\\u003c/script>"</script>'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(f'<script type="application/json" id="{html.escape(element_id)}">{safe}</script>')


def rendered_markdown(text: str) -> Markup:
    """Markdown as HTML: CommonMark with tables. HTML in it is text; pictures are left out."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup(reader.render(text))


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if name == "href" and not str(value).startswith(_ADDRESSES):
        raise ValueError(f"{value}: is no address that a page may have")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def _texts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, (str, int)):
            yield html.escape(str(child), quote=False)
        else:
            yield from _texts(child)
