"""Synthetic run folders: records and per-image values drawn from a seed, no image needed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from affectbench.aggregate import set_values
from affectbench.errors import RecordError
from affectbench.metrics import metric_plugin
from affectbench.records import (
    Record,
    read_columns,
    read_record,
    slug,
    write_columns,
    write_record,
)
from affectbench.types import as_json, content_id

CONTENT: dict[str, Any] = {"dataset": "0" * 16, "protocol": {"scale": 8}}
MODEL: dict[str, Any] = {"trained_on": [], "trained_against": []}
JUDGE = {"judge": "mini-xception", "judge_revision": "0", "crop": "crop/1", "framing": "celeba"}


def ecm_columns(values: Sequence[float], labels: Sequence[str]) -> dict[str, np.ndarray]:
    """ECM columns with these values; every expression is kept."""
    n = len(values)
    return {
        "id": np.array([f"{i:06d}" for i in range(n)]),
        "ecm": np.array(values, dtype=np.float64),
        "label_hr": np.array(labels),
        "agreement": np.ones(n, dtype=bool),
        "p_k": np.full(n, 0.8),
    }


def psnr_columns(values: Sequence[float]) -> dict[str, np.ndarray]:
    """PSNR columns."""
    ids = np.array([f"{i:06d}" for i in range(len(values))])
    return {"id": ids, "psnr": np.array(values, dtype=np.float64)}


def edit_record(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record as somebody would who also makes its SHA-256 fit."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    content["sha256"] = ""
    path.write_text(json.dumps(content))
    with contextlib.suppress(RecordError):
        write_record(read_record(path), path)


def edit_columns(record: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the per-image values of a record, and the SHA-256 of both."""
    folder = next(parent for parent in record.parents if parent.name == "records")
    images = folder.with_name("images") / record.relative_to(folder).with_suffix(".parquet")
    columns = read_columns(images)
    change(columns)
    write_record(replace(read_record(record), images_sha256=write_columns(columns, images)), record)


def dataset_revision(name: str) -> str:
    """A data set's revision."""
    return CONTENT["dataset"] if name == "celeba" else content_id({"dataset": name})


class RunWriter:
    """Writes a run folder cell by cell."""

    def __init__(self, folder: Path, judges: Sequence[str] = ("mini-xception",)) -> None:
        self.folder = folder
        self.cells: list[str] = []
        self.models: list[str] = []
        self.judges = list(judges)
        self.datasets: dict[str, None] = {}

    def add(
        self,
        row: str,
        metric: str,
        columns: Mapping[str, np.ndarray],
        *,
        role: str = "model",
        judge: str = "mini-xception",
        error: str = "",
        model: Mapping[str, Any] | None = None,
        failed: Sequence[tuple[str, str]] = (),
        dataset: str = "celeba",
        convention: str = "",
        cost: Mapping[str, float] | None = None,
        last_call: bool = True,
    ) -> Path:
        """One cell; the path of its record. `last_call`: it is part of what `run.json` names."""
        spec = metric_plugin(metric).spec
        identity = {"name": metric, **({**JUDGE, "judge": judge} if spec.per_judge else {})}
        identity |= {"convention": convention} if convention else {}
        revision = (model or {}).get("revision", f"revision of {row}")
        content = {"model": revision, "metric": identity, **CONTENT}
        content["dataset"] = dataset_revision(dataset)
        cell_id = content_id(content)
        path = f"{slug(dataset)}/{content_id({'row': row, 'role': role})}/{metric}-{cell_id}"
        record = Record(
            id=cell_id,
            cell=content,
            status="failed" if error else "ok",
            role=role,  # type: ignore[arg-type]
            row=row,
            model={**MODEL, "name": row, "revision": content["model"]} | dict(model or {}),
            dataset={
                "name": dataset,
                "title": "toy CelebA" if dataset == "celeba" else f"toy {dataset}",
                "revision": content["dataset"],
            },
            protocol={"name": "x8-128-pil-bicubic", **CONTENT["protocol"]},
            metric={**as_json(spec), "identity": identity},
            n=len(columns["id"]) + len(failed),
            failed=tuple(failed),
            error=error,
            cost=dict(cost or {}),
            images="" if error else f"{path}.parquet",
            provenance={"seed": 0, "affectbench": "0", "packages": {}, "date": "2026-01-01"},
        )
        if not error:
            extra = metric_plugin(metric).summarise(columns)
            record = replace(record, values=set_values(columns, spec, extra, 0))
            digest = write_columns(columns, self.folder / "images" / f"{path}.parquet")
            record = replace(record, images_sha256=digest)
        write_record(record, self.folder / "records" / f"{path}.json")
        if last_call:
            self.cells.append(path)
            self.datasets |= {dataset: None}
        if role == "model" and row not in self.models:
            self.models.append(row)
        return self.folder / "records" / f"{path}.json"

    def finish(self, metrics: Sequence[str], versus: str = "bicubic") -> Path:
        """Write `run.json`; the folder."""
        settings = {
            "models": self.models,
            "arguments": self.models,
            "datasets": list(self.datasets),
            "metrics": list(metrics),
            "judges": self.judges,
            "versus": versus,
            "convention": "rgb",
            "protocol": "x8-128-pil-bicubic",
            "seed": 0,
        }
        content = {"schema": 1, "command": "toy", "settings": settings, "cells": self.cells}
        (self.folder / "run.json").write_text(json.dumps(content))
        return self.folder
