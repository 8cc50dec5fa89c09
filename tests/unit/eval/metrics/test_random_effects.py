"""Items and training seeds both random: closed forms where one of them does not vary, simulations where both do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

from eval.metrics import METRICS
from eval.metrics.random_effects import (
    compare_over_seeds,
    crossed_interval,
    crossed_mean,
    jackknife_values,
    mean_squares,
)
from eval.metrics.statistics import Array, bootstrap_interval, mean, ratio_standard_error, wilson_interval

TRIALS = 1000
SAMPLING_ERROR = 3 * np.sqrt(0.05 * 0.95 / TRIALS)


def tables(seeds: int, of_seeds: float, of_items: float = 1.0, residual: float = 0.3, items: int = 100) -> Array:
    """TRIALS tables (S, n) with mean 0 and these variances of seeds, items and single values."""
    rng = np.random.default_rng((seeds, round(1000 * of_seeds), round(1000 * residual)))
    shape = (TRIALS, seeds, items)
    return (
        np.sqrt(of_seeds) * rng.normal(size=(TRIALS, seeds, 1))
        + np.sqrt(of_items) * rng.normal(size=(TRIALS, 1, items))
        + np.sqrt(residual) * rng.normal(size=shape)
    )


def as_means(values: Array) -> Array:
    return np.stack([values, np.ones_like(values)], axis=-1)


def test_mean_squares_by_the_definition_of_a_two_way_table() -> None:
    values = np.random.default_rng(0).normal(size=(3, 5))
    of_seeds, of_items, residual = mean_squares(values)
    total = ((values - values.mean()) ** 2).sum()
    assert of_seeds == pytest.approx(5 * values.mean(axis=1).var(ddof=1))
    assert of_items == pytest.approx(3 * values.mean(axis=0).var(ddof=1))
    assert 2 * of_seeds + 4 * of_items + 8 * residual == pytest.approx(total)  # sums of squares add up


def test_the_variance_of_the_mean_is_unbiased() -> None:
    # MS_seed / (S n) alone would lack the items, MS_item / (S n) alone the seeds; here no component is near zero
    squares = np.array([mean_squares(values) for values in tables(5, 0.3)])
    estimated = (squares[:, 0] + squares[:, 1] - squares[:, 2]).mean() / 500
    assert estimated == pytest.approx(0.3 / 5 + 1.0 / 100 + 0.3 / 500, rel=0.05)
    errors = [crossed_mean(values).standard_error for values in tables(5, 0.3)[:20]]
    assert np.square(errors) == pytest.approx((squares[:20, 0] + squares[:20, 1] - squares[:20, 2]) / 500)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_that_agree_leave_the_t_test_over_items(seeds: int) -> None:
    items = np.random.default_rng(1).normal(0.2, 1.0, size=60)
    found = crossed_mean(np.tile(items, (seeds, 1)))
    theirs: Any = scipy.stats.ttest_1samp(items, 0.0)
    assert found.standard_error == pytest.approx(scipy.stats.sem(items))
    assert found.p() == pytest.approx(theirs.pvalue, abs=1e-3)
    interval = theirs.confidence_interval()
    assert found.half_width() == pytest.approx((interval.high - interval.low) / 2, rel=1e-3)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_items_that_agree_leave_the_t_test_over_seeds(seeds: int) -> None:
    of_seeds = np.random.default_rng(2).normal(1.0, 1.0, size=seeds)
    found = crossed_mean(np.tile(of_seeds[:, None], (1, 40)))
    theirs: Any = scipy.stats.ttest_1samp(of_seeds, 0.0)
    assert found.standard_error == pytest.approx(scipy.stats.sem(of_seeds))
    assert found.p() == pytest.approx(theirs.pvalue, abs=1e-3)
    interval = theirs.confidence_interval()
    assert found.half_width() == pytest.approx((interval.high - interval.low) / 2, rel=1e-4)


def test_the_interval_holds_what_the_test_does_not_reject() -> None:
    found = crossed_mean(tables(3, 0.1)[0])
    for level in (0.05, 0.4):
        assert found.p(found.value + found.half_width(level)) == pytest.approx(level, abs=1e-6)
    assert found.p(found.value) == 1.0


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
@pytest.mark.parametrize(("of_seeds", "residual"), [(0.0, 0.3), (0.01, 3.0), (0.1, 0.3), (1.0, 0.3)])
def test_intervals_cover_and_null_differences_are_rarely_called_significant(
    seeds: int, of_seeds: float, residual: float
) -> None:
    """The interval covers the true mean exactly where p of that mean is above 0.05, so one count says both."""
    rejected = np.mean([crossed_mean(values).p() <= 0.05 for values in tables(seeds, of_seeds, residual=residual)])
    assert rejected <= 0.05 + SAMPLING_ERROR


def test_a_test_over_items_alone_calls_seeds_that_differ_a_difference() -> None:
    """What the crossed analysis is for: all answers as if they were of one training, 1,000 null tables."""
    values = tables(3, 0.1)
    for flat in (values.mean(axis=1), values.reshape(TRIALS, -1)):
        naive: Any = scipy.stats.ttest_1samp(flat, 0.0, axis=1)
        assert np.mean(naive.pvalue <= 0.05) > 0.15


def test_more_seeds_find_a_planted_difference() -> None:
    found = {seeds: np.mean([crossed_mean(0.6 + one).p() <= 0.05 for one in tables(seeds, 0.03)]) for seeds in (2, 5)}
    assert found[2] < found[5]
    assert found[5] > 0.9


def test_jackknife_values_of_a_mean_are_the_values() -> None:
    values = np.random.default_rng(3).normal(size=(2, 30))
    assert jackknife_values(as_means(values), mean) == pytest.approx(values)


def test_jackknife_values_of_a_ratio_are_its_delta_method() -> None:
    rng = np.random.default_rng(4)
    tokens = rng.integers(5, 60, size=(1, 300)).astype(float)
    runs = np.stack([tokens * rng.gamma(3.0, size=tokens.shape), tokens], axis=-1)
    values = jackknife_values(runs, mean)
    assert values.mean() == pytest.approx(mean(runs.sum(axis=(0, 1))))
    assert scipy.stats.sem(values[0]) == pytest.approx(ratio_standard_error(runs[0]), rel=0.02)


def test_corpus_scores_have_the_width_of_their_bootstrap() -> None:
    """chrF++ and BLEU are no means; with seeds that agree the interval is over items, as the bootstrap's."""
    from eval.metrics import text_statistics

    rng = np.random.default_rng(5)
    words = ["pasar", "kota", "lama", "ramai", "ikan", "warga", "tua", "indah"]
    references = [" ".join(rng.choice(words, size=12)) for _ in range(80)]
    answers = [" ".join(w if rng.random() < 0.6 else "batu" for w in text.split()) for text in references]
    statistics = text_statistics(answers, references, references)
    for key in ("chrf", "bleu"):
        reduce = METRICS[key].reduce
        ours, _ = crossed_interval(np.stack([statistics[key]] * 2), reduce)
        theirs = bootstrap_interval(statistics[key], reduce, 4000, 0)
        assert ours.value == pytest.approx(theirs.value)
        assert ours.low is not None
        assert theirs.low is not None
        assert theirs.high is not None
        assert ours.low == pytest.approx(theirs.low, abs=0.12 * (theirs.high - theirs.low))


def test_shares_stay_within_their_bounds() -> None:
    never, rare = np.zeros((3, 50)), np.zeros((3, 50))
    rare[0, 0] = 1.0
    nothing, _ = crossed_interval(as_means(never), mean, share=True)
    assert nothing == wilson_interval(0, 50)
    seldom, _ = crossed_interval(as_means(rare), mean, share=True)
    assert seldom.low is not None
    assert seldom.high is not None
    assert 0 <= seldom.low < 1 / 150 < seldom.high < 1


def test_a_score_of_amounts_has_no_interval_below_zero() -> None:
    amounts = np.random.default_rng(8).exponential(size=(2, 4))  # so few that a t interval would reach below
    found = crossed_mean(amounts)
    assert found.value - found.half_width() < 0
    interval, error = crossed_interval(as_means(amounts), mean)
    assert (interval.low, interval.high) == (0.0, pytest.approx(found.value + found.half_width()))
    assert error == pytest.approx(found.standard_error)


def test_a_share_that_differs_by_item_alone_has_wilsons_interval() -> None:
    hits = (np.arange(200) < 60).astype(float)
    ours, _ = crossed_interval(as_means(np.tile(hits, (3, 1))), mean, share=True)
    theirs = wilson_interval(60, 200)
    assert ours.low == pytest.approx(theirs.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.high, abs=0.003)


def test_a_pair_is_compared_by_its_differences() -> None:
    rng = np.random.default_rng(6)
    items = rng.gamma(2.0, size=50)  # what makes an item hard is the same for both and must not count
    first = items + 0.5 + 0.1 * rng.normal(size=(3, 50))
    second = np.tile(items, (3, 1))
    found = compare_over_seeds(
        ("a", "b"), "m", (as_means(first), as_means(second)), (first.mean(axis=0), second.mean(axis=0)), mean
    )
    assert found.difference == pytest.approx((first - second).mean())
    assert 0 < found.low < 0.5 < found.high < 0.7
    assert found.p == pytest.approx(crossed_mean(first - second).p())
    assert found.p < 0.001
    assert (found.n, found.seeds) == (50, 3)
    same = compare_over_seeds(("a", "b"), "m", (as_means(first), as_means(first)), (items, items), mean)
    assert (same.difference, same.p, same.low, same.high) == (0.0, 1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="same seeds and items"):
        compare_over_seeds(("a", "b"), "m", (as_means(first), as_means(second[:2])), (items, items), mean)


def test_the_detectable_difference_is_the_paired_t_tests_where_items_alone_vary() -> None:
    noise = np.tile(np.random.default_rng(7).normal(size=100), (2, 1))
    found = compare_over_seeds(
        ("a", "b"), "m", (as_means(noise), as_means(np.zeros_like(noise))), (noise[0], np.zeros(100)), mean
    )
    quantiles = scipy.stats.t.ppf(0.975, 99) + scipy.stats.t.ppf(0.8, 99)
    assert found.detectable == pytest.approx(quantiles * scipy.stats.sem(noise[0]), rel=1e-3)


def test_one_seed_has_no_spread() -> None:
    with pytest.raises(ValueError, match="1 seeds"):
        crossed_mean(np.zeros((1, 9)))
