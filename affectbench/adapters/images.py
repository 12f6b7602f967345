"""`images:FOLDER`: super-resolved faces that exist already, paired with references by file name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.adapters.prefix import Loading, PrefixAdapter, file_hash
from affectbench.errors import InputError
from affectbench.images.reading import Pixels, by_stem, list_images, read_image
from affectbench.types import ModelSpec, StoredResults

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder by name without suffix. Files that no id asks for are ignored."""

    spec: ModelSpec
    folder: Path

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return by_stem(list_images(self.folder))

    def read(self, image_id: str) -> Pixels:
        """The SR image (H, W, 3); InputError if there is none or it cannot be read."""
        if image_id not in self._paths:
            raise InputError(f"{self.folder}: holds no result for '{image_id}' (such as a .png)")
        return read_image(self._paths[image_id])


def _check(target: str) -> str:
    by_stem(list_images(target))
    return Path(target).resolve().name


def _content(target: str) -> dict[str, Any]:
    return {"images": {path.name: file_hash(path) for path in list_images(target)}}


def _load(loading: Loading, _device: torch.device) -> StoredResults:
    return ImageFolder(loading.spec, Path(loading.target))


IMAGES = PrefixAdapter(
    prefix="images",
    syntax="images:FOLDER",
    title="results that exist already, paired by file name",
    options=(),
    check=_check,
    content=_content,
    load=_load,
    covers="image files",
)
