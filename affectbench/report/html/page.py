"""A whole page: template, style and script, and a content security policy for nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from affectbench import __version__
from affectbench.report.html.templating import asset, rendered


@dataclass(frozen=True)
class Look:
    """The style sheets and scripts of a kind of page, in their order."""

    styles: tuple[str, ...]
    scripts: tuple[str, ...]


REPORT = Look(
    ("base.css", "tables.css", "faces.css"),
    ("base.js", "tables.js", "faces.js", "cards.js", "browser.js", "viewer.js"),
)
SITE = Look(("base.css", "tables.css", "site.css"), ("base.js", "tables.js", "site.js"))
FACE_FILES = "file: 'self'"
"""The image sources of a page that has a folder of faces beside it."""


def page(
    template: str,
    *,
    title: str,
    lead: str,
    links: Sequence[tuple[str, str]],
    data: Any,
    pictures: Sequence[tuple[str, str]] = (),
    images: str = "",
    look: Look = REPORT,
    **values: Any,
) -> str:
    """Render a self-contained page from a template that extends `page`.

    `lead` is the text under the title, `links` are the navigation (address, text), `data` is for
    the script, and `pictures` (element id, data) are loaded lazily and may be large. The content
    security policy allows the page's own script (by its hash), inline styles and embedded pictures;
    `images` adds sources of pictures, `look` is the kind of page.
    """
    script = "".join(("'use strict';(() => {\n", *map(asset, look.scripts), "})();\n"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        f"img-src data: {images}; base-uri 'none'; form-action 'none'"
    )
    return rendered(
        template,
        title=title,
        lead=lead,
        links=links,
        data=data,
        pictures=pictures,
        policy=policy,
        style=Markup("".join(map(asset, look.styles))),
        script=Markup(script),
        version=__version__,
        **values,
    )
