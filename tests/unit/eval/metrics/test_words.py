"""Repetition and copied prompts, by hand."""

from __future__ import annotations

import pytest

from eval.metrics.words import echoes, repetition


def test_repetition_counts_trigrams_seen_before() -> None:
    assert repetition("yang dan di yang dan di yang dan di") == pytest.approx(1 - 3 / 7)
    assert repetition("satu dua tiga empat") == 0.0
    assert repetition("dua kata") == 0.0


@pytest.mark.parametrize(
    ("answer", "prompt", "echo"),
    [
        ("Kapan air mendidih di permukaan laut? Pada 100 derajat.", "Kapan air mendidih di permukaan laut?", True),
        ("Air mendidih pada 100 derajat.", "Kapan air mendidih di permukaan laut?", False),
        (
            "satu dua tiga empat lima enam tujuh delapan",
            "nol satu dua tiga empat lima enam tujuh delapan sembilan",
            True,
        ),
        ("satu dua tiga empat lima enam tujuh", "nol satu dua tiga empat lima enam tujuh delapan sembilan", False),
        ("Jawab ini", "Jawab ini", False),
    ],
)
def test_echo_is_a_run_of_prompt_words(answer: str, prompt: str, echo: bool) -> None:
    assert echoes(answer, prompt) is echo
