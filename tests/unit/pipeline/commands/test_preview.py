"""The preview shows every token once, each in the colour of its part."""

from __future__ import annotations

import numpy as np

from pipeline.commands.preview import ANSWER, MASKED, PROMPT, TAIL, render


class Letters:
    """A tokenizer with one token per letter."""

    eos_token = "$"

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def test_every_token_is_shown_once_in_the_colour_of_its_part() -> None:
    ids = [ord(letter) for letter in "tanyajawab"]
    masked = np.array([True, True, False, True, False])
    text = render(Letters(), ids, 5, masked, eos_tail=3)  # pyright: ignore[reportArgumentType]
    assert text.plain == "tanyajawab$$$"
    styles = {span.style: [] for span in text.spans}
    for span in text.spans:
        styles[span.style].append(text.plain[span.start : span.end])
    assert text.style == PROMPT
    assert styles == {MASKED: ["ja", "a"], ANSWER: ["w", "b"], TAIL: ["$$$"]}
