"""Intervals and tests over test items: sufficient statistics per item, and a function from their sum to the score.

Every metric is written as `score = reduce(sum over items of s_i)`, with s_i a vector of K numbers: (value, 1) for a
mean, (nats, tokens) for a rate, n-gram counts for BLEU and chrF++. Resampling items is then a matrix product, and one
set of resamples serves every system, so that differences are paired.

Sources: Efron & Tibshirani 1993, ch. 13 (percentile bootstrap); Noreen 1989 and Riezler & Maxwell 2005 (approximate
randomisation); Holm 1979; Wilson 1927.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Reduce = Callable[[Array], Array]  # (..., K) sums over items -> (...) scores

NORMAL_95 = 1.959963984540054  # two-sided 95%
POWER_80 = 0.8416212335729143  # one-sided 80%
SIGNIFICANT = 0.05
_CHUNK = 4_000_000  # numbers held at once in a resampling matrix


@dataclass(frozen=True)
class Interval:
    """A score over `n` items with its 95% interval; `low` and `high` are None where none can be given."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """Score of `first` minus score of `second` over the same n items, and over `seeds` trainings of both.

    p is two-sided, from paired approximate randomisation (of several seeds: see `random_effects`); p_adjusted is Holm's
    over the family of comparisons; effect is the mean of the per-item differences over their standard deviation
    (Cohen's d_z); detectable is the smallest difference that a test set like this one finds in 80% of the cases at the
    5% level.
    """

    first: str
    second: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    effect: float
    detectable: float
    n: int
    seeds: int = 1


def mean(sums: Array) -> Array:
    """(..., 2) sums of (numerator, denominator) -> their ratio; 0 where the denominator is 0."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] != 0)


def mean_statistics(values: Sequence[float] | Array) -> Array:
    """Per-item values (n,) -> statistics (n, 2) of their mean."""
    return np.stack([np.asarray(values, dtype=np.float64).reshape(-1), np.ones(len(values))], axis=1)


def counted(statistics: Array) -> Array:
    """Of the statistics (n, 2) of a mean those items that count in it: accuracy leaves out what has no one answer."""
    return statistics[statistics[:, 1] > 0]


def bootstrap_scores(statistics: Array, reduce: Reduce, resamples: int, seed: int) -> Array:
    """Scores of `resamples` test sets drawn with replacement from the items of `statistics` (n, K); (resamples,).

    The draw depends on n, `resamples` and `seed` alone: two systems measured on the same items share it.
    """
    items = len(statistics)
    rng = np.random.default_rng((seed, items))
    chunk = max(1, _CHUNK // max(1, items))
    scores = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        counts = rng.multinomial(items, np.full(items, 1.0 / items), size=rows)  # (rows, n)
        scores.append(reduce(counts.astype(np.float64) @ statistics))
    return np.concatenate(scores)


def bootstrap_interval(statistics: Array, reduce: Reduce, resamples: int, seed: int) -> Interval:
    """The score of all items with its 95% percentile interval from `resamples` resamples of the items."""
    items = len(statistics)
    value = float(reduce(statistics.sum(axis=0)))
    if items < 2:
        return Interval(value, None, None, items)
    low, high = np.quantile(bootstrap_scores(statistics, reduce, resamples, seed), (0.025, 0.975))
    return Interval(value, float(low), float(high), items)


def hierarchical_scores(runs: Array, reduce: Reduce, resamples: int, seed: int) -> Array:
    """Scores of resamples drawn at two levels, (resamples,): items, then for every drawn item its runs.

    Args:
        runs: statistics of S runs (decoding seeds) on the same n items, (S, n, K).
    """
    count, items, width = runs.shape
    flat = runs.transpose(1, 0, 2).reshape(items * count, width)  # (n S, K)
    rng = np.random.default_rng((seed, items, count))
    chunk = max(1, _CHUNK // max(1, items * count))
    scores = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.multinomial(items, np.full(items, 1.0 / items), size=rows)  # (rows, n)
        # an item that was drawn c times gets c S draws among its own S runs
        weights = rng.multinomial(drawn * count, np.full(count, 1.0 / count))  # (rows, n, S)
        scores.append(reduce(weights.reshape(rows, -1).astype(np.float64) @ flat))
    return np.concatenate(scores)


def pooled_interval(runs: Array, reduce: Reduce, resamples: int, seed: int) -> Interval:
    """The score of all runs (S, n, K) together with its 95% percentile interval from `hierarchical_scores`."""
    items = runs.shape[1]
    value = float(reduce(runs.sum(axis=(0, 1))))
    if items < 2:
        return Interval(value, None, None, items)
    low, high = np.quantile(hierarchical_scores(runs, reduce, resamples, seed), (0.025, 0.975))
    return Interval(value, float(low), float(high), items)


def wilson_interval(successes: float, items: float, quantile: float = NORMAL_95) -> Interval:
    """A share with Wilson's score interval (95% by default), honest at 0 and 1 where the bootstrap collapses to a
    point. `items` need not be whole: an effective number of independent ones.
    """
    if items == 0:
        return Interval(0.0, None, None, 0)
    share, z2 = successes / items, quantile**2
    centre = (share + z2 / (2 * items)) / (1 + z2 / items)
    half = quantile / (1 + z2 / items) * math.sqrt(share * (1 - share) / items + z2 / (4 * items**2))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == items else centre + half
    return Interval(share, low, high, round(items))


def ratio_standard_error(statistics: Array) -> float:
    """Standard error of sum(x)/sum(y) over items with statistics (x, y), by linearisation (the delta method)."""
    items = len(statistics)
    if items < 2:
        return 0.0
    ratio = float(mean(statistics.sum(axis=0)))
    residual = statistics[:, 0] - ratio * statistics[:, 1]
    return float(np.sqrt(items / (items - 1) * np.sum(residual**2)) / statistics[:, 1].sum())


def randomisation_p(first: Array, second: Array, reduce: Reduce, permutations: int, seed: int) -> float:
    """Two-sided p of "the two systems are the same" by paired approximate randomisation.

    Each permutation exchanges the two systems' results on a random half of the items; p = (1 + #{|d*| >= |d|}) / (1 +
    permutations), so that p is never 0 and the test is valid at any number of permutations.
    """
    total_first, total_second, swap = first.sum(axis=0), second.sum(axis=0), second - first
    observed = abs(float(reduce(total_first) - reduce(total_second)))
    tolerance = 1e-12 * max(1.0, observed)  # equal differences count as equal whatever the order of the sum
    rng = np.random.default_rng((seed, len(first), 1))
    chunk = max(1, _CHUNK // max(1, len(first)))
    extreme = 0
    for start in range(0, permutations, chunk):
        rows = min(chunk, permutations - start)
        moved = rng.integers(0, 2, size=(rows, len(first))).astype(np.float64) @ swap  # (rows, K)
        differences = np.abs(reduce(total_first + moved) - reduce(total_second - moved))
        extreme += int(np.count_nonzero(differences >= observed - tolerance))
    return (1 + extreme) / (1 + permutations)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def effect_size(first: Array, second: Array) -> float:
    """Cohen's d_z of per-item scores (n,) and (n,): mean difference over the standard deviation of the differences."""
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if len(differences) < 2:
        return 0.0
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / spread if spread > 0 else 0.0


def compare(
    names: tuple[str, str],
    metric: str,
    statistics: tuple[Array, Array],
    item_scores: tuple[Array, Array],
    reduce: Reduce,
    *,
    resamples: int,
    permutations: int,
    seed: int,
) -> Comparison:
    """Compare two systems on the same items; `p_adjusted` equals p until `adjust` sees the whole family."""
    first, second = statistics
    if len(first) != len(second):
        raise ValueError(
            f"{names[0]} has {len(first)} items and {names[1]} has {len(second)}: a paired test needs the same items"
        )
    differences = bootstrap_scores(first, reduce, resamples, seed) - bootstrap_scores(second, reduce, resamples, seed)
    low, high = np.quantile(differences, (0.025, 0.975))
    p = randomisation_p(first, second, reduce, permutations, seed)
    return Comparison(
        first=names[0],
        second=names[1],
        metric=metric,
        difference=float(reduce(first.sum(axis=0)) - reduce(second.sum(axis=0))),
        low=float(low),
        high=float(high),
        p=p,
        p_adjusted=p,
        effect=effect_size(*item_scores),
        detectable=(NORMAL_95 + POWER_80) * float(differences.std(ddof=1)),
        n=len(first),
    )


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with Holm's adjustment over all of them."""
    adjusted = holm([comparison.p for comparison in comparisons])
    return [
        Comparison(**{**comparison.__dict__, "p_adjusted": p})
        for comparison, p in zip(comparisons, adjusted, strict=True)
    ]
