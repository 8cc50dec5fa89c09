"""What costs nothing to score."""

from __future__ import annotations

import pytest

from eval.metrics import text_statistics
from eval.metrics.floors import FLOOR_LABELS, floor_answers, frequent_words, other_answers
from eval.metrics.words import lowercase_words
from tests.support.evaluation import PROMPTS, REFERENCES, total


def test_no_item_keeps_its_own_answer_in_the_floor() -> None:
    references = [f"jawaban {index}" for index in range(37)]
    shuffled = other_answers(references, seed=3)
    assert sorted(shuffled) == sorted(references)
    assert all(a != r for a, r in zip(shuffled, references, strict=True))
    assert shuffled == other_answers(references, seed=3)


def test_word_soup_has_the_length_of_each_reference() -> None:
    soup = frequent_words(REFERENCES)
    assert [len(lowercase_words(s)) for s in soup] == [len(lowercase_words(r)) for r in REFERENCES]
    assert soup[0].split()[0] == "di"


def test_word_soup_shows_up_in_common_words_and_the_prompt_in_echo() -> None:
    floors = floor_answers(PROMPTS, REFERENCES, seed=0)
    assert set(floors) == set(FLOOR_LABELS)
    soup = text_statistics(floors["frequent_words"], REFERENCES, PROMPTS)
    assert total(soup, "common_words") == 1.0
    prompt = text_statistics(floors["prompt"], REFERENCES, PROMPTS)
    assert total(prompt, "echo") == pytest.approx(2 / 5)  # the other three prompts are shorter than four words
