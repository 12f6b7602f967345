"""Predictions of the judges under each condition; computed once, used by every part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from affectbench.callbacks import Advance
from affectbench.errors import InputError, listed
from affectbench.faces.regions import crop
from affectbench.images.tensors import unit_range
from affectbench.judges import load_judge
from affectbench.metrics.ecm import Parts, ecm_parts
from affectbench.study.damage import Condition
from affectbench.study.faces import LabelledFaces
from affectbench.types import FeatureJudge, Judge

HR = "HR"
BATCH = 64


@dataclass
class Judged:
    """Logits (N, K) of one judge by condition name; `HR` is the unchanged face."""

    judge: Judge
    labels: NDArray[np.str_]
    logits: dict[str, torch.Tensor] = field(default_factory=dict)
    features: torch.Tensor | None = None
    """Features (N, D) of the unchanged faces, if the judge provides them."""

    @property
    def name(self) -> str:
        """The judge's name."""
        return self.judge.spec.name

    def part(self, keep: NDArray[np.bool_]) -> Judged:
        """Return the predictions for the faces selected by a mask (N,)."""
        chosen = torch.from_numpy(keep)
        return Judged(
            self.judge,
            self.labels[keep],
            {name: logits[chosen] for name, logits in self.logits.items()},
            None if self.features is None else self.features[chosen],
        )

    def ecm(self, condition: str, temperature: float = 1.0) -> Parts:
        """Return `ecm/1` of each face under a condition; `temperature` divides the logits."""
        return ecm_parts(self.logits[HR] / temperature, self.logits[condition] / temperature)

    def right(self, condition: str) -> NDArray[np.bool_]:
        """Return whether the judge predicts the labelled expression, for each face."""
        classes = np.array(self.judge.classes)
        right: NDArray[np.bool_] = classes[self.logits[condition].argmax(1)] == self.labels
        return right


def judge_faces(
    faces: LabelledFaces,
    conditions: Sequence[Condition],
    judges: Sequence[str],
    *,
    framing: str,
    seed: int,
    progress: Advance,
) -> list[Judged]:
    """Run all judges on all conditions; `progress` is called with a text, steps done and total.

    Raises InputError for a label that is not a class of a judge.
    """
    judged = [Judged(load_judge(name), faces.emotions) for name in judges]
    for one in judged:
        _require_classes(one)
    for step, condition in enumerate([None, *conditions]):
        images = faces.images if condition is None else condition.apply(faces.images, seed)
        for one in judged:
            if condition is None and one.judge.spec.features:
                judge = cast(FeatureJudge, one.judge)
                one.features = _on_faces(judge.features, images, framing)
            one.logits[condition.name if condition else HR] = _on_faces(
                one.judge.logits, images, framing
            )
        progress(faces.name, step + 1, len(conditions) + 1)
    return judged


def _require_classes(judged: Judged) -> None:
    """Reject labels that the judge cannot predict: it would always be wrong on these faces."""
    unknown = sorted(set(judged.labels.tolist()) - set(judged.judge.classes) - {""})
    if unknown:
        count = int(np.isin(judged.labels, unknown).sum())
        raise InputError(
            f"{count} faces are labelled {listed(unknown)}, which is no class of the judge "
            f"{judged.name}; leave them out, or name judges that have it with --judges"
        )


@torch.inference_mode()
def _on_faces(
    measure: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, framing: str
) -> torch.Tensor:
    parts = [measure(unit_range(crop(part, framing))) for part in torch.split(images, BATCH)]
    return torch.cat(parts).double()
