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

from data_prep.bundled import countries as world
from data_prep.bundled import daily, nature
from data_prep.bundled.content import Content, Pair, capitalised, generator

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


def article(subject: str, *parts: tuple[str, ...]) -> Article:
    """Each part is `(aspect, wording, wording, ...)`; wordings are capitalised here."""
    return Article(subject, tuple(Part(part[0], tuple(capitalised(text) for text in part[1:])) for part in parts))


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
    makers = (
        _countries,
        _capitals,
        _currencies,
        _provinces,
        _animals,
        _plants,
        _sky_and_matter,
        _daily,
        _calendar,
        _numbers,
    )
    return tuple(entry for maker in makers for entry in maker())


def _countries() -> Iterator[Article]:
    for country in world.countries():
        x, region, capital = country.name, country.region, country.capital
        parts = [
            (
                "",
                f"{x} adalah negara di {region} dengan ibu kota {capital}.",
                f"{x} merupakan sebuah negara yang terletak di {region}. Ibu kotanya adalah {capital}.",
                f"Sebagai negara di {region}, {x} beribu kota di {capital}.",
            ),
            (
                "ibu kota",
                f"ibu kota {x} adalah {capital}.",
                f"{capital} merupakan ibu kota {x}.",
                f"kota yang menjadi ibu kota {x} ialah {capital}.",
            ),
            (
                "letak",
                f"{x} terletak di {region}.",
                f"negara {x} berada di kawasan {region}.",
                f"secara geografis, {x} termasuk kawasan {region}.",
            ),
        ]
        if country.currency:
            money, code = country.currency, country.currency_code
            parts.append(
                (
                    "mata uang",
                    f"mata uang {x} adalah {money}.",
                    f"{x} menggunakan {money} dengan kode {code} sebagai mata uangnya.",
                    f"orang berbelanja di {x} dengan {money}.",
                )
            )
        if country.language:
            parts.append(
                (
                    "bahasa resmi",
                    f"bahasa resmi {x} adalah {country.language}.",
                    f"{x} memakai {country.language} sebagai bahasa resmi.",
                    f"di {x}, {country.language} digunakan sebagai bahasa resmi.",
                )
            )
        yield article(x, *parts)


def _capitals() -> Iterator[Article]:
    for country in world.countries():
        city, x = country.capital, country.name
        yield article(
            f"kota {city}" if not city.startswith("Kota ") else city,
            (
                "",
                f"{city} adalah ibu kota {x}, sebuah negara di {country.region}.",
                f"{city} merupakan kota yang menjadi ibu kota {x}. Kota ini berada di kawasan {country.region}.",
                f"sebagai ibu kota {x}, {city} menjadi pusat pemerintahan negara itu.",
            ),
        )


def _currencies() -> Iterator[Article]:
    users: dict[str, list[world.Country]] = {}
    for country in world.countries():
        if country.currency:
            users.setdefault(country.currency, []).append(country)
    for money, found in users.items():
        country = found[0]
        if len(found) > 1 or country.name not in money:  # shared ones, and those whose name differs from the country's
            continue
        yield article(
            f"mata uang {money}",
            (
                "",
                f"{money} adalah mata uang resmi {country.name} dengan kode {country.currency_code}.",
                f"{money} merupakan alat pembayaran yang sah di {country.name} dan berkode {country.currency_code}.",
                f"di {country.name}, orang membayar dengan {money}, yang berkode {country.currency_code}.",
            ),
        )


def _provinces() -> Iterator[Article]:
    for province in world.provinces():
        x, capital = province.name, province.capital
        where = f"di Pulau {province.island}" if province.island else "di Indonesia"
        yield article(
            f"Provinsi {x}",
            (
                "",
                f"{x} adalah sebuah provinsi {where} dengan ibu kota {capital}.",
                f"Provinsi {x} terletak {where}. Pusat pemerintahannya berada di {capital}.",
            ),
            (
                "ibu kota",
                f"ibu kota Provinsi {x} adalah {capital}.",
                f"Provinsi {x} beribu kota di {capital}.",
            ),
        )


def _animals() -> Iterator[Article]:
    diets = {"herbivora": "pemakan tumbuhan", "karnivora": "pemakan daging", "omnivora": "pemakan segala"}
    for animal in nature.animals():
        x, kind = animal.name, animal.kind
        a_kind = "seekor " + kind if kind in ("ikan", "burung") else kind
        yield article(
            x,
            (
                "",
                f"{x} adalah {kind} yang {animal.feature}. Hewan ini hidup di {animal.habitat}.",
                f"{x} merupakan {kind} {diets[animal.diet]}. Hewan ini {animal.feature}.",
                f"hewan bernama {x} termasuk {kind}. Ciri khasnya, {x} {animal.feature}.",
            ),
            (
                "makanan",
                f"{x} memakan {animal.food}.",
                f"makanan {x} berupa {animal.food}.",
                f"sebagai {animal.diet}, {x} memakan {animal.food}.",
            ),
            (
                "tempat hidup",
                f"{x} hidup di {animal.habitat}.",
                f"tempat hidup {x} adalah {animal.habitat}.",
                f"kita dapat menemukan {x} di {animal.habitat}.",
            ),
            (
                "ciri khas",
                f"ciri khas {x} adalah {animal.feature}.",
                f"{x} dikenal karena {animal.feature}.",
                f"{x} {animal.feature}.",
            )
            if not animal.feature.startswith("merupakan")
            else (
                "golongan",
                f"{x} termasuk golongan {kind}.",
                f"dalam dunia hewan, {x} digolongkan sebagai {a_kind}.",
            ),
        )


def _plants() -> Iterator[Article]:
    for fruit in nature.fruits():
        x = fruit.name
        name = x if x.startswith(("buah", "jambu", "jeruk")) else f"buah {x}"
        yield article(
            name,
            (
                "",
                f"{x} adalah buah yang rasanya {fruit.taste}. Kulitnya berwarna {fruit.colour} ketika matang.",
                f"{x} merupakan buah dari {fruit.plant}. Rasanya {fruit.taste}.",
                f"buah bernama {x} ini berkulit {fruit.colour} dan rasanya {fruit.taste}.",
            ),
            ("rasa", f"rasa {name} {fruit.taste}.", f"{name} terasa {fruit.taste} di lidah."),
            (
                "warna kulit",
                f"kulit {name} yang matang berwarna {fruit.colour}.",
                f"ketika matang, {name} memiliki kulit berwarna {fruit.colour}.",
            ),
        )
    for vegetable in nature.vegetables():
        x = vegetable.name
        yield article(
            f"sayuran {x}" if not x.startswith(("daun", "kacang")) else x,
            (
                "",
                f"{x} adalah tanaman yang dimakan bagian {vegetable.part}nya. Warnanya {vegetable.colour}.",
                f"{x} berwarna {vegetable.colour}. Bagian yang dimakan dari tanaman ini adalah {vegetable.part}.",
            )
            if " " not in vegetable.part
            else (
                "",
                f"{x} berwarna {vegetable.colour}. Bagian yang dimakan adalah {vegetable.part}.",
                f"orang memakan {x}, yaitu {vegetable.part}, sebagai sayuran.",
            ),
        )


def _sky_and_matter() -> Iterator[Article]:
    for planet in nature.planets():
        x, place = planet.name, num2words(planet.position, lang="id", to="ordinal")
        yield article(
            f"planet {x}",
            (
                "",
                f"{x} adalah planet {place} dari Matahari. Planet ini {planet.feature}.",
                f"planet {x} {planet.feature}.",
            ),
            (
                "urutan",
                f"{x} berada pada urutan {place} dari Matahari.",
                f"dihitung dari Matahari, {x} adalah planet {place}.",
            ),
        )
    for element in nature.elements():
        x = element.name
        yield article(
            f"unsur {x}",
            (
                "",
                f"{x} adalah unsur kimia dengan lambang {element.symbol} dan nomor atom {element.number}.",
                f"{x} merupakan unsur kimia bernomor atom {element.number}. Lambangnya {element.symbol}.",
            ),
            (
                "lambang",
                f"lambang unsur {x} adalah {element.symbol}.",
                f"unsur {x} dilambangkan dengan {element.symbol}.",
            ),
            (
                "nomor atom",
                f"nomor atom {x} adalah {element.number}.",
                f"unsur {x} memiliki {element.number} proton sehingga nomor atomnya {element.number}.",
            ),
        )


def _daily() -> Iterator[Article]:
    for dish in daily.dishes():
        x = dish.name
        yield article(
            x,
            (
                "",
                f"{x} adalah {dish.kind} yang terbuat dari {dish.ingredient}.",
                f"{x} merupakan {dish.kind} yang {dish.feature}.",
                f"sebagai {dish.kind}, {x} {dish.feature}.",
            ),
            (
                "bahan utama",
                f"bahan utama {x} adalah {dish.ingredient}.",
                f"{x} dibuat dengan bahan utama {dish.ingredient}.",
            ),
            ("keunikan", f"{x} {dish.feature}.", f"yang khas dari {x}, hidangan ini {dish.feature}."),
        )
    for job in daily.occupations():
        x = job.name
        yield article(
            f"pekerjaan {x}",
            (
                "",
                f"{x} adalah orang yang pekerjaannya {job.task}.",
                f"orang yang bekerja sebagai {x} {job.task} setiap hari.",
                f"seorang {x} bekerja di {job.place} dan bertugas {job.task}.",
            ),
            ("tempat kerja", f"{x} bekerja di {job.place}.", f"tempat kerja seorang {x} adalah {job.place}."),
        )
    for tool in daily.tools():
        x = tool.name
        yield article(
            x,
            (
                "",
                f"{x} adalah benda yang digunakan untuk {tool.purpose}.",
                f"{x} merupakan benda untuk {tool.purpose}. Tempatnya biasanya di {tool.place}.",
                f"orang memakai {x} untuk {tool.purpose}.",
            ),
            (
                "kegunaan",
                f"kegunaan {x} adalah untuk {tool.purpose}.",
                f"{x} berguna untuk {tool.purpose}.",
                f"dengan {x}, kita dapat {tool.purpose}.",
            ),
        )
    for place in daily.places():
        x = place.name
        yield article(
            x,
            (
                "",
                f"{x} adalah tempat untuk {place.activity}.",
                f"{x} merupakan tempat yang didatangi orang untuk {place.activity}.",
                f"orang datang ke {x} untuk {place.activity}.",
            ),
        )
    for instrument in daily.instruments():
        x, origin = instrument.name, f" dari {instrument.region}" if instrument.region else ""
        yield article(
            f"alat musik {x}",
            (
                "",
                f"{x} adalah alat musik{origin} yang dimainkan dengan cara {instrument.played}.",
                f"{x} merupakan alat musik{origin}. Cara memainkannya {instrument.played}.",
            ),
        )


def _calendar() -> Iterator[Article]:
    names, days = world.months(), world.weekdays()
    for number, x in enumerate(names, start=1):
        ordinal = num2words(number, lang="id", to="ordinal")
        length = (
            "28 hari, atau 29 hari pada tahun kabisat"
            if number == 2
            else f"{calendar.monthrange(2023, number)[1]} hari"
        )
        before, after = names[number - 2], names[number % 12]
        yield article(
            f"bulan {x}",
            (
                "",
                f"{x} adalah bulan {ordinal} dalam kalender Masehi. Bulan ini terdiri atas {length}.",
                f"bulan {x} datang setelah {before} dan sebelum {after}. Lamanya {length}.",
            ),
            ("jumlah hari", f"bulan {x} terdiri atas {length}.", f"dalam bulan {x} terdapat {length}."),
        )
    for number, x in enumerate(days):
        yield article(
            f"hari {x}",
            (
                "",
                f"{x} adalah hari setelah {days[number - 1]} dan sebelum {days[(number + 1) % 7]}.",
                f"hari {x} berada di antara {days[number - 1]} dan {days[(number + 1) % 7]}.",
            ),
        )
    for year in range(1901, 2031):
        yield _year(year)
    for number in range(0, 365, 2):
        yield _date(date.fromordinal(date(2023, 1, 1).toordinal() + number))


def _year(year: int) -> Article:
    first = world.weekdays()[date(year, 1, 1).weekday()]
    last = world.weekdays()[date(year, 12, 31).weekday()]
    kind, length = ("tahun kabisat", 366) if calendar.isleap(year) else ("tahun biasa", 365)
    century = num2words((year + 99) // 100, lang="id")
    decade = f"{year // 10 * 10}-an"
    return article(
        f"tahun {year}",
        (
            "",
            f"{year} adalah {kind} yang dimulai pada hari {first} dan berakhir pada hari {last}.",
            f"tahun {year} merupakan {kind} dalam kalender Masehi. Tahun ini diawali hari {first}.",
            f"sebagai {kind}, tahun {year} terdiri atas {length} hari dan dimulai pada hari {first}.",
        ),
        (
            "abad",
            f"tahun {year} termasuk dalam abad {_ordinal(century)}.",
            f"{year} adalah tahun pada abad {_ordinal(century)}, dalam dasawarsa {decade}.",
        ),
    )


def _ordinal(words: str) -> str:
    return "ke-" + {"dua puluh": "20", "dua puluh satu": "21"}[words]


def _date(day: date) -> Article:
    name = f"{day.day} {world.months()[day.month - 1]}"
    number = day.timetuple().tm_yday
    rest = 365 - number
    return article(
        f"tanggal {name}",
        (
            "",
            f"{name} adalah hari ke-{number} dalam kalender Masehi. Sesudahnya tersisa {rest} hari pada tahun biasa.",
            f"pada tahun biasa, tanggal {name} adalah hari ke-{number} dan masih ada {rest} hari hingga akhir tahun.",
            f"tanggal {name} jatuh pada hari ke-{number} jika tahun itu bukan tahun kabisat.",
        )
        if day.month > 2
        else (
            "",
            f"{name} adalah hari ke-{number} dalam kalender Masehi.",
            f"tanggal {name} merupakan hari ke-{number} sejak awal tahun.",
            f"dihitung dari tahun baru, {name} jatuh pada hari ke-{number}.",
        ),
    )


def _numbers() -> Iterator[Article]:
    for value in [*range(2, 200, 2), *range(203, 2000, 23)]:
        digits = format_decimal(value, locale="id")
        words = num2words(value, lang="id")
        before, after = (format_decimal(value + step, locale="id") for step in (-1, 1))
        parity = "genap" if value % 2 == 0 else "ganjil"
        yield article(
            f"bilangan {digits}",
            (
                "",
                f"{digits} ({words}) adalah bilangan {parity} setelah {before} dan sebelum {after}.",
                f"bilangan {digits} dibaca {words}. Bilangan ini termasuk bilangan {parity}.",
                f"{digits} merupakan bilangan {parity} yang terletak di antara {before} dan {after}.",
            ),
            (
                "cara membaca",
                f"bilangan {digits} dibaca {words}.",
                f"{digits} dibaca sebagai {words}.",
            ),
        )
