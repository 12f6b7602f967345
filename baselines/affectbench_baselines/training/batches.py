"""Batches of LR and HR under the benchmark's rule: LR is Pillow's bicubic of the 8-bit HR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from affectbench.images.reading import Pixels
from affectbench.images.resizing import resize
from affectbench.images.tensors import stack, unit_range
from affectbench_baselines.training.faces import Drawn, Faces, View, draw, draw_generator, order
from affectbench_baselines.training.losses import IGNORED, Batch
from affectbench_baselines.training.settings import Job
from affectbench_baselines.wnet.regions import draw_regions

REGION_SIZE = 4
"""HR pixels per pixel of the region map, along each side."""


class Batches:
    """The batches of a job by step; with several processes, each makes its own share.

    The faces of a step depend on the job's seed and the step only. `share` is the number of this
    process, and how many there are. `chances` (n,) are the probabilities of drawing each face;
    without them all faces are drawn once an epoch.
    """

    def __init__(
        self,
        faces: Faces,
        job: Job,
        scale: int,
        share: tuple[int, int] = (0, 1),
        chances: NDArray[np.float64] | None = None,
    ) -> None:
        self.faces, self.job, self.scale = faces, job, scale
        rank, world = share
        size = job.batch_size // world
        self._part = slice(rank * size, (rank + 1) * size)
        self._view = View(job.size, job.eye_distance, job.zoom, job.plain_share)
        self._cumulated = None if chances is None else np.cumsum(chances)
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def numbers(self, step: int) -> range:
        """Return which draws this process makes at a step, counted over the whole run."""
        first = step * self.job.batch_size
        return range(first, first + self.job.batch_size)[self._part]

    def at(self, step: int) -> Batch:
        """Return the batch of a step."""
        drawn = [self._draw(number) for number in self.numbers(step)]
        factor = self._factor(step)
        if factor == self.scale:
            return self._batch(drawn, [d.hr for d in drawn], self.job.size // self.scale)
        return self._part_batch(drawn, step, factor)

    def _draw(self, number: int) -> Drawn:
        rng = draw_generator(self.job.seed, number)
        if self._cumulated is not None:
            chosen = int(np.searchsorted(self._cumulated, rng.random()))
            return draw(self.faces, min(chosen, len(self.faces) - 1), self._view, rng)
        epoch, place = divmod(number, len(self.faces))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order(self.job.seed, epoch, len(self.faces))
        return draw(self.faces, int(self._order[place]), self._view, rng)

    def _factor(self, step: int) -> float:
        """Return the scale of a step: the network's own, or a random one if it supports many."""
        smallest = float(self.job.network.get("smallest", self.scale))
        rng = np.random.default_rng([self.job.seed, 2, step])
        if smallest == self.scale or rng.random() < self.job.native_scale_share:
            return self.scale
        return float(rng.uniform(smallest, self.scale))

    def _part_batch(self, drawn: Sequence[Drawn], step: int, factor: float) -> Batch:
        """Return crops of faces, with LR as large as for whole faces at full scale.

        At a smaller scale whole faces would cost up to sixteen times as much.
        """
        low = self.job.size // self.scale
        side = round(low * factor)
        rng = np.random.default_rng([self.job.seed, 3, step])
        spots = rng.integers(0, self.job.size - side + 1, (self.job.batch_size, 2))[self._part]
        parts = [d.hr[y : y + side, x : x + side] for d, (y, x) in zip(drawn, spots, strict=True)]
        return self._batch(drawn, parts, low, whole=False)

    def _batch(
        self, drawn: Sequence[Drawn], hr: list[Pixels], low: int, whole: bool = True
    ) -> Batch:
        lr = [resize(pixels, low, low, "pil-bicubic") for pixels in hr]
        return Batch(
            lr=unit_range(stack(lr)),
            hr=unit_range(stack(hr)),
            landmarks=torch.from_numpy(np.stack([d.landmarks for d in drawn])),
            boxes=torch.tensor([d.box for d in drawn], dtype=torch.float32),
            regions=self._regions(drawn) if self.job.family == "wnet" else None,
            whole=whole,
        )

    def _regions(self, drawn: Sequence[Drawn]) -> torch.Tensor:
        size = self.job.size // REGION_SIZE
        maps = [
            draw_regions(d.landmarks, size)
            if np.isfinite(d.landmarks).all()
            else np.full((size, size), IGNORED, np.uint8)
            for d in drawn
        ]
        return torch.from_numpy(np.stack(maps)).long()
