"""Which language an answer is in: Indonesian, Malay, Javanese, English, or something else.

The classifier (`common.language`) does not know Sundanese: it mostly comes out as Javanese, which is why that share is
labelled so. Malay is reported apart from Indonesian, because the two are close enough that a detector without Malay
would hide it.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.language import detect

LANGUAGES = ("id", "ms", "jv", "en", "other", "short")
LANGUAGE_LABELS = {
    "id": "Indonesian",
    "ms": "Malay",
    "jv": "Javanese or Sundanese",
    "en": "English",
    "other": "another language",
    "short": "too short to tell",
}


def identify(text: str) -> str:
    """One of LANGUAGES; "short" below three words of letters, where a guess would be noise."""
    language = detect(text)
    if language is None:
        return "short"
    return language if language in LANGUAGES else "other"


def identify_all(texts: Sequence[str]) -> list[str]:
    return [identify(text) for text in texts]
