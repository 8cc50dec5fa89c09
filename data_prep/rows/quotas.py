"""Sharing an exact total among strata: largest remainder, and capacities with top-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key", str, int)


def largest_remainder(weights: Mapping[Key, int], total: int) -> dict[Key, int]:
    """Split `total` in proportion to integer `weights` (Hamilton's method); the parts sum to `total` exactly.

    Each part is its exact share rounded down; the units left go to the largest fractions, ties to the smaller key.
    Integer arithmetic throughout, so that no platform rounds differently.
    """
    whole = sum(weights.values())
    if whole == 0:
        return dict.fromkeys(weights, 0)
    parts = {key: weight * total // whole for key, weight in weights.items()}
    left = total - sum(parts.values())
    by_fraction = sorted(weights, key=lambda key: (-(weights[key] * total % whole), key))
    for key in by_fraction[:left]:
        parts[key] += 1
    return parts


def fill(quotas: Mapping[Key, int], capacities: Mapping[Key, int]) -> dict[Key, int]:
    """Take each quota as far as its capacity goes, and make up the shortfall from the others.

    The shortfall is shared in proportion to what the others have left. The result sums to the quotas' total, or to the
    total of the capacities where that is smaller.
    """
    taken = {key: min(quota, capacities.get(key, 0)) for key, quota in quotas.items()}
    short = sum(quotas.values()) - sum(taken.values())
    spare = {key: capacities.get(key, 0) - taken[key] for key in taken}
    extra = largest_remainder(spare, min(short, sum(spare.values())))
    return {key: taken[key] + extra[key] for key in taken}
