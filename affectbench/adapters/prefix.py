"""Common parts of the adapters of the form `PREFIX:TARGET`.

The revision is derived from content alone: that of the target, and of every option but `name` (the
bytes of a value that is a file, all files below one that is a folder). Moving or renaming a file
does not change it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.arguments import is_file, is_folder
from affectbench.assets import sha256_of
from affectbench.errors import InputError, WeightsError
from affectbench.local_code.target import source_of, split_target
from affectbench.types import Model, ModelSpec, StoredResults, content_id

if TYPE_CHECKING:
    import torch

LR_SIZE = 16
"""The default side in pixels of the LR faces for trial calls of models."""

MOST_FILES = 10_000
"""The most files in a folder that an option names."""

COMMON_OPTIONS = ("name", "trained_on", "trained_against", "licence")
"""Options of every prefix adapter: what the user declares."""


@dataclass(frozen=True)
class Loading:
    """A request to an adapter. `spec` is what is known before loading: name, revision, options."""

    argument: str
    target: str
    options: Mapping[str, str]
    spec: ModelSpec
    scale: int
    lr_size: int


def _nothing_odd(
    _target: str, _options: Mapping[str, str], _dataset: str, _faces: Collection[str]
) -> list[str]:
    return []


@dataclass(frozen=True)
class PrefixAdapter:
    """An adapter. `options` extend the common ones; `any_option` accepts all others too.

    `check(target)` returns the row name and raises if the target does not exist; `content(target)`
    returns what determines the outputs; `load(loading, device)` is the only part that needs torch.
    `covers` describes `content` in words, and `lacks` what it does not cover before the model is
    loaded. `remarks(target, options, dataset, faces)` returns remarks for the user on a set.
    """

    prefix: str
    syntax: str
    title: str
    options: tuple[str, ...]
    check: Callable[[str], str]
    content: Callable[[str], dict[str, Any]]
    load: Callable[[Loading, torch.device], Model | StoredResults]
    any_option: bool = False
    covers: str = ""
    lacks: str = ""
    remarks: Callable[[str, Mapping[str, str], str, Collection[str]], list[str]] = _nothing_odd

    @property
    def known_options(self) -> tuple[str, ...]:
        """All options that the adapter itself interprets."""
        return (*COMMON_OPTIONS, *self.options)

    def describe(self, name: str, target: str, options: Mapping[str, str]) -> ModelSpec:
        """Return the spec as far as it is known without loading the model."""
        if self.any_option and "revision" in options:
            return self._vouched_for(name, options)
        content = {"adapter": self.prefix, **self.content(target)}
        decided = {k: option_content(k, v) for k, v in sorted(options.items()) if k != "name"}
        weights = content.get("weights")
        if "weights" in options and is_file(options["weights"]):
            weights = decided["weights"]
        made = content_id({**content, "options": decided})
        return replace(
            _declared(name, options, made),
            weights_sha256=weights,
            revision_from=self.covers,
            revision_lacks=self.lacks,
        )

    def _vouched_for(self, name: str, options: Mapping[str, str]) -> ModelSpec:
        """Return the spec for a revision that the user vouches for: no file is read."""
        given = {k: v for k, v in sorted(options.items()) if k != "name"}
        made = content_id({"adapter": self.prefix, "options": given})
        spec = _declared(name, options, made)
        return replace(spec, revision_from=f"@revision={options['revision']}")


def _declared(name: str, options: Mapping[str, str], revision: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        scale=None,
        revision=revision,
        licence=options.get("licence", "unknown"),
        trained_on=_names(options.get("trained_on", "")),
        trained_against=_names(options.get("trained_against", "")),
    )


def require_file(target: str) -> str:
    """Return the stem of an existing weights file; raise WeightsError otherwise."""
    if is_folder(target):
        raise WeightsError(f"{target}: is a folder, a file is needed")
    if not is_file(target):
        raise WeightsError(f"{target}: no such file")
    return Path(target).stem


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file; raise InputError if it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def source_content(target: str) -> dict[str, Any]:
    """Return what is known of a `python:` model before its code is run."""
    return {"source": file_hash(source_of(target)), "factory": split_target(target)[1]}


def option_content(key: str, value: str) -> str:
    """Return an option's text, or the hash of the file or folder that it names."""
    if key in (*COMMON_OPTIONS, "then", "range"):
        return value
    if is_file(value):
        return file_hash(value)
    return folder_hash(Path(value)) if is_folder(value) else value


def folder_hash(folder: Path) -> str:
    """Return a hash of all files below a folder, by relative name and content, following links.

    Raises InputError for more than `MOST_FILES` files: such a folder holds more than a model.
    """
    files: dict[str, str] = {}
    for path in _files_below(folder, set()):
        if len(files) == MOST_FILES:
            raise InputError(
                f"{folder}: holds more than {MOST_FILES:,} files, too many to be part of a "
                "model's revision; name the folder of the weights alone, or add @revision=TEXT"
            )
        files[path.relative_to(folder).as_posix()] = file_hash(path)
    return content_id({"folder": files})


def _files_below(folder: Path, above: set[Path]) -> Iterator[Path]:
    """Yield regular files in order of name; links to a parent folder are not followed."""
    real = folder.resolve()
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files_below(path, above | {real})
        elif path.is_file():
            yield path


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(";") if name.strip())
