"""Selection of the torch device, with a check that it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affectbench.errors import InputError

if TYPE_CHECKING:
    import torch

_UNUSABLE = (RuntimeError, AssertionError, ImportError, AttributeError, TypeError, ValueError)
"""What torch raises for a device with an unknown name or without a build, driver or backend."""


def usable_device(name: str | torch.device, called: str = "") -> torch.device:
    """Return the torch device of that name; `auto` is the GPU if there is one.

    `called` is the name to use in error messages. Raises InputError for a device that does not
    exist, or that holds no values (`meta`).
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except _UNUSABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{called or f'--device {name}'}: cannot be used ({reason})") from error
    return device
