"""ROUGE and METEOR against rouge-score and nltk, on drawn word lists and on hand-computed examples."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer

from eval.metrics import indonesian_stem, words
from eval.overlap import common_subsequence, meteor, rouge_l, rouge_n, rouge_tokens

# stems that meet (makan, makanan, memakan), repeats, capitals, accents, signs, other scripts
WORDS = ["makan", "makanan", "Memakan", "di", "DI", "pasar-besar", "3.676", "Beyoncé", "kota", "東京", "...", "yang"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)


class Stemmer:
    stem = staticmethod(indonesian_stem)


class NoSynonyms:
    def synsets(self, word: str) -> list[Any]:
        return []


@given(TEXTS, TEXTS)
@example("", "")
@example("", "kota")
@example("kota", "")
def test_rouge_equals_rouge_score(answer: str, reference: str) -> None:
    expected = SCORER.score(reference, answer)
    tokens = rouge_tokens(answer), rouge_tokens(reference)
    assert rouge_n(*tokens, order=1) == pytest.approx(expected["rouge1"].fmeasure)
    assert rouge_n(*tokens, order=2) == pytest.approx(expected["rouge2"].fmeasure)
    assert rouge_l(*tokens) == pytest.approx(expected["rougeL"].fmeasure)


@given(TEXTS, TEXTS)
@example("", "")
@example("kota", "")
def test_meteor_equals_nltk(answer: str, reference: str) -> None:
    stemmer: Any = Stemmer()
    synonyms: Any = NoSynonyms()
    expected = single_meteor_score(words(reference), words(answer), stemmer=stemmer, wordnet=synonyms)
    assert meteor(words(answer), words(reference), indonesian_stem) == pytest.approx(expected)


def test_common_subsequence_by_hand() -> None:
    assert common_subsequence("ABCBDAB", "BDCABA") == 4  # BCBA
    assert common_subsequence("", "A") == common_subsequence("A", "") == common_subsequence("A", "B") == 0


def test_a_broken_order_costs_chunks() -> None:
    # all three words match, in the chunks "c" and "a b": 1 - 0.5 * (2/3)^3
    assert meteor(["c", "a", "b"], ["a", "b", "c"], str) == pytest.approx(1 - 0.5 * (2 / 3) ** 3)
