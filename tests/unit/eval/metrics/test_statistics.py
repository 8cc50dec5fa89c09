"""Intervals and tests against scipy, closed forms and simulations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from eval.metrics import statistics as s


def paired(values: np.ndarray) -> s.Array:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_bootstrap_interval_matches_scipy_percentile() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=120)
    ours = s.bootstrap_interval(paired(values), s.mean, 8000, seed=0)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=8000, method="percentile", rng=1).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    spread = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * spread)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * spread)


def test_chunked_bootstrap_covers_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s, "_CHUNK", 64)
    scores = s.bootstrap_scores(paired(np.arange(10.0)), s.mean, 101, seed=0)
    assert scores.shape == (101,)
    assert scores.std() > 0


def test_two_systems_share_the_resamples() -> None:
    values = np.random.default_rng(2).normal(size=50)
    first = s.bootstrap_scores(paired(values), s.mean, 500, seed=7)
    second = s.bootstrap_scores(paired(values + 1.5), s.mean, 500, seed=7)
    assert np.allclose(second - first, 1.5)


def test_hierarchical_bootstrap_has_the_variance_of_its_closed_form() -> None:
    """Var = var(item means) / n + mean(var within items) / (n S), population variances, for a mean of S x n values."""
    rng = np.random.default_rng(12)
    runs, items = 4, 60
    values = rng.normal(size=items)[None] + 2.0 * rng.normal(size=(runs, items))
    stacked = np.stack([values, np.ones_like(values)], axis=-1)  # (S, n, 2)
    scores = s.hierarchical_scores(stacked, s.mean, 40_000, seed=3)
    expected = values.mean(axis=0).var() / items + values.var(axis=0).mean() / (items * runs)
    assert scores.var() == pytest.approx(expected, rel=0.04)
    assert scores.mean() == pytest.approx(values.mean(), abs=5 * np.sqrt(expected / 40_000))


def test_pooling_equal_runs_adds_no_certainty_and_one_run_is_the_plain_bootstrap() -> None:
    values = np.random.default_rng(13).gamma(2.0, size=80)
    plain = s.bootstrap_interval(paired(values), s.mean, 8000, seed=0)
    for runs in (1, 5):
        pooled = s.pooled_interval(np.stack([paired(values)] * runs), s.mean, 8000, seed=0)
        assert pooled.value == pytest.approx(plain.value)
        assert pooled.n == 80
        spread = plain.high - plain.low
        assert pooled.low == pytest.approx(plain.low, abs=0.05 * spread)
        assert pooled.high == pytest.approx(plain.high, abs=0.05 * spread)


def test_more_runs_narrow_the_interval_of_noisy_answers() -> None:
    rng = np.random.default_rng(14)
    values = rng.normal(size=(9, 100, 1)) * 3
    stacked = np.concatenate([values, np.ones_like(values)], axis=2)
    widths = []
    for runs in (1, 9):
        interval = s.pooled_interval(stacked[:runs], s.mean, 4000, seed=0)
        widths.append(interval.high - interval.low)
    # noise of the decoding alone: 9 runs have 1/3 of its deviation, times sqrt(2) because it is drawn at both levels
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(2) / 3, rel=0.15)


@pytest.mark.parametrize(("successes", "items"), [(0, 100), (7, 100), (50, 100), (100, 100), (3, 11)])
def test_wilson_matches_scipy(successes: int, items: int) -> None:
    ours = s.wilson_interval(successes, items)
    theirs = scipy.stats.binomtest(successes, items).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_ratio_standard_error_matches_the_bootstrap_and_the_plain_mean() -> None:
    rng = np.random.default_rng(3)
    tokens = rng.integers(5, 60, size=200).astype(float)
    nats = tokens * rng.gamma(3.0, size=200)
    statistics = np.stack([nats, tokens], axis=1)
    resampled = s.bootstrap_scores(statistics, s.mean, 4000, seed=0).std()
    assert s.ratio_standard_error(statistics) == pytest.approx(resampled, rel=0.08)
    assert s.ratio_standard_error(paired(nats)) == pytest.approx(scipy.stats.sem(nats))


def test_randomisation_matches_scipy_paired_permutation() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(size=40)
    second = first + rng.normal(0.25, 0.8, size=40)
    ours = s.randomisation_p(paired(first), paired(second), s.mean, 20000, seed=0)
    theirs = scipy.stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        permutation_type="samples",
        n_resamples=20000,
        vectorized=True,
        rng=5,
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.02)


def test_randomisation_equals_enumeration_on_few_items() -> None:
    first, second = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.5, 2.5, 1.0, 1.0])
    difference = first - second
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1)
    exact = np.mean(np.abs(difference @ signs) >= abs(difference.sum()) - 1e-12)
    assert s.randomisation_p(paired(first), paired(second), s.mean, 40000, seed=0) == pytest.approx(exact, abs=0.01)


def test_identical_systems_have_p_one_and_no_difference() -> None:
    values = paired(np.random.default_rng(5).normal(size=30))
    assert s.randomisation_p(values, values, s.mean, 500, seed=0) == 1.0


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9], [0.0002, 0.0002, 0.04]])
def test_holm_by_definition(p_values: list[float]) -> None:
    order = np.argsort(p_values, kind="stable")
    m = len(p_values)
    expected = np.empty(m)
    for rank, index in enumerate(order):  # the largest of the scaled p values up to this rank
        expected[index] = min(1.0, max((m - r) * p_values[order[r]] for r in range(rank + 1)))
    assert s.holm(p_values) == pytest.approx(expected.tolist())


def test_holm_known_example() -> None:
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_null_differences_are_rarely_called_significant() -> None:
    """1,000 simulated pairs of equal systems: at most 5% plus three standard errors of the simulation."""
    rng = np.random.default_rng(6)
    false = 0
    for trial in range(1000):
        item = rng.gamma(2.0, size=60)
        first, second = item + rng.normal(size=60), item + rng.normal(size=60)
        false += s.randomisation_p(paired(first), paired(second), s.mean, 200, seed=trial) <= 0.05
    assert false / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_family_of_null_comparisons_stays_under_five_percent() -> None:
    rng = np.random.default_rng(8)
    false = 0
    for trial in range(300):
        systems = rng.normal(size=(4, 50)) + rng.gamma(2.0, size=50)
        p = [
            s.randomisation_p(paired(systems[i]), paired(systems[j]), s.mean, 400, trial)
            for i in range(4)
            for j in range(i)
        ]
        false += min(s.holm(p)) <= 0.05
    assert false / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_a_planted_difference_is_found_with_the_right_sign_and_size() -> None:
    rng = np.random.default_rng(9)
    item = rng.gamma(2.0, size=100)
    first, second = item + 0.5 + rng.normal(0, 0.5, size=100), item + rng.normal(0, 0.5, size=100)
    result = s.compare(
        ("a", "b"),
        "m",
        (paired(first), paired(second)),
        (first, second),
        s.mean,
        resamples=2000,
        permutations=2000,
        seed=0,
    )
    assert result.p <= 0.001
    assert result.low < 0.5 < result.high
    assert result.low > 0
    assert result.effect == pytest.approx(np.mean(first - second) / np.std(first - second, ddof=1))


def test_detectable_difference_has_eighty_percent_power() -> None:
    """The closed form of the paired t test, and the share of simulated test sets in which that difference is found."""
    rng = np.random.default_rng(10)
    noise = rng.normal(size=100)
    result = s.compare(
        ("a", "b"), "m", (paired(noise), paired(np.zeros(100))), (noise, np.zeros(100)), s.mean,
        resamples=4000, permutations=100, seed=0,
    )  # fmt: skip
    closed_form = 2.801585 * noise.std(ddof=1) / 10
    assert result.detectable == pytest.approx(closed_form, rel=0.05)
    found = [scipy.stats.ttest_1samp(rng.normal(2.801585 / 10, 1.0, size=100), 0.0).pvalue <= 0.05 for _ in range(800)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_items_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="same items"):
        s.compare(
            ("a", "b"), "m", (paired(np.ones(3)), paired(np.ones(4))), (np.ones(3), np.ones(4)), s.mean,
            resamples=100, permutations=100, seed=0,
        )  # fmt: skip


def test_adjust_keeps_everything_but_the_adjusted_p() -> None:
    values = np.random.default_rng(11).normal(size=30)
    one = s.compare(
        ("a", "b"), "m", (paired(values), paired(values * 0.9)), (values, values * 0.9), s.mean,
        resamples=200, permutations=200, seed=0,
    )  # fmt: skip
    both = s.adjust([one, one])
    assert both[0].difference == one.difference
    assert both[0].p_adjusted == pytest.approx(min(1.0, 2 * one.p))


def test_a_single_item_has_no_interval() -> None:
    assert s.bootstrap_interval(paired(np.ones(1)), s.mean, 100, 0) == s.Interval(1.0, None, None, 1)
