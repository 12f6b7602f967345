"""A whole page: template, style and script of the package, and a policy that forbids all else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template

from affectbench import __version__
from affectbench.report.html.markup import Markup, joined, tag

STYLES = ("base.css", "tables.css", "faces.css")
SCRIPTS = ("base.js", "tables.js", "faces.js", "cards.js", "browser.js", "viewer.js")
FACE_FILES = "file: 'self'"
"""Where a page with a sibling folder may load faces from."""


def page(
    title: str,
    *,
    lead: Markup,
    body: Markup,
    links: Iterable[tuple[str, str]],
    data: Sequence[Markup],
    images: str = "",
) -> str:
    """A self-contained page.

    `lead` stands under the title, `links` are the navigation (address, text), `data` is what the
    script reads: first its own, then images, which may be large. The content security policy
    allows the page's own script (by its hash), inline styles and embedded pictures; `images` adds
    sources of pictures.
    """
    script = "".join(("'use strict';(() => {\n", *map(asset, SCRIPTS), "})();\n"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        f"img-src data: {images}; base-uri 'none'; form-action 'none'"
    )
    first, *rest = data
    return Template(asset("page.html")).substitute(
        title=joined(title),
        policy=policy,
        style="".join(map(asset, STYLES)),
        navigation=joined(tag("a", text, href=address) for address, text in links),
        lead=lead,
        body=body,
        version=joined(__version__),
        data=first,
        script=script,
        images="\n".join(rest),
    )


def asset(name: str) -> str:
    """A text file of the package."""
    return (files("affectbench.report.html") / "assets" / name).read_text(encoding="utf-8")
