"""Encyclopedia articles (subset `wikipedia_id`): a subject, an introduction and parts, each in several wordings.

The corpus takes one wording of each part as the answer; the plain text for pretraining takes the others, so that
the base has read about the subject without having seen the answer itself.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache

from babel.numbers import format_decimal
from num2words import num2words

from data_prep.bundled.language import daily, nature
from data_prep.bundled.language.content import Content, Pair, capitalised, generator
from data_prep.bundled.language.countries import Country, countries, months, provinces, weekdays
from data_prep.bundled.language.word_tables import table

SECTION_PROMPTS = (
    "Tuliskan penjelasan singkat tentang {subject}.",
    "Saya ingin tahu tentang {subject}. Bisa dijelaskan?",
    "Beri saya gambaran umum tentang {subject}.",
    "Tolong perkenalkan {subject} dalam satu atau dua kalimat.",
    "Hal pokok apa saja yang dapat disampaikan tentang {subject}?",
)
SUBSECTION_PROMPTS = (
    "Jelaskan {aspect} {subject}.",
    "Saya perlu tahu {aspect} {subject}. Bisa disebutkan?",
    "Tolong beri keterangan tentang {aspect} {subject}.",
    "Apa yang bisa dikatakan mengenai {aspect} {subject}?",
    "Uraikan secara singkat {aspect} {subject}.",
)


@dataclass(frozen=True)
class Part:
    """What an article says on one aspect, in two or more wordings. `aspect` is empty for the introduction."""

    aspect: str
    wordings: tuple[str, ...]


@dataclass(frozen=True)
class Article:
    """`subject` is a noun phrase as it stands inside a sentence."""

    subject: str
    parts: tuple[Part, ...]

    def answer(self, part: Part, seed: int) -> str:
        """The wording the corpus uses; the other ones are left to the plain text."""
        return generator(seed, "wording", self.subject, part.aspect).choice(part.wordings)


@dataclass(frozen=True)
class Wording:
    """A line of `tables/article_wordings.csv`: a way to say one aspect of one kind of article."""

    article: str
    aspect: str | None
    wording: str


def contents(seed: int) -> Iterator[Content]:
    for entry in articles():
        for part in entry.parts:
            templates, kind = (SUBSECTION_PROMPTS, "subsection") if part.aspect else (SECTION_PROMPTS, "section")
            answer = entry.answer(part, seed)
            pairs = tuple(
                Pair(f"wikipedia_{kind}_{number}", text.format(aspect=part.aspect, subject=entry.subject), answer)
                for number, text in enumerate(templates)
            )
            yield Content("wikipedia_id", f"{entry.subject}/{part.aspect}", pairs)


@cache
def articles() -> tuple[Article, ...]:
    makers = (_countries, _capitals, _currencies, _provinces, _animals, _plants, _sky_and_matter, _daily)
    return tuple(entry for maker in (*makers, _calendar, _numbers) for entry in maker())


def _article(kind: str, subject: str, /, **facts: object) -> Article:
    """The article on `subject` in the wordings of its kind, filled with `facts`.

    An aspect is left out where a fact that it mentions is None.
    """
    unknown = {f"{{{name}}}" for name, value in facts.items() if value is None}
    parts = [
        Part(aspect, tuple(capitalised(wording.format(**facts)) for wording in wordings))
        for aspect, wordings in _wordings()[kind].items()
        if not any(name in wording for name in unknown for wording in wordings)
    ]
    return Article(subject, tuple(parts))


@cache
def _wordings() -> dict[str, dict[str, list[str]]]:
    """Kind of article -> aspect -> wordings, in the order of the table."""
    kinds: dict[str, dict[str, list[str]]] = {}
    for line in table("article_wordings", Wording):
        kinds.setdefault(line.article, {}).setdefault(line.aspect or "", []).append(line.wording)
    return kinds


def _countries() -> Iterator[Article]:
    for country in countries():
        yield _article("country", country.name, **vars(country))


def _capitals() -> Iterator[Article]:
    for country in countries():
        city = country.capital
        subject = city if city.startswith("Kota ") else f"kota {city}"
        yield _article("capital", subject, capital=city, country=country.name, region=country.region)


def _currencies() -> Iterator[Article]:
    """Of one country each, which gave the currency its name."""
    users: dict[str, list[Country]] = {}
    for country in countries():
        if country.currency:
            users.setdefault(country.currency, []).append(country)
    for money, [country, *others] in users.items():
        if not others and country.name in money:
            facts = {"currency": money, "currency_code": country.currency_code, "country": country.name}
            yield _article("currency", f"mata uang {money}", **facts)


def _provinces() -> Iterator[Article]:
    for province in provinces():
        where = f"di Pulau {province.island}" if province.island else "di Indonesia"
        yield _article(
            "province", f"Provinsi {province.name}", name=province.name, capital=province.capital, where=where
        )


def _animals() -> Iterator[Article]:
    eaters = {"herbivora": "pemakan tumbuhan", "karnivora": "pemakan daging", "omnivora": "pemakan segala"}
    for animal in nature.animals():
        kind_phrase = f"seekor {animal.kind}" if animal.kind in ("ikan", "burung") else animal.kind
        is_a_trait = not animal.feature.startswith("merupakan")  # otherwise its class is told instead
        yield _article(
            "animal",
            animal.name,
            **vars(animal),
            eater=eaters[animal.diet],
            trait=animal.feature if is_a_trait else None,
            kind_phrase=None if is_a_trait else kind_phrase,
        )


def _plants() -> Iterator[Article]:
    for fruit in nature.fruits():
        noun = fruit.name if fruit.name.startswith(("buah", "jambu", "jeruk")) else f"buah {fruit.name}"
        yield _article("fruit", noun, **vars(fruit), noun=noun)
    for vegetable in nature.vegetables():
        name = vegetable.name
        subject = name if name.startswith(("daun", "kacang")) else f"sayuran {name}"
        kind = "vegetable_of_a_phrase" if " " in vegetable.part else "vegetable"
        yield _article(kind, subject, **vars(vegetable))


def _sky_and_matter() -> Iterator[Article]:
    for planet in nature.planets():
        place = num2words(planet.position, lang="id", to="ordinal")
        yield _article("planet", f"planet {planet.name}", **vars(planet), place=place)
    for element in nature.elements():
        yield _article("element", f"unsur {element.name}", **vars(element))


def _daily() -> Iterator[Article]:
    for dish in daily.dishes():
        yield _article("dish", dish.name, **vars(dish))
    for job in daily.occupations():
        yield _article("occupation", f"pekerjaan {job.name}", **vars(job))
    for tool in daily.tools():
        yield _article("tool", tool.name, **vars(tool))
    for place in daily.places():
        yield _article("place", place.name, **vars(place))
    for instrument in daily.instruments():
        name, origin = instrument.name, f" dari {instrument.region}" if instrument.region else ""
        yield _article("instrument", f"alat musik {name}", name=name, origin=origin, played=instrument.played)


def _calendar() -> Iterator[Article]:
    names, days = months(), weekdays()
    for number, name in enumerate(names, start=1):
        february = "28 hari, atau 29 hari pada tahun kabisat"
        yield _article(
            "month",
            f"bulan {name}",
            name=name,
            ordinal=num2words(number, lang="id", to="ordinal"),
            length=february if number == 2 else f"{calendar.monthrange(2023, number)[1]} hari",
            before=names[number - 2],
            after=names[number % 12],
        )
    for number, name in enumerate(days):
        yield _article("weekday", f"hari {name}", name=name, before=days[number - 1], after=days[(number + 1) % 7])
    for year in range(1901, 2031):
        yield _year(year)
    for number in range(0, 365, 2):
        yield _date(date.fromordinal(date(2023, 1, 1).toordinal() + number))


def _year(year: int) -> Article:
    kind, length = ("tahun kabisat", 366) if calendar.isleap(year) else ("tahun biasa", 365)
    return _article(
        "year",
        f"tahun {year}",
        year=year,
        kind=kind,
        length=length,
        first=weekdays()[date(year, 1, 1).weekday()],
        last=weekdays()[date(year, 12, 31).weekday()],
        century=f"ke-{(year + 99) // 100}",
        decade=f"{year // 10 * 10}-an",
    )


def _date(day: date) -> Article:
    name, number = f"{day.day} {months()[day.month - 1]}", day.timetuple().tm_yday
    kind = "date" if day.month > 2 else "early_date"  # whose number does not depend on the leap day
    return _article(kind, f"tanggal {name}", name=name, number=number, rest=365 - number)


def _numbers() -> Iterator[Article]:
    for value in [*range(2, 200, 2), *range(203, 2000, 23)]:
        before, digits, after = (format_decimal(value + step, locale="id") for step in (-1, 0, 1))
        yield _article(
            "number",
            f"bilangan {digits}",
            digits=digits,
            words=num2words(value, lang="id"),
            parity="genap" if value % 2 == 0 else "ganjil",
            before=before,
            after=after,
        )
