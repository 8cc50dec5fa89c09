"""Overlap metrics against their reference libraries and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from eval.metrics import METRICS, text_statistics
from eval.metrics.overlap import meteor, overlap_statistics, signatures
from eval.metrics.statistics import Array
from tests.support.evaluation import ANSWERS, PROMPTS, REFERENCES, total

SOME_WORDS = st.lists(
    st.sampled_from(["saya", "kami", "makan", "nasi", "goreng", "di", "dan", "yang", "pasar", "besar"]), max_size=9
).map(" ".join)
PAIRS = st.lists(st.tuples(SOME_WORDS, SOME_WORDS.filter(bool)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_chrf_and_bleu_equal_sacrebleu_corpus_scores(pairs: list[tuple[str, str]]) -> None:
    answers, references = [a for a, _ in pairs], [r for _, r in pairs]
    for key, library in (("chrf", CHRF(word_order=2)), ("bleu", BLEU())):
        counts = np.asarray(library._extract_corpus_statistics(answers, [references]), dtype=float)
        ours = float(METRICS[key].reduce(counts.sum(axis=0)))
        assert ours == pytest.approx(library.corpus_score(answers, [references]).score, abs=1e-9)


def test_rouge_equals_the_library_without_stemmer(statistics: dict[str, Array]) -> None:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    for kind in ("rouge1", "rouge2", "rougeL"):
        expected = [scorer.score(r, a)[kind].fmeasure for a, r in zip(ANSWERS, REFERENCES, strict=True)]
        assert total(statistics, kind) == pytest.approx(100 * np.mean(expected))


def test_rouge_of_a_hand_computed_example() -> None:
    # 5 of 5 answer words occur in the 6 words of the reference: F1 = 2 * 1 * 5/6 / (1 + 5/6) = 10/11
    statistics = text_statistics(ANSWERS[:1], REFERENCES[:1], PROMPTS[:1])
    assert total(statistics, "rouge1") == pytest.approx(1000 / 11)
    assert total(statistics, "rougeL") == pytest.approx(1000 / 11)
    assert total(statistics, "rouge2") == pytest.approx(100 * 2 * 3 / (4 + 5))  # 3 common pairs of 4 and 5


def test_meteor_matches_indonesian_stems_by_hand() -> None:
    # makanan ~ makan by stem: 2 matches, 1 chunk; precision 2/2, recall 2/2; penalty 0.5 * (1/2)^3
    assert meteor("dia makanan", "dia makan") == pytest.approx(1 - 0.5 / 8)
    assert meteor("kucing", "pasar") == 0.0


def test_meteor_has_no_english_synonyms() -> None:
    assert meteor("car", "automobile") == 0.0


def test_signatures_name_the_settings() -> None:
    assert "nw:2" in signatures()["chrf"]
    assert "tok:13a" in signatures()["bleu"]


def test_rouge_over_words_of_any_script_counts_what_the_default_drops() -> None:
    answers, references = (
        ["Café déjà vu", "東京は", "नमस्ते दुनिया", "Rumah besar."],
        ["café vu", "東京", "नमस्ते", "rumah besar"],
    )
    default = overlap_statistics(answers, references)["rouge1"][:, 0]
    unicode = overlap_statistics(answers, references, "unicode")["rouge1"][:, 0]
    assert unicode == pytest.approx([80.0, 80.0, 200 / 3, 100.0])
    assert default[1:3].tolist() == [0.0, 0.0]
    assert default[3] == 100.0
    assert "any script" in signatures("unicode")["rouge"] != signatures()["rouge"]
