"""The device that a run computes on."""

from __future__ import annotations

import torch

from affectbench.errors import InputError


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one; InputError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: cannot be used ({error})".splitlines()[0]) from error
    return device
