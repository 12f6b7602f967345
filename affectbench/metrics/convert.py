"""Make the small weights of the bundled metrics from the packages that published them.

    pip download --no-deps DISTS_pytorch==0.1
    python -m affectbench.metrics.convert --dists DISTS_pytorch-0.1-py3-none-any.whl \\
        --basicsr the-unpacked-basicsr-1.4.2.tar.gz

No value changes. The files are taken only if their SHA-256 is the one below; `weights/NOTICE.md`
says what they are.
"""

from __future__ import annotations

import argparse
import io
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from affectbench.assets.conversion import Array, Source, read_source, write_weights
from affectbench.assets.untrusted import read_weights
from affectbench.errors import AffectBenchError
from affectbench.metrics.assets import DISTS, NIQE, WEIGHTS

DISTS_SOURCE: Source = (
    "DISTS_pytorch/weights.pt",
    "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
)
NIQE_SOURCE: Source = (
    "basicsr/metrics/niqe_pris_params.npz",
    "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
)

_LOG = logging.getLogger("affectbench.metrics.convert")


def convert_dists(package: Path) -> dict[str, Array]:
    """`alpha` and `beta` (1475,), the weights of texture and structure, from `DISTS_pytorch`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        path.write_bytes(read_source(package, DISTS_SOURCE))
        tensors = read_weights(path)
    return {name: tensors[name].flatten().numpy() for name in ("alpha", "beta")}


def convert_niqe(package: Path) -> dict[str, Array]:
    """`mean` (36,) and `covariance` (36, 36) of the features of natural images, from `basicsr`."""
    content = io.BytesIO(read_source(package, NIQE_SOURCE))
    with np.load(content, allow_pickle=False) as stored:
        return {
            "mean": stored["mu_pris_param"].flatten(),
            "covariance": stored["cov_pris_param"],
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert both; log the SHA-256 that `assets.py` has to name."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m affectbench.metrics.convert")
    parser.add_argument("--dists", type=Path, required=True, help="the wheel of DISTS_pytorch")
    parser.add_argument("--basicsr", type=Path, required=True, help="the folder with basicsr/")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="default: where they are read")
    options = parser.parse_args(arguments)
    try:
        every = {
            DISTS.source.path().name: convert_dists(options.dists),
            NIQE.source.path().name: convert_niqe(options.basicsr),
        }
    except AffectBenchError as error:
        parser.error(str(error))
    for name, tensors in every.items():
        _LOG.info("%s  %s", write_weights(tensors, options.out / name), name)


if __name__ == "__main__":
    main()
