"""Exercises with one right answer (subset `dolly`): arithmetic, numbers, units, words, rewriting, translation.

Every answer is computed from the prompt or looked up in a table, so the tests can recompute it. Each wording of an
instruction is a template of its own (`dolly_addition_0`, `dolly_addition_1`), in which what is asked stands in one
piece.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from babel.numbers import format_decimal
from num2words import num2words

from data_prep.bundled.language import countries, nature, words
from data_prep.bundled.language.content import Content, Pair, capitalised, generator, listed
from data_prep.bundled.language.word_tables import table

Maker = Callable[[random.Random], tuple[str, str]]  # what is asked, and the answer

ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


@dataclass(frozen=True)
class ExercisePrompt:
    """One wording of the instruction of a kind of exercise; `{}` stands for what is asked."""

    kind: str
    prompt: str


@dataclass(frozen=True)
class Unit:
    """One `large` has `factor` of `small`."""

    large: str
    small: str
    factor: int


def contents(seed: int, count: int) -> list[Content]:
    """About `count` exercises, spread over all kinds; a kind with fewer possibilities gives what it has."""
    made: list[Content] = []
    share = count // len(_MAKERS) + 1
    for kind, maker in _MAKERS.items():
        prompts = [line.prompt for line in table("exercise_prompts", ExercisePrompt) if line.kind == kind]
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
    unit, value = chance.choice(units()), chance.randint(2, 20)
    smaller = f"{format_decimal(value * unit.factor, locale='id')} {unit.small}"
    return f"{value} {unit.large}", f"{value} {unit.large} sama dengan {smaller}."


def units() -> tuple[Unit, ...]:
    return table("units", Unit)


def _date(chance: random.Random) -> tuple[str, str]:
    day = date.fromordinal(chance.randint(date(1950, 1, 1).toordinal(), date(2029, 12, 31).toordinal()))
    name = f"{day.day} {countries.months()[day.month - 1]} {day.year}"
    return f"{day.day:02}-{day.month:02}-{day.year}", f"Tanggal itu ditulis {name}."


def _later_weekday(chance: random.Random) -> tuple[str, str]:
    today, step = chance.randrange(7), chance.randint(2, 13)
    name, later = countries.weekdays()[today], countries.weekdays()[(today + step) % 7]
    return (
        f"Hari ini hari {name}. {capitalised(num2words(step, lang='id'))} hari lagi",
        f"{capitalised(num2words(step, lang='id'))} hari setelah hari {name} adalah hari {later}.",
    )


def _sorting(chance: random.Random) -> tuple[str, str]:
    group = chance.choice(list(words.word_groups().values()))
    chosen = chance.sample([word for word in group if " " not in word], 4)
    return ", ".join(chosen), f"Urutannya adalah {listed(sorted(chosen))}."


def _odd_one_out(chance: random.Random) -> tuple[str, str]:
    group, other = chance.sample(sorted(words.word_groups()), 2)
    odd = chance.choice(words.word_groups()[other])
    items = [*chance.sample(words.word_groups()[group], 3), odd]
    chance.shuffle(items)
    return ", ".join(items), f"{capitalised(odd)} tidak termasuk kelompok itu karena yang lain adalah {group}."


def _belonging(chance: random.Random) -> tuple[str, str]:
    group = chance.choice(sorted(words.word_groups()))
    items = chance.sample(words.word_groups()[group], 3)
    return listed(items), f"{capitalised(listed(items))} termasuk kelompok {group}."


def _opposite(chance: random.Random) -> tuple[str, str]:
    pair = chance.choice(words.opposites())
    first, second = chance.sample((pair.word, pair.opposite), 2)
    return first, f"Lawan kata {first} adalah {second}."


def _synonym(chance: random.Random) -> tuple[str, str]:
    pair = chance.choice(words.synonyms())
    return pair.word, f"Kata lain untuk {pair.word} adalah {pair.synonym}."


def _vocabulary(chance: random.Random) -> tuple[str, str]:
    entry = chance.choice(words.dictionary())
    return f'"{entry.english}"', f'Arti kata "{entry.english}" dalam bahasa Indonesia adalah {entry.indonesian}.'


def _english(chance: random.Random) -> tuple[str, str]:
    entry = chance.choice(words.dictionary())
    return f'"{entry.indonesian}"', f'Bahasa Inggris dari kata "{entry.indonesian}" adalah {entry.english}.'


def parallel_sentence(chance: random.Random) -> tuple[str, str]:
    """(Indonesian, English) of a simple sentence: who is doing what where, or who will do what when."""
    subject, action = chance.choice(words.translated_subjects()), chance.choice(words.translated_actions())
    if chance.random() < 0.5:
        place = chance.choice(words.translated_places())
        indonesian = f"{subject.indonesian} sedang {action.indonesian} {place.indonesian}."
        return capitalised(indonesian), capitalised(f"{subject.english} is {action.participle} {place.english}.")
    time = chance.choice(words.translated_times())
    indonesian = f"{subject.indonesian} akan {action.indonesian} {time.indonesian}."
    return capitalised(indonesian), capitalised(f"{subject.english} will {action.infinitive} {time.english}.")


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
    name, day = chance.choice(words.NAMES), chance.choice(countries.weekdays())
    town = chance.choice([province.capital for province in countries.provinces()])
    verb = chance.choice(("pergi ke", "berangkat ke", "tinggal di", "tiba di", "bekerja di"))
    sentence = (
        f"{name} {verb} {town} sejak hari {day}."
        if verb in ("tinggal di", "bekerja di")
        else f"{name} {verb} {town} pada hari {day}."
    )
    return sentence.lower(), sentence


def _extraction(chance: random.Random) -> tuple[str, str]:
    name, town = chance.choice(words.NAMES), chance.choice([province.capital for province in countries.provinces()])
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
    day = chance.choice(countries.weekdays())
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


_MAKERS: dict[str, Maker] = {
    "addition": _addition,
    "subtraction": _subtraction,
    "multiplication": _multiplication,
    "word_problem": _word_problem,
    "spelling": _spelling,
    "digits": _digits,
    "rupiah": _rupiah,
    "roman": _roman,
    "parity": _parity,
    "unit": _unit,
    "date": _date,
    "later_weekday": _later_weekday,
    "sorting": _sorting,
    "odd_one_out": _odd_one_out,
    "belonging": _belonging,
    "opposite": _opposite,
    "synonym": _synonym,
    "vocabulary": _vocabulary,
    "english": _english,
    "translate": _translate,
    "translate_en": _translate_to_english,
    "passive": _passive,
    "active": _active,
    "negation": _negation,
    "question": _question,
    "capital_letters": _capital_letters,
    "extraction": _extraction,
    "word_count": _word_count,
    "animal_class": _animal_class,
}
