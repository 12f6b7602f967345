"""The contract of every model: how the runner calls it, and a check of the whole contract.

A model receives LR faces and nothing else. SR has the shape (N, 3, s*h, s*w), is finite and lies
roughly in [0, 1]: a slight overshoot and single outlier pixels are normal, and are clamped. More
than one value in a thousand beyond [-0.5, 1.5] means that the network uses another value range.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from affectbench.adapters import ModelRequest
from affectbench.adapters.adapted import plain_tensor, scale_of
from affectbench.adapters.containment import contained
from affectbench.errors import AffectBenchError, InputError, ModelError
from affectbench.images.tensors import quantise, unit_range
from affectbench.types import Model, StoredResults

RANGE_LIMITS = (-0.5, 1.5)
RANGE_SHARE = 0.001
OVERSHOOT = 0.1
OVERSHOOT_SHARE = 0.01
BATCH_TOLERANCE = 1e-4
_FACES = 4


@dataclass(frozen=True)
class Finding:
    """One part of the contract: whether it holds, and what was observed."""

    name: str
    ok: bool
    detail: str


def run_model(model: Model, lr: torch.Tensor, scale: int) -> torch.Tensor:
    """Return SR faces uint8 (N, 3, scale*h, scale*w) for LR faces (N, 3, h, w) in [0, 1].

    Clamped and rounded half to even. Raises ModelError if the model raises, or if its output has
    another shape or range or is not finite.
    """
    return quantise(checked_sr(model, lr, scale))


def check_contract(
    request: ModelRequest, scale: int, device: str | torch.device = "cpu", lr_size: int = 16
) -> list[Finding]:
    """Test every part of the contract on synthetic images, and return the findings."""
    try:
        model = request.load(scale, device, lr_size)
    except AffectBenchError as error:
        return [Finding("loads", False, str(error))]
    found = [Finding("loads", True, _about(model))]
    found.append(_revision(request, model, scale, device, lr_size))
    if isinstance(model, StoredResults):
        return found
    lr = _faces(_FACES, lr_size, lr_size).to(device)
    try:
        sr = checked_sr(model, lr, scale)
    except ModelError as error:
        return [*found, Finding("output", False, str(error))]
    found.append(Finding("output", True, f"{tuple(sr.shape)}, finite"))
    for part in _PARTS:
        try:
            found.extend(part(model, lr, sr, scale))
        except ModelError as error:
            found.append(Finding(part.__name__.lstrip("_"), False, str(error)))
    return found


def checked_sr(model: Model, lr: torch.Tensor, scale: int, seed: int = 0) -> torch.Tensor:
    """Return SR as float32, neither clamped nor rounded; errors as in `run_model`.

    `seed` seeds the global random generators: a model whose results depend on it is random.
    """
    name = model.spec.name
    try:
        with contained(name, seed), torch.inference_mode():
            sr = plain_tensor(model(lr), name)
            factor = scale_of(sr, lr, name)
            if factor != scale:
                raise ModelError(
                    f"{name}: gave {sr.shape[-1]}x{sr.shape[-2]} pixels for "
                    f"{lr.shape[-1]}x{lr.shape[-2]}: it is a x{factor} model and x{scale} was "
                    "asked for"
                )
            if not sr.is_floating_point():
                raise ModelError(f"{name}: gave {sr.dtype}; floats in [0, 1] are needed")
            _require_range(sr, name)
            # A copy: the model may reuse its output tensor for the next batch.
            return sr.to(torch.float32, copy=True)
    except ModelError:
        raise
    except AffectBenchError as error:
        raise ModelError(str(error)) from error


def _require_range(sr: torch.Tensor, name: str) -> None:
    if not bool(torch.isfinite(sr).all()):
        count = int((~torch.isfinite(sr)).sum())
        raise ModelError(f"{name}: {count} of {sr.numel()} output values are NaN or infinite")
    outside = (sr < RANGE_LIMITS[0]) | (sr > RANGE_LIMITS[1])
    if float(outside.float().mean()) > RANGE_SHARE:
        low, high = (float(value) for value in torch.aminmax(sr))
        raise ModelError(
            f"{name}: output values lie in [{low:.4g}, {high:.4g}], not in [0, 1]: the network "
            "works in another range; declare value_range (onnx: @range=-1:1)"
        )


def _about(model: Model | StoredResults) -> str:
    spec = model.spec
    parts = [f"licence {spec.licence}", f"revision {spec.revision}", spec.note]
    if spec.parameters is not None:
        parts.insert(0, f"{spec.parameters:,} parameters")
    return ", ".join(part for part in parts if part)


def _revision(
    request: ModelRequest,
    model: Model | StoredResults,
    scale: int,
    device: str | torch.device,
    lr_size: int,
) -> Finding:
    """Check that loading again gives the same revision, and that it covers the whole model."""
    spec = model.spec
    try:
        again = request.load(scale, device, lr_size).spec.revision
    except AffectBenchError as error:
        return Finding("revision", False, f"does not load a second time: {error}")
    if again != spec.revision:
        return Finding("revision", False, f"{spec.revision}, and {again} when it is loaded again")
    if spec.revision_lacks:
        detail = f"does not cover all: {spec.revision_lacks}; so it is computed again in every run"
        return Finding("revision", False, f"{detail}, unless @revision=TEXT vouches for it")
    made = spec.revision_from or "what its plug-in says"
    return Finding("revision", True, f"the same when it is loaded again; made from {made}")


def _range(_model: Model, _lr: torch.Tensor, sr: torch.Tensor, _scale: int) -> Iterator[Finding]:
    outside = (sr < -OVERSHOOT) | (sr > 1.0 + OVERSHOOT)
    share = float(outside.float().mean())
    low, high = (float(value) for value in torch.aminmax(sr))
    yield Finding(
        "range",
        share <= OVERSHOOT_SHARE,
        f"[{low:.3f}, {high:.3f}], {share:.2%} beyond [-0.1, 1.1] (at most 1 %)",
    )


def _repeats(model: Model, lr: torch.Tensor, sr: torch.Tensor, scale: int) -> Iterator[Finding]:
    again = checked_sr(model, lr, scale, seed=1)
    yield _equal("determinism", again, sr, "a second run")
    checked_sr(model, lr.flip(-1), scale)
    later = checked_sr(model, lr, scale, seed=2)
    yield _equal("LR only", later, sr, "the same faces after others")


def _equal(name: str, one: torch.Tensor, other: torch.Tensor, what: str) -> Finding:
    difference = float((one - other).abs().max())
    return Finding(name, torch.equal(one, other), f"{what} differs by {difference:.2g} (must be 0)")


def _batches(model: Model, lr: torch.Tensor, sr: torch.Tensor, scale: int) -> Iterator[Finding]:
    alone = torch.cat([checked_sr(model, face[None], scale) for face in lr])
    difference = float((alone - sr).abs().max())
    detail = f"one face alone differs by {difference:.2g} (at most {BATCH_TOLERANCE:g})"
    yield Finding("batch invariance", difference <= BATCH_TOLERANCE, detail)


def _input_kept(model: Model, lr: torch.Tensor, _sr: torch.Tensor, scale: int) -> Iterator[Finding]:
    given = lr.clone()
    checked_sr(model, given, scale)
    kept = torch.equal(given, lr)
    yield Finding("input kept", kept, "unchanged" if kept else "the model changes its input")


def _odd_sizes(model: Model, lr: torch.Tensor, _sr: torch.Tensor, scale: int) -> Iterator[Finding]:
    height, width = lr.shape[-2] + 1, lr.shape[-1] + 3
    multiple = model.spec.size_multiple
    try:
        checked_sr(model, _faces(1, height, width).to(lr.device), scale)
    except ModelError as error:
        claimed = f"and it claims any size: {error}" if multiple == 1 else "which it does not claim"
        yield Finding("odd sizes", multiple != 1, f"{width}x{height} fails, {claimed}")
    else:
        yield Finding("odd sizes", True, f"{width}x{height} works")


def _speed(model: Model, lr: torch.Tensor, _sr: torch.Tensor, scale: int) -> Iterator[Finding]:
    began = time.perf_counter()
    checked_sr(model, lr, scale).cpu()
    seconds = (time.perf_counter() - began) / len(lr)
    yield Finding("speed", True, f"{1000 * seconds:.1f} ms a face in a batch of {len(lr)}")


_Part = Callable[[Model, torch.Tensor, torch.Tensor, int], Iterator[Finding]]
_PARTS: tuple[_Part, ...] = (_range, _repeats, _batches, _input_kept, _odd_sizes, _speed)


def _faces(n: int, height: int, width: int) -> torch.Tensor:
    """Return fixed smooth images from black to white, 8-bit like every LR face."""
    if min(height, width) < 2:
        raise InputError(f"an LR size of {min(height, width)} is too small to check a model")
    coarse = torch.rand((n, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    low, high = (f(smooth, (1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    return unit_range(quantise((smooth - low) / (high - low)))
