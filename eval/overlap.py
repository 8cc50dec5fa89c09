"""ROUGE and METEOR of one answer against one reference, as rouge-score and nltk compute them.

The libraries themselves are used in the tests only: both import the whole of nltk, which takes longer than scoring the
test set does. Words are given as lists, so that the caller chooses the tokens.

Sources: Lin 2004 (ROUGE); Lavie & Agarwal 2007 (METEOR); Hyyrö 2004 (the longest common subsequence by bits).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

_ROUGE_TOKEN = re.compile("[a-z0-9]+")
METEOR_ALPHA, METEOR_BETA, METEOR_GAMMA = 0.9, 3.0, 0.5


def rouge_tokens(text: str) -> list[str]:
    """rouge-score's tokens without its stemmer: lower-case runs of a-z and 0-9."""
    return _ROUGE_TOKEN.findall(text.lower())


def rouge_n(answer: Sequence[str], reference: Sequence[str], order: int) -> float:
    """F1 of the n-grams of this order, in 0..1."""
    found, wanted = (Counter(zip(*(row[k:] for k in range(order)), strict=False)) for row in (answer, reference))
    return _f1((found & wanted).total(), found.total(), wanted.total())


def rouge_l(answer: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence, in 0..1."""
    return _f1(common_subsequence(answer, reference), len(answer), len(reference))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the dynamic programme at a time as the bits of one integer."""
    places: dict[str, int] = defaultdict(int)
    for index, word in enumerate(first):
        places[word] |= 1 << index
    everything = (1 << len(first)) - 1
    row = everything  # bit i is 0 where the length rises at word i
    for word in second:
        matches = row & places.get(word, 0)
        row = (row + matches) | (row - matches)
    return len(first) - (row & everything).bit_count()


def meteor(answer: Sequence[str], reference: Sequence[str], stem: Callable[[str], str]) -> float:
    """METEOR in 0..1: words are aligned when equal, then those left over when their stems are; no synonyms."""
    pairs, answer_left, reference_left = _align(list(enumerate(answer)), list(enumerate(reference)))
    stems = ([(index, stem(word)) for index, word in left] for left in (answer_left, reference_left))
    pairs = sorted(pairs + _align(*stems)[0])
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(answer), len(pairs) / len(reference)
    mean = precision * recall / (METEOR_ALPHA * precision + (1 - METEOR_ALPHA) * recall)
    breaks = sum((b[0] - a[0], b[1] - a[1]) != (1, 1) for a, b in pairwise(pairs))
    return (1 - METEOR_GAMMA * ((1 + breaks) / len(pairs)) ** METEOR_BETA) * mean


Numbered = list[tuple[int, str]]


def _align(answer: Numbered, reference: Numbered) -> tuple[list[tuple[int, int]], Numbered, Numbered]:
    """Pairs of equal words, from the last word backwards, each with the last free equal one; and what is left."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, word in reference:
        places[word].append(index)
    pairs = [(index, places[word].pop()) for index, word in reversed(answer) if places.get(word)]
    used_here, used_there = {here for here, _ in pairs}, {there for _, there in pairs}
    return (
        pairs,
        [(index, word) for index, word in answer if index not in used_here],
        [(index, word) for index, word in reference if index not in used_there],
    )


def _f1(common: int, found: int, wanted: int) -> float:
    return 2 * common / (found + wanted) if common else 0.0
