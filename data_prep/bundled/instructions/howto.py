"""How-to answers (subset `wikihow`): everyday tasks in three to five steps, by family of tasks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from data_prep.bundled.language import nature
from data_prep.bundled.language.content import Content, Pair, capitalised, generator
from data_prep.bundled.language.word_tables import table

PROMPTS = (
    "Bagaimana cara {}?",
    "Tolong ajari saya {}.",
    "Apa saja langkah untuk {}?",
    "Saya mau {}. Mulai dari mana?",
)

_NO_JUICE = ("durian", "salak", "duku", "manggis")


@dataclass(frozen=True)
class FamilyStep:
    """A step, in two wordings, of every task of a family; `{}` stands for the task's object."""

    family: str
    step: str
    other_wording: str


@dataclass(frozen=True)
class FamilyObject:
    """What a family's task is done with."""

    family: str
    object: str


@dataclass(frozen=True)
class TaskStep:
    """A step of a task that belongs to no family."""

    task: str
    step: str


def contents(seed: int) -> Iterator[Content]:
    for task, alternatives in tasks():
        answer = answer_for(task, alternatives, generator(seed, "howto", task))
        pairs = tuple(Pair(f"wikihow_{number}", text.format(task), answer) for number, text in enumerate(PROMPTS))
        yield Content("wikihow", task, pairs)


@cache
def tasks() -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    """(task, steps), each step with its alternative wordings."""
    objects: dict[str, list[str]] = {
        "membuat jus {}": [fruit.name for fruit in nature.fruits() if fruit.name not in _NO_JUICE]
    }
    for entry in table("howto_objects", FamilyObject):
        objects.setdefault(entry.family, []).append(entry.object)
    families: dict[str, list[tuple[str, str]]] = {}
    for entry in table("howto_families", FamilyStep):
        families.setdefault(entry.family, []).append((entry.step, entry.other_wording))
    single: dict[str, list[tuple[str, ...]]] = {}
    for entry in table("howto_tasks", TaskStep):
        single.setdefault(entry.task, []).append((entry.step,))
    of_families = [
        (family.format(thing), tuple(tuple(wording.format(thing) for wording in step) for step in steps))
        for family, steps in families.items()
        for thing in objects[family]
    ]
    return (*of_families, *((task, tuple(steps)) for task, steps in single.items()))


def answer_for(task: str, alternatives: tuple[tuple[str, ...], ...], chance: random.Random) -> str:
    """The steps as a numbered list or as running text, one wording of each."""
    steps = [chance.choice(wordings) for wordings in alternatives]
    if chance.random() < 0.5:
        return "\n".join(f"{number}. {capitalised(step)}." for number, step in enumerate(steps, start=1))
    opening = chance.choice((f"Untuk {task}, {steps[0]}.", f"Pertama, {steps[0]}.", f"Mula-mula, {steps[0]}."))
    links = ("Kemudian", "Setelah itu", "Berikutnya")
    middle = " ".join(f"{link}, {step}." for link, step in zip(links, steps[1:-1], strict=False))
    return f"{opening} {middle} Terakhir, {steps[-1]}."
