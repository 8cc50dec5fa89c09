"""What is measured on an answer, each metric as sufficient statistics per item and a function of their sum.

`text_statistics` turns answers and references into arrays (n, K); `METRICS` says how their sum over items becomes the
score, which direction is better and how it is called. BLEU and chrF++ (`word_order=2`) are sacrebleu's corpus scores,
ROUGE is rouge-score's mean F1 without its English stemmer, METEOR is nltk's alignment with exact matches and Indonesian
Snowball stems (no synonyms: WordNet is English). rouge-score keeps only a-z and 0-9: enough for Indonesian, which is
written with the 26 letters, but accents are dropped and other scripts score nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from common.language import LANGUAGES, language_of
from eval.metrics.statistics import Array, Interval, Reduce, bootstrap_interval, mean, wilson_interval

Better = Literal["higher", "lower", "as reference"]
COMMON_WORDS = 20  # the most frequent words of the references, for the word-soup check
ECHO_WORDS = 8  # a run of so many words of the prompt inside the answer is an echo
_WORD = re.compile(r"\w+")
_SPECIAL = re.compile(r"<\|[^|>]*\|>")


@dataclass(frozen=True)
class Metric:
    """Name in files, label in the report, direction, how statistics become a score, decimals when printed."""

    key: str
    label: str
    better: Better
    about: str
    reduce: Reduce = mean
    decimals: int = 1
    share: bool = False  # each item counts 0 or 1: printed as a percentage, Wilson interval
    unit: str = ""
    spoken: str = ""  # in a sentence, where the label alone reads badly

    @property
    def name(self) -> str:
        return self.spoken or self.label


def chrf_score(sums: Array) -> Array:
    """Sums (..., 3 x orders) of [hypothesis, reference, match] n-gram counts -> chrF in 0..100, beta 2 (Popovic 2017).

    Same arithmetic as sacrebleu's CHRF without epsilon smoothing: precision and recall are averaged over the orders
    that both sides have, then combined.
    """
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    hypothesis, reference, match = counts[..., 0], counts[..., 1], counts[..., 2]
    both = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(both.sum(axis=-1), 1)
    precision = np.divide(match, hypothesis, out=np.zeros_like(match), where=both).sum(axis=-1) / orders
    recall = np.divide(match, reference, out=np.zeros_like(match), where=both).sum(axis=-1) / orders
    denominator = 4.0 * precision + recall
    return 100.0 * np.divide(
        5.0 * precision * recall, denominator, out=np.zeros_like(denominator), where=denominator > 0
    )


def bleu_score(sums: Array) -> Array:
    """Sums (..., 10): answer and reference length, 4 matches, 4 totals -> BLEU in 0..100, `exp` smoothing."""
    lengths, correct, total = sums[..., :2], sums[..., 2:6], sums[..., 6:10]
    zeros = np.cumsum(correct == 0, axis=-1)  # the k-th order without a match counts 1 / (2^k total)
    smoothed = np.where(correct > 0, correct, 0.5**zeros)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(smoothed / total).mean(axis=-1)
        penalty = np.minimum(0.0, 1.0 - lengths[..., 1] / lengths[..., 0])
        score = 100.0 * np.exp(penalty + logs)
    possible = (correct.sum(axis=-1) > 0) & (total > 0).all(axis=-1)
    return np.where(possible, np.nan_to_num(score), 0.0)


def f1_of_recall(sums: Array) -> Array:
    """Sums (..., 2) of (hits, items) -> 2r / (1 + r): F1 where every answer claims to match, hence precision 1."""
    recall = mean(sums)
    return 2 * recall / (1 + recall)


def _language_metric(language: str, label: str, better: Better = "as reference") -> Metric:
    heading = label[0].upper() + label[1:]
    return Metric(f"language_{language}", heading, better, f"share of answers identified as {label}", share=True)


_LIST = (
    Metric(
        "bound_per_token",
        "Bound",
        "lower",
        "upper bound on the negative log-likelihood of the reference answer, nats per token, stop token included",
        decimals=3,
        unit="nats/token",
        spoken="the likelihood bound",
    ),
    Metric(
        "bits_per_byte",
        "Bits per byte",
        "lower",
        "the same bound in bits per UTF-8 byte of the reference",
        decimals=3,
        unit="bits",
    ),
    Metric("chrf", "chrF++", "higher", "character and word n-gram overlap, sacrebleu, word_order 2", chrf_score),
    Metric("bleu", "BLEU", "higher", "word n-gram overlap, sacrebleu", bleu_score),
    Metric("rouge1", "ROUGE-1", "higher", "unigram F1 x 100, rouge-score, no stemmer"),
    Metric("rouge2", "ROUGE-2", "higher", "bigram F1 x 100, rouge-score, no stemmer"),
    Metric("rougeL", "ROUGE-L", "higher", "longest common subsequence F1 x 100, rouge-score, no stemmer"),
    Metric("meteor", "METEOR", "higher", "aligned unigrams x 100: exact, then Indonesian Snowball stems; no synonyms"),
    Metric("cosine", "Cosine", "higher", "cosine of answer and reference by the profile's encoder", decimals=3),
    Metric(
        "f1_at_half",
        "F1 at 0.5",
        "higher",
        "2r / (1 + r) with r the share of answers whose cosine is at least 0.5",
        f1_of_recall,
        decimals=3,
    ),
    Metric(
        "exact_match", "Exact", "higher", "share of answers equal to the reference up to case and spaces", share=True
    ),
    Metric(
        "repetition",
        "Repetition",
        "lower",
        "share of word trigrams already seen in the same answer",
        decimals=3,
    ),
    Metric(
        "common_words",
        "Common words",
        "as reference",
        f"share of the words that are among the {COMMON_WORDS} most frequent of the references",
        decimals=3,
    ),
    Metric(
        "echo",
        "Prompt echo",
        "as reference",
        f"share with {ECHO_WORDS} words of the prompt in a row",
        share=True,
    ),
    Metric(
        "leftover",
        "Leftover markers",
        "lower",
        "share of answers with special tokens in the text",
        share=True,
    ),
    Metric("empty", "Empty", "lower", "share of answers without a letter or digit", share=True),
    Metric(
        "truncated",
        "Truncated",
        "lower",
        "share of answers that used up the budget without a stop",
        share=True,
    ),
    Metric(
        "length_ratio", "Length ratio", "as reference", "words of the answers over those of the references", decimals=2
    ),
    _language_metric("id", "Indonesian", "higher"),
    _language_metric("ms", "Malay"),
    _language_metric("jv", "Javanese"),
    _language_metric("su", "Sundanese"),
    _language_metric("en", "English", "lower"),
    _language_metric("other", "another language", "lower"),
    _language_metric("short", "too short to tell"),
)
METRICS: dict[str, Metric] = {metric.key: metric for metric in _LIST}
POINT_METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("distinct1", "Distinct-1", "as reference", "different words over all words of all answers", decimals=3),
        Metric(
            "distinct2",
            "Distinct-2",
            "as reference",
            "different word pairs over all pairs of all answers",
            decimals=3,
        ),
        Metric("same_answer", "Same answer", "lower", "share of items that got the most frequent answer", share=True),
    )
}
HEADLINE = ("bound_per_token", "chrf", "rouge1", "rougeL", "bleu")


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return _WORD.findall(text.lower())


def normalise(text: str) -> str:
    return " ".join(words(text))


def text_statistics(
    answers: Sequence[str],
    references: Sequence[str],
    prompts: Sequence[str],
    truncated: Sequence[bool] | None = None,
) -> dict[str, Array]:
    """Statistics (n, K) per metric that needs texts alone. `truncated` is omitted for floors, which have no budget."""
    statistics = _overlap_statistics(answers, references)
    common = set(frequent_vocabulary(references))
    statistics["exact_match"] = _means(
        [float(normalise(a) == normalise(r)) for a, r in zip(answers, references, strict=True)]
    )
    statistics["repetition"] = _means([repetition(answer) for answer in answers])
    statistics["common_words"] = _rows([_common_words(answer, common) for answer in answers])
    statistics["echo"] = _means(
        [float(echoes(answer, prompt)) for answer, prompt in zip(answers, prompts, strict=True)]
    )
    statistics["leftover"] = _means([float(bool(_SPECIAL.search(answer))) for answer in answers])
    statistics["empty"] = _means([float(not words(answer)) for answer in answers])
    statistics["length_ratio"] = _rows(
        [(len(words(a)), len(words(r))) for a, r in zip(answers, references, strict=True)]
    )
    languages = [language_of(answer) for answer in answers]
    for language in LANGUAGES:
        statistics[f"language_{language}"] = _means([float(found == language) for found in languages])
    if truncated is not None:
        statistics["truncated"] = _means([float(value) for value in truncated])
    return statistics


def _overlap_statistics(answers: Sequence[str], references: Sequence[str]) -> dict[str, Array]:
    rouge, stem = _rouge(), _Stems()
    per_item = [rouge.score(reference, answer) for answer, reference in zip(answers, references, strict=True)]
    statistics = {
        kind: _means([100.0 * scores[kind].fmeasure for scores in per_item]) for kind in ("rouge1", "rouge2", "rougeL")
    }
    # sacrebleu keeps its per-segment counts behind an underscore; a test holds our sums against its public corpus_score
    for key, metric in (("chrf", _chrf()), ("bleu", _bleu())):
        counts = metric._extract_corpus_statistics(list(answers), [list(references)])
        statistics[key] = np.asarray(counts, dtype=np.float64)
    statistics["meteor"] = _means([100.0 * meteor(a, r, stem) for a, r in zip(answers, references, strict=True)])
    return statistics


def point_scores(answers: Sequence[str]) -> dict[str, float]:
    """Scores of the answers as a whole, which have no per-item share and hence no interval."""
    tokens = [words(answer) for answer in answers]
    unigrams = Counter(word for row in tokens for word in row)
    bigrams = Counter(pair for row in tokens for pair in pairwise(row))
    most_frequent = Counter(normalise(answer) for answer in answers).most_common(1)
    return {
        "distinct1": len(unigrams) / max(1, unigrams.total()),
        "distinct2": len(bigrams) / max(1, bigrams.total()),
        "same_answer": most_frequent[0][1] / len(answers) if answers else 0.0,
    }


def frequent_vocabulary(references: Sequence[str]) -> list[str]:
    """The COMMON_WORDS most frequent words, ties by alphabet."""
    counts = Counter(word for text in references for word in words(text))
    return [word for word, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:COMMON_WORDS]]


def repetition(text: str) -> float:
    """Share of the word trigrams that already occurred in the same text (seq-rep-3 of Welleck et al. 2020)."""
    row = words(text)
    trigrams = list(zip(row, row[1:], row[2:], strict=False))
    return 1.0 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def echoes(answer: str, prompt: str) -> bool:
    """The answer holds a run of ECHO_WORDS words of the prompt, or all of a shorter prompt of at least four words."""
    row = words(prompt)
    length = min(ECHO_WORDS, len(row))
    if length < 4:
        return False
    text = f" {normalise(answer)} "
    return any(f" {' '.join(row[start : start + length])} " in text for start in range(len(row) - length + 1))


def meteor(answer: str, reference: str, stem: _Stems | None = None) -> float:
    """nltk's METEOR in 0..1 on lower-case words, with Indonesian Snowball stems and without synonyms."""
    from nltk.translate.meteor_score import single_meteor_score

    stems: Any = stem or _Stems()
    no_synonyms: Any = _NoSynonyms()
    return single_meteor_score(words(reference), words(answer), stemmer=stems, wordnet=no_synonyms)


def cosine_statistics(answers: Array, references: Array) -> dict[str, Array]:
    """From L2-normalised embeddings (n, D) of answers and references."""
    cosines = np.einsum("nd,nd->n", answers.astype(np.float64), references.astype(np.float64))
    return {"cosine": _means(cosines.tolist()), "f1_at_half": _means((cosines >= 0.5).astype(float).tolist())}


def bound_statistics(nats: Sequence[float], tokens: Sequence[int], answer_bytes: Sequence[int]) -> dict[str, Array]:
    """From the bound of each item in nats, its answer's tokens (stop token included) and its answer's UTF-8 bytes."""
    rows = list(zip(nats, tokens, answer_bytes, strict=True))
    return {
        "bound_per_token": _rows([(value, count) for value, count, _ in rows]),
        "bits_per_byte": _rows([(value / math.log(2), size) for value, _, size in rows]),
    }


def score_all(statistics: dict[str, Array], resamples: int, seed: int) -> dict[str, Interval]:
    """Every metric of `statistics` with its 95% interval: Wilson's for shares, percentile bootstrap for the others."""
    scores = {}
    for key, metric in METRICS.items():
        if key in statistics:
            scores[key] = score(metric, statistics[key], resamples, seed)
    return scores


def score(metric: Metric, statistics: Array, resamples: int, seed: int) -> Interval:
    if metric.share:
        return wilson_interval(float(statistics[:, 0].sum()), len(statistics))
    return bootstrap_interval(statistics, metric.reduce, resamples, seed)


def signatures() -> dict[str, str]:
    """sacrebleu's signatures and the other libraries' versions, so that a score can be repeated elsewhere."""
    from importlib.metadata import version

    chrf, bleu = _chrf(), _bleu()
    for metric in (chrf, bleu):
        metric.corpus_score(["a"], [["a"]])  # a signature is complete only after a score
    return {
        "chrf": str(chrf.get_signature()),
        "bleu": str(bleu.get_signature()),
        "rouge": f"rouge-score {version('rouge-score')}, use_stemmer=False, tokens of a-z and 0-9",
        "meteor": f"nltk {version('nltk')}, exact and stem, snowballstemmer {version('snowballstemmer')} indonesian",
        "language": f"pycld2 {version('pycld2')}",
    }


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)


def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=2)


def _bleu() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU()


class _Stems:
    """The `stem` method nltk asks for, over the Indonesian Snowball stemmer (BSD-3, Tala 2003), remembered per word."""

    def __init__(self) -> None:
        import snowballstemmer

        self._stemmer = snowballstemmer.stemmer("indonesian")
        self._known: dict[str, str] = {}

    def stem(self, token: str) -> str:
        if token not in self._known:
            self._known[token] = self._stemmer.stemWord(token)
        return self._known[token]


class _NoSynonyms:
    """Stands where nltk wants WordNet, which is English."""

    def synsets(self, word: str) -> list[Any]:
        return []


def _common_words(answer: str, common: set[str]) -> tuple[float, float]:
    row = words(answer)
    return float(sum(word in common for word in row)), float(len(row))


def _means(values: Sequence[float]) -> Array:
    """Per-item values -> statistics (n, 2) of their mean."""
    return np.stack([np.asarray(values, dtype=np.float64).reshape(-1), np.ones(len(values))], axis=1)


def _rows(pairs: Sequence[tuple[float, float]]) -> Array:
    return np.asarray(pairs, dtype=np.float64).reshape(len(pairs), 2)
