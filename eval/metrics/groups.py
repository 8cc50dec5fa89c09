"""Intervals and paired tests where items come in groups: an exam's subject, a passage with several questions.

Items of one group agree more with each other than with the rest, so that n of them tell less than n independent ones.
Here the group is the unit: its items are summed (`by_group`), and

- the standard error of a score is the jackknife that leaves out one group at a time, with Student's t on G - 1 degrees
  of freedom (the cluster-robust variance CR3 of a mean: Bell & McCaffrey 2002; Cameron & Miller 2015, section VI.B);
- an accuracy gets Wilson's interval for as many independent answers as would have this standard error (Franco et al.
  2019);
- two systems are compared by approximate randomisation that exchanges whole groups, exact whatever the correlation
  within.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.statistics import (
    NORMAL_95,
    POWER_80,
    SIGNIFICANT,
    Array,
    Comparison,
    Interval,
    Reduce,
    effect_size,
    mean,
    randomisation_p,
    wilson_interval,
)


@dataclass(frozen=True)
class GroupedShare:
    """A share over items with its 95% interval, the groups behind it (n of the items where there are none), and the
    design effect: how many times its variance is that of as many independent items.
    """

    interval: Interval
    groups: int
    design_effect: float


def are_grouped(groups: Sequence[str | None]) -> bool:
    """Whether any two items share a group."""
    known = [group for group in groups if group is not None]
    return len(set(known)) < len(known)


def unit_of(groups: Sequence[str | None]) -> NDArray[np.int64]:
    """The number of each item's group, (n,) int64 in order of appearance; an item without a group is one by itself."""
    places: dict[tuple[str, object], int] = {}
    keys = [("item", place) if group is None else ("group", group) for place, group in enumerate(groups)]
    return np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)


def by_group(statistics: Array, groups: Sequence[str | None]) -> Array:
    """Statistics per item (n, K) -> per group (G, K), groups in order of appearance."""
    units = unit_of(groups)
    sums = np.zeros((int(units.max()) + 1, statistics.shape[1]))
    np.add.at(sums, units, statistics)
    return sums


def jackknife_error(sums: Array, reduce: Reduce = mean) -> float:
    """The standard error of the score of all groups' statistics (G, K) together, leaving out one group at a time."""
    count = len(sums)
    without = reduce(sums.sum(axis=0) - sums)  # (G,)
    return float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))


def share_of_groups(statistics: Array, groups: Sequence[str | None]) -> GroupedShare:
    """A share from statistics (n, 2) of (right, 1): Wilson's interval, cluster-robust where items are grouped."""
    items = len(statistics)
    right = float(statistics[:, 0].sum())
    if not are_grouped(groups):
        return GroupedShare(wilson_interval(right, items), items, 1.0)
    sums = by_group(statistics, groups)
    count, share = len(sums), right / items
    if count < 2:
        return GroupedShare(Interval(share, None, None, items), count, 1.0)
    error, independent = jackknife_error(sums), share * (1 - share) / items
    if error == 0.0 or independent == 0.0:  # nothing varies: each group counts once
        wilson = wilson_interval(share * count, count)
        return GroupedShare(Interval(share, wilson.low, wilson.high, items), count, items / count)
    effective = min(independent * items / error**2, float(items))
    wilson = wilson_interval(share * effective, effective, _quantile(1 - SIGNIFICANT / 2, count - 1))
    return GroupedShare(Interval(share, wilson.low, wilson.high, items), count, error**2 / independent)


def compare_groups(
    names: tuple[str, str],
    metric: str,
    statistics: tuple[Array, Array],
    groups: Sequence[str | None],
    *,
    permutations: int,
    seed: int,
) -> Comparison:
    """Compare two systems' shares on the same items (n, 2): by groups where items are grouped, else by items."""
    if len(statistics[0]) != len(statistics[1]):
        raise ValueError(f"{names[0]} and {names[1]}: a paired test needs the same items")
    first, second = (by_group(own, groups) for own in statistics)
    difference = np.concatenate([first[:, :1] - second[:, :1], first[:, 1:]], axis=1)  # (G, 2)
    value, count = float(mean(difference.sum(axis=0))), len(difference)
    error = jackknife_error(difference) if count > 1 else 0.0
    grouped = are_grouped(groups)
    reach = _quantile(1 - SIGNIFICANT / 2, count - 1) if grouped and count > 1 else NORMAL_95
    power = _quantile(0.8, count - 1) if grouped and count > 1 else POWER_80
    p = randomisation_p(first, second, mean, permutations, seed)
    return Comparison(
        first=names[0],
        second=names[1],
        metric=metric,
        difference=value,
        low=value - reach * error,
        high=value + reach * error,
        p=p,
        p_adjusted=p,
        effect=effect_size(statistics[0][:, 0], statistics[1][:, 0]),
        detectable=(reach + power) * error,
        n=len(statistics[0]),
    )


def _quantile(level: float, freedom: int) -> float:
    """Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
