"""One item of process-wide state that model code can change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

UNKNOWN = object()


@dataclass(frozen=True)
class State:
    """An item of process-wide state: how to read it and how to set it.

    A `portable` item is a plain number or string, which can also be applied to another process.
    """

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    portable: bool = False

    def read(self) -> Any:
        """Return its value, or `UNKNOWN` if it cannot be read."""
        try:
            return self.get()
        except Exception:  # whatever the cause, it could not be restored either
            return UNKNOWN


def attribute(owner: Any, name: str, label: str = "", portable: bool = False) -> State:
    """Return a `State` for an attribute of a module."""
    get, put = partial(getattr, owner, name), partial(setattr, owner, name)
    return State(label or f"{owner.__name__}.{name}", get, put, portable)
