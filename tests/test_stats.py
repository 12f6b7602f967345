"""Statistics: against scipy, by enumeration, and by simulation of what they promise."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from scipy import stats as scipy_stats

from affectbench.stats import (
    Difference,
    Interval,
    bca_interval,
    bca_intervals,
    best_set,
    holm,
    jackknife_interval,
    jackknife_p,
    paired_difference,
    set_mean,
    sign_flip_p,
)
from affectbench.stats.bootstrap import bca_ends, resampled_means
from affectbench.stats.ranking import studentised
from affectbench.stats.sets import counted

Rng = np.random.Generator


def seeded(seed: int = 0) -> Rng:
    return np.random.default_rng(seed)


def is_unknown(interval: Interval) -> bool:
    return math.isnan(interval.low) and math.isnan(interval.high)


def share_within(hits: int, runs: int, expected: float) -> bool:
    """Whether a count is within four binomial standard deviations of its expectation."""
    return abs(hits - runs * expected) <= 4 * math.sqrt(runs * expected * (1 - expected))


# the statistic of a set


def test_set_mean_is_the_mean_or_the_mean_of_class_means(rng: Rng) -> None:
    values = rng.normal(size=50)
    assert set_mean(values) == values.mean()
    classes = rng.integers(-1, 3, 50)
    expected = np.mean([values[classes == k].mean() for k in range(3)])
    assert set_mean(values, classes) == pytest.approx(expected, rel=1e-14)
    assert set_mean(values, classes) != pytest.approx(values.mean(), rel=1e-3)


def test_set_mean_without_a_class_is_the_plain_mean(rng: Rng) -> None:
    values = rng.normal(size=7)
    assert set_mean(values, np.full(7, -1)) == values.mean()
    assert math.isnan(set_mean([]))


def test_set_mean_of_infinite_values() -> None:
    assert set_mean([1.0, math.inf]) == math.inf
    assert set_mean([1.0, -math.inf]) == -math.inf
    assert math.isnan(set_mean([math.inf, -math.inf]))
    assert set_mean([1.0, math.inf], np.array([0, -1])) == 1.0


def test_class_names_do_not_matter_and_gaps_are_allowed(rng: Rng) -> None:
    values, classes = rng.normal(size=30), rng.integers(0, 3, 30)
    renamed = np.array([7, 2, 40])[classes]
    assert set_mean(values, renamed) == pytest.approx(set_mean(values, classes), rel=1e-14)


def test_nan_and_unlike_shapes_are_refused(rng: Rng) -> None:
    bad = np.array([1.0, math.nan] * 5)
    for call in (set_mean, lambda v: bca_interval(v, rng), lambda v: sign_flip_p(v, rng)):
        with pytest.raises(ValueError, match="NaN"):
            call(bad)
    with pytest.raises(ValueError, match="NaN"):
        best_set(np.stack([bad, bad]), "lower", rng)
    with pytest.raises(ValueError, match=r"classes have the shape \(3,\), \(4,\) is needed"):
        set_mean(np.ones(4), np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="must be aligned"):
        paired_difference(np.ones(4), np.ones(1), rng)


# BCa intervals


def plain_bca(
    values: np.ndarray,
    rng: Rng,
    classes: np.ndarray | None = None,
    *,
    draws: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """The BCa interval as published, at normal quantiles: what `bca_interval` starts from."""
    kept, groups = counted(values, classes)
    means = resampled_means(kept[:, np.newaxis], groups, rng, draws)[:, 0]
    return Interval(*bca_ends(kept, groups, means, NormalDist().inv_cdf((1 + level) / 2)))


def macro_over_axis(values: np.ndarray, classes: np.ndarray, axis: int = -1) -> np.ndarray:
    means = []
    for k in range(3):
        member = classes == k
        means.append((values * member).sum(axis) / member.sum(axis))
    return np.mean(means, axis=0)


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_bca_of_a_mean_agrees_with_scipy(level: float) -> None:
    values = seeded(1).lognormal(size=40)
    options = {"n_resamples": 60_000, "confidence_level": level, "rng": seeded(2)}
    theirs = scipy_stats.bootstrap((values,), np.mean, method="BCa", **options)
    ours = plain_bca(values, seeded(3), draws=60_000, level=level)
    # Either end wanders by about 0.012 standard errors with this many draws.
    close = 0.06 * theirs.standard_error
    assert abs(ours.low - theirs.confidence_interval.low) < close
    assert abs(ours.high - theirs.confidence_interval.high) < close
    plain = scipy_stats.bootstrap((values,), np.mean, method="percentile", **options)
    assert abs(ours.high - plain.confidence_interval.high) > 3 * close


def test_bca_of_a_macro_mean_agrees_with_scipy() -> None:
    classes = np.repeat([0, 1, 2], [12, 15, 60])
    values = seeded(1).lognormal(mean=classes * 0.5)
    theirs = scipy_stats.bootstrap(
        (values, classes),
        macro_over_axis,
        paired=True,
        vectorized=True,
        method="BCa",
        n_resamples=60_000,
        rng=seeded(2),
    )
    ours = plain_bca(values, seeded(3), classes, draws=60_000)
    close = 0.06 * theirs.standard_error
    assert abs(ours.low - theirs.confidence_interval.low) < close
    assert abs(ours.high - theirs.confidence_interval.high) < close
    plain = plain_bca(values, seeded(3), draws=60_000)
    assert abs(ours.low - plain.low) > 3 * close


def test_bca_follows_shift_and_scale(rng: Rng) -> None:
    values = rng.exponential(size=30)
    base = bca_interval(values, seeded())
    moved = bca_interval(1e6 + 1e-3 * values, seeded())
    assert moved.low == pytest.approx(1e6 + 1e-3 * base.low, abs=1e-7)
    turned = bca_interval(-values, seeded())
    assert turned.low == pytest.approx(-base.high, abs=1e-3)
    assert turned.high == pytest.approx(-base.low, abs=1e-3)


def test_bca_contains_the_mean_and_narrows(rng: Rng) -> None:
    values = rng.exponential(size=400)
    few, many = bca_interval(values[:40], seeded()), bca_interval(values, seeded())
    for interval, mean in ((few, values[:40].mean()), (many, values.mean())):
        assert interval.low < mean < interval.high
    assert many.high - many.low < 0.6 * (few.high - few.low)
    half = bca_interval(values, seeded(), level=0.5)
    assert half.high - half.low < 0.5 * (many.high - many.low)


def test_bca_is_reproducible(rng: Rng) -> None:
    values, classes = rng.normal(size=50), rng.integers(0, 3, 50)
    assert bca_interval(values, seeded(4), classes) == bca_interval(values, seeded(4), classes)
    assert bca_interval(values, seeded(4)) != bca_interval(values, seeded(5))


def test_bca_hardly_depends_on_the_order_of_faces(rng: Rng) -> None:
    values, classes = rng.exponential(size=60), rng.integers(0, 2, 60)
    order = rng.permutation(60)
    one = bca_interval(values, seeded(), classes, draws=40_000)
    other = bca_interval(values[order], seeded(), classes[order], draws=40_000)
    error = values.std() / math.sqrt(60)
    assert abs(one.low - other.low) < 0.08 * error
    assert abs(one.high - other.high) < 0.08 * error


def test_bca_ignores_faces_without_a_class(rng: Rng) -> None:
    values, classes = rng.normal(size=40), np.repeat([0, 1, -1], [10, 20, 10])
    changed = np.where(classes < 0, 1e9, values)
    assert bca_interval(values, seeded(), classes) == bca_interval(changed, seeded(), classes)
    none = np.full(40, -1)
    assert bca_interval(values, seeded(), none) == bca_interval(values, seeded())


def test_bca_without_spread_is_a_point(rng: Rng) -> None:
    assert bca_interval(np.full(6, 2.5), rng) == Interval(2.5, 2.5)
    tenth = bca_interval(np.full(7, 0.1), rng)
    assert tenth == Interval(set_mean(np.full(7, 0.1)), set_mean(np.full(7, 0.1)))
    assert bca_interval(np.zeros(10), rng) == Interval(0.0, 0.0)
    slight = 1.0 + 1e-9 * np.arange(2000.0) / 2000
    assert bca_interval(slight, seeded(), draws=200).low < slight.mean()
    by_class = bca_interval(np.repeat([1.0, 4.0], 10), rng, np.repeat([0, 1], 10))
    assert by_class == Interval(2.5, 2.5)


def test_bca_of_shares_takes_ties_by_halves() -> None:
    agreement = np.repeat([0.0, 1.0], [30, 70])
    interval = plain_bca(agreement, seeded())
    exact = scipy_stats.bootstrap((agreement,), np.mean, method="BCa", rng=seeded(1))
    assert interval.low == pytest.approx(exact.confidence_interval.low, abs=0.0101)
    assert interval.high == pytest.approx(exact.confidence_interval.high, abs=0.0101)


def test_bca_of_few_or_infinite_values_is_unknown(rng: Rng) -> None:
    assert is_unknown(bca_interval(np.arange(5.0), rng))
    assert not is_unknown(bca_interval(np.arange(6.0), rng))
    assert is_unknown(bca_interval([], rng))
    assert is_unknown(bca_interval([*range(9), math.inf], rng))
    assert is_unknown(bca_interval([*range(9), -math.inf], rng))
    counted = np.array([0] * 5 + [-1] * 5)
    assert is_unknown(bca_interval(np.arange(10.0), rng, counted))


def test_bca_survives_draws_that_miss_a_class(rng: Rng) -> None:
    classes = np.array([0] * 20 + [1])
    interval = bca_interval(np.where(classes, 5.0, rng.normal(5.0, 0.1, 21)), rng, classes)
    assert 4.9 < interval.low < interval.high < 5.1


def test_columns_share_the_draws(rng: Rng) -> None:
    values = rng.exponential(size=(50, 3))
    values[4, 1] = math.inf
    classes = rng.integers(0, 2, 50)
    together = bca_intervals(values, seeded(), classes)
    assert is_unknown(together[1])
    for i in (0, 2):
        alone = bca_interval(values[:, i], seeded(), classes)
        assert together[i].low == pytest.approx(alone.low, rel=1e-12)
        assert together[i].high == pytest.approx(alone.high, rel=1e-12)
    assert [is_unknown(i) for i in bca_intervals(values[:5], rng)] == [True] * 3


def test_many_faces_take_the_wide_integers() -> None:
    values = seeded(1).exponential(size=70_000)
    interval = bca_interval(values, seeded(), draws=200)
    error = values.std() / math.sqrt(70_000)
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.6 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.6 * error)


@pytest.mark.slow
def test_bca_covers_the_mean_of_skewed_values() -> None:
    rng, runs = seeded(11), 2000
    samples = rng.exponential(size=(runs, 200))
    intervals = [bca_interval(sample, rng, draws=1000) for sample in samples]
    assert share_within(sum(i.low <= 1.0 <= i.high for i in intervals), runs, 0.95)
    assert share_within(sum(i.low > 1.0 for i in intervals), runs, 0.025)


@pytest.mark.slow
def test_bca_covers_the_macro_mean_of_skewed_values() -> None:
    rng, runs = seeded(12), 2000
    classes = np.repeat([0, 1, 2, -1], [40, 60, 200, 20])
    truth = np.array([0.5, 1.0, 3.0, 9.0])
    hits = 0
    for _ in range(runs):
        interval = bca_interval(rng.exponential(truth[classes]), rng, classes, draws=1000)
        hits += interval.low <= 1.5 <= interval.high
    assert share_within(hits, runs, 0.95)


# paired differences


@pytest.mark.parametrize("n", [6, 9, 13])
def test_sign_flips_of_few_faces_are_enumerated(n: int, rng: Rng) -> None:
    change = rng.normal(0.6, 1.0, n)
    every = [np.dot(signs, change) for signs in itertools.product([-1, 1], repeat=n)]
    extreme = sum(abs(t) >= abs(change.sum()) - 1e-9 for t in every)
    assert 2 < extreme < 2**n
    assert sign_flip_p(change, rng) == extreme / 2**n
    state = seeded(3)
    sign_flip_p(change, state)
    assert state.integers(1 << 60) == seeded(3).integers(1 << 60)


def test_drawn_sign_flips_agree_with_the_enumeration(rng: Rng, monkeypatch) -> None:
    change, classes = rng.normal(0.5, 1.0, 22), np.repeat([0, 1], [9, 13])
    for labels in (None, classes):
        exact = sign_flip_p(change, rng, labels)
        with monkeypatch.context() as patch:
            patch.setattr("affectbench.stats.flips.EXACT", 0)
            drawn = sign_flip_p(change, rng, labels)
        assert 0.005 < exact < 0.3
        draws = 100_000 if exact < 0.09 else 10_000
        assert abs(drawn - exact) < 4 * math.sqrt(exact * (1 - exact) / draws)
    assert sign_flip_p(change, rng) != sign_flip_p(change, rng, classes)


def test_sign_flips_weigh_faces_by_class(rng: Rng) -> None:
    change, classes = rng.normal(0.3, 1.0, 8), np.array([0, 0, 0, 0, 0, 0, 1, -1])
    terms = change[:7] / np.array([6, 6, 6, 6, 6, 6, 1])
    every = [np.dot(signs, terms) for signs in itertools.product([-1, 1], repeat=7)]
    extreme = sum(abs(t) >= abs(terms.sum()) - 1e-9 for t in every)
    assert sign_flip_p(change, rng, classes) == extreme / 2**7


def test_p_is_b_plus_1_of_draws_plus_1() -> None:
    assert sign_flip_p(np.ones(100), seeded()) == 1 / 10_001
    assert sign_flip_p(np.zeros(100), seeded()) == 1.0


def test_draws_near_a_decision_are_many(rng: Rng) -> None:
    change = rng.normal(0.0, 1.0, 80)
    for p, draws in ((0.3, 10_000), (0.05, 100_000), (0.05 / 12, 100_000)):
        target = scipy_stats.norm.isf(p / 2) * change.std() / math.sqrt(80)
        found = sign_flip_p(change - change.mean() + target, seeded())
        assert found * (draws + 1) == pytest.approx(round(found * (draws + 1)), abs=1e-6)
        assert found == pytest.approx(p, rel=0.5)


def test_rounding_does_not_make_a_pattern_less_extreme() -> None:
    # All patterns but for rounding have |T*| <= |T| = 0.6 / 6; only two reach it.
    change = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert sign_flip_p(change, seeded()) == 2 / 64
    # 0.3 - 0.2 - 0.1 is not 0.0 in floating point; the patterns that tie with it are many.
    tied = [0.1, 0.2, -0.3, 0.1, 0.2, -0.3]
    assert sign_flip_p(tied, seeded()) == 1.0


def test_paired_difference_puts_its_parts_together(rng: Rng) -> None:
    a, b = rng.exponential(size=60), rng.exponential(size=60) + 0.3
    classes = rng.integers(-1, 2, 60)
    result = paired_difference(a, b, seeded(), classes)
    interval = bca_interval(a - b, seeded(), classes)
    assert result.estimate == set_mean(a - b, classes)
    assert (result.low, result.high) == (interval.low, interval.high)
    assert 0 < result.p < 1
    assert result == paired_difference(a, b, seeded(), classes)
    turned = paired_difference(b, a, seeded(), classes)
    assert turned.estimate == pytest.approx(-result.estimate, rel=1e-12)
    assert turned.p == result.p


def test_paired_difference_of_equal_models(rng: Rng) -> None:
    values = rng.normal(size=20)
    assert paired_difference(values, values, rng) == Difference(0.0, 0.0, 0.0, 1.0)


def test_paired_difference_of_few_faces_has_an_estimate_only(rng: Rng) -> None:
    result = paired_difference(np.arange(5.0), np.zeros(5), rng)
    assert result.estimate == 2.0
    assert all(math.isnan(v) for v in (result.low, result.high, result.p))


def test_paired_difference_of_infinite_values(rng: Rng) -> None:
    a, b = rng.normal(30, 1, 20), rng.normal(29, 1, 20)
    a[3] = b[3] = math.inf
    both = paired_difference(a, b, seeded())
    assert both.estimate == pytest.approx((np.delete(a, 3) - np.delete(b, 3)).sum() / 20, rel=1e-12)
    assert math.isfinite(both.low + both.high + both.p)
    b[3] = 29.0
    one = paired_difference(a, b, seeded())
    assert one.estimate == math.inf
    assert all(math.isnan(v) for v in (one.low, one.high, one.p))


def test_sign_flip_p_is_uniform_under_the_null() -> None:
    rng, runs = seeded(21), 1500
    change = rng.standard_t(3, size=(runs, 25))
    p = np.array([sign_flip_p(one, rng, draws=199) for one in change])
    for level in (0.05, 0.1, 0.25, 0.5, 0.9):
        assert share_within(int((p <= level + 1e-9).sum()), runs, level)


def test_sign_flip_p_finds_a_difference() -> None:
    rng = seeded(22)
    p = [sign_flip_p(rng.normal(0.5, 1, 50), rng, draws=499) for _ in range(100)]
    assert np.mean(np.array(p) < 0.05) > 0.85


# The jackknife


def test_the_jackknife_of_a_mean_is_students_t(rng: Rng) -> None:
    values = rng.normal(0.5, 1.0, 12)
    rest = [np.delete(values, i).mean() for i in range(12)]
    found = jackknife_p(values.mean(), rest)
    assert found == pytest.approx(scipy.stats.ttest_1samp(values, 0.0).pvalue)
    for level in (1.0 - found - 1e-6, 1.0 - found + 1e-6):
        interval = jackknife_interval(values.mean(), rest, level=level)
        assert (interval.low < 0 < interval.high) == (level > 1.0 - found)


def test_a_jackknife_that_has_no_p() -> None:
    assert math.isnan(jackknife_p(1.0, [1.0] * 5))
    assert math.isnan(jackknife_p(math.nan, [1.0] * 6))
    assert math.isnan(jackknife_p(1.0, [math.inf] + [1.0] * 5))
    assert jackknife_p(0.0, [0.0] * 6) == 1.0
    assert jackknife_p(1.0, [1.0] * 6) == 0.0


# Holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_passes_nan_through_uncounted() -> None:
    adjusted = holm([math.nan, 0.01, math.nan, 0.03])
    assert math.isnan(adjusted[0])
    assert math.isnan(adjusted[2])
    assert [adjusted[1], adjusted[3]] == pytest.approx([0.02, 0.03])


# who cannot be told from the best


def test_best_set_finds_clear_winners(rng: Rng) -> None:
    base = rng.normal(size=100)
    values = base + rng.normal(0, 0.1, (4, 100)) + np.array([[0.0], [0.0], [0.5], [1.0]])
    assert best_set(values, "lower", seeded()).tolist() == [True, True, False, False]
    assert best_set(values, "higher", seeded()).tolist() == [False, False, False, True]


def test_best_set_does_not_depend_on_the_order_of_models(rng: Rng) -> None:
    values = rng.normal(size=(6, 60)) + np.linspace(0, 0.9, 6)[:, np.newaxis]
    mask = best_set(values, "lower", seeded())
    assert 1 < mask.sum() < 6
    order = [3, 0, 5, 1, 4, 2]
    assert best_set(values[order], "lower", seeded()).tolist() == mask[order].tolist()


def test_best_set_uses_the_macro_mean(rng: Rng) -> None:
    classes = np.repeat([0, 1, -1], [80, 12, 8])
    a = rng.normal(0, 0.1, 100)
    b = rng.normal(0, 0.1, 100) + np.select([classes == 0, classes == 1], [0.2, -1.0], 50.0)
    values = np.stack([a, b])
    assert best_set(values, "lower", seeded(), classes).tolist() == [False, True]
    assert best_set(values[:, :92], "lower", seeded()).tolist() == [True, True]
    assert best_set(values[:, :80], "lower", seeded()).tolist() == [True, False]


def test_best_set_of_two_is_a_t_test_for_normal_values() -> None:
    rng, agree = seeded(31), 0
    for shift in np.linspace(0.2, 0.55, 60):
        values = rng.normal(size=(2, 40))
        values[1] += shift
        apart = not best_set(values, "lower", rng, draws=2000).all()
        agree += apart == (scipy_stats.ttest_rel(*values).pvalue < 0.05)
    assert agree >= 57


def test_one_more_model_raises_the_bar() -> None:
    rng = seeded(32)
    pair = rng.normal(size=(2, 50))
    error = (pair[1] - pair[0]).std(ddof=1) / math.sqrt(50)
    pair[1] += 2.4 * error - (pair[1] - pair[0]).mean()  # two-sided p = 0.02
    assert best_set(pair, "lower", seeded()).tolist() == [True, False]
    crowd = np.concatenate([pair, 3 + rng.normal(size=(6, 50))])
    assert best_set(crowd, "lower", seeded()).tolist() == [True, True] + [False] * 6


def test_best_set_of_equal_and_of_shifted_models(rng: Rng) -> None:
    base = rng.normal(size=30)
    values = np.stack([base, base, base + 1e-6, base + rng.normal(5, 1, 30)])
    assert best_set(values, "lower", rng).tolist() == [True, True, False, False]
    assert best_set(values[:2], "lower", rng).tolist() == [True, True]
    assert best_set(np.stack([base, base * 3 / 3 + 1e-16]), "lower", rng).all()
    assert best_set(np.zeros((3, 10)), "higher", rng).all()


def test_best_set_without_a_test_keeps_all(rng: Rng) -> None:
    values = np.stack([np.zeros(5), np.full(5, 9.0)])
    assert best_set(values, "lower", rng).all()
    assert best_set(np.ones((1, 50)), "lower", rng).tolist() == [True]
    assert best_set(np.ones((0, 50)), "lower", rng).shape == (0,)
    assert best_set(rng.normal(size=(2, 50)) + np.array([[0], [9]]), "lower", rng, draws=10).all()


def test_models_with_infinite_values_stay_in(rng: Rng) -> None:
    values = rng.normal(30, 1, (4, 50)) + np.array([[0], [3], [-5], [0]])
    values[3, 7] = math.inf
    assert best_set(values, "higher", rng).tolist() == [False, True, False, True]


def test_best_set_is_never_empty(rng: Rng) -> None:
    for _ in range(30):
        values = rng.normal(size=(5, 8)) + rng.normal(0, 3, (5, 1))
        mask = best_set(values, "lower", rng, draws=200)
        assert mask[values.mean(axis=1).argmin()]


def family_errors(classes: np.ndarray | None, n: int, runs: int, draws: int, rng: Rng) -> int:
    """Runs in which one of five equally good models is out; skewed and correlated values."""
    errors = 0
    for _ in range(runs):
        values = rng.lognormal(size=n) + rng.lognormal(size=(5, n))
        errors += not best_set(values, "lower", rng, classes, draws=draws).all()
    return errors


@pytest.mark.parametrize("n", [8, 50])
def test_equal_models_are_told_apart_in_5_percent_at_most(n: int) -> None:
    runs = 300
    errors = family_errors(None, n, runs, 199, seeded(41))
    assert errors <= 0.05 * runs + 3 * math.sqrt(runs * 0.05 * 0.95)
    assert errors > 0


@pytest.mark.slow
@pytest.mark.parametrize("macro", [False, True])
def test_family_wise_error_is_5_percent(macro: bool) -> None:
    runs, classes = 2000, np.repeat([0, 1, 2], [12, 20, 40]) if macro else None
    errors = family_errors(classes, 72, runs, 499, seeded(42))
    assert 0.02 * runs < errors <= 0.05 * runs + 3 * math.sqrt(runs * 0.05 * 0.95)


@pytest.mark.slow
def test_the_true_best_stay_in_95_percent() -> None:
    rng, runs, kept, dropped = seeded(43), 2000, 0, 0
    shift = np.array([[0.0], [0.0], [0.4], [0.8], [2.0]])
    for _ in range(runs):
        values = rng.normal(size=60) + rng.standard_t(5, size=(5, 60)) + shift
        mask = best_set(values, "lower", rng, draws=499)
        kept += bool(mask[:2].all())
        dropped += not mask[4]
    assert kept >= 0.95 * runs - 3 * math.sqrt(runs * 0.05 * 0.95)
    assert dropped > 0.99 * runs


def test_standard_errors_agree_with_scipy(rng: Rng) -> None:
    gains, classes = rng.exponential(size=(12, 2)), np.repeat([0, 1, 2], [3, 4, 5])
    change = gains[:, 0] - gains[:, 1]
    for labels in (np.zeros(12, dtype=int), classes):
        kept, groups = counted(gains, labels)
        means, errors = studentised(kept, groups, np.array([[0, 1]]))
        of_class = [change[labels == k] for k in np.unique(labels)]
        assert means[0] == pytest.approx(np.mean([c.mean() for c in of_class]), rel=1e-12)
        sems = [scipy_stats.sem(c) for c in of_class]
        assert errors[0] == pytest.approx(np.linalg.norm(sems) / len(sems), rel=1e-12)


# rank agreement


def tau_b(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b by its definition: M. Kendall, Biometrika 33 (1945), 239-251."""
    left, right = (np.greater.outer(x, x) * 1.0 - np.less.outer(x, x) for x in (a, b))
    untied = math.sqrt(float((left**2).sum()) * float((right**2).sum()))
    return float((left * right).sum()) / untied if untied else math.nan


def test_rank_agreement_is_tau_b_with_ties_and_infinite_scores(rng: Rng) -> None:
    """What the panel and the study take of scipy."""
    for size in (2, 5, 20):
        for _ in range(20):
            a, b = rng.integers(0, 6, size).astype(float), rng.integers(0, 6, size).astype(float)
            b[b == 5.0] = math.inf
            assert scipy_stats.kendalltau(a, b).statistic == pytest.approx(
                tau_b(a, b), rel=1e-12, nan_ok=True
            )
    assert math.isnan(scipy_stats.kendalltau([1.0, math.nan, 3.0], [1.0, 2.0, 3.0]).statistic)


# start-up


def test_importing_stats_takes_no_torch_and_no_pandas() -> None:
    code = "import affectbench.stats, affectbench.aggregate, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas"} & set(done.stdout.split())
