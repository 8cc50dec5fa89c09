"""A sample of the sweep of bad input: no traceback, no hang, no untidy message, next to no nonsense taken."""

from __future__ import annotations

from benchmarks.faults import sweep, table


def test_bad_input_ends_with_one_short_line() -> None:
    counts = sweep(sample=200)
    assert sum(count.tried for count in counts.values()) == 200
    for count in counts.values():
        assert (count.tracebacks, count.hangs, count.untidy) == ([], [], [])
    assert sum(len(count.taken_nonsense) for count in counts.values()) <= 4, table(counts)
