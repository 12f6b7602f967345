"""Which file of a folder of results belongs to which face of a data set.

People keep results in many layouts, and one argument covers them:

- `DIR` with images in it: these are the results, of every data set.
- `DIR` without: the results of a set are below the one folder of the set's name, at any depth
  (`DIR/celeba/`, BasicSR's `DIR/visualization/celeba/0001/`); without such a folder, anywhere
  below `DIR`.
- `DIR/{set}/x8`: a folder for each set, by a template.
- `celeba=DIR;helen=DIR`: a folder for each set, by name.

File names are paired as follows. With a pattern, such as `{name}_x4` or `{set}/{name}_*`, the part
at `{name}` is the face (a pattern with a slash is that of the path below the folder). Without, a
result has the name of its face, or all results have one suffix behind it (`0001_EDSR_x4` with
`0001`) or one prefix before it (`sr_0001`). Two that fit are an error, since it would be a guess
which method is meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from affectbench.arguments import is_folder, usable_path
from affectbench.errors import InputError, listed
from affectbench.images.formats import READ
from affectbench.images.listing import (
    by_id,
    face_id,
    holds_images,
    images_below,
    list_images,
)
from affectbench.texts import unicode_text

SET, NAME = "{set}", "{name}"
_SCALE = re.compile(r"x\d")


@dataclass(frozen=True)
class Paired:
    """The results of a data set's faces by face id, and results that belong to none of them.

    `rule` says where and by which names they were found, unless that is plain.
    """

    paths: Mapping[str, Path]
    extra: tuple[Path, ...]
    rule: str = ""


def label_of(target: str) -> str:
    """Return a name for the results in a target: the last folder that is not a set's.

    >>> label_of("results/ours/{set}"), label_of("results/{set}/ours")
    ('ours', 'ours')
    """
    named = _named(target)
    first = next(iter(named.values())) if named else target
    if SET not in first:
        return unicode_text(Path(first).resolve().name)
    parts = [part for part in Path(first).parts if part != SET]
    return unicode_text(parts[-1].replace(SET, "").strip("_-. ") if parts else "results")


def result_files(target: str) -> dict[str, Path]:
    """Return every image that a target may mean, by its name below the target's folder.

    Raises InputError if there is none or a folder is missing, and for two images in one folder
    that are the same face.
    """
    if named := _named(target):
        below = {name: result_files(folder) for name, folder in named.items()}
        return {f"{name}/{key}": path for name, own in below.items() for key, path in own.items()}
    if SET in target and not is_folder(target):
        base, folders = _base(target), _matching(target)
        if not folders:
            raise InputError(f"{target}: there is no such folder for any set")
        paths = [path for folder in folders for path in _images_in(folder)]
    else:
        base = usable_path(target)
        paths = _images_in(base)
    return {path.relative_to(base).as_posix(): path for path in paths}


def pair(target: str, dataset: str, ids: Collection[str], pattern: str = "") -> Paired:
    """Return the results of the faces `ids` of a data set.

    Raises InputError where two files, folders or suffixes fit, naming the remedy.
    """
    folder, note = _folder_of(target, dataset)
    if folder is None:
        return Paired({}, (), note)
    paths = _images_in(folder)
    if pattern:
        found, rule = _by_pattern(paths, folder, dataset, pattern), f"names by {pattern}"
    else:
        found, rule = _by_affix(paths, folder, frozenset(ids))
    kept = {face: path for face, path in found.items() if face in ids}
    used = frozenset(kept.values())
    extra = tuple(path for path in paths if path not in used)
    if not kept:
        rule = _how_to_name(paths, ids) if not pattern else f"no name fits {pattern}"
    said = "; ".join(part for part in (note, rule) if part)
    return Paired(kept, extra, said)


def require_pattern(pattern: str) -> None:
    """Raise InputError for a pattern that does not say where the name is."""
    if pattern.count(NAME) != 1:
        raise InputError(f"the pattern {pattern} must hold {NAME} once, such as {NAME}_x4")


def _named(target: str) -> dict[str, str]:
    """Return `celeba=DIR;helen=DIR` as a mapping; empty for any other target."""
    if is_folder(target) or "=" not in target:
        return {}
    pieces = [piece.partition("=") for piece in target.split(";") if piece.strip()]
    if not all(name.strip() and equals and folder.strip() for name, equals, folder in pieces):
        return {}
    return {name.strip(): folder.strip() for name, _, folder in pieces}


def _folder_of(target: str, dataset: str) -> tuple[Path | None, str]:
    """Return the folder with the results of a set, and what to say about the choice."""
    named = _named(target)
    if named:
        if dataset not in named:
            return None, f"no folder is given for {dataset}"
        return _folder_of(named[dataset], dataset)
    if SET in target and not is_folder(target):
        folder = usable_path(target.replace(SET, dataset))
        if not is_folder(folder):
            return None, f"{folder}: no such folder"
        return folder, f"results in {folder}"
    folder = usable_path(target)
    if holds_images(folder):
        return folder, ""
    below = sorted(p for p in folder.rglob("*") if p.name == dataset and p.is_dir())
    below = [p for p in below if images_below(p)]
    if len(below) > 1:
        raise InputError(
            f"{folder}: has more than one folder '{dataset}': "
            f"{listed(_below(p, folder) for p in below)}; say which, such as "
            f"{folder}/{_below(below[0].parent, folder)}/{SET}".replace("/./", "/")
        )
    if below:
        return below[0], f"results in {below[0]}"
    return folder, f"results anywhere below {folder}"


def _base(target: str) -> Path:
    """Return the folder above the first part with `{set}`."""
    parts = Path(target).parts
    first = next(index for index, part in enumerate(parts) if SET in part)
    return Path(*parts[:first])


def _matching(target: str) -> list[Path]:
    base = _base(target)
    rest = PurePosixPath(*Path(target).parts[len(base.parts) :]).as_posix()
    if not is_folder(base):
        raise InputError(f"{base}: no such folder")
    pieces = rest.split(SET)
    glob = "*".join(re.sub(r"([*?\[])", r"[\1]", piece) for piece in pieces)
    return sorted(path for path in base.glob(glob) if path.is_dir() and images_below(path))


def _images_in(folder: Path) -> list[Path]:
    """Return the images directly in a folder, else all below it; InputError if there are none."""
    if not is_folder(folder) or holds_images(folder):
        paths = list_images(folder)
        by_id(paths)
        return paths
    paths = images_below(folder)
    if not paths:
        raise InputError(f"{folder}: holds no images, nor does a folder in it (formats: {READ})")
    return paths


def _by_pattern(paths: Iterable[Path], folder: Path, dataset: str, pattern: str) -> dict[str, Path]:
    require_pattern(pattern)
    above, slash, last = pattern.rpartition("/")
    plain = above + slash + face_id(last)  # with or without .png
    pieces = {NAME: "(?P<name>[^/]+?)", SET: re.escape(face_id(dataset)), "*": "[^/]*"}
    parts = re.split(r"(\{name\}|\{set\}|\*)", plain)
    expression = re.compile("".join(pieces.get(part, re.escape(part)) for part in parts))
    found: dict[str, list[Path]] = {}
    for path in paths:
        stem = face_id(path.name)
        text = (path.relative_to(folder).parent / stem).as_posix() if slash else stem
        if match := expression.fullmatch(text):
            found.setdefault(match["name"], []).append(path)
    return _single(found, folder)


def _by_affix(
    paths: Iterable[Path], folder: Path, ids: frozenset[str]
) -> tuple[dict[str, Path], str]:
    """Pair by equal names, or by the one text behind or before the face's name."""
    fitting: dict[str, dict[str, list[Path]]] = {NAME: {}}
    for path in paths:
        stem = face_id(path.name)
        for face, pattern in _face_of(stem, ids):
            fitting.setdefault(pattern, {}).setdefault(face, []).append(path)
    counts = Counter({pattern: len(own) for pattern, own in fitting.items()})
    pattern, most = counts.most_common(1)[0]
    if counts[NAME] >= most:
        return _single(fitting[NAME], folder), ""
    others = [other for other in counts if other != pattern and counts[other]]
    if others:
        texts = [text.replace(NAME, "") for text in (pattern, *others)]
        raise InputError(
            f"{folder}: the names of results go on in different ways: "
            f"{listed(texts)}; say which are meant with the pattern {pattern} "
            f"(images:DIR@pattern={pattern}; score: --pattern {pattern})"
        )
    where = "end in" if pattern.startswith(NAME) else "begin with"
    return _single(fitting[pattern], folder), f"names {where} '{pattern.replace(NAME, '')}'"


def _face_of(stem: str, ids: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the longest face id that a name begins with, else ends in, and the name's pattern.

    A new word begins behind it, or ends before it: `10` is no result of face `1`, and `anna` none
    of `ann`, but `annax8` is one of `anna`, and `sr_1` one of `1`.
    """
    if stem in ids:
        yield stem, NAME
        return
    for end in range(len(stem) - 1, 0, -1):
        if stem[:end] in ids and not _goes_on(stem[end - 1], stem[end:]):
            yield stem[:end], NAME + stem[end:]
            return
    for start in range(1, len(stem)):
        if stem[start:] in ids and not _is_one_word(stem[start - 1], stem[start]):
            yield stem[start:], stem[:start] + NAME
            return


def _goes_on(before: str, rest: str) -> bool:
    return not _SCALE.match(rest) and _is_one_word(before, rest[0])


def _is_one_word(before: str, behind: str) -> bool:
    return (before.isdigit() and behind.isdigit()) or (before.isalpha() and behind.isalpha())


def _single(found: Mapping[str, list[Path]], folder: Path) -> dict[str, Path]:
    for face, paths in found.items():
        if len(paths) > 1:
            one, other = (_below(path, folder) for path in paths[:2])
            raise InputError(
                f"{folder}: two results for '{face}': {one} and {other}; name the folder that is "
                f"meant, or say which files are, such as @pattern={Path(one).parent}/{NAME} "
                "(score: --pattern)"
            )
    return {face: paths[0] for face, paths in found.items()}


def _how_to_name(paths: list[Path], ids: Collection[str]) -> str:
    face = next(iter(ids), "")
    return (
        f"no result has the name of a face ('{unicode_text(paths[0].name)}' is a result, "
        f"'{face}' a face); if there is a rule, give it, such as @pattern=sr_{NAME} "
        "(score: --pattern)"
    )


def _below(path: Path, folder: Path) -> str:
    return unicode_text(path.relative_to(folder).as_posix())
