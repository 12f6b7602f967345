"""Emotion consistency over batches and processes; a torchmetrics metric if that is installed."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist

from affectbench.aggregate import MIN_CLASS_FACES
from affectbench.faces.regions import face_box
from affectbench.images.tensors import ImageLike, as_pair, unit_range
from affectbench.judges import DEFAULT_JUDGE, JudgeLike, is_judge, judge_spec, load_judge
from affectbench.metrics.accumulating import IS_TORCHMETRICS, Metric, is_distributed
from affectbench.metrics.ecm import ALPHA, Distance, definition, ecm_parts, face_logits
from affectbench.types import Judge, content_id

_CPU = torch.device("cpu")


class EmotionConsistency(Metric):
    """ECM of a set of faces that arrives in batches: `update`, `compute`, `reset`.

    The arguments are those of `affectbench.emotion_consistency`. The state is three numbers per
    expression class, whatever the number of faces: memory does not grow, and processes with
    different numbers of faces (or none) add up to the value of a single process, up to float64
    rounding. `compute` gathers over all processes of `torch.distributed`: every process must call
    it.

    If torchmetrics is installed this is a `torchmetrics.Metric` (`settings` are its own keyword
    arguments) and works in a `MetricCollection`; otherwise it is a plain class with the same
    behaviour.

    >>> faces = torch.rand(2, 3, 64, 64)
    >>> metric = EmotionConsistency()
    >>> metric.update(faces, faces)
    >>> float(metric.compute()["ecm"])
    0.0
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    def __init__(
        self,
        judge: JudgeLike = DEFAULT_JUDGE,
        *,
        alpha: float = ALPHA,
        distance: Distance = "hellinger",
        framing: str = "centre",
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.definition = definition(alpha, distance)
        face_box(framing)
        self._alpha, self._distance, self._framing = alpha, distance, framing
        # Kept in a tuple: as a submodule the judge would follow .train() and change its numbers.
        self._judge = (judge,)
        self._loaded: dict[torch.device, Judge] = {}
        spec = judge_spec(judge) if isinstance(judge, str) else self._judge_on(_CPU).spec
        # The state's name distinguishes settings: MetricCollection merges metrics whose states have
        # equal names and equal values after the first batch, which can happen with two judges.
        identity = [self.definition, spec.name, spec.revision, framing]
        self._sums = f"sums_{content_id({'settings': identity})}"
        zeros = torch.zeros(len(spec.classes), 3, dtype=torch.float64)
        self.add_state(self._sums, default=zeros, dist_reduce_fx="sum")

    def update(self, sr: ImageLike, hr: ImageLike) -> None:
        """Add a batch of pairs; images and errors as in `affectbench.emotion_consistency`."""
        sr_faces, hr_faces = as_pair(sr, hr)
        judge = self._judge_on(sr_faces.device)
        logits_hr = face_logits(judge, unit_range(hr_faces), self._framing)
        logits_sr = face_logits(judge, unit_range(sr_faces), self._framing)
        parts = ecm_parts(logits_hr, logits_sr, self._alpha, self._distance)
        agreement = (parts.label_hr == parts.label_sr).double()
        rows = torch.stack([torch.ones_like(parts.ecm), parts.ecm, agreement], dim=1)
        # Summed on the CPU, where the order of summation is fixed.
        batch = rows.new_zeros(len(judge.classes), 3).index_add(0, parts.label_hr, rows)
        setattr(self, self._sums, getattr(self, self._sums) + batch.to(self.device))

    def _judge_on(self, device: torch.device) -> Judge:
        """Return the judge itself, or load a name or module onto the device of the images."""
        (judge,) = self._judge
        if is_judge(judge):
            return cast(Judge, judge)
        if device not in self._loaded:
            self._loaded[device] = load_judge(judge, device)
        return self._loaded[device]

    def compute(self) -> dict[str, torch.Tensor]:
        """Return the values of all faces so far: float64 scalars, NaN before the first face.

        `ecm` is the macro mean (over the reference's classes with at least 10 faces; the plain
        mean if there is none), `ecm_mean` the plain mean, `agreement` the share of faces on
        which the judge sees the same label.
        """
        sums = getattr(self, self._sums)
        if not IS_TORCHMETRICS and not self._alone:
            sums = _over_processes(sums)
        faces, ecm, agreement = sums.T
        means = ecm / faces
        enough = faces >= MIN_CLASS_FACES
        total = faces.sum()
        plain = ecm.sum() / total
        return {
            "ecm": means[enough].mean() if enough.any() else plain,
            "ecm_mean": plain,
            "agreement": agreement.sum() / total,
        }


def _over_processes(sums: torch.Tensor) -> torch.Tensor:
    """Return the sum over all processes of `torch.distributed`, if there are several."""
    if not is_distributed():
        return sums
    total = sums.clone() if dist.get_backend() != "nccl" else sums.cuda()
    dist.all_reduce(total)
    return total
