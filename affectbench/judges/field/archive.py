"""Zip archives written by `torch.save`: locate tensors in them, and check before allocating any.

`Storage` and `Slice` represent a pickle's references to storages and tensors. They only record
where the values are; `Archive.tensor` reads them. Anything rejected raises an UnpicklingError.
"""

from __future__ import annotations

import math
import pickle
import zipfile

import torch

from affectbench.assets.pickle_limits import most_bytes

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Fixed:
    """An object that the file can name but not change: it has no state and no attributes to set."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it sets the state of something that has none")


class StorageType(Fixed):
    """A storage type of torch: a marker that cannot be called."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class Storage(Fixed):
    """A storage's entry in the archive; its bytes are not read yet."""

    __slots__ = ("count", "dtype", "key")

    def __init__(self, key: str, dtype: torch.dtype, count: int) -> None:
        self.key, self.dtype, self.count = key, dtype, count


class Slice(Fixed):
    """A tensor's position in a storage, checked to lie within it."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: object, offset: object, shape: object, strides: object) -> None:
        if not isinstance(storage, Storage):
            raise pickle.UnpicklingError("a tensor is made of something else than a storage")
        self.storage = storage
        (self.offset,) = _sizes((offset,))
        self.shape, self.strides = _sizes(shape), _sizes(strides)
        if len(self.shape) != len(self.strides):
            raise pickle.UnpicklingError("a tensor has not as many strides as sides")
        steps = ((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if math.prod(self.shape) and self.offset + sum(steps) >= storage.count:
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        if math.prod(self.shape) > storage.count:
            raise pickle.UnpicklingError("a tensor is larger than its storage")


def _sizes(values: object) -> tuple[int, ...]:
    if isinstance(values, tuple) and all(type(n) is int and n >= 0 for n in values):
        return values
    raise pickle.UnpicklingError("a tensor has a size that is not a whole number")


class Archive:
    """The entries of a torch archive, all of them in one folder."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        self._left = most_bytes(sum(self._sizes.values()))
        programs = [name for name in self._sizes if name.endswith("data.pkl")]
        if len(programs) != 1:
            raise pickle.UnpicklingError("it holds no data.pkl of torch")
        self.root = programs[0].removesuffix("data.pkl")
        if f"{self.root}constants.pkl" in self._sizes:
            raise pickle.UnpicklingError("it is a TorchScript program, not a pickled module")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise pickle.UnpicklingError("it is compressed, which torch does not do")
        order = f"{self.root}byteorder"
        if order in self._sizes and archive.read(order) != b"little":
            raise pickle.UnpicklingError("it was written on a big-endian machine")

    def program(self) -> bytes:
        """Return the pickle."""
        return self._archive.read(f"{self.root}data.pkl")

    def require(self, key: str, size: int) -> None:
        """Reject a storage that is missing or has another size."""
        if self._sizes.get(f"{self.root}data/{key}") != size:
            raise pickle.UnpicklingError(f"its storage {key!r} has not {size} bytes")

    def tensor(self, part: Slice) -> torch.Tensor:
        """Return a tensor with its own memory."""
        if math.prod(part.shape) == 0:
            return torch.empty(part.shape, dtype=part.storage.dtype)
        self._left -= math.prod(part.shape) * part.storage.dtype.itemsize
        if self._left < 0:
            raise pickle.UnpicklingError("its tensors share storages and are too large together")
        content = bytearray(self._archive.read(f"{self.root}data/{part.storage.key}"))
        flat = torch.frombuffer(content, dtype=part.storage.dtype)
        return flat.as_strided(part.shape, part.strides, part.offset).clone()
