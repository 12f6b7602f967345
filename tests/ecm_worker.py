"""One process of a distributed EmotionConsistency; test_streaming.py starts several.

Usage: ecm_worker.py RANK FOLDER with|without SHARD,SHARD,...   (shard ends; prints JSON)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

TOTAL = 60


def all_faces() -> tuple[torch.Tensor, torch.Tensor]:
    """SR and HR (60, 3, 20, 20), the same in every process."""
    rng = np.random.default_rng(11)
    return tuple(torch.from_numpy(rng.random((TOTAL, 3, 20, 20), dtype=np.float32)) for _ in "sh")


def work(rank: int, folder: Path, torchmetrics: bool, shards: list[list[int]]) -> list[dict]:
    if not torchmetrics:
        sys.modules["torchmetrics"] = None  # importing it raises ImportError
    from tiny_judge import TinyJudge

    from affectbench import EmotionConsistency

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2
    )
    sr, hr = all_faces()
    metric = EmotionConsistency(TinyJudge())
    results = []
    for ends in shards:
        start, stop = ends[rank : rank + 2]
        for i in range(start, stop, 7):
            metric.update(sr[i : min(i + 7, stop)], hr[i : min(i + 7, stop)])
        results.append({name: float(value) for name, value in metric.compute().items()})
        metric.reset()
    torch.distributed.destroy_process_group()
    return results


if __name__ == "__main__":
    number, place, choice, ends = sys.argv[1:]
    print(json.dumps(work(int(number), Path(place), choice == "with", json.loads(ends))))
