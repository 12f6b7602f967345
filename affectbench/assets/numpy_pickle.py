"""Safe reading of pickled nested dicts of numpy arrays, the format of many JAX checkpoints.

A pickle is a program that calls what it names. This reader knows only the names that every pickled
array uses and maps each to a stand-in class that merely stores its arguments; any other name is
refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectbench.assets.pickle_limits import require_bounded
from affectbench.errors import WeightsError


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the float32 arrays of a file by name, the keys of nested dicts joined by `/`.

    Raises WeightsError if the file is missing, damaged, or holds anything else. Nothing that it
    names is imported or called.
    """
    try:
        program = path.read_bytes()
        require_bounded(program)
        return dict(_flattened(_Reader(io.BytesIO(program)).load(), ""))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a damaged or hostile pickle can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path}: refused or damaged ({reason}); nothing in it was run"
        ) from error


class _DType:
    """Stand-in for a pickled dtype: its code, such as `f4`, then its byte order."""

    def __init__(self, code: object, *_rest: object) -> None:
        self.code, self.order = code, ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Stand-in for a pickled array: created empty, then given shape, dtype, order and bytes."""

    def __init__(self, *_arguments: object) -> None:
        self.values: NDArray[np.float32] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType) or (dtype.code, dtype.order, fortran) != (
            "f4",
            "<",
            False,
        ):
            raise pickle.UnpicklingError("an array is not of little-endian float32 in C order")
        self.values = np.frombuffer(content, "<f4").reshape(shape).astype(np.float32)


_NAMES: dict[str, type] = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.ndarray": _Array,
    "numpy.dtype": _DType,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """Return the stand-in for a name that a pickled array uses; nothing is imported."""
        try:
            return _NAMES[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def _flattened(content: object, prefix: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if isinstance(content, _Array) and content.values is not None:
        yield prefix, content.values
    elif isinstance(content, dict) and all(type(key) is str for key in content):
        for key, value in content.items():
            yield from _flattened(value, f"{prefix}/{key}" if prefix else key)
    else:
        raise pickle.UnpicklingError(f"{prefix or 'what it holds'} is a {type(content).__name__}")
