"""What a hostile pickle holds: each bait makes a canary file when it is read unsafely."""

from __future__ import annotations

import os
from pathlib import Path


class Reduced:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> object:
        return os.system, (f"touch '{self.canary}'",)


class Stateful:
    """Runs a command when its state is set."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["canary"]).touch()
