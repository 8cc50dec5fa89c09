"""Two random factors: test items, and the seeds of the training. Would the difference hold on other items and after
training again?

Per-item values d[s, i] of S seeds on the same n items follow d = mu + seed_s + item_i + residual_si, all three random.
The variance of their mean is estimated by the mean squares of the two-way table without replication,

    (MS_seed + MS_item - MS_residual) / (S n),

where a negative component counts as none (Searle, Casella & McCulloch 1992, ch. 4). With few seeds MS_seed is known
badly, and a t interval with Satterthwaite's degrees of freedom, which takes the estimated weights of the mean squares
for the true ones, is too narrow: of 3,000 null tables with 2 or 3 seeds it called up to 11% or 7% different. So the
mean squares are varied as their chi-squared distributions say, and p and interval are averages over that: a generalised
p value (Tsui & Weerahandi 1989) and interval (Weerahandi 1993). Where one factor alone varies this is exactly the t
test over that factor. Scores that are no means enter by their jackknife values (Efron & Tibshirani 1993, ch. 11).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from eval.metrics.statistics import NORMAL_95, Array, Comparison, Interval, Reduce, effect_size, wilson_interval

_DRAWS = 10_000  # of the mean squares; evenly spread quantiles, so that tails are met


@dataclass(frozen=True)
class CrossedMean:
    """The mean of a table of seeds x items with its uncertainty over both.

    deviations: plausible standard deviations of the mean, (draws,).
    """

    value: float
    standard_error: float
    deviations: Array

    def p(self, null: float = 0.0) -> float:
        """Two-sided p of "the mean is `null`"."""
        return self._tail(abs(self.value - null))

    def half_width(self, level: float = 0.05) -> float:
        """The distance from the mean at which p is `level`: half the length of a 1 - level interval."""
        from scipy.optimize import brentq

        if self.standard_error == 0.0:
            return 0.0
        furthest = 10.0 * float(self.deviations.max())
        root: Any = brentq(lambda distance: self._tail(distance) - level, 0.0, furthest, xtol=1e-12 * furthest)
        return float(root)

    def _tail(self, distance: float) -> float:
        """P(|Z| deviation >= distance) for a standard normal Z, averaged over the plausible deviations."""
        from scipy.special import erfc

        if distance == 0.0:
            return 1.0
        scaled = np.full(len(self.deviations), math.inf)
        np.divide(distance, math.sqrt(2.0) * self.deviations, out=scaled, where=self.deviations > 0)
        return float(np.mean(erfc(scaled)))


def crossed_mean(values: Array) -> CrossedMean:
    """The mean of per-seed, per-item values (S, n); S and n at least 2."""
    seeds, items = values.shape
    if seeds < 2 or items < 2:
        raise ValueError(f"{seeds} seeds and {items} items: a spread needs at least two of both")
    squares = np.array(mean_squares(values))
    drawn = squares[:, None] * _inverse_chi_squares(seeds, items)
    return CrossedMean(
        value=float(values.mean()),
        standard_error=float(np.sqrt(_variance(squares) / values.size)),
        deviations=np.sqrt(_variance(drawn) / values.size),
    )


def mean_squares(values: Array) -> tuple[float, float, float]:
    """Mean squares of seeds, items and residual in a table (S, n) with one value per cell."""
    seeds, items = values.shape
    centred = values - values.mean()
    by_seed, by_item = centred.mean(axis=1, keepdims=True), centred.mean(axis=0, keepdims=True)
    return (
        items * float(np.sum(by_seed**2)) / (seeds - 1),
        seeds * float(np.sum(by_item**2)) / (items - 1),
        float(np.sum((centred - by_seed - by_item) ** 2)) / ((seeds - 1) * (items - 1)),
    )


def _variance(squares: Array) -> Array:
    """S n times the variance of the mean, from mean squares (3, ...); components below zero count as zero."""
    of_seeds, of_items, residual = squares
    return np.maximum(of_seeds + of_items - residual, np.maximum(of_seeds, of_items))


@cache
def _inverse_chi_squares(seeds: int, items: int) -> Array:
    """Draws of degrees of freedom over chi-squared for the three mean squares, (3, draws).

    Every row is a permutation of evenly spread quantiles (a Latin hypercube), always the same one.
    """
    from scipy.special import gammaincinv

    rng = np.random.default_rng(0)
    quantiles = (np.arange(_DRAWS) + 0.5) / _DRAWS
    freedom = (seeds - 1, items - 1, (seeds - 1) * (items - 1))
    spread = [k / (2.0 * gammaincinv(k / 2.0, quantiles)) for k in freedom]
    return np.array([rng.permutation(of_one) for of_one in spread], dtype=np.float64)


def jackknife_values(runs: Array, reduce: Reduce) -> Array:
    """Values (S, n) whose mean is the score of all runs (S, n, K) together: for a mean the values themselves, for any
    other score its first-order share of every answer (pseudo-values, moved by their bias).
    """
    count = runs.shape[0] * runs.shape[1]
    total = runs.sum(axis=(0, 1))
    score = reduce(total)
    pseudo = count * score - (count - 1) * reduce(total - runs)
    return score + pseudo - pseudo.mean()


def crossed_interval(runs: Array, reduce: Reduce, share: bool = False) -> tuple[Interval, float]:
    """The score of all runs (S, n, K) with its 95% interval over items and seeds, and its standard error.

    share: every answer counts 0 or 1. The interval is then Wilson's for as many independent answers as would have this
    standard error (Franco et al. 2019), so that it stays within 0 and 1; for the items where nothing varies.
    """
    seeds, items = runs.shape[:2]
    value = float(reduce(runs.sum(axis=(0, 1))))
    if items < 2:
        return Interval(value, None, None, items), 0.0
    over_both = crossed_mean(jackknife_values(runs, reduce))
    error, half = over_both.standard_error, over_both.half_width()
    if not share:
        low = value - half if value < 0 else max(0.0, value - half)  # no metric has both signs
        return Interval(value, low, value + half, items), error
    answers, quantile = float(items), NORMAL_95
    if error > 0 and 0 < value < 1:
        answers, quantile = min(value * (1 - value) / error**2, float(seeds * items)), half / error
    wilson = wilson_interval(value * answers, answers, quantile)
    return Interval(value, wilson.low, wilson.high, items), error


def compare_over_seeds(
    names: tuple[str, str],
    metric: str,
    runs: tuple[Array, Array],
    item_scores: tuple[Array, Array],
    reduce: Reduce,
) -> Comparison:
    """Compare two systems trained with the same seeds on the same items, paired by both.

    Args:
        runs: statistics (S, n, K) of both, row s of the same seed; a system without training repeats its own.
        item_scores: the score of each item over all seeds, (n,), for the effect size.
    """
    first, second = runs
    if first.shape[:2] != second.shape[:2]:
        raise ValueError(f"{names[0]} and {names[1]}: a paired test needs the same seeds and items")
    over_both = crossed_mean(jackknife_values(first, reduce) - jackknife_values(second, reduce))
    half, p = over_both.half_width(), over_both.p()
    return Comparison(
        first=names[0],
        second=names[1],
        metric=metric,
        difference=over_both.value,
        low=over_both.value - half,
        high=over_both.value + half,
        p=p,
        p_adjusted=p,
        effect=effect_size(*item_scores),
        detectable=half + over_both.half_width(0.4),  # what 95% two-sided and 80% one-sided add up to
        n=first.shape[1],
        seeds=len(first),
    )
