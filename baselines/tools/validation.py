"""Compare trained networks on the validation slice: `python -m tools.validation RUN ... --out CSV`.

    python -m tools.validation runs/affectsrnet/last-0 runs/rrdbnet/last-0 bicubic \\
        --versus runs/rrdbnet/last-0 --data celeba_train.zip --landmarks celeba_train.npz \\
        --out validation.csv

A run is a folder with `weights.safetensors`, or a weights file; `bicubic` is Pillow's. Rows have
95 % intervals; with `--versus` also the paired difference to that run and p after Holm over the
others. ECM is the macro mean over expressions of at least ten faces, `_mean` the plain one; `nme`
is the error of landmarks that the face mesh finds on SR, `landmarks` that of landmarks that a
network predicts from LR.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from affectbench_baselines.header import read_header
from affectbench_baselines.training.faces import load_faces
from affectbench_baselines.training.validate import Validation, landmark_errors, validation_ids
from affectbench_baselines.weights import load_network
from numpy.typing import NDArray

from affectbench.errors import InputError
from affectbench.faces.landmarks import find_landmarks
from affectbench.faces.mesh import load_face_mesh
from affectbench.images.resizing import resize
from affectbench.images.tensors import stack, unit_range
from affectbench.metrics.fidelity import psnr, ssim
from affectbench.metrics.perceptual import lpips
from affectbench.records import write_atomic
from affectbench.stats.bootstrap import bca_interval
from affectbench.stats.paired import Difference, paired_difference
from affectbench.stats.ranking import holm
from affectbench.stats.sets import set_mean

_CPU = torch.device("cpu")
_BATCH = 50
_SMALLEST_CLASS = 10
_SIZE = 128


@dataclass(frozen=True)
class Column:
    """One figure of each face, and for a macro mean the class of each face, -1 for the rest."""

    values: NDArray[np.float64]
    classes: NDArray[np.int64] | None = None

    def only(self, kept: NDArray[np.bool_]) -> Column:
        """Return the column of the faces where `kept` is true."""
        return Column(self.values[kept], None if self.classes is None else self.classes[kept])


def columns(validation: Validation, sr: torch.Tensor) -> dict[str, Column]:
    """Return all figures of SR uint8 (N, 3, H, W)."""
    out = {}
    for name, ecm in validation.consistency(sr).items():
        suffix = "" if name == "resnet-ferplus" else f"[{name}]"
        values = np.asarray(ecm.columns["ecm"], np.float64)
        out[f"ecm{suffix}"] = Column(values, _classes(ecm.columns["label_hr"]))
        out[f"ecm{suffix}_mean"] = Column(values)
        out[f"agreement{suffix}"] = Column(np.asarray(ecm.columns["agreement"], np.float64))
    pairs = list(zip(torch.split(sr, _BATCH), torch.split(validation.hr, _BATCH), strict=True))
    for name, function in (("psnr", psnr), ("ssim", ssim), ("lpips-alex", lpips)):
        found = torch.cat([function(unit_range(a), unit_range(b)) for a, b in pairs])
        out[name] = Column(found.double().numpy())
    mesh = load_face_mesh(_CPU)
    with torch.no_grad():
        points = [find_landmarks(mesh, unit_range(a), "centre").points for a, _ in pairs]
    out["nme"] = _errors(torch.cat(points), validation)
    return out


def _errors(points: torch.Tensor, validation: Validation) -> Column:
    return Column(landmark_errors(points, validation.landmarks).double().numpy())


def _classes(labels: NDArray[np.str_]) -> NDArray[np.int64]:
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.where(counts[index] >= _SMALLEST_CLASS, index, -1)


def row(found: Mapping[str, Column]) -> dict[str, float]:
    """Return the mean of each column with its interval."""
    out: dict[str, float] = {}
    for name, column in found.items():
        known = column.only(np.isfinite(column.values))
        interval = bca_interval(known.values, np.random.default_rng(0), known.classes)
        out[name] = set_mean(known.values, known.classes)
        out |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return out


def differences(
    found: Mapping[str, Mapping[str, Column]], versus: str
) -> dict[str, dict[str, float]]:
    """Return, for each run but `versus`, its paired difference in each column, p by Holm."""
    out: dict[str, dict[str, float]] = {name: {} for name in found if name != versus}
    for figure, base in found[versus].items():
        paired = {name: _paired(found[name][figure], base) for name in out if figure in found[name]}
        adjusted = holm([value.p for value in paired.values()])
        for (name, value), p in zip(paired.items(), adjusted, strict=True):
            parts = {"": value.estimate, "_low": value.low, "_high": value.high, "_p": p}
            out[name] |= {f"{figure}_diff{part}": number for part, number in parts.items()}
    return out


def _paired(column: Column, base: Column) -> Difference:
    known = np.isfinite(column.values) & np.isfinite(base.values)
    one, other = column.only(known), base.only(known)
    return paired_difference(one.values, other.values, np.random.default_rng(0), other.classes)


class Slice:
    """The validation slice at each scale that is asked for."""

    def __init__(self, options: argparse.Namespace) -> None:
        faces = load_faces(options.data, options.landmarks, options.cache)
        self._faces = faces.subset(validation_ids())
        self._scales: dict[int, Validation] = {}

    def at(self, scale: int) -> Validation:
        """Return the slice at a scale."""
        if scale not in self._scales:
            self._scales[scale] = Validation(self._faces, scale, _SIZE)
        return self._scales[scale]

    def measured(self, run: str, scale: int) -> dict[str, Column]:
        """Return all figures of a run; `scale` is that of bicubic, networks have their own."""
        if run == "bicubic":
            validation = self.at(scale)
            return columns(validation, bicubic(validation.hr, scale))
        path = Path(run) / "weights.safetensors" if Path(run).is_dir() else Path(run)
        header = read_header(path)
        if header is None:
            raise InputError(f"{path}: is no weights file of this package")
        network = load_network(path, header)
        validation = self.at(network.scale)
        sr, points = validation.restored(network, _CPU)
        out = columns(validation, sr)
        return out if points is None else {**out, "landmarks": _errors(points, validation)}


def bicubic(hr: torch.Tensor, scale: int) -> torch.Tensor:
    """Return faces uint8 (N, 3, H, W), reduced and enlarged again by Pillow's bicubic."""
    faces, low = hr.permute(0, 2, 3, 1).contiguous().numpy(), _SIZE // scale
    reduced = [resize(face, low, low, "pil-bicubic") for face in faces]
    return stack([resize(face, _SIZE, _SIZE, "pil-bicubic") for face in reduced])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure runs and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.validation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--versus", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True, metavar="ZIP")
    parser.add_argument("--landmarks", type=Path, required=True, metavar="NPZ")
    parser.add_argument("--cache", type=Path, default=Path("runs/baselines/cache"))
    parser.add_argument("--scale", type=int, default=8, help="of bicubic")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV")
    options = parser.parse_args(arguments)
    faces = Slice(options)
    found = {run: faces.measured(run, options.scale) for run in options.runs}
    changes = differences(found, options.versus) if options.versus else {}
    rows = [{"run": run, **row(own), **changes.get(run, {})} for run, own in found.items()]
    write_atomic(options.out, pd.DataFrame(rows).to_csv(index=False, float_format="%.5f").encode())


if __name__ == "__main__":
    main()
