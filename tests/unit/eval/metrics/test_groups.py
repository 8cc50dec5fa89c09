"""Grouped items: against closed forms, an enumeration, and a simulation of null pairs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from benchmarks.suites.null_pairs import GROUP, null_pair, rejected
from eval.metrics.groups import are_grouped, by_group, compare_groups, jackknife_error, share_of_groups
from eval.metrics.random_effects import compare_over_seeds
from eval.metrics.statistics import compare, mean, mean_statistics, wilson_interval

GROUPS = ["a", "b", "a", None, "b", "b", None]
RIGHT = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0])


def test_statistics_are_summed_by_group_and_ungrouped_items_stand_alone() -> None:
    assert by_group(mean_statistics(RIGHT), GROUPS).tolist() == [[2, 2], [1, 3], [1, 1], [0, 1]]
    assert are_grouped(GROUPS)
    assert not are_grouped(["a", "b", None, None])


def test_the_jackknife_of_equal_groups_is_the_standard_error_of_their_means() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((12, 20))
    sums = np.stack([values.sum(axis=1), np.full(12, 20.0)], axis=1)
    assert jackknife_error(sums) == pytest.approx(stats.sem(values.mean(axis=1)))


def test_the_interval_of_equal_groups_is_that_of_the_t_test_around_one_half() -> None:
    """Wilson's interval with the effective n is within a few percent of t's where the share is far from 0 and 1."""
    rng = np.random.default_rng(1)
    chances = rng.uniform(0.35, 0.65, size=200)
    right = (rng.random((200, 10)) < chances[:, None]).astype(float)
    found = share_of_groups(mean_statistics(right.reshape(-1)), [str(group) for group in range(200) for _ in range(10)])
    expected = stats.t.interval(0.95, 199, loc=right.mean(), scale=stats.sem(right.mean(axis=1)))
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, abs=5e-4)
    assert found.groups == 200
    assert found.design_effect == pytest.approx(
        stats.sem(right.mean(axis=1)) ** 2 / (right.mean() * (1 - right.mean()) / right.size)
    )


def test_without_groups_it_is_wilsons_interval() -> None:
    assert share_of_groups(mean_statistics(RIGHT), [None] * 7).interval == wilson_interval(4, 7)
    assert share_of_groups(mean_statistics(RIGHT), list("abcdefg")).interval == wilson_interval(4, 7)


def test_a_share_of_one_counts_each_group_once() -> None:
    found = share_of_groups(mean_statistics(np.ones(40)), [str(place // 10) for place in range(40)])
    assert (found.interval.low, found.interval.high) == (wilson_interval(4, 4).low, 1.0)
    one = share_of_groups(mean_statistics(np.ones(4)), ["a"] * 4)
    assert (one.interval.low, one.interval.high) == (None, None)


def test_p_is_that_of_the_enumeration_of_all_exchanges_of_groups() -> None:
    rng = np.random.default_rng(2)
    groups = [str(place // 3) for place in range(27)]
    first, second = (rng.random(27) < share for share in (0.7, 0.4))
    difference = np.array(
        [first[3 * g : 3 * g + 3].sum() - second[3 * g : 3 * g + 3].sum() for g in range(9)], dtype=float
    )
    exact = np.mean([abs(np.dot(signs, difference)) >= abs(difference.sum()) for signs in product((-1, 1), repeat=9)])
    found = compare_groups(
        ("a", "b"), "letter", (mean_statistics(first), mean_statistics(second)), groups, permutations=40_000, seed=0
    )
    assert found.p == pytest.approx(exact, abs=0.01)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 8) * stats.sem(difference / 3))
    assert found.detectable == pytest.approx((stats.t.ppf(0.975, 8) + stats.t.ppf(0.8, 8)) * stats.sem(difference / 3))


def test_without_groups_a_pair_is_compared_as_everywhere_else() -> None:
    rng = np.random.default_rng(3)
    first, second = (mean_statistics((rng.random(80) < share).astype(float)) for share in (0.6, 0.4))
    ours = compare_groups(("a", "b"), "letter", (first, second), [None] * 80, permutations=500, seed=4)
    usual = compare(
        ("a", "b"),
        "letter",
        (first, second),
        (first[:, 0], second[:, 0]),
        mean,
        resamples=4000,
        permutations=500,
        seed=4,
    )
    assert ours.p == usual.p
    assert ours.difference == pytest.approx(usual.difference)
    assert ours.low == pytest.approx(usual.low, abs=0.02)
    assert ours.detectable == pytest.approx(usual.detectable, rel=0.05)


def test_groups_may_be_compared_over_training_seeds_too() -> None:
    rng = np.random.default_rng(5)
    groups = [str(place // 5) for place in range(100)]
    first, second = (
        np.stack([by_group(mean_statistics((rng.random(100) < 0.5).astype(float)), groups) for _ in range(3)])
        for _ in range(2)
    )
    found = compare_over_seeds(("a", "b"), "letter", (first, second), (first[0, :, 0], second[0, :, 0]), mean)
    assert found.n == 20
    assert found.low < found.difference < found.high


def test_null_pairs_with_correlated_groups_are_rejected_as_often_as_promised() -> None:
    """At most 6% of 1,000 null pairs, by their groups; by their items far more."""
    by_groups, by_items = rejected(1000, groups=25, correlation=0.3, permutations=400)
    print(f"of 1,000 null pairs {by_groups:.1%} are called different by groups, {by_items:.1%} by items")
    assert by_groups <= 0.06
    assert by_items > 0.3


def test_the_simulated_items_have_the_correlation_that_is_asked_for() -> None:
    rng = np.random.default_rng(6)
    values = np.concatenate([null_pair(25, 0.3, rng)[0].reshape(25, GROUP) for _ in range(200)])
    within = np.mean([np.corrcoef(values[:, 0], values[:, place])[0, 1] for place in range(1, GROUP)])
    assert within == pytest.approx(0.3, abs=0.02)
