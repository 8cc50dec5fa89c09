"""Tokens that no text is made of, to be written behind the end of an answer (rainbow padding, arXiv 2510.03680).

Thirteen bytes stand in no UTF-8 text: 0xC0, 0xC1 and 0xF5 to 0xFF. A byte-level vocabulary has a token for each of
them, which no row and no prompt can contain. Embedding and head have a row for them, and the sampler may choose them.
"""

from __future__ import annotations

from typing import Any

IMPOSSIBLE_BYTES = (*range(0xF5, 0x100), 0xC0, 0xC1)


def unused_tokens(tokenizer: Any) -> dict[str, int]:
    """Id by token, for every token of one impossible byte; empty where the vocabulary is not one of bytes.

    Byte-level vocabularies write these bytes as the characters of the same code points, which by themselves decode to
    the replacement character and not to themselves.
    """
    vocabulary = tokenizer.get_vocab()
    found = {chr(byte): vocabulary[chr(byte)] for byte in IMPOSSIBLE_BYTES if chr(byte) in vocabulary}
    return {token: place for token, place in found.items() if tokenizer.decode([place]) == "\N{REPLACEMENT CHARACTER}"}
