"""What the adapters of the form `PREFIX:TARGET` have in common.

The revision comes from content alone: of the target, and of every option but `name` (of the
file's bytes where the value is a file). Moving or renaming a file changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.arguments import is_file, is_folder
from affectbench.assets import sha256_of
from affectbench.errors import InputError, WeightsError
from affectbench.types import Model, ModelSpec, StoredResults, content_id

if TYPE_CHECKING:
    import torch

COMMON_OPTIONS = ("name", "trained_on", "trained_against", "licence")
"""Options of every prefix adapter: what the user declares."""


@dataclass(frozen=True)
class Loading:
    """What an adapter is asked to load. `spec` is what is known so far: name, revision, options."""

    argument: str
    target: str
    options: Mapping[str, str]
    spec: ModelSpec
    scale: int


@dataclass(frozen=True)
class PrefixAdapter:
    """An adapter. `options` are its own beside the common ones; `any_option` takes others too.

    `check(target)` gives the row name and raises if there is no such target; `content(target)`
    is what decides the outputs; `load(loading, device)` is the only part that needs torch.
    """

    prefix: str
    syntax: str
    title: str
    options: tuple[str, ...]
    check: Callable[[str], str]
    content: Callable[[str], dict[str, Any]]
    load: Callable[[Loading, torch.device], Model | StoredResults]
    any_option: bool = False

    @property
    def known_options(self) -> tuple[str, ...]:
        """All options that have a meaning here."""
        return (*COMMON_OPTIONS, *self.options)

    def describe(self, name: str, target: str, options: Mapping[str, str]) -> ModelSpec:
        """The spec as far as it is known without loading anything."""
        content = {"adapter": self.prefix, **self.content(target)}
        decided = {k: _content_of(v) for k, v in sorted(options.items()) if k != "name"}
        weights = content.get("weights")
        if "weights" in options and is_file(options["weights"]):
            weights = decided["weights"]
        return ModelSpec(
            name=name,
            scale=None,
            revision=content_id({**content, "options": decided}),
            licence=options.get("licence", "unknown"),
            weights_sha256=weights,
            trained_on=_names(options.get("trained_on", "")),
            trained_against=_names(options.get("trained_against", "")),
        )


def require_file(target: str) -> str:
    """The stem of an existing weights file; WeightsError otherwise."""
    if is_folder(target):
        raise WeightsError(f"{target}: is a folder, a file is needed")
    if not is_file(target):
        raise WeightsError(f"{target}: no such file")
    return Path(target).stem


def file_hash(path: str | Path) -> str:
    """The SHA-256 of a file; InputError if it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _content_of(value: str) -> str:
    return file_hash(value) if is_file(value) else value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(";") if name.strip())
