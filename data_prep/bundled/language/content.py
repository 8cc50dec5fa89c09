"""The unit the corpus is made of: one piece of content, asked for through one or several templates."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One instruction and its answer, under the name of the template that words the instruction."""

    template: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Content:
    """Pairs that say the same thing: template siblings, which a split must never separate. `key` is unique."""

    subset: str
    key: str
    pairs: tuple[Pair, ...]


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def listed(items: list[str] | tuple[str, ...]) -> str:
    """An Indonesian enumeration: `a`, `a dan b`, `a, b, dan c`."""
    if len(items) < 3:
        return " dan ".join(items)
    return ", ".join(items[:-1]) + ", dan " + items[-1]


def generator(seed: int, *names: object) -> random.Random:
    """A generator of its own for each piece of content, so that adding one changes no other."""
    return random.Random("/".join(str(part) for part in (seed, *names)))
