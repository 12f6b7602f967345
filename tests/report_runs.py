"""Synthetic runs with everything that a report shows: expressions, judges, costs, saved faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from run_writer import RunWriter, dataset_revision

from affectbench.metrics.ecm import ecm_parts, part_columns
from affectbench.records import SavedFaces
from affectbench.types import EXPRESSIONS

ROWS = {"sharp": 0.6, "bicubic": 1.6, "worst": 2.6}
"""Models by how far they move the judge's logits."""


def face_ids(n: int) -> np.ndarray:
    """Names of faces."""
    return np.array([f"{i:06d}" for i in range(n)])


def judged_columns(
    hr: torch.Tensor, strength: float, ids: Sequence[str] | np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What a judge reads if a model moves its logits by noise of that strength."""
    noise = torch.from_numpy(rng.normal(0, strength, tuple(hr.shape)))
    return {"id": np.asarray(ids), **part_columns(ecm_parts(hr, hr + noise), EXPRESSIONS)}


def metric_columns(
    name: str, ids: Sequence[str] | np.ndarray, centre: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Values of any metric, normal around a centre."""
    return {"id": np.asarray(ids), name: rng.normal(centre, abs(centre) / 20, len(ids))}


def write_run(
    folder: Path,
    *,
    rows: Mapping[str, float] = ROWS,
    n: int = 40,
    datasets: Sequence[str] = ("celeba",),
    judges: Sequence[str] = ("mini-xception", "face-api"),
    ids: Sequence[str] | None = None,
    images: int | None = None,
    drawn: int = 40,
    size: int = 32,
    seed: int = 0,
    models: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """A run folder of models and anchors; `images` faces have pictures (all by default).

    At most `drawn` pictures are drawn, the others are links to them.
    """
    rng = np.random.default_rng(seed)
    writer = RunWriter(folder, judges)
    names = face_ids(n) if ids is None else np.array(ids)
    for dataset in datasets:
        for judge in judges:
            hr = torch.from_numpy(rng.normal(0, 2.5, (len(names), len(EXPRESSIONS))))
            every = {**rows, "wrong-face": 4.0, "one-face": 4.0}
            for row, strength in every.items():
                role = "anchor" if row.endswith("-face") else "model"
                columns = judged_columns(hr, strength, names, rng)
                about: dict[str, Any] = {"role": role, "judge": judge, "dataset": dataset}
                about["model"] = (models or {}).get(row)
                writer.add(row, "ecm", columns, **about)
        for row, strength in rows.items():
            for metric, centre in (("psnr", 26 - strength), ("ssim", 0.8 - strength / 10)):
                for convention in ("rgb", "dic"):
                    columns = metric_columns(metric, names, centre, rng)
                    about = {
                        "model": (models or {}).get(row),
                        "convention": convention,
                        "last_call": convention == "rgb",
                    }
                    cost = {"seconds": 1.0, "faces_per_second": 50 / strength}
                    writer.add(row, metric, columns, dataset=dataset, cost=cost, **about)
        shown = [str(name) for name in names[:images]]
        _write_faces(folder, dataset, list(rows), shown[:drawn], size, rng)
        _link_faces(SavedFaces(folder, dataset, dataset_revision(dataset)), shown, drawn)
    return writer.finish(["ecm", "psnr", "ssim"])


def _write_faces(
    folder: Path,
    dataset: str,
    rows: Sequence[str],
    ids: Sequence[str],
    size: int,
    rng: np.random.Generator,
) -> None:
    """Pictures of smooth noise, no face: SR is HR with ever more blur."""
    place = SavedFaces(folder, dataset, dataset_revision(dataset))
    for image_id in ids:
        small = rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
        hr = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)
        grain = rng.integers(-9, 10, (size, size, 3))
        hr = Image.fromarray(np.clip(np.asarray(hr) + grain, 0, 255).astype(np.uint8))
        lr = hr.resize((size // 8, size // 8), Image.Resampling.BICUBIC)
        _save(hr, place.hr(image_id))
        _save(lr, place.lr(image_id))
        for step, row in enumerate(rows):
            side = max(size // (2 + step % 3), 4)
            sr = hr.resize((side, side), Image.Resampling.BICUBIC)
            sr = sr.resize((size, size), Image.Resampling.BICUBIC)
            _save(sr, place.sr(row, f"revision of {row}", image_id))


def _link_faces(place: SavedFaces, ids: Sequence[str], drawn: int) -> None:
    for folder in {path.parent for path in place.folder.rglob("*.png")}:
        for position, image_id in enumerate(ids[drawn:]):
            source = folder / f"{ids[position % drawn]}.png"
            (folder / f"{image_id}.png").hardlink_to(source)


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "PNG", compress_level=1)
