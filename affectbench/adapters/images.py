"""`images:FOLDER`: super-resolved faces that exist already, paired with references by file name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.adapters.prefix import Loading, PrefixAdapter, file_hash
from affectbench.errors import InputError, ModelError
from affectbench.images.reading import Pixels, by_stem, list_images, read_image
from affectbench.types import ModelSpec, StoredResults

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder by name without suffix. Files that no id asks for are ignored.

    `hashes` are the SHA-256 of the files by name when the revision was made of them: what is
    scored is what was hashed.
    """

    spec: ModelSpec
    folder: Path
    hashes: Mapping[str, str]

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return by_stem(self.folder / name for name in self.hashes)

    def read(self, image_id: str) -> Pixels:
        """The SR image (H, W, 3); InputError if there is none or it is no usable image.

        Raises ModelError for a file that is not what it was when the run began.
        """
        if image_id not in self._paths:
            raise InputError(f"{self.folder}: holds no result for '{image_id}' (such as a .png)")
        path = self._paths[image_id]
        content = _bytes_of(path)
        if hashlib.sha256(content).hexdigest() != self.hashes[path.name]:
            raise _changed(path)
        return read_image(path, content)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _changed(path) from error


def _changed(path: Path) -> ModelError:
    return ModelError(
        f"{path}: changed while the run was under way; run again when nothing writes to it any more"
    )


def _check(target: str) -> str:
    by_stem(list_images(target))
    return Path(target).resolve().name


def _content(target: str) -> dict[str, Any]:
    return {"images": {path.name: file_hash(path) for path in list_images(target)}}


def _load(loading: Loading, _device: torch.device) -> StoredResults:
    hashes = _content(loading.target)["images"]
    again = IMAGES.describe(loading.spec.name, loading.target, loading.options)
    if again.revision != loading.spec.revision:
        raise _changed(Path(loading.target))
    return ImageFolder(loading.spec, Path(loading.target), hashes)


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
