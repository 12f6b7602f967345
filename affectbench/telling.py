"""How a run, a study or a training reports what goes on to its caller."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
"""Called with a text, such as what is done again and why."""

Advance = Callable[[str, int, int], None]
"""Called with a title, the faces done and the faces in all."""
