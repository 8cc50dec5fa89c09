"""Which language a text is in, by py3langid.

py3langid (BSD-3, a naive Bayes classifier over byte n-grams; the model, 4.6 MB, lies inside the package) knows 140
languages, Indonesian, Malay, Javanese and English among them; Sundanese is not.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

MINIMUM_WORDS = 3
_LETTERS = re.compile(r"[^\W\d_]+")


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def detect(text: str) -> str | None:
    """The ISO 639-1 code of the likeliest language; None below three words of letters, where it would be noise."""
    words = _LETTERS.findall(text)
    if len(words) < MINIMUM_WORDS:
        return None
    # digits and punctuation carry no language and pull numbers-heavy answers elsewhere
    return _identifier().classify(" ".join(words).lower())[0]
