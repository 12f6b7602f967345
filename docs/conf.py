"""Sphinx: the pages of this folder as a website, without network (`make docs`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from generated import offered

import affectbench

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "affectbench"
author = "The affectbench authors"
version = release = affectbench.__version__

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "affectbench"
html_copy_source = False
html_show_copyright = False


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = offered(source[0])


def setup(app: Sphinx) -> None:
    """The tables that come from the code are made while their pages are read."""
    app.connect("source-read", _fill)
