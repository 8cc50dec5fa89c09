"""Statistics per item by hand."""

from __future__ import annotations

import numpy as np
import pytest

from common.text.language import LANGUAGES
from eval.metrics import text_statistics
from eval.metrics.item_statistics import bound_statistics, cosine_statistics, point_scores
from eval.metrics.statistics import Array
from eval.metrics.words import lowercase_words
from tests.support.evaluation import ANSWERS, REFERENCES, total


def test_shares_count_items(statistics: dict[str, Array]) -> None:
    assert total(statistics, "empty") == pytest.approx(1 / 5)
    assert total(statistics, "truncated") == pytest.approx(2 / 5)
    assert total(statistics, "exact_match") == 0.0
    assert sum(total(statistics, f"language_{language}") for language in LANGUAGES) == pytest.approx(1)


def test_length_ratio_is_a_ratio_of_totals(statistics: dict[str, Array]) -> None:
    answers, references = (sum(len(lowercase_words(text)) for text in texts) for texts in (ANSWERS, REFERENCES))
    assert total(statistics, "length_ratio") == pytest.approx(answers / references)


def test_leftover_markers_are_found() -> None:
    statistics = text_statistics(["Ya<|eot_id|>", "Ya, benar."], ["Ya.", "Ya."], ["Apa?", "Apa?"])
    assert total(statistics, "leftover") == 0.5


def test_point_scores_by_hand() -> None:
    scores = point_scores(["a b a", "a b a", "c"])
    assert scores["distinct1"] == pytest.approx(3 / 7)
    assert scores["distinct2"] == pytest.approx(2 / 4)
    assert scores["same_answer"] == pytest.approx(2 / 3)


def test_bits_per_byte_is_the_bound_in_bits_over_bytes() -> None:
    statistics = bound_statistics([2 * np.log(2), 6 * np.log(2)], [1, 3], [4, 12])
    assert total(statistics, "bits_per_byte") == pytest.approx(8 / 16)
    assert total(statistics, "bound_per_token") == pytest.approx(2 * np.log(2))


def test_f1_at_half_and_cosine() -> None:
    answers = np.eye(3)
    references = np.array([[1.0, 0, 0], [0.6, 0.8, 0], [0.9, np.sqrt(1 - 0.81), 0]])
    statistics = cosine_statistics(answers, references)
    assert total(statistics, "cosine") == pytest.approx((1 + 0.8 + 0) / 3)
    assert total(statistics, "f1_at_half") == pytest.approx(2 * (2 / 3) / (1 + 2 / 3))
