"""Exercises of the subset `dolly`: rewriting sentences, reading stories, lists, small sums and words."""

from __future__ import annotations

import random
from functools import cache

from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.content import SMALL, capitalised
from data_prep.bundled.language.events import Event, event, names, several
from data_prep.bundled.language.stories import people_named, story
from data_prep.bundled.language.tables import cell, table

PASSIVE = (
    "Ubahlah menjadi kalimat pasif: {}",
    "Tulislah kalimat ini dalam bentuk pasif.\n\n{}",
)
ACTIVE = (
    "Ubahlah menjadi kalimat aktif: {}",
    "Tulislah kalimat ini dalam bentuk aktif.\n\n{}",
)
NEGATIVE = (
    "Ubahlah menjadi kalimat negatif: {}",
    "Tambahkan kata tidak pada kalimat ini.\n\n{}",
)
POSITIVE = (
    "Ubahlah menjadi kalimat positif: {}",
    "Hilangkan kata tidak dari kalimat ini.\n\n{}",
)
ASKING = (
    "Ubahlah menjadi kalimat tanya: {}",
    "Buatlah pertanyaan dengan kata apakah dari kalimat ini.\n\n{}",
)
YES = ("Jawablah dengan ya: {}", "{} Jawablah dengan kata ya dan kalimat lengkap.")
NO = ("Jawablah dengan tidak: {}", "{} Jawablah dengan kata tidak dan kalimat lengkap.")
FRONT = ("Pindahkan keterangan waktu ke awal kalimat: {}", "Mulailah kalimat ini dengan keterangan waktu.\n\n{}")
REPLACE = (
    "Gantilah {old} dengan {new}: {text}",
    "{text}\n\nTulislah kalimat itu dengan {new} sebagai pengganti {old}.",
)
JOIN = ("Gabungkan dengan kata dan: {} {}", "Jadikan satu kalimat.\n\n{} {}")
READ = ("{question}\n\n{story}", "{story}\n\n{question}")
SUMMARISE = ("Ringkaslah dalam satu kalimat.\n\n{}", "{}\n\nApa inti cerita itu?")
PEOPLE = ("Siapa saja yang disebut dalam teks ini?\n\n{}", "{}\n\nSebutkan semua nama orang di atas.")
FIRST = ("Kata mana yang disebut pertama: {}?", "Sebutkan kata pertama dari daftar ini: {}.")
LAST = ("Kata mana yang disebut terakhir: {}?", "Sebutkan kata terakhir dari daftar ini: {}.")
ODD = ("Kata mana yang bukan {group}: {items}?", "Manakah yang tidak termasuk {group}: {items}?")
OPPOSITE = ("Apa lawan kata {}?", "Sebutkan lawan kata {}.")


def whole(answer: str) -> tuple[str, ...]:
    """Where the whole sentence is asked for."""
    return (answer,)


def make(chance: random.Random, kind: str, forms: tuple[str, ...], answer: str, *blanks: str, **named: str) -> Task:
    """A task in one of the wordings; the whole answer is what was asked for."""
    number = chance.randrange(len(forms))
    return Task("dolly", f"dolly_{kind}_{number}", kind, forms[number].format(*blanks, **named), answer, whole(answer))


def rewriting(chance: random.Random, kind: str) -> list[Task]:
    """One rewriting of one event; `front` needs a time."""
    one = event(chance, time=True).at_end() if kind == "front" else event(chance)
    told = {
        "passive": (PASSIVE, one.telling(), one.passive_telling()),
        "active": (ACTIVE, one.passive_telling(), one.telling()),
        "negative": (NEGATIVE, one.telling(), one.negative()),
        "positive": (POSITIVE, one.negative(), one.telling()),
        "question": (ASKING, one.at_end().telling(), one.question()),
        "yes": (YES, one.question(), f"Ya, {one.at_end().telling()}"),
        "no": (NO, one.question(), f"Tidak, {one.at_end().negative()}"),
        "front": (FRONT, one.telling(), one.at_front().telling()),
    }
    forms, prompt, answer = told[kind]
    return [make(chance, kind, forms, answer, prompt)]


def replacing(chance: random.Random) -> list[Task]:
    one = event(chance)
    new = chance.choice([name for name in names() if name != one.agent])
    answer = one.telling().replace(one.agent, new)
    return [make(chance, "replace", REPLACE, answer, old=one.agent, new=new, text=one.telling())]


def joining(chance: random.Random) -> list[Task]:
    first, second = (one.at_end() for one in several(chance, 2, time=False))
    if chance.random() < 0.4:  # two people do the same
        second = Event(second.agent, first.active, first.passive, first.thing, first.place)
        both = first.telling().replace(first.agent, f"{first.agent} dan {second.agent}", 1)
        return [make(chance, "join", JOIN, both, first.telling(), second.telling())]
    return [
        make(chance, "join", JOIN, f"{first.telling()[:-1]} dan {second.telling()}", first.telling(), second.telling())
    ]


def reading(chance: random.Random) -> list[Task]:
    """Two questions on one story, of different kinds; or a summary; or the people in it."""
    tale = story(chance)
    tasks = []
    for question in chance.sample(tale.questions, 2):
        number = chance.randrange(len(READ))
        prompt = READ[number].format(story=tale.text, question=question.text)
        tasks.append(
            Task(
                "dolly",
                f"dolly_read_{question.kind}_{number}",
                f"read_{question.kind}",
                prompt,
                question.answer,
                question.required,
                question.forbidden,
            )
        )
    return tasks


def summary(chance: random.Random) -> list[Task]:
    while not (tale := story(chance)).summary:
        pass
    return [make(chance, "summary", SUMMARISE, tale.summary, tale.text)]


def people(chance: random.Random) -> list[Task]:
    while not (tale := story(chance)).people:
        pass
    return [make(chance, "people", PEOPLE, people_named(tale) + ".", tale.text)]


@cache
def groups() -> dict[str, tuple[str, ...]]:
    return {row["group"]: cell(row["members"]) for row in table("groups")}


def some_things(chance: random.Random, count: int) -> list[str]:
    """Things of all groups but colours and professions."""
    things = [thing for group, found in groups().items() if group not in ("warna", "pekerjaan") for thing in found]
    return chance.sample(things, count)


def lists(chance: random.Random, kind: str) -> list[Task]:
    items = some_things(chance, chance.choice((3, 4)))
    told = ", ".join(items)
    if kind == "first":
        return [make(chance, kind, FIRST, f"Kata pertama adalah {items[0]}.", told)]
    return [make(chance, kind, LAST, f"Kata terakhir adalah {items[-1]}.", told)]


def odd_one(chance: random.Random) -> list[Task]:
    group, other = chance.sample(sorted(groups()), 2)
    items = chance.sample(groups()[group], 3)
    odd = chance.choice(groups()[other])
    items.insert(chance.randrange(4), odd)
    return [make(chance, "odd_one", ODD, f"{capitalised(odd)} bukan {group}.", group=group, items=", ".join(items))]


def sums(chance: random.Random) -> list[Task]:
    """Small sums told of things; the result is at most ten."""
    thing = chance.choice(("apel", "jeruk", "mangga", "kue", "roti", "buku", "pensil", "bola", "topi", "kelinci"))
    owner, other = chance.sample(names(), 2)
    where = chance.choice(("", "", " di rumah", " di sekolah", " di kelas", " di teras"))
    if chance.random() < 0.5:
        first = chance.randint(1, 8)
        second = chance.randint(1, 9 - first)
        told = f"{owner} mempunyai {SMALL[first]} {thing}{where}. {other} memberinya {SMALL[second]} {thing} lagi."
        result, kind = first + second, "add"
    else:
        first = chance.randint(3, 10)
        second = chance.randint(1, first - 1)
        told = f"{owner} mempunyai {SMALL[first]} {thing}{where}. Ia memberikan {SMALL[second]} {thing} kepada {other}."
        result, kind = first - second, "subtract"
    answer = f"{owner} sekarang mempunyai {SMALL[result]} {thing}."
    number = chance.randrange(2)
    ask = (f"{told} Berapa {thing} {owner} sekarang?", f"Hitunglah {thing} {owner}.\n\n{told}")[number]
    wrong = tuple(word for word in SMALL if word != SMALL[result])
    return [Task("dolly", f"dolly_{kind}_{number}", kind, ask, answer, (f"{SMALL[result]} {thing}",), wrong)]


def comparing(chance: random.Random) -> list[Task]:
    row = chance.choice(table("comparisons"))
    first, second = chance.sample(names(), 2)
    thing = row["thing"]
    one, other = (f"{thing} {name}".strip() for name in (first, second))
    adjectives = (row["more"], row["less"])
    told = adjectives[chance.randrange(2)]
    asked = adjectives[chance.randrange(2)]
    right = one if told == asked else other
    order = (first, second) if told == asked else (second, first)
    text = f"{capitalised(one)} lebih {told} daripada {other}."
    question = f"{capitalised(thing)} siapa yang lebih {asked}?" if thing else f"Siapa yang lebih {asked}?"
    number = chance.randrange(2)
    prompt = (f"{text} {question}", f"{question}\n\n{text}")[number]
    kind = "compare_same" if told == asked else "compare_opposite"
    return [
        Task(
            "dolly",
            f"dolly_{kind}_{number}",
            kind,
            prompt,
            f"{capitalised(right)} lebih {asked}.",
            (order[0], f"lebih {asked}"),
            (order[1],),
        )
    ]


def opposites() -> list[list[Task]]:
    """All of the closed list, both ways and in both wordings; each pair is one content."""
    made = []
    for row in table("opposites"):
        tasks = []
        for given, asked in ((row["first"], row["second"]), (row["second"], row["first"])):
            tasks += [
                Task(
                    "dolly",
                    f"dolly_opposite_{number}",
                    "fact_opposite",
                    form.format(given),
                    f"Lawan kata {given} adalah {asked}.",
                    (f"adalah {asked}",),
                )
                for number, form in enumerate(OPPOSITE)
            ]
        made.append(tasks)
    return made
