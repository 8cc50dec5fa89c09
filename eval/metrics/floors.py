"""What costs nothing to score: answers without a model, and the best that the token budget allows.

A metric means little before one knows what it gives to somebody else's answer. Floors and ceiling are scored as if a
system had written them, on the same items:

- `other_answer`: the reference of another test item, by a fixed random cycle (no item keeps its own);
- `frequent_words`: the most frequent words of the references, in that order, repeated up to each reference's length;
- `prompt`: the prompt itself;
- `ceiling`: the reference itself, cut to the sampler's token budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np

from eval.metrics.words import frequent_vocabulary, lowercase_words

FLOOR_LABELS = {
    "other_answer": "Another item's answer",
    "frequent_words": "Frequent-word soup",
    "prompt": "The prompt itself",
}
CEILING_LABEL = "The reference, cut to the budget"


def other_answers(references: Sequence[str], seed: int) -> list[str]:
    """Each item gets the next item's reference on a random cycle through all items; a single item gets nothing."""
    count = len(references)
    if count == 1:
        return [""]
    order = np.random.default_rng((seed, 2)).permutation(count)
    answers = [""] * count
    for place, item in enumerate(order):
        answers[item] = references[order[(place + 1) % count]]
    return answers


def frequent_words(references: Sequence[str]) -> list[str]:
    """The most frequent words of all references, repeated to the number of words of each reference."""
    soup = frequent_vocabulary(references)
    return [" ".join(islice(cycle(soup), max(1, len(lowercase_words(text))))) if soup else "" for text in references]


def floor_answers(prompts: Sequence[str], references: Sequence[str], seed: int) -> dict[str, list[str]]:
    return {
        "other_answer": other_answers(references, seed),
        "frequent_words": frequent_words(references),
        "prompt": list(prompts),
    }
