"""What is measured on every answer: the sufficient statistics of the metrics in `eval.metrics.definitions`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from common.text.language import LANGUAGES, language_of
from eval.config import RougeTokenizer
from eval.metrics.overlap import overlap_statistics
from eval.metrics.statistics import Array, mean_statistics
from eval.metrics.words import echoes, frequent_vocabulary, lowercase_words, normalise, repetition

_SPECIAL = re.compile(r"<\|[^|>]*\|>")


def text_statistics(
    answers: Sequence[str],
    references: Sequence[str],
    prompts: Sequence[str],
    truncated: Sequence[bool] | None = None,
    rouge_tokenizer: RougeTokenizer = "ascii",
) -> dict[str, Array]:
    """Statistics (n, K) per metric that needs texts alone. `truncated` is omitted for floors, which have no budget."""
    statistics = overlap_statistics(answers, references, rouge_tokenizer)
    common = set(frequent_vocabulary(references))
    statistics["exact_match"] = mean_statistics(
        [float(normalise(a) == normalise(r)) for a, r in zip(answers, references, strict=True)]
    )
    statistics["repetition"] = mean_statistics([repetition(answer) for answer in answers])
    statistics["common_words"] = _rows([_common_words(answer, common) for answer in answers])
    statistics["echo"] = mean_statistics(
        [float(echoes(answer, prompt)) for answer, prompt in zip(answers, prompts, strict=True)]
    )
    statistics["leftover"] = mean_statistics([float(bool(_SPECIAL.search(answer))) for answer in answers])
    statistics["empty"] = mean_statistics([float(not lowercase_words(answer)) for answer in answers])
    statistics["length_ratio"] = _rows(
        [(len(lowercase_words(a)), len(lowercase_words(r))) for a, r in zip(answers, references, strict=True)]
    )
    languages = [language_of(answer) for answer in answers]
    for language in LANGUAGES:
        statistics[f"language_{language}"] = mean_statistics([float(written == language) for written in languages])
    if truncated is not None:
        statistics["truncated"] = mean_statistics([float(value) for value in truncated])
    return statistics


def point_scores(answers: Sequence[str]) -> dict[str, float]:
    """Scores of the answers as a whole, which have no per-item share and hence no interval."""
    tokens = [lowercase_words(answer) for answer in answers]
    unigrams = Counter(word for row in tokens for word in row)
    bigrams = Counter(pair for row in tokens for pair in pairwise(row))
    most_frequent = Counter(normalise(answer) for answer in answers).most_common(1)
    return {
        "distinct1": len(unigrams) / max(1, unigrams.total()),
        "distinct2": len(bigrams) / max(1, bigrams.total()),
        "same_answer": most_frequent[0][1] / len(answers) if answers else 0.0,
    }


def cosine_statistics(answers: Array, references: Array) -> dict[str, Array]:
    """From L2-normalised embeddings (n, D) of answers and references."""
    cosines = np.einsum("nd,nd->n", answers.astype(np.float64), references.astype(np.float64))
    return {
        "cosine": mean_statistics(cosines.tolist()),
        "f1_at_half": mean_statistics((cosines >= 0.5).astype(float).tolist()),
    }


def bound_statistics(nats: Sequence[float], tokens: Sequence[int], answer_bytes: Sequence[int]) -> dict[str, Array]:
    """From the bound of each item in nats, its answer's tokens (stop token included) and its answer's UTF-8 bytes."""
    rows = list(zip(nats, tokens, answer_bytes, strict=True))
    return {
        "bound_per_token": _rows([(value, count) for value, count, _ in rows]),
        "bits_per_byte": _rows([(value / math.log(2), size) for value, _, size in rows]),
    }


def _common_words(answer: str, common: set[str]) -> tuple[float, float]:
    row = lowercase_words(answer)
    return float(sum(word in common for word in row)), float(len(row))


def _rows(pairs: Sequence[tuple[float, float]]) -> Array:
    return np.asarray(pairs, dtype=np.float64).reshape(len(pairs), 2)
