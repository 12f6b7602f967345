"""The data set `studio`: a folder per person, `DIR/anna/01.png`, with ids like `anna-01`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affectbench.errors import InputError
from affectbench.images.reading import read_image
from affectbench.types import DatasetPlugin, DatasetSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEC = DatasetSpec(
    name="studio",
    title="Studio portraits",
    framing="celeba",
    licence="ours",
    layout="square face crops DIR/PERSON/NUMBER.png",
    source="docs/examples/studio.py",
)


@dataclass(frozen=True)
class Studio:
    """An opened set. Reading one face never depends on another."""

    spec: DatasetSpec
    paths: Mapping[str, Path]

    @property
    def ids(self) -> tuple[str, ...]:
        """The image ids, sorted."""
        return tuple(sorted(self.paths))

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """The square face (H, W, 3), from which the protocol makes HR and LR."""
        return read_image(self.paths[image_id])


def open_studio(folder: Path | None) -> Studio:
    """Finds the files and reads none. Says what is missing, and what the layout is."""
    if folder is None:
        raise InputError(f"say where the faces are: --data studio=DIR; layout: {SPEC.layout}")
    paths = {f"{path.parent.name}-{path.stem}": path for path in folder.glob("*/*.png")}
    if not paths:
        raise InputError(f"{folder}: holds no faces; layout: {SPEC.layout}")
    return Studio(SPEC, paths)


STUDIO = DatasetPlugin(SPEC, open_studio)
