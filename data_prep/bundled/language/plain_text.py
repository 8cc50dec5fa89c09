"""Plain Indonesian text about the world, for pretraining: it tells, and never answers.

A document is a beginning and a continuation that tells the same once more in other words, as school books and
news do. An instruction may stand in it, but never beside its answer. The closed facts are told many times in several
wordings.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from data_prep.bundled.instructions import articles, conduct, exercises, steps, verse
from data_prep.bundled.instructions.rows import MAKERS
from data_prep.bundled.language import headed
from data_prep.bundled.language.content import SMALL, capitalised, generator, listed, spelled
from data_prep.bundled.language.events import event, names, several
from data_prep.bundled.language.stories import Story, people_named, story
from data_prep.bundled.language.tables import table
from data_prep.rows.quotas import largest_remainder

Document = tuple[str, str]
"""Beginning and continuation."""
Kinds = dict[str, tuple[int, Callable[[random.Random], Document]]]
"""Of each kind its weight and what makes one."""
SENTENCE = re.compile(r"(?<=[.!?])\s+")


def documents(count: int, seed: int, kinds: Kinds | None = None) -> list[Document]:
    """`count` different documents, shuffled; none repeats a sentence. kinds: default `KINDS`."""
    kinds = kinds or KINDS
    quotas = largest_remainder({name: weight for name, (weight, _) in kinds.items()}, count)
    made: list[Document] = []
    seen: set[str] = set()
    for name, quota in quotas.items():
        taken, number = 0, 0
        while taken < quota and number < 3 * quota + 100:  # a small kind may be told out
            found = once(kinds[name][1](generator(seed, "prose", name, number)))
            number += 1
            if found[1] and " ".join(found) not in seen:
                seen.add(" ".join(found))
                made.append(found)
                taken += 1
    generator(seed, "prose").shuffle(made)
    return made


def once(document: Document) -> Document:
    """The document without the sentences that it has already told."""
    told: set[str] = set()
    return _fresh(document[0], told), _fresh(document[1], told)


def _fresh(text: str, told: set[str]) -> str:
    if "\n" in text:  # verse and lists stand as they are
        return text
    kept = []
    for sentence in SENTENCE.split(text):
        if sentence.lower() not in told:
            told.add(sentence.lower())
            kept.append(sentence)
    return " ".join(kept)


def told_story(chance: random.Random) -> Document:
    tale = story(chance)
    again = chance.sample(tale.retold, min(len(tale.retold), chance.choice((2, 3, 3, 4))))
    again += _about(tale, chance)
    return tale.text, " ".join(again)


def _about(tale: Story, chance: random.Random) -> list[str]:
    extra = []
    if tale.summary and chance.random() < 0.4:
        extra.append(tale.summary)
    if tale.people and chance.random() < 0.25:
        extra.append(f"Nama yang disebut ialah {people_named(tale)}.")
    return extra


def told_events(chance: random.Random) -> Document:
    """One event in several forms."""
    one = event(chance)
    other, third = chance.sample([name for name in names() if name != one.agent], 2)
    forms = [
        one.passive_telling(),
        one.at_front().telling() if one.time else one.passive_telling(),
        one.at_end().telling(),
        one.at_end().passive_telling(),
        one.telling().replace(one.agent, other),
        one.negative().replace(one.agent, third),
        f"{capitalised(_reporter(chance))} bertanya apakah {one.at_end().telling()}",
        f"Benar, {one.at_end().telling()}",
        f"Kata {_reporter(chance)}, {one.at_end().telling()}",
        f"{one.agent} dan {other} {one.active} {one.thing}.",
    ]
    first = chance.choice((one.telling(), one.telling(), one.passive_telling()))
    return first, " ".join(_different(forms, chance.choice((2, 3)), first, chance))


def denied_events(chance: random.Random) -> Document:
    """What somebody did not do, in several forms, and what was done instead."""
    one, other = several(chance, 2)
    forms = [
        one.passive_negative(),
        one.at_end().negative(),
        f"Tidak benar bahwa {one.at_end().telling()}",
        f"Yang {one.active} {one.thing} bukan {one.agent}.",
        f"Tidak, {one.at_end().negative()}",
        f"{one.agent} tidak {one.active} {one.thing}, tetapi {other.active} {other.thing}.",
        one.negative().replace(one.agent, other.agent),
        f"{one.agent} dan {other.agent} tidak {one.active} {one.thing}.",
    ]
    first = chance.choice((one.negative(), one.negative(), one.passive_negative()))
    return first, " ".join(_different(forms, chance.choice((2, 3)), first, chance))


def _reporter(chance: random.Random) -> str:
    return chance.choice(("guru", "ayah", "ibu", "nenek", "kakek"))


def _different(forms: list[str], count: int, first: str, chance: random.Random) -> list[str]:
    fresh = [form for form in dict.fromkeys(forms) if form != first]
    return chance.sample(fresh, count)


def joined_events(chance: random.Random) -> Document:
    task = exercises.joining(chance)[0]
    first = task.prompt.split(":", 1)[-1].split("\n\n")[-1].strip()
    return first, f"Jadi, {task.answer}" if chance.random() < 0.5 else task.answer


def told_list(chance: random.Random) -> Document:
    items = exercises.some_things(chance, chance.choice((3, 4, 4, 5)))
    told = [
        f"Yang disebut pertama adalah {items[0]}.",
        f"Yang disebut terakhir adalah {items[-1]}.",
        f"Dari belakang daftar itu berbunyi {', '.join(reversed(items))}.",
        f"Banyaknya {SMALL[len(items)]} kata.",
        f"Kata kedua adalah {items[1]}.",
        f"Kata {items[1]} mengikuti kata {items[0]}.",
        f"{capitalised(items[-1])} menutup daftar.",
        f"{capitalised(items[0])} membuka daftar.",
    ]
    return f"Daftar itu berisi {', '.join(items)}.", " ".join(chance.sample(told, 3))


def told_groups(chance: random.Random) -> Document:
    groups = exercises.groups()
    group, other = chance.sample(sorted(groups), 2)
    items = chance.sample(groups[group], 3)
    odd = chance.choice(groups[other])
    told = [
        f"{capitalised(odd)} bukan {group}.",
        f"{capitalised(odd)} termasuk {other}.",
        f"{capitalised(items[0])} bukan {other}.",
        f"{capitalised(items[1])} adalah {group}.",
    ]
    mixed = list(items)
    mixed.insert(chance.randrange(4), odd)
    first = chance.choice((f"{capitalised(listed(items))} termasuk {group}.", f"Di sini tertulis {', '.join(mixed)}."))
    return first, " ".join(chance.sample(told, 2))


def told_numbers(chance: random.Random) -> Document:
    numbers = chance.sample(range(1, 31), chance.choice((3, 4)))
    told, up, down = (
        ", ".join(str(number) for number in found)
        for found in (numbers, sorted(numbers), sorted(numbers, reverse=True))
    )
    again = [
        f"Dari kecil ke besar: {up}.",
        f"Dari besar ke kecil: {down}.",
        f"Yang terkecil {min(numbers)} dan yang terbesar {max(numbers)}.",
    ]
    return f"Bilangannya {told}.", " ".join(chance.sample(again, 2))


def spelled_numbers(chance: random.Random) -> Document:
    values = [chance.choice((chance.randint(11, 99), chance.randint(100, 999))) for _ in range(3)]
    told = []
    for value in values:
        name = spelled(value)
        told.append(
            chance.choice(
                (
                    f"Bilangan {value} dibaca {name}.",
                    f"{capitalised(name)} ditulis {value}.",
                    f"Harganya {value} rupiah, yaitu {name} rupiah.",
                    f"Ada {name} murid ({value}).",
                )
            )
        )
    return told[0], " ".join(told[1:])


def told_sums(chance: random.Random) -> Document:
    task = exercises.sums(chance)[0]
    story_text = task.prompt.split("\n\n")[-1].split(" Berapa ")[0]
    first = chance.randint(1, 9)
    second = chance.randint(1, 10 - first)
    rule = chance.choice(
        (
            f"{capitalised(SMALL[first])} ditambah {SMALL[second]} menjadi {SMALL[first + second]}.",
            f"{capitalised(SMALL[first + second])} dikurangi {SMALL[second]} menjadi {SMALL[first]}.",
        )
    )
    result = chance.choice((task.answer, task.answer.replace(" sekarang mempunyai ", " kini mempunyai ")))
    return story_text, f"{result} {rule}" if chance.random() < 0.5 else f"{rule} {result}"


def told_comparison(chance: random.Random) -> Document:
    row = chance.choice(table("comparisons"))
    first, second = chance.sample(names(), 2)
    one, other = (f"{row['thing']} {name}".strip() for name in (first, second))
    up, down = row["more"], row["less"]
    forms = [
        f"{capitalised(one)} lebih {up} daripada {other}.",
        f"{capitalised(other)} lebih {down} daripada {one}.",
        f"{capitalised(one)} lebih {up}.",
        f"{capitalised(other)} lebih {down}.",
    ]
    begin = chance.choice(forms[:2])
    return begin, " ".join(chance.sample([form for form in forms if form != begin], 2))


def told_opposites(chance: random.Random) -> Document:
    told = []
    for row in chance.sample(table("opposites"), 3):
        one, other = chance.sample((row["first"], row["second"]), 2)
        told.append(
            chance.choice(
                (
                    f"Kata {one} berlawanan dengan kata {other}.",
                    f"{capitalised(one)} adalah kebalikan dari {other}.",
                    f"Yang tidak {one} disebut {other}.",
                    f"{capitalised(one)} dan {other} berlawanan arti.",
                )
            )
        )
    return told[0], " ".join(told[1:])


def told_article(chance: random.Random) -> Document:
    found = articles.subject(chance)
    again = chance.sample(found.retold, 3)
    style = chance.random()
    if style < 0.35:
        return found.data, found.article
    if style < 0.5:
        return found.data, " ".join(again)
    if style < 0.6:
        return found.article, found.data
    return found.article, " ".join(again)


def told_verse(chance: random.Random) -> Document:
    found = verse.pantun(chance)
    place = chance.randrange(2)
    one, other = (found.lines[line].split()[-1] for line in (place, place + 2))
    style = chance.randrange(5)
    if style == 0:
        return found.text, f"Isinya berbunyi:\n{found.meaning}"
    if style == 1:
        return found.text, f"Sampirannya berbunyi:\n{found.hint}"
    if style == 2:
        return f"Isi:\n{found.meaning}\n\nSampiran:\n{found.hint}", f"Seluruhnya berbunyi:\n{found.text}"
    if style == 3:
        return f"Sampiran:\n{found.hint}\n\nIsi:\n{found.meaning}", f"Seluruhnya berbunyi:\n{found.text}"
    return found.text, f"Akhir kata {one} berbunyi seperti akhir kata {other}."


def told_steps(chance: random.Random) -> Document:
    task, found = steps.steps_of(chance)
    text, as_list = steps.told(found, chance), steps.numbered(found)
    style = chance.randrange(4)
    if style == 0:
        return f"Begini cara {task}. {text}", as_list
    if style == 1:
        return as_list, steps.paragraph(found)
    place = chance.randrange(len(found) - 1)
    again = [
        f"Orang mulai dengan langkah ini: {found[0]}.",
        f"Orang berhenti dengan langkah ini: {found[-1]}.",
        f'Sesudah "{found[place]}" datang "{found[place + 1]}".',
        f"Semuanya ada {SMALL[len(found)]} langkah.",
    ]
    return text, " ".join(chance.sample(again, 2))


def told_facts(chance: random.Random) -> Document:
    """Two or three places, each told in one or two wordings."""
    told = []
    for _ in range(3):
        told += _place(chance)
    return told[0], " ".join(told[1:])


def _place(chance: random.Random) -> list[str]:
    if chance.random() < 0.25:
        row = chance.choice(table("countries"))
        country, capital = row["country"], row["capital"]
        wordings = [
            f"{country} adalah negara di {row['region']} dengan ibu kota {capital}.",
            f"Ibu kota negara {country} ialah {capital}.",
            f"Kota {capital} menjadi ibu kota {country}.",
            f"Pemerintah {country} berkedudukan di {capital}.",
            f"{country} beribu kota di {capital}.",
        ]
        return chance.sample(wordings, chance.choice((1, 2)))
    row = chance.choice(table("provinces"))
    place, capital, island = row["province"], row["capital"], row["island"]
    wordings = []
    if capital:
        wordings += [
            f"Provinsi {place} beribu kota di {capital}.",
            f"Ibu kota Provinsi {place} ialah {capital}.",
            f"Kota {capital} menjadi ibu kota {place}.",
            f"Gubernur {place} berkantor di {capital}.",
            f"{capital} terletak di {place}.",
        ]
    if island:
        wordings += [f"{place} berada di {island}.", f"Di {island} terdapat Provinsi {place}."]
    if capital and island:
        wordings.append(f"{place} adalah provinsi di {island} dengan ibu kota {capital}.")
    return chance.sample(wordings, min(len(wordings), chance.choice((1, 2))))


def told_conduct(chance: random.Random) -> Document:
    rows = chance.sample(table("harms"), 2)
    told = [
        chance.choice(
            (
                f"{capitalised(row['act'])} {row['reason']}.",
                f"Kita tidak boleh {row['act']} karena perbuatan itu {row['reason']}.",
                f"Perbuatan seperti {row['act']} {row['reason']}.",
            )
        )
        for row in rows
    ]
    who = chance.choice(table("identity"))["answer"]
    told.append(
        chance.choice((f"Kancil berkata bahwa ia tidak dapat membantu {rows[0]['act']}.", f'Kata Kancil, "{who}"'))
    )
    return told[0], " ".join(told[1:])


def told_questions(chance: random.Random) -> Document:
    """Instructions and questions as an exercise book lists them, without answers."""
    makers = [maker for _, maker in MAKERS.values()]
    prompts = [maker(chance)[0].prompt for maker in chance.sample(makers, 2)]
    closed = [content[0].prompt for content in conduct.identity()]
    short = chance.sample(closed, 2)
    return (prompts[0], prompts[1]) if chance.random() < 0.7 else (short[0], f"{short[1]} {prompts[0]}")


KINDS: Kinds = {
    "story": (26, told_story),
    "events": (14, told_events),
    "denied": (6, denied_events),
    "joined": (2, joined_events),
    "list": (5, told_list),
    "groups": (3, told_groups),
    "numbers": (4, told_numbers),
    "spelled": (4, spelled_numbers),
    "sums": (4, told_sums),
    "comparison": (4, told_comparison),
    "opposites": (3, told_opposites),
    "article": (9, told_article),
    "verse": (6, told_verse),
    "steps": (6, told_steps),
    "facts": (8, told_facts),
    "conduct": (2, told_conduct),
    "questions": (3, told_questions),
    "headed": (90, headed.document),
}
MOSTLY_NOTES: Kinds = {**KINDS, "headed": (330, headed.exercise)}
"""For the end of pretraining."""
