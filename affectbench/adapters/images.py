"""`images:FOLDER`: existing super-resolved faces, paired with references by file name.

The runner refuses results that do not look like the faces that they are paired with (see
`images.resemblance`), unless `@mismatch=allow` is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.adapters.prefix import Loading, PrefixAdapter, file_hash
from affectbench.errors import InputError, ModelError, listed
from affectbench.images.listing import by_id, face_id, list_folder, list_images
from affectbench.images.opening import open_regular
from affectbench.images.reading import Pixels, read_image
from affectbench.texts import unicode_text
from affectbench.types import ModelSpec, StoredResults

if TYPE_CHECKING:
    import torch

MISMATCH = "mismatch"
ALLOWED = "pairs were not checked (@mismatch=allow)"


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder by face id. Images without a matching face are ignored.

    `hashes` maps file names to the SHA-256 from which the revision was computed, so that the files
    scored are the files hashed.
    """

    spec: ModelSpec
    folder: Path
    hashes: Mapping[str, str]
    mismatch_allowed: bool = False

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return by_id(self.folder / name for name in self.hashes)

    def read(self, image_id: str) -> Pixels:
        """Read the SR image (H, W, 3); raise InputError if there is none or it is not usable.

        Raises ModelError for a file that has changed since the run began.
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
        with open_regular(path) as file:
            return file.read()
    except (OSError, InputError) as error:
        raise _changed(path) from error


def _changed(path: Path) -> ModelError:
    return ModelError(
        f"{path}: changed while the run was under way; run again when nothing writes to it any more"
    )


def _check(target: str) -> str:
    by_id(list_images(target))
    return unicode_text(Path(target).resolve().name)


def _content(target: str) -> dict[str, Any]:
    return {"images": {path.name: file_hash(path) for path in list_images(target)}}


def _load(loading: Loading, _device: torch.device) -> StoredResults:
    hashes = _content(loading.target)["images"]
    again = IMAGES.describe(loading.spec.name, loading.target, loading.options)
    if again.revision != loading.spec.revision:
        raise _changed(Path(loading.target))
    allowed = _is_allowed(loading.options)
    spec = replace(loading.spec, note=ALLOWED) if allowed else loading.spec
    return ImageFolder(spec, Path(loading.target), hashes, allowed)


def _is_allowed(options: Mapping[str, str]) -> bool:
    value = options.get(MISMATCH)
    if value not in (None, "allow"):
        raise InputError(f"images: @{MISMATCH}={value} is not known; the one value is 'allow'")
    return value is not None


def _remarks(target: str, options: Mapping[str, str], faces: Collection[str]) -> list[str]:
    """Return remarks on files that are not images, and on unpaired faces and results."""
    listing = list_folder(target)
    found = [face_id(path.name) for path in listing.images]
    lacking = sorted(set(faces).difference(found))
    unasked = sorted(set(found).difference(faces))
    remarks = [listing.remark()]
    if lacking:
        remarks.append(f"{len(lacking)} of {len(faces)} faces have no result: {listed(lacking)}")
    if unasked:
        remarks.append(f"{len(unasked)} results belong to no face: {listed(unasked)}")
    if _is_allowed(options):
        remarks.append(ALLOWED)
    return [remark for remark in remarks if remark]


IMAGES = PrefixAdapter(
    prefix="images",
    syntax="images:FOLDER",
    title="results that exist already, paired by file name",
    options=(MISMATCH,),
    check=_check,
    content=_content,
    load=_load,
    covers="image files",
    remarks=_remarks,
)
