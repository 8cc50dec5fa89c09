"""Facts and numbers as printed."""

from __future__ import annotations

import pytest

from eval.report.formatting import flatten, listed, rate_text


def test_facts_become_lines() -> None:
    lines = dict(flatten({"a": {"b_c": 12345, "d": None}, "e": list(range(20)), "f": [1, 2], "g": 0.123456, "h": True}))
    assert lines == {"a · b c": "12,345", "a · d": "none", "e": "20 entries", "f": "1, 2", "g": "0.1235", "h": "yes"}


@pytest.mark.parametrize(("rate", "text"), [(3e-3, "3e-3"), (7.5e-4, "7.5e-4"), (1.5e-3, "1.5e-3"), (0.0, "0e0")])
def test_a_learning_rate_keeps_its_digits(rate, text):
    assert rate_text(rate) == text


def test_names_are_listed_as_in_a_sentence() -> None:
    assert listed(["a"]) == "a"
    assert listed(name for name in "abc") == "a, b and c"
    assert listed(["a", "b"], "or") == "a or b"
