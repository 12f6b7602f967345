"""Make the small weights of the bundled metrics from the packages that published them.

    pip download --no-deps DISTS_pytorch==0.1
    cd baselines && python -m tools.convert.metrics --dists DISTS_pytorch-0.1-py3-none-any.whl \\
        --basicsr the-unpacked-basicsr-1.4.2.tar.gz

No value changes. Files are accepted only if their SHA-256 is the one below; `weights/NOTICE.md`
describes them.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from affectbench.assets.untrusted import read_weights
from affectbench.metrics.assets import DISTS, NIQE, WEIGHTS
from tools.convert.packages import Array, Source, convert_command, read_source

DISTS_SOURCE: Source = (
    "DISTS_pytorch/weights.pt",
    "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
)
NIQE_SOURCE: Source = (
    "basicsr/metrics/niqe_pris_params.npz",
    "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
)


def convert_dists(package: Path) -> dict[str, Array]:
    """Return `alpha` and `beta` (1475,), the texture and structure weights of `DISTS_pytorch`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        path.write_bytes(read_source(package, DISTS_SOURCE))
        tensors = read_weights(path)
    return {name: tensors[name].flatten().numpy() for name in ("alpha", "beta")}


def convert_niqe(package: Path) -> dict[str, Array]:
    """Return `mean` (36,) and `covariance` (36, 36) of natural-image features, from `basicsr`."""
    content = io.BytesIO(read_source(package, NIQE_SOURCE))
    with np.load(content, allow_pickle=False) as stored:
        return {
            "mean": stored["mu_pris_param"].flatten(),
            "covariance": stored["cov_pris_param"],
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert the weights of both metrics."""
    convert_command(
        "tools.convert.metrics",
        {"dists": "the wheel of DISTS_pytorch", "basicsr": "the folder with basicsr/"},
        WEIGHTS,
        {
            DISTS.source.path().name: ("dists", convert_dists),
            NIQE.source.path().name: ("basicsr", convert_niqe),
        },
        arguments,
    )


if __name__ == "__main__":
    main()
