"""One thing of a process that code can change for everybody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

UNKNOWN = object()


@dataclass(frozen=True)
class State:
    """One thing of the process: how to read it and how to set it.

    A `portable` one is a plain number or word, which another process can be given as well.
    """

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    portable: bool = False

    def read(self) -> Any:
        """Return its value, or a mark of its own where it cannot be read."""
        try:
            return self.get()
        except Exception:  # whatever stands in the way: it could not be put back either
            return UNKNOWN


def attribute(owner: Any, name: str, label: str = "", portable: bool = False) -> State:
    """Return the state that is an attribute of a module."""
    get, put = partial(getattr, owner, name), partial(setattr, owner, name)
    return State(label or f"{owner.__name__}.{name}", get, put, portable)
