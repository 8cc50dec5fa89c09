"""Forms in which texts are compared: the normal form (same row?) and the word form (same content?)."""

from __future__ import annotations

import re
import unicodedata

# The Unicode property White_Space. Python's str.split() would add U+001C to U+001F, which the property does not have.
_WHITESPACE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_WORD = re.compile(r"\w+")


def normal_form(text: str) -> str:
    """NFC, runs of white space as one space, none at the ends. Two rows whose normal forms agree are copies."""
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    return _WHITESPACE.sub(" ", composed).strip(" ")


def folded_words(text: str) -> list[str]:
    """The words of a text without case, punctuation and typographic variants (NFKC)."""
    compatible = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _WORD.findall(compatible.casefold())
