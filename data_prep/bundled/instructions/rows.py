"""All instruction rows of the world: kinds in fixed shares, unique, deterministic in (count, seed)."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from common.errors import InputError
from common.text.forms import normal_form
from data_prep.bundled.instructions import articles, conduct, exercises, steps, verse
from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.content import generator
from data_prep.rows.quotas import largest_remainder

TRIES = 60
"""Draws per row wanted, after which a kind is told out."""
Maker = Callable[[random.Random], list[Task]]
MAKERS: dict[str, tuple[int, Maker]] = {
    **{kind: (380, partial(exercises.rewriting, kind=kind)) for kind in ("passive", "active")},
    **{
        kind: (300, partial(exercises.rewriting, kind=kind))
        for kind in ("negative", "positive", "question", "yes", "no", "front")
    },
    "replace": (240, exercises.replacing),
    "join": (300, exercises.joining),
    "reading": (1600, exercises.reading),
    "summary": (200, exercises.summary),
    "people": (300, exercises.people),
    **{kind: (260, partial(exercises.lists, kind=kind)) for kind in ("first", "last")},
    "odd_one": (120, exercises.odd_one),
    "comparing": (300, exercises.comparing),
    "writing": (700, articles.writing),
    "looking up": (500, articles.looking_up),
    "asking": (700, articles.asking),
    "verse": (640, verse.verse),
    "steps": (700, steps.howto),
}
"""Weights of the kinds that can be drawn without end; the closed ones come in whole."""


def closed() -> list[list[Task]]:
    """Contents of the closed sets."""
    return [*exercises.opposites(), *articles.facts(), *conduct.refusals(), *conduct.identity()]


def tasks(count: int, seed: int) -> list[Task]:
    """`count` tasks whose normalised pairs are all different."""
    fixed = [task for content in closed() for task in content]
    quotas = largest_remainder({name: weight for name, (weight, _) in MAKERS.items()}, count - len(fixed))
    made, seen = [], set()
    for task in fixed:
        made.append(task)
        seen.add(normal_form(task.prompt))
    for name, quota in quotas.items():
        taken, number = 0, 0
        while taken < quota:
            if number > TRIES * quota + TRIES:
                raise InputError(f"data.embedded.rows: {count}; the bundled corpus has no more of the kind {name!r}")
            for task in MAKERS[name][1](generator(seed, "world", name, number))[: quota - taken]:
                key = normal_form(task.prompt)
                if key not in seen:
                    seen.add(key)
                    made.append(task)
                    taken += 1
            number += 1
    return made
