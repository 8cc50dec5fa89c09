"""Which language a text is in: Indonesian or one of those that an Indonesian answer slips into.

The classifier is CLD2 (pycld2, Apache-2.0; naive Bayes over letter quadgrams, the tables lie inside the package). It
knows Malay, Javanese and Sundanese, which detectors with fewer languages take for each other, and says how much of a
text is in which language.
"""

from __future__ import annotations

import re

LANGUAGES = ("id", "ms", "jv", "su", "en", "other", "short")
MINIMUM_WORDS = 3
INDONESIAN_PERCENT = 33
"""So much Indonesian makes an Indonesian text: the rest is names, which look English, German or Polish. Not so beside
Malay, Javanese and Sundanese, whose words Indonesian shares."""
_LETTERS = re.compile(r"[^\W\d_]+")
_CODES = {"jw": "jv", "un": "short"}  # CLD2 has kept Google's old code for Javanese; un is unknown


def language_of(text: str) -> str:
    """One of LANGUAGES: an ISO 639-1 code, "other", or "short" where the text has fewer than three words of letters or
    CLD2 finds nothing to go by.
    """
    import pycld2

    words = _LETTERS.findall(text)
    if len(words) < MINIMUM_WORDS:
        return "short"
    # digits and punctuation carry no language and pull numbers-heavy answers elsewhere
    _, _, ranked = pycld2.detect(" ".join(words).lower(), bestEffort=True)
    first = _CODES.get(ranked[0][1], ranked[0][1])
    indonesian = sum(percent for _, code, percent, _ in ranked if code == "id")
    if first not in ("ms", "jv", "su") and indonesian >= INDONESIAN_PERCENT:
        return "id"
    return first if first in LANGUAGES else "other"
