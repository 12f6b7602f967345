"""Few faces, skewed values, small classes: intervals hold the mean, tests have their size."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from affectbench.stats import (
    Interval,
    bca_interval,
    bca_intervals,
    best_set,
    difference_p,
    holm,
    paired_differences,
    shared_rng,
    sign_flip_p,
)
from affectbench.stats.flips import sign_flip_ps
from affectbench.stats.moments import moments, skewed_p
from affectbench.stats.sets import counted

Rng = np.random.Generator


def seeded(seed: int = 0) -> Rng:
    return np.random.default_rng(seed)


# Intervals


def coverage(draw, truth: float, n: int, runs: int = 500) -> float:
    rng = seeded(n)
    intervals = bca_intervals(draw(rng, (n, runs)), rng, draws=500)
    return float(np.mean([i.low <= truth <= i.high for i in intervals]))


def mixture(rng: Rng, shape: tuple[int, int]) -> np.ndarray:
    """Like ECM: most faces near 0, one in seven far away."""
    lost = rng.random(shape) < 0.15
    return np.where(lost, rng.uniform(0.6, 1.1, shape), rng.beta(1, 8, shape))


@pytest.mark.parametrize(
    ("draw", "truth", "least"),
    [
        (lambda rng, shape: rng.normal(size=shape), 0.0, (0.92, 0.92)),
        (lambda rng, shape: rng.standard_t(3, shape), 0.0, (0.93, 0.93)),
        (lambda rng, shape: rng.exponential(size=shape), 1.0, (0.88, 0.91)),
        (lambda rng, shape: rng.beta(0.5, 2, shape), 0.2, (0.87, 0.91)),
        (lambda rng, shape: rng.lognormal(size=shape), math.exp(0.5), (0.80, 0.86)),
        (mixture, 0.15 * 0.85 + 0.85 / 9, (0.75, 0.82)),
    ],
    ids=["normal", "t3", "exponential", "beta", "lognormal", "mixture"],
)
def test_few_faces_are_covered(draw, truth: float, least: tuple[float, float]) -> None:
    """Plain BCa: .85, .82, .83, .85, .77, .70 for six, .90, .86, .88, .90, .83, .80 for ten."""
    assert coverage(draw, truth, 6) >= least[0]
    assert coverage(draw, truth, 10) >= least[1]


def test_an_interval_holds_students_within_the_values(rng: Rng) -> None:
    for values in (rng.normal(size=12), rng.standard_t(2, 8), rng.exponential(size=6)):
        reach = scipy_stats.t.ppf(0.975, len(values) - 1) * scipy_stats.sem(values)
        found = bca_interval(values, seeded())
        assert found.low <= max(values.mean() - reach, values.min()) + 1e-12
        assert found.high >= min(values.mean() + reach, values.max()) - 1e-12


@pytest.mark.parametrize("right", [1, 3, 5, 18, 19])
def test_an_interval_of_shares_stays_between_0_and_1(right: int) -> None:
    for n in (6, 20):
        hits = np.arange(n) < min(right, n - 1)
        found = bca_interval(hits, seeded())
        assert 0.0 <= found.low < hits.mean() < found.high <= 1.0
        found = bca_interval(np.tile(hits, 2), seeded(), np.repeat([0, 1], n))
        assert 0.0 <= found.low < hits.mean() < found.high <= 1.0


def test_many_faces_have_the_interval_of_bca(rng: Rng) -> None:
    values = rng.gamma(2.0, size=3000)
    found = bca_interval(values, seeded())
    error = scipy_stats.sem(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.03)


def test_a_small_class_has_its_own_freedom(rng: Rng) -> None:
    classes = np.repeat([0, 1], [10, 400])
    values = rng.normal(size=410)
    kept, groups = counted(values, classes)
    found = moments(kept, groups)
    of_class = [values[classes == k] for k in (0, 1)]
    welch = scipy_stats.ttest_ind(of_class[0], -of_class[1], equal_var=False)
    assert found.mean == pytest.approx(0.5 * (of_class[0].mean() + of_class[1].mean()))
    assert found.freedom == pytest.approx(welch.df)
    assert found.mean / found.error == pytest.approx(welch.statistic)
    interval = bca_interval(values, seeded(), classes)
    reach = scipy_stats.t.ppf(0.975, welch.df) * found.error
    assert interval.high - interval.low > 1.9 * reach


def test_moments_of_a_plain_mean_are_scipys(rng: Rng) -> None:
    for scale in (1.0, 1e-150, 1e150):
        values = scale * rng.gamma(1.0, size=25)
        found = moments(*counted(values, None))
        assert found.error == pytest.approx(scipy_stats.sem(values))
        assert found.freedom == pytest.approx(24)
        expected = scipy_stats.kstat(values / scale, 3) / np.var(values / scale, ddof=1) ** 1.5
        assert found.skew == pytest.approx(expected / 5)


# Tests


def rejected(draw, n: int, runs: int, classes: np.ndarray | None = None) -> tuple[float, float]:
    """How often sign flips, and `difference_p`, reject a mean of 0 at 5 %."""
    rng = seeded(n)
    rows = draw(rng, (runs, n))
    flips = np.array(sign_flip_ps(rows, rng, classes, draws=500))
    both = np.array([max(p, skewed_p(row, classes)) for p, row in zip(flips, rows, strict=True)])
    return float((flips < 0.05).mean()), float((both < 0.05).mean())


@pytest.mark.parametrize("n", [6, 10, 20])
def test_skewed_differences_are_not_rejected_too_often(n: int) -> None:
    for draw, most in (
        (lambda rng, shape: rng.lognormal(size=shape) - math.exp(0.5), 0.11),
        (lambda rng, shape: rng.exponential(size=shape) - 1.0, 0.08),
        (lambda rng, shape: rng.normal(size=shape), 0.07),
    ):
        flips, found = rejected(draw, n, 1000)
        assert found <= min(flips, most)
    assert rejected(lambda rng, shape: rng.normal(1.5, 1.0, shape), n, 300)[1] > 0.5


def test_a_rare_skewed_class_is_not_rejected_too_often() -> None:
    classes = np.repeat([0, 1, 2], [10, 30, 60])
    rare = classes == 0

    def draw(rng: Rng, shape: tuple[int, int]) -> np.ndarray:
        return np.where(rare, rng.exponential(size=shape) - 1.0, rng.normal(0.0, 0.3, shape))

    flips, found = rejected(draw, 100, 1000, classes)
    assert flips > 0.08
    assert found <= 0.075


def test_skewed_p_of_symmetric_values_is_students(rng: Rng) -> None:
    half = rng.normal(size=15)
    values = 0.2 + np.concatenate([half, -half])
    assert skewed_p(values) == pytest.approx(scipy_stats.ttest_1samp(values, 0.0).pvalue)
    assert skewed_p(-values) == pytest.approx(skewed_p(values))
    skewed = rng.exponential(size=20) - 0.8
    assert skewed_p(-skewed) == pytest.approx(skewed_p(skewed))
    assert skewed_p(np.zeros(9)) == 1.0
    assert skewed_p(np.full(9, 0.1)) == 0.0
    assert math.isnan(skewed_p(np.ones(5)))
    assert math.isnan(skewed_p([*range(9), math.inf]))


def test_difference_p_is_the_larger(rng: Rng) -> None:
    few = rng.exponential(size=12) - 0.5
    for change in (few, -few, rng.normal(0.4, 1.0, 12)):
        both = sign_flip_p(change, seeded()), skewed_p(change)
        assert difference_p(change, seeded()) == max(both)
    assert difference_p(np.ones(8), seeded()) == 2 / 2**8
    assert difference_p(np.zeros(8), seeded()) == 1.0


@pytest.mark.parametrize("n", [6, 7, 15])
def test_patterns_are_counted_whatever_the_number_of_draws(n: int, rng: Rng) -> None:
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
    for change in (
        rng.normal(0.4, 1, n),
        rng.integers(-2, 4, n) + 0.0,
        np.r_[0.0, rng.normal(size=n - 1)],
    ):
        extreme = np.abs(signs @ change) >= abs(change.sum()) - 1e-9
        assert sign_flip_p(change, rng, draws=10) == pytest.approx(extreme.mean(), rel=1e-12)


def test_zeros_leave_the_pattern_count_exact(rng: Rng) -> None:
    """Of 1,000 faces 20 differ, as with `agreement`: a binomial test."""
    change = np.zeros(1000)
    change[:20] = np.r_[np.ones(15), -np.ones(5)]
    expected = scipy_stats.binomtest(15, 20).pvalue
    assert sign_flip_p(change, rng) == pytest.approx(expected, rel=1e-12)


# Neither order nor company matters


def models(rng: Rng, n: int) -> np.ndarray:
    values = rng.gamma(2.0, size=(7, n)) + np.linspace(0.0, 0.5, 7)[:, np.newaxis]
    values[4] = values[1]  # one model under two names
    return values


@pytest.mark.parametrize("n", [12, 40, 200])
@pytest.mark.parametrize("macro", [False, True])
def test_order_and_company_of_models_change_no_bit(n: int, macro: bool, rng: Rng) -> None:
    values = models(rng, n)
    classes = np.arange(n) % 3 if macro else None
    base = rng.gamma(2.0, size=n) + 0.25
    found = paired_differences(values, base, shared_rng(0, n), classes)
    kept = best_set(values, "lower", shared_rng(0, n), classes).tolist()
    assert found[4] == found[1]
    for order in ([6, 5, 4, 3, 2, 1, 0], [2, 0, 6, 4, 1, 3, 5]):
        again = paired_differences(values[order], base, shared_rng(0, n), classes)
        assert again == [found[i] for i in order]
        assert holm([one.p for one in again]) == [holm([f.p for f in found])[i] for i in order]
        mask = best_set(values[order], "lower", shared_rng(0, n), classes).tolist()
        assert mask == [kept[i] for i in order]
    for i, one in enumerate(found):
        alone = paired_differences(values[i : i + 1], base, shared_rng(0, n), classes)[0]
        assert alone.p == one.p
        assert (alone.low, alone.high) == pytest.approx((one.low, one.high), rel=1e-12)
        turned = paired_differences(base[np.newaxis], values[i], shared_rng(0, n), classes)[0]
        assert (turned.estimate, turned.p) == (-one.estimate, one.p)


def test_equal_columns_have_equal_intervals(rng: Rng) -> None:
    values = rng.gamma(2.0, size=(300, 9))
    values[:, 7] = values[:, 2]
    found = bca_intervals(values, shared_rng(0, 300))
    assert found[7] == found[2]
    assert bca_intervals(values[:, ::-1], shared_rng(0, 300)) == found[::-1]
    assert bca_interval(np.full(8, 0.1), seeded()) == Interval(
        np.full(8, 0.1).mean(), np.full(8, 0.1).mean()
    )


def test_a_copy_of_a_model_moves_nobody(rng: Rng) -> None:
    values = models(rng, 60)[:4]
    alone = best_set(values, "lower", shared_rng(0, 60)).tolist()
    assert best_set(values[[0, 1, 2, 3, 0, 3]], "lower", shared_rng(0, 60)).tolist() == [
        *alone,
        alone[0],
        alone[3],
    ]
