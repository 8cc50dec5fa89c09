"""Exercises with one right answer (subset `dolly`): arithmetic, numbers, units, words, rewriting, translation.

Every answer is computed from the prompt or looked up in a table, so the tests can recompute it. Each wording of an
instruction is a template of its own (`dolly_addition_0`, `dolly_addition_1`), in which what is asked stands in one
piece.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date

from babel.numbers import format_decimal
from num2words import num2words

from data_prep.bundled import countries as world
from data_prep.bundled import nature, words
from data_prep.bundled.content import Content, Pair, capitalised, generator, listed

Maker = Callable[[random.Random], tuple[str, str]]  # what is asked, and the answer

ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip
UNITS = (
    ("kilometer", "meter", 1000), ("meter", "sentimeter", 100), ("sentimeter", "milimeter", 10),
    ("kilogram", "gram", 1000), ("ton", "kilogram", 1000), ("kuintal", "kilogram", 100), ("ons", "gram", 100),
    ("liter", "mililiter", 1000), ("jam", "menit", 60), ("menit", "detik", 60), ("hari", "jam", 24),
    ("minggu", "hari", 7), ("tahun", "bulan", 12), ("abad", "tahun", 100), ("lusin", "buah", 12),
    ("kodi", "helai", 20), ("windu", "tahun", 8), ("dasawarsa", "tahun", 10),
)  # fmt: skip


def contents(seed: int, count: int) -> list[Content]:
    """About `count` exercises, spread over all kinds; a kind with fewer possibilities gives what it has."""
    made: list[Content] = []
    share = count // len(_KINDS) + 1
    for kind, (prompts, maker) in _KINDS.items():
        seen: dict[str, Content] = {}
        for number in range(3 * share):
            asked, answer = maker(generator(seed, kind, number))
            pairs = tuple(Pair(f"dolly_{kind}_{form}", text.format(asked), answer) for form, text in enumerate(prompts))
            seen.setdefault(asked, Content("dolly", f"{kind}/{asked}", pairs))
            if len(seen) == share:
                break
        made.extend(seen.values())
    return made


def _addition(chance: random.Random) -> tuple[str, str]:
    first, second = chance.randint(1, 60), chance.randint(1, 39)
    return f"{first} ditambah {second}", f"{first} ditambah {second} sama dengan {first + second}."


def _subtraction(chance: random.Random) -> tuple[str, str]:
    second, rest = chance.randint(1, 40), chance.randint(0, 50)
    return f"{second + rest} dikurangi {second}", f"{second + rest} dikurangi {second} sama dengan {rest}."


def _multiplication(chance: random.Random) -> tuple[str, str]:
    first, second = chance.randint(2, 10), chance.randint(2, 12)
    return f"{first} dikali {second}", f"{first} dikali {second} sama dengan {first * second}."


def _word_problem(chance: random.Random) -> tuple[str, str]:
    name, thing = (
        chance.choice(words.NAMES),
        chance.choice(("apel", "jeruk", "kelereng", "buku", "pensil", "kue", "telur", "permen")),
    )
    first, second = chance.randint(2, 20), chance.randint(1, 15)
    if chance.random() < 0.5 or second >= first:
        answer = f"{name} sekarang mempunyai {first + second} {thing}, karena {first} + {second} = {first + second}."
        return f"{name} mempunyai {first} {thing}, lalu mendapat {second} {thing} lagi.", answer
    answer = f"{name} sekarang mempunyai {first - second} {thing}, karena {first} - {second} = {first - second}."
    return f"{name} mempunyai {first} {thing}, lalu memberikan {second} {thing} kepada temannya.", answer


def _spelling(chance: random.Random) -> tuple[str, str]:
    value = chance.choice((chance.randint(21, 999), chance.randint(1000, 9999), chance.randint(10, 99) * 1000))
    digits = format_decimal(value, locale="id")
    return digits, f"Angka {digits} ditulis {num2words(value, lang='id')}."


def _digits(chance: random.Random) -> tuple[str, str]:
    value = chance.choice((chance.randint(11, 999), chance.randint(1000, 9999)))
    name = num2words(value, lang="id")
    return name, f"Bilangan {name} ditulis {format_decimal(value, locale='id')}."


def _rupiah(chance: random.Random) -> tuple[str, str]:
    amount = f"Rp{format_decimal(value := chance.randint(1, 400) * 500, locale='id')}"
    return amount, f"{amount} dibaca {num2words(value, lang='id')} rupiah."


def roman_numeral(value: int) -> str:
    """`value` (1 to 3999) in Roman numerals."""
    numeral = ""
    for size, letters in ROMAN:
        count, value = divmod(value, size)
        numeral += letters * count
    return numeral


def _roman(chance: random.Random) -> tuple[str, str]:
    value = chance.randint(1, 100)
    return str(value), f"Angka Romawi untuk {value} adalah {roman_numeral(value)}."


def _parity(chance: random.Random) -> tuple[str, str]:
    value = chance.randint(1, 500)
    kind, rest = ("genap", "habis") if value % 2 == 0 else ("ganjil", "tidak habis")
    return str(value), f"Bilangan {value} adalah bilangan {kind} karena {rest} dibagi dua."


def _unit(chance: random.Random) -> tuple[str, str]:
    large, small, factor = chance.choice(UNITS)
    value = chance.randint(2, 20)
    return f"{value} {large}", f"{value} {large} sama dengan {format_decimal(value * factor, locale='id')} {small}."


def _date(chance: random.Random) -> tuple[str, str]:
    day = date.fromordinal(chance.randint(date(1950, 1, 1).toordinal(), date(2029, 12, 31).toordinal()))
    name = f"{day.day} {world.months()[day.month - 1]} {day.year}"
    return f"{day.day:02}-{day.month:02}-{day.year}", f"Tanggal itu ditulis {name}."


def _later_weekday(chance: random.Random) -> tuple[str, str]:
    today, step = chance.randrange(7), chance.randint(2, 13)
    name, later = world.weekdays()[today], world.weekdays()[(today + step) % 7]
    return (
        f"Hari ini hari {name}. {capitalised(num2words(step, lang='id'))} hari lagi",
        f"{capitalised(num2words(step, lang='id'))} hari setelah hari {name} adalah hari {later}.",
    )


def _sorting(chance: random.Random) -> tuple[str, str]:
    group = chance.choice(list(words.WORD_GROUPS.values()))
    chosen = chance.sample([word for word in group if " " not in word], 4)
    return ", ".join(chosen), f"Urutannya adalah {listed(sorted(chosen))}."


def _odd_one_out(chance: random.Random) -> tuple[str, str]:
    group, other = chance.sample(sorted(words.WORD_GROUPS), 2)
    odd = chance.choice(words.WORD_GROUPS[other])
    items = [*chance.sample(words.WORD_GROUPS[group], 3), odd]
    chance.shuffle(items)
    return ", ".join(items), f"{capitalised(odd)} tidak termasuk kelompok itu karena yang lain adalah {group}."


def _belonging(chance: random.Random) -> tuple[str, str]:
    group = chance.choice(sorted(words.WORD_GROUPS))
    items = chance.sample(words.WORD_GROUPS[group], 3)
    return listed(items), f"{capitalised(listed(items))} termasuk kelompok {group}."


def _opposite(chance: random.Random) -> tuple[str, str]:
    first, second = chance.sample(chance.choice(words.opposites()), 2)
    return first, f"Lawan kata {first} adalah {second}."


def _synonym(chance: random.Random) -> tuple[str, str]:
    first, second = chance.choice(words.synonyms())
    return first, f"Kata lain untuk {first} adalah {second}."


def _vocabulary(chance: random.Random) -> tuple[str, str]:
    entry = chance.choice(words.dictionary())
    return f'"{entry.english}"', f'Arti kata "{entry.english}" dalam bahasa Indonesia adalah {entry.indonesian}.'


def _english(chance: random.Random) -> tuple[str, str]:
    entry = chance.choice(words.dictionary())
    return f'"{entry.indonesian}"', f'Bahasa Inggris dari kata "{entry.indonesian}" adalah {entry.english}.'


def parallel_sentence(chance: random.Random) -> tuple[str, str]:
    """(Indonesian, English) of a simple sentence: who is doing what where, or who will do what when."""
    subject, action = chance.choice(words.SUBJECTS), chance.choice(words.ACTIONS)
    if chance.random() < 0.5:
        place = chance.choice(words.ENGLISH_PLACES)
        indonesian = f"{subject.indonesian} sedang {action.indonesian} {place.indonesian}."
        return capitalised(indonesian), capitalised(f"{subject.english} is {action.english} {place.english}.")
    time = chance.choice(words.FUTURE_TIMES)
    indonesian = f"{subject.indonesian} akan {action.indonesian} {time.indonesian}."
    return capitalised(indonesian), capitalised(f"{subject.english} will {action.base} {time.english}.")


def _translate(chance: random.Random) -> tuple[str, str]:
    indonesian, english = parallel_sentence(chance)
    return english, indonesian


def _translate_to_english(chance: random.Random) -> tuple[str, str]:
    return parallel_sentence(chance)


def _clause(chance: random.Random) -> tuple[str, words.Transitive, str, str]:
    verb = chance.choice(words.transitives())
    return chance.choice(words.AGENTS), verb, chance.choice(verb.objects), chance.choice(words.TIMES)


def _passive(chance: random.Random) -> tuple[str, str]:
    agent, verb, thing, rest = _clause(chance)
    return f"{agent} {verb.active} {thing} {rest}.", f"{capitalised(thing)} {verb.passive} oleh {agent} {rest}."


def _active(chance: random.Random) -> tuple[str, str]:
    agent, verb, thing, rest = _clause(chance)
    return f"{capitalised(thing)} {verb.passive} oleh {agent} {rest}.", f"{agent} {verb.active} {thing} {rest}."


def _negation(chance: random.Random) -> tuple[str, str]:
    agent, verb, thing, rest = _clause(chance)
    return f"{agent} {verb.active} {thing} {rest}.", f"{agent} tidak {verb.active} {thing} {rest}."


def _question(chance: random.Random) -> tuple[str, str]:
    agent, verb, thing, rest = _clause(chance)
    return f"{agent} {verb.active} {thing} {rest}.", f"Apakah {agent} {verb.active} {thing} {rest}?"


def _capital_letters(chance: random.Random) -> tuple[str, str]:
    name, day = chance.choice(words.NAMES), chance.choice(world.weekdays())
    town = chance.choice([province.capital for province in world.provinces()])
    verb = chance.choice(("pergi ke", "berangkat ke", "tinggal di", "tiba di", "bekerja di"))
    sentence = (
        f"{name} {verb} {town} sejak hari {day}."
        if verb in ("tinggal di", "bekerja di")
        else f"{name} {verb} {town} pada hari {day}."
    )
    return sentence.lower(), sentence


def _extraction(chance: random.Random) -> tuple[str, str]:
    name, town = chance.choice(words.NAMES), chance.choice([province.capital for province in world.provinces()])
    task = chance.choice(
        (
            "menjual kain",
            "belajar menari",
            "mengunjungi neneknya",
            "bekerja sebagai guru",
            "menonton pertandingan",
            "membuka warung",
        )
    )
    day = chance.choice(world.weekdays())
    return f"{name} {task} di {town} pada hari {day}.", f"Nama orang: {name}. Tempat: {town}. Hari: {day}."


def _word_count(chance: random.Random) -> tuple[str, str]:
    agent, verb, thing, rest = _clause(chance)
    sentence = f"{agent} {verb.active} {thing} {rest}."
    return sentence, f"Kalimat itu terdiri atas {num2words(len(sentence.split()), lang='id')} kata."


def _animal_class(chance: random.Random) -> tuple[str, str]:
    animal = chance.choice(nature.animals())
    other = chance.choice(sorted({"mamalia", "burung", "reptil", "ikan", "serangga", "amfibi"} - {animal.kind}))
    first, second = chance.sample((animal.kind, other), 2)
    return (
        f"{animal.name} termasuk {first} atau {second}",
        f"{capitalised(animal.name)} termasuk {animal.kind}, bukan {other}.",
    )


_KINDS: dict[str, tuple[tuple[str, ...], Maker]] = {
    "addition": (("Berapa hasil {}?", "Hitunglah {}."), _addition),
    "subtraction": (("Berapa hasil {}?", "Hitunglah {}."), _subtraction),
    "multiplication": (("Berapa hasil {}?", "Hitunglah {}."), _multiplication),
    "word_problem": (("{} Berapa jumlahnya sekarang?",), _word_problem),
    "spelling": (("Tuliskan angka {} dengan huruf.", "Bagaimana cara menulis {} dengan kata-kata?"), _spelling),
    "digits": (("Tuliskan {} dengan angka.", "Bagaimana menulis bilangan {} dalam bentuk angka?"), _digits),
    "rupiah": (("Bagaimana cara membaca {}?",), _rupiah),
    "roman": (("Tuliskan {} dalam angka Romawi.",), _roman),
    "parity": (("Apakah {} bilangan ganjil atau genap?",), _parity),
    "unit": (("Ubahlah {} ke satuan yang lebih kecil.",), _unit),
    "date": (("Tuliskan tanggal {} dengan nama bulannya.",), _date),
    "later_weekday": (("{} hari apa?",), _later_weekday),
    "sorting": (("Urutkan kata-kata berikut menurut abjad: {}.", "Susunlah sesuai abjad: {}."), _sorting),
    "odd_one_out": (("Manakah yang tidak sekelompok: {}?",), _odd_one_out),
    "belonging": (("Termasuk kelompok apakah {}?",), _belonging),
    "opposite": (("Apa lawan kata {}?", "Sebutkan antonim dari {}."), _opposite),
    "synonym": (("Sebutkan kata lain untuk {}.", "Apa sinonim dari {}?"), _synonym),
    "vocabulary": (("Apa arti kata bahasa Inggris {}?",), _vocabulary),
    "english": (("Apa bahasa Inggrisnya {}?",), _english),
    "translate": (
        ("Terjemahkan ke dalam bahasa Indonesia: {}", "Apa arti kalimat ini dalam bahasa Indonesia? {}"),
        _translate,
    ),
    "translate_en": (
        ("Terjemahkan ke dalam bahasa Inggris: {}", "Bagaimana kalimat ini dalam bahasa Inggris? {}"),
        _translate_to_english,
    ),
    "passive": (("Ubahlah menjadi kalimat pasif: {}", "Apa bentuk pasif dari kalimat ini? {}"), _passive),
    "active": (("Ubahlah menjadi kalimat aktif: {}",), _active),
    "negation": (("Ubahlah menjadi kalimat negatif: {}", "Buatlah bentuk ingkar dari kalimat ini: {}"), _negation),
    "question": (("Ubahlah menjadi kalimat tanya: {}", "Buatlah pertanyaan dari kalimat ini: {}"), _question),
    "capital_letters": (("Perbaiki huruf kapital dalam kalimat ini: {}",), _capital_letters),
    "extraction": (("Sebutkan nama orang, tempat, dan hari dalam kalimat ini: {}",), _extraction),
    "word_count": (("Berapa kata yang ada dalam kalimat ini? {}",), _word_count),
    "animal_class": (("Apakah {}?",), _animal_class),
}  # fmt: skip


def templates() -> Iterator[str]:
    for kind, (prompts, _) in _KINDS.items():
        yield from (f"dolly_{kind}_{form}" for form in range(len(prompts)))
