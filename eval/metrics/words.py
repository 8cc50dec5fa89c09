"""The words of a text, and what their order gives away: repetition, copied prompts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from eval.metrics.definitions import COMMON_WORDS, ECHO_WORDS

_WORD = re.compile(r"\w+")
_IDEOGRAPH = re.compile("[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")


def lowercase_words(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return _WORD.findall(text.lower())


def words_of_any_script(text: str) -> list[str]:
    """Case-folded runs of letters, marks and digits of any script; Han and kana, which have no spaces, by character."""
    composed = unicodedata.normalize("NFKC", text).casefold()
    spaced = _IDEOGRAPH.sub(r" \g<0> ", composed)
    return "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in spaced).split()


def normalise(text: str) -> str:
    return " ".join(lowercase_words(text))


def frequent_vocabulary(references: Sequence[str]) -> list[str]:
    """The COMMON_WORDS most frequent words, ties by alphabet."""
    counts = Counter(word for text in references for word in lowercase_words(text))
    return [word for word, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:COMMON_WORDS]]


def repetition(text: str) -> float:
    """Share of the word trigrams that already occurred in the same text (seq-rep-3 of Welleck et al. 2020)."""
    row = lowercase_words(text)
    trigrams = list(zip(row, row[1:], row[2:], strict=False))
    return 1.0 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def echoes(answer: str, prompt: str) -> bool:
    """The answer holds a run of ECHO_WORDS words of the prompt, or all of a shorter prompt of at least four words."""
    row = lowercase_words(prompt)
    length = min(ECHO_WORDS, len(row))
    if length < 4:
        return False
    text = f" {normalise(answer)} "
    return any(f" {' '.join(row[start : start + length])} " in text for start in range(len(row) - length + 1))
