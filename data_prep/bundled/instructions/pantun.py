"""Pantun (subset `indo_puisi`): quatrains with the rhyme a-b-a-b, composed for this project.

The first two lines (sampiran) paint a picture, the last two (isi) carry the message. Couplets are kept by the
rhyme of their two lines, so that any sampiran joins any isi of the same rhyme. Two lines rhyme when they end in
the same last vowel and what follows it, the measure that the unit tests apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from data_prep.bundled.language.content import Content, Pair
from data_prep.bundled.language.word_tables import table

TITLED_PROMPTS = (
    ("Buatkan pantun tentang {}.", "{}"),
    ("Saya perlu pantun bertema {}.", "Ini pantunnya:\n{}"),
    ("Tolong tulis pantun dengan tema {}.", "{}"),
    ("Bisa karang pantun mengenai {}?", "Bisa. Silakan dibaca:\n{}"),
    ("Karanglah empat baris pantun tentang {}.", "{}"),
    ("Adakah pantun yang berisi pesan {}?", "Ada, misalnya:\n{}"),
    ("Ayo berpantun tentang {}!", "{}"),
    ("Untuk acara sekolah, saya mencari pantun {}.", "Semoga cocok:\n{}"),
    ("Berikan contoh pantun nasihat tentang {}.", "Contohnya:\n{}"),
    ("Sampaikan pesan tentang {} lewat sebuah pantun.", "{}"),
)
CONSTANT_PROMPTS = (
    ("Buatkan sebuah pantun, temanya bebas.", "{}"),
    ("Hibur saya dengan pantun.", "Dengarkan pantun ini:\n{}"),
    ("Saya ingin membaca pantun nasihat.", "{}"),
    ("Tuliskan satu pantun untuk saya.", "Ini pantun untukmu:\n{}"),
)


@dataclass(frozen=True)
class Opening:
    """The sampiran."""

    first: str
    second: str


@dataclass(frozen=True)
class Message:
    """The isi, and what it is about."""

    theme: str
    third: str
    fourth: str


@dataclass(frozen=True)
class Pantun:
    theme: str
    lines: tuple[str, str, str, str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def rhyme(line: str) -> str:
    """The last vowel of a line and what follows it: `hari` i, `dahan` an, `siang` ang."""
    ending = re.search(r"[aeiou][^aeiou]*$", line.lower().rstrip(".,!?"))
    if ending is None:
        raise ValueError(f"no vowel in the line {line!r}")
    return ending.group()


@cache
def pantuns() -> tuple[Pantun, ...]:
    """Every sampiran with every isi of the same rhyme."""
    return tuple(
        Pantun(message.theme, (opening.first, opening.second, message.third, message.fourth))
        for message in table("pantun_messages", Message)
        for opening in table("pantun_openings", Opening)
        if (rhyme(opening.first), rhyme(opening.second)) == (rhyme(message.third), rhyme(message.fourth))
    )


def contents() -> Iterator[Content]:
    for poem in pantuns():
        pairs = [
            Pair(f"indo_puisi_template_{number}", prompt.format(poem.theme), answer.format(poem.text))
            for number, (prompt, answer) in enumerate(TITLED_PROMPTS)
        ]
        pairs += [
            Pair(f"indopuisi_{number}", prompt, answer.format(poem.text))
            for number, (prompt, answer) in enumerate(CONSTANT_PROMPTS, start=1)
        ]
        yield Content("indo_puisi", poem.text, tuple(pairs))
