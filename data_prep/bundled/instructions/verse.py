"""Pantun (subset `indo_puisi`): two lines that set the rhyme, two that say what is meant; rhyme a-b-a-b."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.tables import table

MEANING = ("Tuliskan isi pantun ini.\n\n{}", "{}\n\nApa isi pantun di atas?")
HINT = ("Tuliskan sampiran pantun ini.\n\n{}", "{}\n\nApa sampiran pantun di atas?")


@dataclass(frozen=True)
class Pantun:
    lines: tuple[str, str, str, str]

    @property
    def text(self) -> str:
        return "{},\n{}.\n{},\n{}.".format(*self.lines)

    @property
    def hint(self) -> str:
        return "{},\n{}.".format(*self.lines[:2])

    @property
    def meaning(self) -> str:
        return "{},\n{}.".format(*self.lines[2:])


@cache
def lines_of(part: str, rhyme: str) -> tuple[str, ...]:
    return tuple(row["line"] for row in table("pantun") if row["part"] == part and row["rhyme"] == rhyme)


def rhymes() -> tuple[str, ...]:
    return tuple(dict.fromkeys(row["rhyme"] for row in table("pantun")))


def last_word(line: str) -> str:
    return line.split()[-1].lower()


def pantun(chance: random.Random) -> Pantun:
    """No word rhymes with itself, and no line's last word ends two lines."""
    while True:
        first, second = chance.sample(rhymes(), 2)
        one, three = chance.choice(lines_of("hint", first)), chance.choice(lines_of("aim", first))
        two, four = chance.choice(lines_of("hint", second)), chance.choice(lines_of("advice", second))
        if len({last_word(line) for line in (one, two, three, four)}) == 4:
            return Pantun((one, _continued(two), three, four))


def _continued(line: str) -> str:
    """A line that does not begin the sentence."""
    return line[0].lower() + line[1:]


def verse(chance: random.Random) -> list[Task]:
    """The two lines that set the rhyme, or the two that say what is meant."""
    found = pantun(chance)
    if chance.random() < 0.5:
        return [_task(chance, "meaning", MEANING, found.meaning, found.text)]
    return [_task(chance, "hint", HINT, found.hint, found.text)]


def _task(chance: random.Random, kind: str, forms: tuple[str, ...], answer: str, text: str) -> Task:
    number = chance.randrange(len(forms))
    return Task("indo_puisi", f"puisi_{kind}_{number}", f"verse_{kind}", forms[number].format(text), answer, (answer,))
