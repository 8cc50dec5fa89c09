"""What a reader sees of an answer after each step: its tokens as text, how sure they were, and what is still masked.

Shapes: P prompt, G answer, T = P + G.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch

from llada.chat_format import decode_answer

LEVELS = (0.25, 0.5, 0.75, 0.9)
"""The bounds between the five levels of confidence that terminal and page colour differently."""
STOP = "■"
BROKEN = "�"
_LONGEST_CHARACTER = 4  # bytes of UTF-8, and so tokens of a byte-level vocabulary


@dataclass(frozen=True)
class TokenView:
    """One answer position as a reader sees it."""

    text: str  # empty where masked, and where the character ends in a later token
    confidence: float | None  # the score with which it was committed; None while masked
    step: int  # the step that committed it, -1 while masked

    @property
    def masked(self) -> bool:
        return self.confidence is None

    @property
    def level(self) -> int:
        """0 (guessed) to 4 (sure)."""
        return sum((self.confidence or 0.0) >= bound for bound in LEVELS)


@dataclass(frozen=True)
class Frame:
    """An answer after one step."""

    step: int  # from 0
    forward_passes: int  # so far
    seconds: float  # of computing, so far
    tokens: tuple[TokenView, ...]  # up to the answer's end, once that is known
    answer: str  # the text up to the first stop token, without masks
    taken_back: int  # tokens that this step masked again

    def new(self, token: TokenView) -> bool:
        """Was it written by this step?"""
        return token.step == self.step


def frames(
    steps: Iterable[Any], prompt_length: int, tokenizer: Any, mask: int, stops: Collection[int], trim: bool = True
) -> Generator[Frame, None, None]:
    """Turn the steps of `llada.denoise` for one row into frames.

    Args:
        prompt_length: P. mask: the mask token. stops: the tokens that end an answer. trim: the answer's text.
    """
    confidence: list[float | None] = []
    written: list[int] = []
    views: tuple[TokenView, ...] = ()
    seconds = 0.0
    begin = time.perf_counter()
    for number, step in enumerate(steps):
        seconds += time.perf_counter() - begin
        ids = step.tokens[0, prompt_length:].tolist()
        scores = step.confidence[0, prompt_length:].tolist()
        revealed = step.revealed[0, prompt_length:].tolist()
        confidence += [None] * (len(ids) - len(confidence))
        written += [-1] * (len(ids) - len(written))
        inserted, more = step.inserted[0].tolist()
        for known, nothing in ((confidence, None), (written, -1)):
            known[inserted:inserted] = [nothing] * more
            del known[len(ids) :]
        for place, token in enumerate(ids):
            if token == mask:
                confidence[place], written[place] = None, -1
            elif revealed[place]:
                confidence[place], written[place] = scores[place], number
        length = _visible(ids, mask, stops)
        texts = pieces(tokenizer, ids[:length], mask, stops)
        # what has not changed is the same object as in the frame before: a reader keeps all frames of an answer
        made = map(TokenView, texts, confidence, written)
        views = tuple(old if old == new else new for old, new in zip_longest(views[:length], made))
        answer = decode_answer(tokenizer, [token for token in ids[:length] if token != mask], stops, trim)
        back = int(torch.count_nonzero(step.taken_back))
        yield Frame(number, step.forward_passes, seconds, views, answer, back)
        begin = time.perf_counter()


def pieces(tokenizer: Any, ids: Sequence[int], mask: int, stops: Collection[int] = ()) -> list[str]:
    """The text of each token; a character that several tokens spell stands at the last of them."""
    texts: list[str] = []
    pending: list[int] = []
    for place, token in enumerate(ids):
        if token == mask or token in stops:
            texts.append("" if token == mask else STOP)
            continue
        pending.append(token)
        text = tokenizer.decode(pending, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        goes_on = place + 1 < len(ids) and ids[place + 1] != mask and ids[place + 1] not in stops
        if text.endswith(BROKEN) and goes_on and len(pending) < _LONGEST_CHARACTER:
            texts.append("")
            continue
        texts.append(text)
        pending = []
    return texts


def _visible(ids: Sequence[int], mask: int, stops: Collection[int]) -> int:
    """How many positions to show: up to the first stop token once nothing before it is masked, else all."""
    for place, token in enumerate(ids):
        if token == mask:
            return len(ids)
        if token in stops:
            return place
    return len(ids)
