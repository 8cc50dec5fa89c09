"""Small means that every module of the corpus uses."""

from __future__ import annotations

import random

SMALL = ("nol", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan", "sembilan", "sepuluh", "sebelas")
WEEKDAYS = ("Senin", "Selasa", "Rabu", "Kamis", "Jumat", "Sabtu", "Minggu")


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def listed(items: list[str] | tuple[str, ...]) -> str:
    """An Indonesian enumeration: `a`, `a dan b`, `a, b, dan c`."""
    if len(items) < 3:
        return " dan ".join(items)
    return ", ".join(items[:-1]) + ", dan " + items[-1]


def spelled(value: int) -> str:
    """An Indonesian numeral from 0 to 999, written out: 211 is `dua ratus sebelas`."""
    if value < 12:
        return SMALL[value]
    if value < 20:
        return f"{SMALL[value - 10]} belas"
    if value < 100:
        head, rest = f"{SMALL[value // 10]} puluh", value % 10
    else:
        head, rest = "seratus" if value < 200 else f"{SMALL[value // 100]} ratus", value % 100
    return f"{head} {spelled(rest)}" if rest else head


def generator(seed: int, *names: object) -> random.Random:
    """A generator of its own for each piece of content, so that adding one changes no other."""
    return random.Random("/".join(str(part) for part in (seed, *names)))
