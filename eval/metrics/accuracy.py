"""Whether an answer holds the fact that was asked for, by a key that says which phrases make it right.

Phrases are compared as runs of whole words, case, punctuation and typographic variants aside (`folded_words`): "12" is
not in "112", and "Jawa Barat" is in "di provinsi Jawa Barat." but not in "Barat Jawa".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.text.forms import folded_words
from eval.metrics.statistics import Array


@dataclass(frozen=True)
class AnswerKey:
    """What a right answer to one prompt contains.

    kind: of the task, such as "capital". required: phrases that it must contain, all of them; none where no one answer
    is right. forbidden: phrases that it must not contain.
    """

    kind: str
    required: tuple[str, ...]
    forbidden: tuple[str, ...] = ()


def is_right(answer: str, key: AnswerKey | None) -> bool | None:
    """Whether the answer is right by its key; None without one, and where no one answer is right."""
    if key is None or not key.required:
        return None
    return all(holds(answer, phrase) for phrase in key.required) and not any(
        holds(answer, phrase) for phrase in key.forbidden
    )


def holds(text: str, phrase: str) -> bool:
    """Whether the words of the phrase stand in the text, side by side and in this order."""
    return f" {' '.join(folded_words(phrase))} " in f" {' '.join(folded_words(text))} "


def accuracy_statistics(answers: Sequence[str], keys: Sequence[AnswerKey | None]) -> Array:
    """Statistics (n, 2) of the share of right answers: (1 or 0, 1), and (0, 0) for an item that counts in none."""
    verdicts = [is_right(answer, key) for answer, key in zip(answers, keys, strict=True)]
    rows = [(0.0, 0.0) if right is None else (float(right), 1.0) for right in verdicts]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), 2)
