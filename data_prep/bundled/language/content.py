"""Small means that every module of the corpus uses."""

from __future__ import annotations

import random

from babel import Locale


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def listed(items: list[str] | tuple[str, ...]) -> str:
    """An Indonesian enumeration: `a`, `a dan b`, `a, b, dan c`."""
    if len(items) < 3:
        return " dan ".join(items)
    return ", ".join(items[:-1]) + ", dan " + items[-1]


def weekdays() -> tuple[str, ...]:
    """Monday to Sunday, as Unicode CLDR names them."""
    return tuple(str(Locale("id").days["format"]["wide"][number]) for number in range(7))


def generator(seed: int, *names: object) -> random.Random:
    """A generator of its own for each piece of content, so that adding one changes no other."""
    return random.Random("/".join(str(part) for part in (seed, *names)))
