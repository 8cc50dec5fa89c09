"""How something is done, in three or four steps (subset `wikihow`)."""

from __future__ import annotations

import random

from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.content import capitalised
from data_prep.bundled.language.tables import cell, table

NUMBERED = (
    "Tulislah sebagai daftar bernomor.\n\n{text}",
    "{text}\n\nUbahlah menjadi langkah bernomor.",
)
TOLD = ("Tulislah langkah ini sebagai paragraf.\n\n{numbered}", "{numbered}\n\nUbahlah menjadi paragraf.")
FIRST = ("{text}\n\nApa langkah pertama?", "Apa yang dilakukan pertama kali?\n\n{text}")
LAST = ("{text}\n\nApa langkah terakhir?", "Apa yang dilakukan paling akhir?\n\n{text}")
AFTER = ('{text}\n\nApa langkah sesudah "{step}"?', 'Langkah apa yang mengikuti "{step}"?\n\n{text}')
OPENERS = ("Pertama", "Mula-mula")
LINKS = (("Lalu", "Kemudian"), ("Setelah itu", "Kemudian"), ("Lalu", "Setelah itu"))


def steps_of(chance: random.Random) -> tuple[str, list[str]]:
    """A task and three or four of its steps, in order; those marked `!` are never left out."""
    row = chance.choice(table("recipes"))
    thing = chance.choice(cell(row["things"]))
    every = cell(row["steps"])
    needed = [place for place, step in enumerate(every) if step.endswith("!")]
    others = [place for place in range(len(every)) if place not in needed]
    count = max(len(needed), chance.choice((3, 4)))
    kept = sorted(needed + chance.sample(others, count - len(needed)))
    return row["task"].format(thing), [every[place].rstrip("!").format(thing) for place in kept]


def told(steps: list[str], chance: random.Random) -> str:
    """Pertama, ... Lalu, ... Terakhir, ..."""
    links = chance.choice(LINKS)
    words = [chance.choice(OPENERS), *links[: len(steps) - 2], "Terakhir"]
    return " ".join(f"{word}, {step}." for word, step in zip(words, steps, strict=True))


def numbered(steps: list[str]) -> str:
    return "\n".join(f"{number}. {capitalised(step)}." for number, step in enumerate(steps, start=1))


def howto(chance: random.Random) -> list[Task]:
    _, steps = steps_of(chance)
    text = told(steps, chance)
    kind = chance.choice(("numbered", "numbered", "paragraph", "first", "last", "after"))
    if kind == "paragraph":
        return [_task(chance, kind, TOLD, paragraph(steps), numbered=numbered(steps))]
    if kind == "numbered":
        return [_task(chance, kind, NUMBERED, numbered(steps), text=text)]
    if kind == "first":
        return [_task(chance, kind, FIRST, f"Langkah pertama: {steps[0]}.", text=text)]
    if kind == "last":
        return [_task(chance, kind, LAST, f"Langkah terakhir: {steps[-1]}.", text=text)]
    place = chance.randrange(len(steps) - 1)
    return [_task(chance, kind, AFTER, f"Langkah berikutnya: {steps[place + 1]}.", text=text, step=steps[place])]


def paragraph(steps: list[str]) -> str:
    words = ["Pertama", "Lalu", "Kemudian"][: len(steps) - 1]
    return " ".join(f"{word}, {step}." for word, step in zip([*words, "Terakhir"], steps, strict=True))


def _task(chance: random.Random, kind: str, forms: tuple[str, ...], answer: str, **named: str) -> Task:
    number = chance.randrange(len(forms))
    return Task(
        "wikihow", f"wikihow_{kind}_{number}", f"steps_{kind}", forms[number].format(**named), answer, (answer,)
    )
