"""Quotas: exact totals, as near to the share as whole rows allow, never more than there is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.rows.quotas import fill, largest_remainder


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.integers(0, 50), st.integers(0, 1000), min_size=1), st.integers(0, 3000))
def test_largest_remainder_is_exact_and_within_one_of_the_share(weights: dict[int, int], total: int) -> None:
    parts = largest_remainder(weights, total)
    whole = sum(weights.values())
    assert sum(parts.values()) == (total if whole else 0)
    for key, weight in weights.items():
        assert not whole or abs(parts[key] - weight * total / whole) < 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=12))
def test_fill_respects_capacities_and_tops_up(pairs: list[tuple[int, int]]) -> None:
    quotas = {number: quota for number, (quota, _) in enumerate(pairs)}
    capacities = {number: capacity for number, (_, capacity) in enumerate(pairs)}
    taken = fill(quotas, capacities)
    assert sum(taken.values()) == min(sum(quotas.values()), sum(capacities.values()))
    assert all(min(quotas[number], capacities[number]) <= taken[number] <= capacities[number] for number in taken)
