"""Two public-domain faces, to try everything without any data.

Their origin and how they were cropped: `demo/NOTICE.md`.
"""

from __future__ import annotations

from pathlib import Path

from affectbench.datasets.files import FaceFiles, all_images, require_all
from affectbench.types import DatasetPlugin, DatasetSpec

BUNDLED = Path(__file__).with_name("demo")
IDS = ("astronaut", "grace_hopper")

_SPEC = DatasetSpec(
    name="demo",
    title="two photographs in the public domain",
    framing="celeba",
    licence="public domain (US Navy, NASA)",
    layout="comes with affectbench",
    source="matplotlib's grace_hopper.jpg and scikit-image's astronaut.png",
)


def _open(folder: Path | None) -> FaceFiles:
    """Return the two faces; `folder` may hold a copy of them."""
    folder = folder or BUNDLED
    return FaceFiles(_SPEC, require_all(all_images(folder), IDS, folder, "demo faces"))


DEMO = DatasetPlugin(_SPEC, _open)
