"""Sets of aligned faces: a plug-in per entry point of `affectbench.datasets`, or any folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from affectbench.datasets.folder import open_folder
from affectbench.errors import InputError, UnknownNameError
from affectbench.registry import Registry
from affectbench.types import Dataset, DatasetPlugin, DatasetSpec

DATASETS: Registry[DatasetPlugin] = Registry("affectbench.datasets", "data set", DatasetPlugin)


@runtime_checkable
class RemarkableDataset(Protocol):
    """A data set with remarks about what it found, such as files that are not faces."""

    def remarks(self) -> Sequence[str]:
        """Return remarks for the user, one line each."""
        ...


def list_datasets() -> list[DatasetSpec]:
    """Return the specs of all installed data sets, sorted by name."""
    return [DATASETS.load(name).spec for name in DATASETS]


def load_dataset(name: str, folder: Path | str | None = None) -> Dataset:
    """Return the data set with that name, its faces found in `folder`; no pixel is read yet.

    With a folder, a name that is not installed means any folder of faces. Raises UnknownNameError
    for such a name without a folder, and InputError, naming the expected layout, if the faces are
    not where they should be.

    >>> load_dataset("demo").ids
    ('astronaut', 'grace_hopper')
    """
    path = None if folder is None else Path(folder)
    try:
        if path is not None and name not in DATASETS:
            return open_folder(name, path)
        return DATASETS.load(name).open(path)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{error}; a folder of your own faces works under any name: --data {name}=DIR"
        ) from None
    except PermissionError as error:
        raise InputError(f"{error.filename}: no permission to look into it") from None
