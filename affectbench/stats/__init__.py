"""Statistics of per-face values: confidence intervals, paired tests, and the set of best models.

One rule throughout: the statistic of a set is a mean over its faces, or a macro mean (the mean of
class means), and the face is the unit that is resampled, sign-flipped or left out. Fewer than
`MIN_N` faces give neither an interval nor a test. The caller drops NaN and passes a seeded
generator, `shared_rng` where several models are compared; the same values in the same order with
the same seed give the same result.
"""

from affectbench.stats.bootstrap import Interval, bca_interval, bca_intervals
from affectbench.stats.flips import sign_flip_p
from affectbench.stats.jackknife import jackknife_interval, jackknife_p
from affectbench.stats.paired import (
    Difference,
    difference_p,
    paired_difference,
    paired_differences,
)
from affectbench.stats.ranking import best_set, holm
from affectbench.stats.sets import DRAWS, MIN_N, set_mean, shared_rng

__all__ = [
    "DRAWS",
    "MIN_N",
    "Difference",
    "Interval",
    "bca_interval",
    "bca_intervals",
    "best_set",
    "difference_p",
    "holm",
    "jackknife_interval",
    "jackknife_p",
    "paired_difference",
    "paired_differences",
    "set_mean",
    "shared_rng",
    "sign_flip_p",
]
