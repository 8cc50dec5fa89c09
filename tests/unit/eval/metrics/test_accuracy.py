"""The checker of asked-for facts, and what its verdicts become."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.metrics.accuracy import AnswerKey, accuracy_statistics, holds, is_right
from eval.metrics.definitions import ACCURACY, METRICS
from eval.metrics.scoring import score
from eval.metrics.statistics import randomisation_p, wilson_interval

CAPITAL = AnswerKey("capital", ("Jawa Barat", "Bandung"), ("Jakarta",))


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Bandung adalah ibu kota Jawa Barat.", True),
        ("ibu kota JAWA  BARAT: \uff22andung!", True),  # case, spaces, a letter of full width
        ("Jawa-Barat beribu kota di “Bandung”", True),
        ("Bandung ada di Barat Jawa", False),  # not in this order
        ("Bandung ada di Jawa bagian Barat", False),  # not side by side
        ("Kabandungan ada di Jawa Barat", False),  # a part of a word
        ("Bandung, Jawa Barat, bukan Jakarta", False),  # forbidden
        ("Bandung", False),  # one of two
        ("", False),
    ],
)
def test_an_answer_is_right_with_every_required_phrase_and_no_forbidden_one(answer: str, right: bool) -> None:
    assert is_right(answer, CAPITAL) is right


@pytest.mark.parametrize(("text", "found"), [("Jumlahnya 12.", True), ("112", False), ("12,5", True), ("1 2", False)])
def test_a_number_is_a_word(text: str, found: bool) -> None:
    assert holds(text, "12") is found


def test_an_item_without_one_right_answer_counts_in_nothing() -> None:
    open_key = AnswerKey("pantun", (), ("maaf",))
    assert is_right("apa saja", open_key) is None
    assert is_right("apa saja", None) is None
    keys = [CAPITAL, open_key, None, CAPITAL]
    answers = ["Bandung, Jawa Barat", "x", "y", "z"]
    statistics = accuracy_statistics(answers, keys)
    assert statistics.tolist() == [[1, 1], [0, 0], [0, 0], [0, 1]]
    assert score(METRICS[ACCURACY], statistics, resamples=100, seed=0) == wilson_interval(1, 2)
    assert score(METRICS[ACCURACY], statistics[1:3], resamples=100, seed=0).n == 0


def test_of_several_decodings_the_item_stays_the_unit() -> None:
    pooled = np.array([[3.0, 3.0], [1.0, 3.0], [0.0, 0.0]])
    assert score(METRICS[ACCURACY], pooled, resamples=100, seed=0) == wilson_interval(2 * 4 / 6, 2)


def test_the_paired_test_of_accuracy_is_mcnemars() -> None:
    """Exact McNemar: a two-sided binomial test of the items on which the systems disagree."""
    from scipy.stats import binomtest

    only_first, only_second, both = 3, 12, 20
    pairs = [(1, 0)] * only_first + [(0, 1)] * only_second + [(1, 1)] * both
    first, second = (np.array([[pair[side], 1.0] for pair in pairs] + [[0.0, 0.0]] * 5) for side in (0, 1))
    drawn = randomisation_p(first, second, METRICS[ACCURACY].reduce, permutations=40_000, seed=0)
    exact = binomtest(only_first, only_first + only_second).pvalue
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))
