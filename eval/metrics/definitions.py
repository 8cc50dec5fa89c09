"""The metrics that exist: name, direction, what is said of them, and how statistics per item become the score.

`eval.metrics.item_statistics` computes the statistics of each item, arrays (n, K); `Metric.reduce` turns their sum over
items into the score. A metric is declared here and computed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from eval.metrics.statistics import Array, Reduce, mean

Better = Literal["higher", "lower", "as reference"]
COMMON_WORDS = 20  # the most frequent words of the references, for the word-soup check
ECHO_WORDS = 8  # a run of so many words of the prompt inside the answer is an echo


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


_METRICS = (
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
        "accuracy",
        "Accuracy",
        "higher",
        "share of answers that hold the asked-for fact, over the items with one right answer",
        share=True,
        spoken="accuracy",
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
METRICS: dict[str, Metric] = {metric.key: metric for metric in _METRICS}
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
PRIMARY, SECONDARY = "bound_per_token", "chrf"  # what the verdict goes by
HEADLINE = ("bound_per_token", "chrf", "rouge1", "rougeL", "bleu")
ACCURACY = "accuracy"  # compared beside these where answers have keys
