"""A judge that is a module or function of the user's own: face crops in, class logits out.

A dict `spec` on the object may say what it needs: `name`, `classes`, `input_size` (crops keep their
size without it), `colour` (`rgb`, or `grey` for one channel) and `temperature`. Without `classes`
they are called `class 0`, `class 1` and so on: in which order a network has them is not known.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import nn

from affectbench.errors import InputError, hint
from affectbench.judges.network_judge import NetworkJudge, coloured
from affectbench.types import JudgeSpec

_SAID = ("name", "classes", "input_size", "colour", "temperature")
_TRIAL_SIZE = 64


class HeldJudge(NetworkJudge):
    """A judge of a network whose crops are resized only if its spec names a size."""

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        if self.spec.input_size:
            return super()._inputs(x)
        return coloured(x.to(torch.float32), self.spec.colour)


class _Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: torch.Tensor) -> Any:
        """Call the function."""
        return self._function(x)


def held_judge(
    held: Callable[..., Any], device: torch.device, name: str = "", code: str = ""
) -> HeldJudge:
    """Return a module or function as a judge on a device; the module itself is not changed.

    `name` is used where its spec has none; `code` is the hash of the code that it comes from.

    Raises InputError if its `spec` is not understood, or if it does not give logits (N, K).
    """
    said = _said(held)
    network = copy.deepcopy(held) if isinstance(held, nn.Module) else _Function(held)
    network = network.to(device).eval()
    size, colour = int(said.get("input_size", 0)), said.get("colour", "rgb")
    name = str(said.get("name") or name or getattr(held, "__qualname__", type(held).__name__))
    classes = tuple(map(str, said.get("classes", ())))
    channels = 1 if colour == "grey" else 3
    found = _count(network, name, torch.zeros(1, channels, *[size or _TRIAL_SIZE] * 2).to(device))
    if classes and len(classes) != found:
        raise InputError(f"judge '{name}': names {len(classes)} classes and gives {found} logits")
    spec = JudgeSpec(
        name=name,
        title="a judge of the caller's own",
        input_size=size,
        colour=colour,
        classes=classes or tuple(f"class {i}" for i in range(found)),
        temperature=float(said.get("temperature", 1.0)),
        differentiable=True,
        licence="unknown",
        training_data="unknown",
        origin="an object of this process",
        sha256=_digest(held, code),
    )
    return HeldJudge(spec, network, spec.classes, device)


def _said(held: Any) -> Mapping[str, Any]:
    said = getattr(held, "spec", None)
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise InputError(f"the judge's spec is a {type(said).__name__}; a dict is needed")
    if unknown := [key for key in said if key not in _SAID]:
        raise InputError(f"the judge's spec has '{unknown[0]}'; {hint(str(unknown[0]), _SAID)}")
    if said.get("colour", "rgb") not in ("rgb", "grey"):
        raise InputError(f"the judge's spec has the colour '{said['colour']}', not rgb or grey")
    return cast(Mapping[str, Any], said)


def _count(network: nn.Module, name: str, trial: torch.Tensor) -> int:
    """Return the number of classes."""
    try:
        with torch.no_grad():
            logits = network(trial)
    except Exception as error:  # a network can raise anything
        raise InputError(
            f"judge '{name}': raised {type(error).__name__} for a face {tuple(trial.shape)}: "
            f"{' '.join(str(error).split())[:300]}; say what it takes, such as "
            "net.spec = {'input_size': 48, 'colour': 'grey'}"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != 1:
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"judge '{name}': gave {given} for one face; logits (N, K) are needed")
    if logits.shape[1] < 2:
        raise InputError(f"judge '{name}': gave {logits.shape[1]} class; at least 2 are needed")
    return int(logits.shape[1])


def _digest(held: Any, code: str) -> str:
    """Return a hash of weights and code, or of the very object if neither is known."""
    digest = hashlib.sha256(f"{type(held).__qualname__} {code}".encode())
    weights = held.state_dict() if isinstance(held, nn.Module) else {}
    if not weights and not code:
        digest.update(str(id(held)).encode())
    for name, value in weights.items():
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(plain.numpy().tobytes())
    return digest.hexdigest()
