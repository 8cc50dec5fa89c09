"""Raw text as token ids, without the chat form: begin-of-text (where the base has one), the text, end-of-text.

A document of training or validation is cut into even pieces of at most `max_length` tokens, every one a row without a
prompt: all of its text may be masked. Begin-of-text is given in the first piece, end-of-text is learnt in the last.
A document of the test set is a continuation: its first half is the prompt, the rest the answer, both within one piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from data_prep.format.example import CHARACTERS_PER_TOKEN, Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_BEFORE_A_SPACE = re.compile(r"(?<=\S)(?=\s)")


def pieces(tokenizer: PreTrainedTokenizerFast, text: str, limit: int) -> list[Example]:
    """A document as examples of at most `limit` tokens, in order; their lengths differ by one at the most."""
    from llada.chat_format import begin_of_text, encode_raw, end_of_text_id

    begin = begin_of_text(tokenizer)
    ids = [*begin]
    for part in _parts(text, limit * CHARACTERS_PER_TOKEN):
        ids += encode_raw(tokenizer, part)
    ids.append(end_of_text_id(tokenizer))
    cut = [part.tolist() for part in np.array_split(np.array(ids, dtype=np.int64), -(-len(ids) // limit))]
    last = len(cut) - 1
    return [Example(part, 0 if place else len(begin), answer_truncated=place < last) for place, part in enumerate(cut)]


def continuation(tokenizer: PreTrainedTokenizerFast, text: str, limit: int) -> tuple[Example, str, str]:
    """(example, prompt, answer) of a document: split at the space that is nearest to its middle, after as much of it
    as fits in `limit` tokens.
    """
    from llada.chat_format import begin_of_text, encode_raw, end_of_text_id

    begin, end = begin_of_text(tokenizer), end_of_text_id(tokenizer)
    room = limit - len(begin) - 1
    ids = encode_raw(tokenizer, text[: limit * CHARACTERS_PER_TOKEN])
    whole = len(ids) <= room and len(text) <= limit * CHARACTERS_PER_TOKEN
    shown = text if whole else str(tokenizer.decode(ids[:room])).rstrip("\ufffd")
    middle = len(shown) // 2
    spaces = [found.start() for found in _BEFORE_A_SPACE.finditer(shown)]
    place = min(spaces, key=lambda at: abs(at - middle), default=middle)
    while len(prompt_ids := [*begin, *encode_raw(tokenizer, shown[:place])]) > limit - 2:
        place //= 2  # most tokens of a strange text stand in its first half
    prompt, answer = shown[:place], shown[place:]
    answer_ids = encode_raw(tokenizer, answer)
    whole = whole and len(prompt_ids) + len(answer_ids) < limit
    both = [*prompt_ids, *answer_ids, *([end] if whole else [])][:limit]
    return Example(both, len(prompt_ids), answer_truncated=not whole), prompt, answer


def _parts(text: str, longest: int) -> Iterator[str]:
    """A text in parts of at most so many characters, all but the first begin with white space if there is any."""
    start = 0
    while len(text) - start > longest:
        spaces = [found.start() for found in _BEFORE_A_SPACE.finditer(text, start + longest // 2, start + longest)]
        end = spaces[-1] if spaces else start + longest
        yield text[start:end]
        start = end
    yield text[start:]
