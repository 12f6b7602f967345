"""The folders that `score` is given: results of one or more methods, originals of one or more sets.

Every original must have a result of every method, of the same size, and no result may be left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from affectbench.arguments import is_folder, usable_path
from affectbench.datasets.files import all_images
from affectbench.errors import InputError, listed
from affectbench.images.listing import face_id, holds_images, images_below
from affectbench.images.reading import image_size
from affectbench.images.results import Paired, label_of, pair, require_pattern
from affectbench.run.measures import SmallestImage
from affectbench.texts import printable

Size = tuple[int, int]
Folders: TypeAlias = "Path | str | Mapping[str, Path | str]"


@dataclass(frozen=True)
class Given:
    """Targets of results by row name, folders of originals and sizes of their images by set."""

    results: Mapping[str, str]
    originals: Mapping[str, Path]
    sizes: Mapping[str, Mapping[Path, Size]]

    @property
    def is_uniform(self) -> bool:
        """Whether the images of each set have one size."""
        return all(len(set(own.values())) == 1 for own in self.sizes.values())

    @property
    def smallest(self) -> SmallestImage:
        """The original with the shortest side."""
        every = {path: size for own in self.sizes.values() for path, size in own.items()}
        path = min(every, key=lambda path: min(every[path]))
        return SmallestImage(min(every[path]), str(path))

    def require_multiples(self, scale: int) -> None:
        """Raise InputError unless all originals can be reduced by `scale` and enlarged again."""
        for own in self.sizes.values():
            for path, (width, height) in own.items():
                if width % scale or height % scale:
                    raise InputError(
                        f"{path}: has {width}x{height} pixels, and bicubic can be added only if "
                        f"all sides are multiples of the scale, {scale} (--scale)"
                    )


def given_folders(sr: Folders, hr: Folders, pattern: str = "") -> Given:
    """Return what `score` is to do; raise InputError, naming files, if folders do not pair up."""
    if pattern:
        require_pattern(pattern)
    results = _results(sr)
    originals = _originals(hr)
    faces = {name: all_images(folder) for name, folder in originals.items()}
    sizes = {name: {i: image_size(path) for i, path in own.items()} for name, own in faces.items()}
    for target in results.values():
        _require_pairs(target, originals, sizes, pattern)
    by_path = {
        name: {faces[name][i]: size for i, size in own.items()} for name, own in sizes.items()
    }
    return Given(results, originals, by_path)


def _results(sr: Folders) -> dict[str, str]:
    if isinstance(sr, Mapping):
        if not sr:
            raise InputError("no results: name at least one folder")
        return {printable(name): str(usable_path(folder)) for name, folder in sr.items()}
    return {printable(label_of(str(usable_path(sr)))): str(sr)}


def _originals(hr: Folders) -> dict[str, Path]:
    if isinstance(hr, Mapping):
        if not hr:
            raise InputError("no originals: name at least one folder")
        return {printable(name): usable_path(folder) for name, folder in hr.items()}
    folder = usable_path(hr)
    if is_folder(folder) and not holds_images(folder):
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and images_below(path))
        if inside:
            return {printable(path.name): path for path in inside}
    return {printable(folder.resolve().name): folder}


def _require_pairs(
    target: str,
    originals: Mapping[str, Path],
    sizes: Mapping[str, Mapping[str, Size]],
    pattern: str,
) -> None:
    """Raise InputError unless each original has a result of its size, and each result a face."""
    found = {name: pair(target, name, own, pattern) for name, own in sizes.items()}
    used = {path for paired in found.values() for path in paired.paths.values()}
    for name, paired in found.items():
        missing = [face for face in sizes[name] if face not in paired.paths]
        extra = [face_id(path.name) for path in paired.extra if path not in used]
        if missing or extra:
            raise InputError("; ".join(_unpaired(target, originals[name], paired, missing, extra)))
        unlike = [i for i, size in sizes[name].items() if image_size(paired.paths[i]) != size]
        if unlike:
            raise InputError(
                f"{len(unlike)} results of {target} have another size than their original, and "
                f"nothing is resized: {listed(unlike)}"
            )


def _unpaired(
    target: str, originals: Path, paired: Paired, missing: list[str], extra: list[str]
) -> Iterator[str]:
    yield f"{target} and {originals} do not pair up by file name"
    if missing:
        yield f"{len(missing)} originals without a result: {listed(missing)}"
    if extra:
        yield f"{len(extra)} results without an original: {listed(extra)}"
    if not paired.paths and paired.rule:
        yield paired.rule
