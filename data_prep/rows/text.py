"""Forms in which texts are compared: the normal form (same row?) and the word form (same content?)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import xxhash

COLUMNS = ("dataset_name", "subset_name", "prompt_id", "template_name", "dataset_key", "input", "output")
"""Cendol v2's columns, in order."""

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


def row_id(values: Sequence[str | None]) -> str:
    """Stable id of a row: 128-bit xxHash3 of its columns in the order of COLUMNS, in hexadecimal.

    Each value is preceded by its length in bytes (-1 for null), so that no two different rows spell the same bytes.
    """
    digest = xxhash.xxh3_128()
    for value in values:
        content = b"" if value is None else value.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % (-1 if value is None else len(content)))
        digest.update(content)
    return digest.hexdigest()


def seeded_hash(text: str, seed: int) -> int:
    """64-bit hash used as a random number: the same on every machine, whatever the order of the rows."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed=seed)
