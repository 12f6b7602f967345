"""The terms of the training loss; each states what is from the paper and what is ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import cast

import torch
from torch.nn import functional as F

from affectbench.images.tensors import resized
from affectbench.judges.network_judge import NetworkJudge
from affectbench.metrics.consistency import emotion_consistency_loss
from affectbench.types import Judge
from affectbench_baselines.affectsrnet.graph import (
    BROW,
    EYE_RINGS,
    LIPS,
    POINTS,
    contour_edges,
    mirrored,
)
from affectbench_baselines.base import Details
from affectbench_baselines.fadn.frequency import frequency_classes
from affectbench_baselines.training.settings import EmotionKind, LossWeights
from affectbench_baselines.training.vgg16 import FirstStages
from affectbench_baselines.wnet.regions import LOSS_WEIGHTS

PERCEPTUAL_SIZE = 64
"""VGG features at 128 px would make training five times slower on a CPU."""

FEATURE_SHARE = 0.5
"""The share of each batch that VGG sees: on all faces, its two terms would take half of the time.
Batches are shuffled, so the terms are unchanged in expectation."""

IGNORED = 255
"""The region assigned to pixels of faces without landmarks."""

_CROP = 112
_JITTER = 0.04
_HEAT = 4.0
_SMALLEST = 48
_FEATURES = 10.0


@dataclass(frozen=True)
class Batch:
    """`lr` (N, 3, h, w) and `hr` (N, 3, H, W) in [0, 1]; `landmarks` (N, 478, 2), NaN if unknown.

    `boxes` (N, 4): the face in HR as left, top, right, bottom, relative. `regions` (N, r, r) int64
    for W-Net, else None. `whole` is True if HR is the whole face rather than a crop of it.
    """

    lr: torch.Tensor
    hr: torch.Tensor
    landmarks: torch.Tensor
    boxes: torch.Tensor
    regions: torch.Tensor | None = None
    whole: bool = True

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(
            self.lr.to(device),
            self.hr.to(device),
            self.landmarks.to(device),
            self.boxes.to(device),
            None if self.regions is None else self.regions.to(device),
            self.whole,
        )


class Objective:
    """The weighted sum of all terms with nonzero weight."""

    def __init__(
        self,
        weights: LossWeights,
        vgg: FirstStages | None = None,
        judge: Judge | None = None,
        emotion_kind: EmotionKind = "kl",
    ) -> None:
        self.weights = {f.name: float(getattr(weights, f.name)) for f in fields(weights)}
        self.vgg, self.judge, self.emotion_kind = vgg, judge, emotion_kind
        self._edges = torch.tensor([(a, b) for a, b in contour_edges() if a < b])

    def __call__(
        self, out: Details, batch: Batch, rng: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss, and each of its terms before weighting."""
        terms = {k: v for k, v in self._terms(out, batch, rng).items() if v is not None}
        total = torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
        return total, {name: float(value.detach()) for name, value in terms.items()}

    def _terms(
        self, out: Details, batch: Batch, rng: torch.Generator
    ) -> Mapping[str, torch.Tensor | None]:
        wanted = {name for name, weight in self.weights.items() if weight > 0}
        terms: dict[str, torch.Tensor | None] = {"pixel": pixel_loss(out.sr, batch)}
        if wanted & {"landmarks", "edges"} and out.landmarks:
            graph = [graph_losses(p, batch.landmarks, self._edges) for p in out.landmarks]
            positions, lengths = zip(*graph, strict=True)
            terms["landmarks"] = torch.stack(positions).mean()
            terms["edges"] = torch.stack(lengths).mean()
        if "parsing" in wanted and out.parsing is not None and batch.regions is not None:
            terms["parsing"] = parsing_loss(out.parsing, batch.regions)
        if "frequency" in wanted and out.frequency is not None:
            terms["frequency"] = frequency_loss(out.frequency, batch)
        if "sparsity" in wanted:
            terms["sparsity"] = out.cost
        if batch.whole:
            if wanted & {"perceptual", "style"} and self.vgg is not None:
                seen = math.ceil(FEATURE_SHARE * len(out.sr))
                found = feature_losses(self.vgg, out.sr[:seen], batch.hr[:seen])
                terms["perceptual"], terms["style"] = found
            if "emotion" in wanted and self.judge is not None:
                terms["emotion"] = emotion_loss(self.judge, out.sr, batch, self.emotion_kind, rng)
        return terms


def pixel_loss(sr: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return L1; with regions weighted by region (as in W-Net's abstract), mean weight 1 (ours)."""
    difference = (sr - batch.hr).abs()
    if batch.regions is None:
        return difference.mean()
    weights = sr.new_ones(IGNORED + 1)
    weights[: len(LOSS_WEIGHTS)] = weights.new_tensor(LOSS_WEIGHTS)
    maps = F.interpolate(weights[batch.regions][:, None], sr.shape[-2:])
    return (difference * maps).mean() / maps.mean()


def graph_losses(
    predicted: torch.Tensor, target: torch.Tensor, edges: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the graph losses (in the paper; their form is ours): positions and edge lengths.

    Mean L1 over the faces with landmarks, in eye distances, so that small faces count equally.
    """
    known = torch.isfinite(target).all(2).all(1)
    if not bool(known.any()):
        nothing = predicted.sum() * 0.0
        return nothing, nothing
    predicted, target = predicted[known], target[known]
    unit = (target[:, 33] - target[:, 263]).norm(dim=1).clamp(min=1e-3)
    weights = _point_weights().to(predicted)
    positions = ((predicted - target).abs().mean(2) * weights).mean(1) / unit
    lengths = (_lengths(predicted, edges) - _lengths(target, edges)).abs().mean(1) / unit
    return positions.mean(), lengths.mean()


@lru_cache(maxsize=1)
def _point_weights() -> torch.Tensor:
    """Return the weight of each landmark, mean 1: those of mouth, brows and eyes count twice."""
    sides = (BROW, *EYE_RINGS)
    expressive = {p for chain in (*LIPS, *sides, *map(mirrored, sides)) for p in chain}
    weights = torch.ones(POINTS)
    weights[sorted(expressive)] = 2.0
    return weights / weights.mean()


def _lengths(points: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    one, other = edges.to(points.device).unbind(1)
    # The square root has no gradient at 0, which occurs where two predicted points coincide.
    return ((points[:, one] - points[:, other]).square().sum(2) + 1e-12).sqrt()


def parsing_loss(logits: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of the parsing map, ignoring faces without landmarks."""
    known = (regions != IGNORED).sum().clamp(min=1)
    total = F.cross_entropy(logits, regions, ignore_index=IGNORED, reduction="sum")
    return total / known


def frequency_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the cross-entropy of FADN's predictors with the frequency classes of HR."""
    classes = frequency_classes(batch.hr, batch.hr.shape[-1] // batch.lr.shape[-1])
    return F.cross_entropy(logits, classes)


def feature_losses(
    vgg: FirstStages, sr: torch.Tensor, hr: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return perceptual and style losses (in the paper; network, size and stages are ours).

    L1 of VGG16 features, and L1 of their Gram matrices, both at 64 px, averaged over the stages.
    """
    with torch.no_grad():
        targets = vgg(resized(hr, PERCEPTUAL_SIZE))
    found = vgg(resized(sr, PERCEPTUAL_SIZE))
    pairs = list(zip(found, targets, strict=True))
    perceptual = torch.stack([(a - b).abs().mean() for a, b in pairs]).mean()
    style = torch.stack([(gram(a) - gram(b)).abs().mean() for a, b in pairs]).mean()
    return perceptual, style


def gram(x: torch.Tensor) -> torch.Tensor:
    """Return Gram matrices, averaged over positions: (N, C, C) of (N, C, H, W)."""
    flat = x.flatten(2)
    return flat @ flat.mT / flat.shape[2]


def emotion_loss(
    judge: Judge, sr: torch.Tensor, batch: Batch, kind: EmotionKind, rng: torch.Generator
) -> torch.Tensor:
    """Return the emotion consistency loss (in the paper; its form is ours).

    The judge sees both faces through the same box, located on HR and jittered slightly each time,
    so that the network cannot overfit to one pixel grid. `kl`: Kullback-Leibler divergence of the
    judge's class probabilities on SR from those on HR; `soft`: T^2 times the same at temperature
    T = 4 (distillation, Hinton et al., 2015, which keeps information about all classes when the
    judge is nearly certain), on views augmented in size, colour and mirroring; `ecm`: affectbench's
    smoothed surrogate of ECM.
    """
    boxes = jittered(batch.boxes, rng)
    hr, faces = cut(batch.hr, boxes).clamp(0.0, 1.0), cut(sr, boxes).float()
    if kind == "ecm":
        return emotion_consistency_loss(faces, hr, judge, framing="whole")
    heat = 1.0
    if kind in ("soft", "features"):
        heat = _HEAT
        hr, faces = varied(torch.stack([hr, faces]), rng)
    with torch.no_grad():
        target = (judge.logits(hr) / heat).log_softmax(1)
    found = (judge.logits(faces) / heat).log_softmax(1)
    loss = heat**2 * F.kl_div(found, target, reduction="batchmean", log_target=True)
    return loss + _FEATURES * feature_distance(judge, faces, hr) if kind == "features" else loss


def feature_distance(judge: Judge, faces: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Return the L1 distance of the judge's features, relative to their size on HR."""
    extractor = cast(NetworkJudge, judge)
    with torch.no_grad():
        wanted = extractor.features(hr)
    return (extractor.features(faces) - wanted).abs().mean() / wanted.abs().mean()


def varied(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Augment images (..., 3, H, W): random size from 48 px, half of them grey or mirrored."""
    size, grey, mirror = torch.rand(3, generator=rng).tolist()
    flat = x.flatten(0, -4)
    flat = resized(flat, round(_SMALLEST + size * (x.shape[-1] - _SMALLEST)))
    if grey < 0.5:
        flat = flat.mean(1, keepdim=True).expand_as(flat)
    if mirror < 0.5:
        flat = flat.flip(-1)
    return flat.reshape(*x.shape[:-2], *flat.shape[-2:])


def jittered(boxes: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Jitter boxes (N, 4) in position and size by up to 4 % of their side."""
    side = boxes[:, 2:3] - boxes[:, 0:1]
    move = torch.rand((len(boxes), 2), generator=rng).to(boxes) * 2.0 - 1.0
    grow = torch.rand((len(boxes), 1), generator=rng).to(boxes) * 2.0 - 1.0
    move, grow = move * _JITTER * side, grow * _JITTER * side / 2.0
    return torch.cat([boxes[:, :2] + move - grow, boxes[:, 2:] + move + grow], dim=1)


def cut(x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Crop boxes (N, 4) of images (N, C, H, W) to 112x112, bilinear, with replicated borders."""
    theta = boxes.new_zeros((len(boxes), 2, 3))
    theta[:, 0, 0] = boxes[:, 2] - boxes[:, 0]
    theta[:, 1, 1] = boxes[:, 3] - boxes[:, 1]
    theta[:, 0, 2] = boxes[:, 0] + boxes[:, 2] - 1.0
    theta[:, 1, 2] = boxes[:, 1] + boxes[:, 3] - 1.0
    grid = F.affine_grid(theta, [len(x), x.shape[1], _CROP, _CROP], align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), padding_mode="border", align_corners=False)
