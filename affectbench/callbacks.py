"""Callbacks through which a run, a study or a training reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
"""Called with a message, such as what is being recomputed and why."""

Advance = Callable[[str, int, int], None]
"""Called with a title, the number of faces done and the total."""
