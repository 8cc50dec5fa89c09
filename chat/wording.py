"""What the chat itself says, in English or Indonesian. Questions and answers stay as they are; so do errors, which name
keys and files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

from common.files import read_json

Language = Literal["en", "id"]
Say = Callable[[str], str]
INDONESIAN = Path(__file__).parent / "indonesian.json"


def wording(language: Language) -> Say:
    """Turns an English text of the chat's into the language: as it is, or from the table.

    Raises:
        KeyError: the table lacks the text.
    """
    return (lambda text: text) if language == "en" else _table().__getitem__


@cache
def _table() -> dict[str, str]:
    table: dict[str, str] = read_json(INDONESIAN)
    return table
