"""Short everyday stories, with questions whose answers stand in the story (closed question answering, summaries)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from num2words import num2words

from data_prep.bundled.language import nature
from data_prep.bundled.language.content import Content, Pair, capitalised, generator
from data_prep.bundled.language.countries import weekdays
from data_prep.bundled.language.word_tables import table
from data_prep.bundled.language.words import NAMES

_TRANSPORT = (
    "naik sepeda", "naik bus", "naik angkot", "naik becak", "naik ojek", "naik mobil",
    "naik sepeda motor", "berjalan kaki",
)  # fmt: skip
_RELATIONS = ("adiknya", "kakaknya", "temannya", "sepupunya", "tetangganya")
_CLOCK = (("pagi", range(6, 11)), ("siang", range(11, 15)), ("sore", range(15, 18)))
_WEATHER = ("cerah", "mendung", "panas", "sejuk", "berangin")
_MOODS = ("senang", "lelah, tetapi gembira", "puas", "bahagia", "bersemangat")
_GOODS = ("beras", "gula", "telur", "tepung", "minyak goreng", "kopi", "tempe", "tahu", "ikan asin", "garam")

QUESTION_FORMS = (
    "Bacalah teks berikut.\n\n{story}\n\nPertanyaan: {question}",
    "{question}\n\n{story}",
    "{story}\n\n{question}",
)
SUMMARY_FORMS = (
    "Ringkaslah teks berikut dalam satu kalimat.\n\n{story}",
    "Apa inti cerita ini?\n\n{story}",
)


@dataclass(frozen=True)
class Errand:
    """A place, why one goes there (`{goods}` stands for what is bought), and what happens there (a sentence)."""

    place: str
    purpose: str
    scene: str


@dataclass(frozen=True)
class Story:
    """The facts of one story; `text` tells them and `questions` asks for them."""

    hero: str
    companion: str
    relation: str
    place: str
    purpose: str
    day: str
    hour: int
    part_of_day: str
    transport: str
    scene: str
    weather: str
    mood: str
    order: int

    @property
    def when(self) -> str:
        return f"pukul {num2words(self.hour if self.hour <= 12 else self.hour - 12, lang='id')} {self.part_of_day}"

    @property
    def text(self) -> str:
        verb = "pergi" if self.order != 1 else "berangkat"
        opening = (
            f"Pada hari {self.day}, {self.hero} {verb} ke {self.place} untuk {self.purpose}.",
            f"{self.hero} {verb} ke {self.place} pada hari {self.day} untuk {self.purpose}.",
            f"Hari {self.day} itu {self.hero} {verb} ke {self.place}. Ia ingin {self.purpose}.",
        )[self.order]
        company = (
            f"Ia ditemani {self.relation}, {self.companion}.",
            f"Ia mengajak {self.companion}, {self.relation}.",
            f"{capitalised(self.relation)} yang bernama {self.companion} ikut serta.",
        )[self.order]
        journey = f"Mereka {self.transport} pada {self.when}."
        ending = f"Cuaca hari itu {self.weather}. {self.hero} pulang dengan perasaan {self.mood}."
        return " ".join((opening, company, journey, self.scene, ending))

    @property
    def summary(self) -> str:
        return f"{self.hero} dan {self.companion} pergi ke {self.place} untuk {self.purpose}."

    def questions(self) -> tuple[tuple[str, str], ...]:
        hero = self.hero
        return (
            (f"Ke mana {hero} pergi?", f"{hero} pergi ke {self.place}."),
            (f"Siapa yang menemani {hero}?", f"{hero} ditemani oleh {self.companion}."),
            (f"Untuk apa {hero} pergi ke {self.place}?", f"{hero} pergi ke {self.place} untuk {self.purpose}."),
            (f"Pada hari apa {hero} pergi?", f"{hero} pergi pada hari {self.day}."),
            ("Dengan apa mereka pergi?", f"Mereka pergi dengan {_means(self.transport)}."),
            ("Pukul berapa mereka berangkat?", f"Mereka berangkat pada {self.when}."),
            ("Bagaimana cuaca hari itu?", f"Cuaca hari itu {self.weather}."),
            (f"Bagaimana perasaan {hero} ketika pulang?", f"{hero} pulang dengan perasaan {self.mood}."),
        )


def story(chance: random.Random) -> Story:
    hero, companion = chance.sample(NAMES, 2)
    errand = chance.choice(table("errands", Errand))
    part_of_day, hours = chance.choice(_CLOCK)
    if "terbenam" in errand.purpose:
        part_of_day, hours = _CLOCK[2]
    goods = chance.choice((*_GOODS, *(fruit.name for fruit in nature.fruits()[:12])))
    return Story(
        hero=hero,
        companion=companion,
        relation=chance.choice(_RELATIONS),
        place=errand.place,
        purpose=errand.purpose.format(goods=goods),
        day=chance.choice(weekdays()),
        hour=chance.choice(hours),
        part_of_day=part_of_day,
        transport=chance.choice(_TRANSPORT),
        scene=errand.scene,
        weather=chance.choice(_WEATHER),
        mood=chance.choice(_MOODS),
        order=chance.randrange(3),
    )


def contents(seed: int, count: int) -> list[Content]:
    """`count` stories, each with three questions (three wordings of the instruction) and one summary."""
    made: dict[str, Content] = {}
    number = 0
    while len(made) < count:
        chance = generator(seed, "story", number)
        number += 1
        tale = story(chance)
        questions = chance.sample(tale.questions(), 3)
        forms = chance.sample(QUESTION_FORMS, 3)
        pairs = [
            Pair("dolly_closed_qa", form.format(story=tale.text, question=question), answer)
            for form, (question, answer) in zip(forms, questions, strict=True)
        ]
        pairs.append(Pair("dolly_summarization", chance.choice(SUMMARY_FORMS).format(story=tale.text), tale.summary))
        made.setdefault(tale.text, Content("dolly", f"story/{tale.text}", tuple(pairs)))
    return list(made.values())


def _means(transport: str) -> str:
    return transport if transport.startswith("berjalan") else transport.removeprefix("naik ")
