"""Every metric against its reference library or a hand-computed example."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from eval.metrics import table as metrics
from eval.metrics.floors import FLOOR_LABELS, floor_answers, frequent_words, other_answers

ANSWERS = [
    "Ibu kota Indonesia adalah Jakarta.",
    "Saya makan nasi goreng di warung",
    "",
    "yang dan di yang dan di yang dan di",
    "Gunung Semeru terletak di Jawa Timur, tingginya 3.676 meter.",
]
REFERENCES = [
    "Ibu kota negara Indonesia adalah Jakarta.",
    "Mereka memakan nasi uduk di rumah makan",
    "Tidak ada jawaban.",
    "Air mendidih pada suhu seratus derajat.",
    "Gunung Semeru berada di Provinsi Jawa Timur dan tingginya 3.676 meter.",
]
PROMPTS = [
    "Apa ibu kota Indonesia?",
    "Apa yang dimakan?",
    "Jawab!",
    "Kapan air mendidih di permukaan laut?",
    "Di mana Semeru?",
]
SOME_WORDS = st.lists(
    st.sampled_from(["saya", "kami", "makan", "nasi", "goreng", "di", "dan", "yang", "pasar", "besar"]), max_size=9
).map(" ".join)
PAIRS = st.lists(st.tuples(SOME_WORDS, SOME_WORDS.filter(bool)), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def statistics() -> dict[str, metrics.Array]:
    return metrics.text_statistics(ANSWERS, REFERENCES, PROMPTS, [False, True, False, True, False])


def total(statistics: dict[str, metrics.Array], key: str) -> float:
    return float(metrics.METRICS[key].reduce(statistics[key].sum(axis=0)))


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_chrf_and_bleu_equal_sacrebleu_corpus_scores(pairs: list[tuple[str, str]]) -> None:
    answers, references = [a for a, _ in pairs], [r for _, r in pairs]
    for key, library in (("chrf", CHRF(word_order=2)), ("bleu", BLEU())):
        counts = np.asarray(library._extract_corpus_statistics(answers, [references]), dtype=float)
        ours = float(metrics.METRICS[key].reduce(counts.sum(axis=0)))
        assert ours == pytest.approx(library.corpus_score(answers, [references]).score, abs=1e-9)


def test_corpus_scores_of_a_batch_of_sums_equal_those_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for key, width in (("chrf", 24), ("bleu", 10)):
        sums = rng.integers(0, 50, size=(7, width)).astype(float)
        if key == "chrf":
            sums = sums.reshape(7, 8, 3)
            sums[..., 2] = np.minimum(sums[..., 2], sums[..., :2].min(axis=-1))
            sums = sums.reshape(7, 24)
        reduce = metrics.METRICS[key].reduce
        assert np.allclose(reduce(sums), [float(reduce(row)) for row in sums])


def test_rouge_equals_the_library_without_stemmer(statistics: dict[str, metrics.Array]) -> None:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    for kind in ("rouge1", "rouge2", "rougeL"):
        expected = [scorer.score(r, a)[kind].fmeasure for a, r in zip(ANSWERS, REFERENCES, strict=True)]
        assert total(statistics, kind) == pytest.approx(100 * np.mean(expected))


def test_rouge_of_a_hand_computed_example() -> None:
    # 5 of 5 answer words occur in the 6 words of the reference: F1 = 2 * 1 * 5/6 / (1 + 5/6) = 10/11
    statistics = metrics.text_statistics(ANSWERS[:1], REFERENCES[:1], PROMPTS[:1])
    assert total(statistics, "rouge1") == pytest.approx(1000 / 11)
    assert total(statistics, "rougeL") == pytest.approx(1000 / 11)
    assert total(statistics, "rouge2") == pytest.approx(100 * 2 * 3 / (4 + 5))  # 3 common pairs of 4 and 5


def test_meteor_matches_indonesian_stems_by_hand() -> None:
    # makanan ~ makan by stem: 2 matches, 1 chunk; precision 2/2, recall 2/2; penalty 0.5 * (1/2)^3
    assert metrics.meteor("dia makanan", "dia makan") == pytest.approx(1 - 0.5 / 8)
    assert metrics.meteor("kucing", "pasar") == 0.0


def test_meteor_has_no_english_synonyms() -> None:
    assert metrics.meteor("car", "automobile") == 0.0


def test_repetition_counts_trigrams_seen_before() -> None:
    assert metrics.repetition("yang dan di yang dan di yang dan di") == pytest.approx(1 - 3 / 7)
    assert metrics.repetition("satu dua tiga empat") == 0.0
    assert metrics.repetition("dua kata") == 0.0


def test_shares_count_items(statistics: dict[str, metrics.Array]) -> None:
    assert total(statistics, "empty") == pytest.approx(1 / 5)
    assert total(statistics, "truncated") == pytest.approx(2 / 5)
    assert total(statistics, "exact_match") == 0.0
    assert sum(total(statistics, f"language_{language}") for language in metrics.LANGUAGES) == pytest.approx(1)


def test_length_ratio_is_a_ratio_of_totals(statistics: dict[str, metrics.Array]) -> None:
    answers, references = (sum(len(metrics.words(text)) for text in texts) for texts in (ANSWERS, REFERENCES))
    assert total(statistics, "length_ratio") == pytest.approx(answers / references)


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
    assert metrics.echoes(answer, prompt) is echo


def test_leftover_markers_are_found() -> None:
    statistics = metrics.text_statistics(["Ya<|eot_id|>", "Ya, benar."], ["Ya.", "Ya."], ["Apa?", "Apa?"])
    assert total(statistics, "leftover") == 0.5


def test_point_scores_by_hand() -> None:
    scores = metrics.point_scores(["a b a", "a b a", "c"])
    assert scores["distinct1"] == pytest.approx(3 / 7)
    assert scores["distinct2"] == pytest.approx(2 / 4)
    assert scores["same_answer"] == pytest.approx(2 / 3)


def test_bits_per_byte_is_the_bound_in_bits_over_bytes() -> None:
    statistics = metrics.bound_statistics([2 * np.log(2), 6 * np.log(2)], [1, 3], [4, 12])
    assert total(statistics, "bits_per_byte") == pytest.approx(8 / 16)
    assert total(statistics, "bound_per_token") == pytest.approx(2 * np.log(2))


def test_f1_at_half_and_cosine() -> None:
    answers = np.eye(3)
    references = np.array([[1.0, 0, 0], [0.6, 0.8, 0], [0.9, np.sqrt(1 - 0.81), 0]])
    statistics = metrics.cosine_statistics(answers, references)
    assert total(statistics, "cosine") == pytest.approx((1 + 0.8 + 0) / 3)
    assert total(statistics, "f1_at_half") == pytest.approx(2 * (2 / 3) / (1 + 2 / 3))


def test_no_item_keeps_its_own_answer_in_the_floor() -> None:
    references = [f"jawaban {index}" for index in range(37)]
    shuffled = other_answers(references, seed=3)
    assert sorted(shuffled) == sorted(references)
    assert all(a != r for a, r in zip(shuffled, references, strict=True))
    assert shuffled == other_answers(references, seed=3)


def test_word_soup_has_the_length_of_each_reference() -> None:
    soup = frequent_words(REFERENCES)
    assert [len(metrics.words(s)) for s in soup] == [len(metrics.words(r)) for r in REFERENCES]
    assert soup[0].split()[0] == "di"


def test_word_soup_shows_up_in_common_words_and_the_prompt_in_echo() -> None:
    floors = floor_answers(PROMPTS, REFERENCES, seed=0)
    assert set(floors) == set(FLOOR_LABELS)
    soup = metrics.text_statistics(floors["frequent_words"], REFERENCES, PROMPTS)
    assert total(soup, "common_words") == 1.0
    prompt = metrics.text_statistics(floors["prompt"], REFERENCES, PROMPTS)
    assert total(prompt, "echo") == pytest.approx(2 / 5)  # the other three prompts are shorter than four words


def test_every_metric_scores_with_an_interval_around_the_value(statistics: dict[str, metrics.Array]) -> None:
    for key, interval in metrics.score_all(statistics, resamples=200, seed=0).items():
        assert interval.n == len(ANSWERS)
        assert interval.low is not None, key
        assert interval.high is not None, key
        assert interval.low <= interval.high, key
        if key not in ("bleu", "chrf"):  # not linear in the items: five of them may put the value outside
            assert interval.low - 1e-12 <= interval.value <= interval.high + 1e-12, key


def test_signatures_name_the_settings() -> None:
    signatures = metrics.signatures()
    assert "nw:2" in signatures["chrf"]
    assert "tok:13a" in signatures["bleu"]
