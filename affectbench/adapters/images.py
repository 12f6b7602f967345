"""`images:FOLDER`: existing super-resolved faces, paired with references by file name.

`images.results` has the layouts of folders and the rule for names. The runner refuses results that
do not look like the faces that they are paired with (see `images.resemblance`), unless
`@mismatch=allow` is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.adapters.prefix import Loading, PrefixAdapter, file_hash
from affectbench.errors import InputError, ModelError, listed
from affectbench.images.listing import face_id, holds_images, list_folder
from affectbench.images.opening import open_regular
from affectbench.images.reading import Pixels, read_image
from affectbench.images.results import label_of, pair, result_files
from affectbench.types import ModelSpec, StoredResults

if TYPE_CHECKING:
    import torch

MISMATCH, PATTERN = "mismatch", "pattern"
ALLOWED = "pairs were not checked (@mismatch=allow)"


@dataclass(frozen=True)
class ImageFolder:
    """Images by face id: those of one data set, once `of` was called.

    `hashes` maps paths to the SHA-256 from which the revision was computed, so that the files
    scored are the files hashed.
    """

    spec: ModelSpec
    target: str
    hashes: Mapping[Path, str]
    mismatch_allowed: bool = False
    pattern: str = ""
    paths: Mapping[str, Path] = field(default_factory=dict)

    def of(self, dataset: str, ids: Collection[str]) -> ImageFolder:
        """Return the results of a data set's faces; InputError where names are ambiguous."""
        return replace(self, paths=pair(self.target, dataset, ids, self.pattern).paths)

    def read(self, image_id: str) -> Pixels:
        """Read the SR image (H, W, 3); raise InputError if there is none or it is not usable.

        Raises ModelError for a file that has changed since the run began.
        """
        if image_id not in self.paths:
            raise InputError(f"{self.target}: holds no result for '{image_id}' (such as a .png)")
        path = self.paths[image_id]
        content = _bytes_of(path)
        if hashlib.sha256(content).hexdigest() != self.hashes.get(path):
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
    result_files(target)
    return label_of(target)


def _content(target: str) -> dict[str, Any]:
    return {"images": {name: file_hash(path) for name, path in result_files(target).items()}}


def _load(loading: Loading, _device: torch.device) -> StoredResults:
    files = result_files(loading.target)
    hashes = {path: file_hash(path) for path in files.values()}
    again = IMAGES.describe(loading.spec.name, loading.target, loading.options)
    if again.revision != loading.spec.revision:
        raise _changed(Path(loading.target))
    allowed = _is_allowed(loading.options)
    spec = replace(loading.spec, note=ALLOWED) if allowed else loading.spec
    plain = {face_id(path.name): path for path in files.values()}
    pattern = loading.options.get(PATTERN, "")
    return ImageFolder(spec, loading.target, hashes, allowed, pattern, plain)


def _is_allowed(options: Mapping[str, str]) -> bool:
    value = options.get(MISMATCH)
    if value not in (None, "allow"):
        raise InputError(f"images: @{MISMATCH}={value} is not known; the one value is 'allow'")
    return value is not None


def _remarks(
    target: str, options: Mapping[str, str], dataset: str, faces: Collection[str]
) -> list[str]:
    """Return remarks on the rule of names, on other files, and on unpaired faces and results."""
    paired = pair(target, dataset, faces, options.get(PATTERN, ""))
    lacking = sorted(set(faces).difference(paired.paths))
    unasked = sorted(face_id(path.name) for path in paired.extra)
    flat = Path(target).is_dir() and holds_images(Path(target))
    remarks = [paired.rule, list_folder(target).remark() if flat else ""]
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
    options=(MISMATCH, PATTERN),
    check=_check,
    content=_content,
    load=_load,
    covers="image files",
    remarks=_remarks,
)
