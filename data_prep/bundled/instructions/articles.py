"""Articles of the subset `wikipedia_id`: people and pets of the world from their data, and the closed facts."""

from __future__ import annotations

import random
from dataclasses import dataclass

from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.content import capitalised
from data_prep.bundled.language.events import names
from data_prep.bundled.language.tables import column, members, table

WRITE = (
    "Tulislah artikel pendek dari data ini.\n\n{}",
    "{}\n\nBuatlah paragraf dari data di atas.",
)
LOOK_UP = ("{data}\n\nApa isi bagian {field}?", "Sebutkan {field} dari data ini.\n\n{data}")
ASK = ("{text}\n\n{question}", "{question}\n\n{text}")

CAPITAL = ("Apa ibu kota {place}?", "Sebutkan ibu kota {place}.", "Kota apa yang menjadi ibu kota {place}?")
PROVINCE = ("Provinsi apa yang beribu kota di {capital}?", "{capital} adalah ibu kota provinsi apa?")
ISLAND = ("Di mana letak Provinsi {place}?", "Provinsi {place} berada di mana?")
COUNTRY = ("Negara apa yang beribu kota di {capital}?", "{capital} adalah ibu kota negara apa?")


COATS = ("hitam", "putih", "cokelat", "kelabu")


@dataclass(frozen=True)
class Subject:
    """An invented person or animal. fields: name of a field and its value; asked: field, question, answer, fact."""

    fields: tuple[tuple[str, str], ...]
    article: str
    asked: tuple[tuple[str, str, str, str], ...]
    retold: tuple[str, ...]

    @property
    def data(self) -> str:
        return "\n".join(f"{capitalised(name)}: {value}" for name, value in self.fields)


def person(chance: random.Random) -> Subject:
    name = chance.choice(names())
    work = chance.choice(table("people"))
    city = chance.choice(cities())
    colour = chance.choice(members("warna"))
    animal = chance.choice(column("pets", "animal"))
    fields = (("nama", name), ("pekerjaan", work["job"]), ("kota", city))
    extra = chance.choice((("warna kesukaan", colour), ("hewan kesukaan", animal), ("kegiatan", work["duty"])))
    last = {
        "warna kesukaan": f"Warna kesukaannya {colour}.",
        "hewan kesukaan": f"Hewan kesukaannya {animal}.",
        "kegiatan": f"Kegiatannya {work['duty']}.",
    }[extra[0]]
    asked = (
        ("pekerjaan", f"Apa pekerjaan {name}?", f"Pekerjaan {name} adalah {work['job']}.", work["job"]),
        ("kota", f"Di kota mana {name} tinggal?", f"{name} tinggal di {city}.", city),
        (extra[0], f"Apa {extra[0]} {name}?", f"{capitalised(extra[0])} {name} adalah {extra[1]}.", extra[1]),
    )
    retold = (
        f"{name} bekerja sebagai {work['job']}.",
        f"Tempat tinggal {name} ialah {city}.",
        f"{capitalised(extra[0])} {name} ialah {extra[1]}.",
        f"Pekerjaan {name} adalah {work['job']}.",
        f"{name} tinggal di {city}.",
        f"{capitalised(extra[0])} {name} adalah {extra[1]}.",
    )
    return Subject((*fields, extra), f"{name} adalah {work['job']} yang tinggal di {city}. {last}", asked, retold)


def pet(chance: random.Random) -> Subject:
    name = chance.choice(column("petnames", "pet"))
    owner = chance.choice(names())
    kind = chance.choice(table("pets"))
    colour, city = chance.choice(COATS), chance.choice(cities())
    animal, food = kind["animal"], kind["food"]
    fields = (("nama", name), ("jenis", animal), ("warna", colour), ("pemilik", owner))
    extra = chance.choice((("makanan", food), ("kota", city)))
    last = f"Makanannya {food}." if extra[0] == "makanan" else f"Mereka tinggal di {city}."
    asked = (
        ("jenis", f"Hewan apakah {name}?", f"{name} adalah {animal}.", animal),
        ("warna", f"Apa warna {name}?", f"{name} berwarna {colour}.", colour),
        ("pemilik", f"Siapa pemilik {name}?", f"Pemilik {name} adalah {owner}.", owner),
    )
    retold = (
        f"Hewan bernama {name} itu {animal}.",
        f"Warna {name} ialah {colour}.",
        f"{owner} memelihara {name}.",
        f"{name} adalah {animal}.",
        f"{name} berwarna {colour}.",
        f"Pemilik {name} adalah {owner}.",
    )
    return Subject((*fields, extra), f"{name} adalah {animal} berwarna {colour} milik {owner}. {last}", asked, retold)


def cities() -> tuple[str, ...]:
    return tuple(row["capital"] for row in table("provinces") if row["capital"] and " " not in row["capital"])


def subject(chance: random.Random) -> Subject:
    return person(chance) if chance.random() < 0.55 else pet(chance)


def writing(chance: random.Random) -> list[Task]:
    found = subject(chance)
    number = chance.randrange(len(WRITE))
    return [
        Task(
            "wikipedia_id",
            f"wikipedia_article_{number}",
            "article",
            WRITE[number].format(found.data),
            found.article,
            (found.article,),
        )
    ]


def looking_up(chance: random.Random) -> list[Task]:
    found = subject(chance)
    field, value = chance.choice(found.fields)
    number = chance.randrange(len(LOOK_UP))
    prompt = LOOK_UP[number].format(data=found.data, field=field)
    others = tuple(other for name, other in found.fields if name != field)
    return [
        Task(
            "wikipedia_id",
            f"wikipedia_field_{number}",
            "field",
            prompt,
            f"{capitalised(field)}: {value}.",
            (value,),
            others,
        )
    ]


def asking(chance: random.Random) -> list[Task]:
    found = subject(chance)
    field, question, answer, fact = chance.choice(found.asked)
    number = chance.randrange(len(ASK))
    return [
        Task(
            "wikipedia_id",
            f"wikipedia_about_{field.split()[0]}_{number}",
            "read_article",
            ASK[number].format(text=found.article, question=question),
            answer,
            (fact,),
        )
    ]


def facts() -> list[list[Task]]:
    """Questions on the closed facts; what asks for one province or country is one content."""
    made = []
    for row in table("provinces"):
        place, capital, island = row["province"], row["capital"], row["island"]
        tasks = []
        if capital:
            tasks += _asked("capital", CAPITAL, f"Ibu kota {place} adalah {capital}.", f"adalah {capital}", place=place)
            tasks += _asked(
                "province", PROVINCE, f"{capital} adalah ibu kota {place}.", f"ibu kota {place}", capital=capital
            )
        if island:
            tasks += _asked("island", ISLAND, f"{place} terletak di {island}.", f"di {island}", place=place)
        made.append(tasks)
    for row in table("countries"):
        place, capital = row["country"], row["capital"]
        tasks = _asked("capital", CAPITAL, f"Ibu kota {place} adalah {capital}.", f"adalah {capital}", place=place)
        tasks += _asked("country", COUNTRY, f"{capital} adalah ibu kota {place}.", f"ibu kota {place}", capital=capital)
        made.append(tasks)
    return made


def _asked(kind: str, forms: tuple[str, ...], answer: str, fact: str, **blanks: str) -> list[Task]:
    return [
        Task("wikipedia_id", f"wikipedia_{kind}_{number}", f"fact_{kind}", form.format(**blanks), answer, (fact,))
        for number, form in enumerate(forms)
    ]
