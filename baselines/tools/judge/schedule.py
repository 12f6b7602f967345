"""The progress of a run, by steps or by the clock, and the resulting learning rate."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

_WARMUP_START = 0.05


def seconds_until(clock: str, now: datetime) -> float:
    """Return the seconds from `now` to the next time the wall clock shows HH:MM."""
    hour, minute = (int(part) for part in clock.split(":"))
    target = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if target <= now:
        target += timedelta(days=1)
    return (target - now).total_seconds()


class Progress:
    """Progress in [0,1]: the larger of the share of steps done and the share of time used.

    A machine shared with others may turn out slow; the learning rate then falls with the clock,
    so that a run is always fully annealed when its time is over. After a resume the remaining
    progress is spread over the time that remains.
    """

    def __init__(self, total_steps: int, start: float, now: float, budget: float) -> None:
        self.total_steps = total_steps
        self.value = start
        self._start = start
        self._began = now
        self._budget = budget

    def update(self, step: int, now: float) -> float:
        """Return the progress at `step` and monotonic time `now` (seconds); it never decreases."""
        by_steps = step / self.total_steps
        share_of_time = (now - self._began) / self._budget if self._budget > 0 else 1.0
        by_clock = self._start + (1.0 - self._start) * share_of_time
        self.value = min(1.0, max(self.value, by_steps, by_clock))
        return self.value


def learning_rate(peak: float, progress: float, step: int, warmup_steps: int) -> float:
    """Return a cosine from `peak` to 0 over the progress, after a linear warm-up by steps."""
    cosine = 0.5 * peak * (1.0 + math.cos(math.pi * progress))
    warmup = min(1.0, _WARMUP_START + (1.0 - _WARMUP_START) * step / max(1, warmup_steps))
    return cosine * warmup
