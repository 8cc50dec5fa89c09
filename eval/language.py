"""Which language an answer is in: Indonesian, Malay, Javanese, English, or something else.

py3langid (BSD-3, a naive Bayes classifier over byte n-grams; the model, 4.6 MB, lies inside the package) knows 140
languages. Sundanese is NOT one of them: it mostly comes out as Javanese, which is why that share is labelled so. Malay
is reported apart from Indonesian, because the two are close enough that a detector without Malay would hide it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

LANGUAGES = ("id", "ms", "jv", "en", "other", "short")
LANGUAGE_LABELS = {
    "id": "Indonesian",
    "ms": "Malay",
    "jv": "Javanese or Sundanese",
    "en": "English",
    "other": "another language",
    "short": "too short to tell",
}
MINIMUM_WORDS = 3
_LETTERS = re.compile(r"[^\W\d_]+")


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def identify(text: str) -> str:
    """One of LANGUAGES; "short" below three words of letters, where a guess would be noise."""
    words = _LETTERS.findall(text)
    if len(words) < MINIMUM_WORDS:
        return "short"
    # digits and punctuation carry no language and pull numbers-heavy answers elsewhere
    language = _identifier().classify(" ".join(words).lower())[0]
    return language if language in LANGUAGES else "other"


def identify_all(texts: Sequence[str]) -> list[str]:
    return [identify(text) for text in texts]
