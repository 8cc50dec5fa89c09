"""Forms in which texts are compared: the normal form (same row?) and the word form (same content?)."""

from __future__ import annotations

import re
import unicodedata

# The Unicode property White_Space. Python's str.split() would add U+001C to U+001F, which the property does not have.
_WHITESPACE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_LINE_END = re.compile(r"\r\n|[\r\x85\u2028\u2029\v\f]")
_SPACES = "\t \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_AFTER_A_WORD = re.compile(rf"(?<=[^{_SPACES}])[{_SPACES}]+")
_WORD = re.compile(r"\w+")


def normal_form(text: str) -> str:
    """NFC, runs of white space as one space, none at the ends. Two rows whose normal forms agree are copies."""
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    return _WHITESPACE.sub(" ", composed).strip(" ")


def tidied(text: str) -> str:
    """What of `normal_form` a reader would not miss: NFC, ends stripped, a run of white space inside a line as one
    space, every line end as a line feed. Line breaks and indentation stay.
    """
    lines = _LINE_END.sub("\n", unicodedata.normalize("NFC", text)).split("\n")
    return "\n".join(_AFTER_A_WORD.sub(" ", line).rstrip(_SPACES) for line in lines).strip(_SPACES + "\n")


def folded_words(text: str) -> list[str]:
    """The words of a text without case, punctuation and typographic variants (NFKC)."""
    compatible = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _WORD.findall(compatible.casefold())
