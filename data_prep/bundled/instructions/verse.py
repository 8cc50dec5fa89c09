"""Pantun (subset `indo_puisi`): two lines that set the rhyme, two that say what is meant; rhyme a-b-a-b."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.content import capitalised
from data_prep.bundled.language.tables import table

MEANING = ("Tuliskan isi pantun ini.\n\n{}", "{}\n\nApa isi pantun di atas?")
HINT = ("Tuliskan sampiran pantun ini.\n\n{}", "{}\n\nApa sampiran pantun di atas?")
JOIN = (
    "Susunlah pantun.\n\nIsi:\n{meaning}\n\nSampiran:\n{hint}",
    "Gabungkan menjadi pantun.\n\nSampiran:\n{hint}\n\nIsi:\n{meaning}",
)
RHYME = ("{pantun}\n\nKata apa yang bersajak dengan {word}?", "Carilah kata yang bersajak dengan {word}.\n\n{pantun}")


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
    found = pantun(chance)
    kind = chance.choice(("meaning", "hint", "pantun", "rhyme", "rhyme"))
    if kind == "meaning":
        return [_task(chance, kind, MEANING, found.meaning, found.text)]
    if kind == "hint":
        return [_task(chance, kind, HINT, found.hint, found.text)]
    if kind == "pantun":
        return [_task(chance, kind, JOIN, found.text, meaning=found.meaning, hint=found.hint)]
    place = chance.randrange(2)
    word, other = (found.lines[line].split()[-1] for line in (place, place + 2))
    return [_task(chance, kind, RHYME, f"{capitalised(word)} bersajak dengan {other}.", pantun=found.text, word=word)]


def _task(chance: random.Random, kind: str, forms: tuple[str, ...], answer: str, *blanks: str, **named: str) -> Task:
    number = chance.randrange(len(forms))
    return Task(
        "indo_puisi",
        f"puisi_{kind}_{number}",
        f"verse_{kind}",
        forms[number].format(*blanks, **named),
        answer,
        (answer,),
    )
